"""First and second derivative of every loss in the scores, against autograd."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import in_double, make_task
from metastudy.losses import loss, predict
from metastudy.score_gradients import score_gradient
from metastudy.tasks import KINDS, TaskBatch, collate


def support_losses(batch: TaskBatch, scores: torch.Tensor) -> torch.Tensor:
    prediction = predict(batch.kind, scores, batch.class_mask)
    return loss(batch.kind, prediction, batch.support_y, batch.support_mask, batch.support_group).sum()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(1, 7), without_gain=st.booleans())
def test_both_derivatives_equal_autograd(kind, seed, rows, without_gain) -> None:
    tasks = [make_task(kind, seed, rows, ways=2), make_task(kind, seed + 1, rows + 4, ways=4, n_groups=3)]
    batch = in_double(collate(tasks))
    if without_gain and kind != "classification":
        batch = dataclasses.replace(batch, support_y=batch.support_y * (batch.support_group == 0))
    generator = torch.Generator().manual_seed(seed)
    shape = (*batch.support_y.shape, batch.n_classes)
    scores = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    direction = torch.randn(shape, generator=generator, dtype=torch.float64)
    (first,) = torch.autograd.grad(support_losses(batch, scores), scores, create_graph=True)
    found, hessian_product = score_gradient(batch)(scores.detach())
    torch.testing.assert_close(found, first.detach(), rtol=0, atol=1e-10)
    (curved,) = torch.autograd.grad((first * direction).sum(), scores, allow_unused=True)
    torch.testing.assert_close(
        hessian_product(direction), torch.zeros(shape).double() if curved is None else curved, rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_directions_are_left_as_they_were(kind) -> None:
    batch = in_double(collate([make_task(kind)]))
    scores = torch.randn(*batch.support_y.shape, batch.n_classes, dtype=torch.float64)
    before = scores.clone()
    _, hessian_product = score_gradient(batch)(scores)
    first = hessian_product(scores)
    assert torch.equal(scores, before) and torch.equal(hessian_product(scores), first)
