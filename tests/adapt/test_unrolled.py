"""The written-out meta-gradient equals autograd's through the generic path, whatever the shapes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import in_double, make_task
from metastudy.adapt import unrolled
from metastudy.adapt.gradient import gradient_steps
from metastudy.adapt.unrolled import unrolled_scores
from metastudy.model import MLP, Params
from metastudy.score_gradients import score_gradient
from metastudy.tasks import KINDS, TaskBatch, collate

DIM = 3
kinds = pytest.mark.parametrize("kind", KINDS)


def chain(n_layers: int, n_out: int, seed: int, n_tasks: int | None = None) -> list[tuple[Tensor, Tensor]]:
    """Random layers DIM -> 5 -> ... -> n_out, shared by all tasks or, with `n_tasks`, one copy each."""
    generator = torch.Generator().manual_seed(seed)
    lead = () if n_tasks is None else (n_tasks,)
    sizes = [DIM, *[5 + i for i in range(n_layers - 1)], n_out]

    def draw(*shape: int) -> Tensor:
        return torch.randn(*lead, *shape, generator=generator, dtype=torch.float64).requires_grad_()

    return [(draw(i, o), draw(1, o)) for i, o in zip(sizes, sizes[1:], strict=False)]


def step_sizes(n_layers: int) -> list[tuple[Tensor, Tensor]]:
    return [
        tuple(torch.tensor(a, dtype=torch.float64).requires_grad_() for a in (0.1 + 0.05 * i, 0.3 - 0.05 * i))
        for i in range(n_layers)
    ]


def named(pairs: list[tuple[Tensor, Tensor]]) -> Params:
    names = [*(f"layer{i}" for i in range(len(pairs) - 1)), "head"]
    return {
        f"{n}.{k}": v for n, p in zip(names, pairs, strict=True) for k, v in zip(("weight", "bias"), p, strict=True)
    }


def generic(layers, sizes, batch: TaskBatch, n_steps: int, second_order: bool) -> Tensor:
    model = MLP(DIM, tuple(w.shape[-1] for w, _ in layers[:-1]))
    theta = gradient_steps(model, named(layers), batch, named(sizes), n_steps, create_graph=second_order)
    return model(theta, batch.query_x)


def fast(layers, sizes, batch: TaskBatch, n_steps: int, second_order: bool) -> Tensor:
    return unrolled_scores(layers, sizes, batch.support_x, batch.query_x, score_gradient(batch), n_steps, second_order)


def gradients(scores: Tensor, layers, sizes) -> list[Tensor]:
    leaves = [t for pair in (*layers, *sizes) for t in pair]
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    found = torch.autograd.grad((weights * scores).sum(), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]


def unequal(kind: str, seed: int = 0) -> TaskBatch:
    return in_double(collate([make_task(kind, seed + i, 4 + 2 * i, 3 + i, ways=2 + i) for i in range(3)]))


@kinds
@pytest.mark.parametrize("second_order", [True, False])
@pytest.mark.parametrize("dual", [True, False])
@settings(max_examples=6, deadline=None)
@given(n_layers=st.integers(2, 4), n_steps=st.integers(0, 4), seed=st.integers(0, 99))
def test_equals_autograd(kind, second_order, dual, n_layers, n_steps, seed) -> None:
    batch = unequal(kind, seed)
    layers, sizes = chain(n_layers, batch.n_classes, seed), step_sizes(n_layers)
    before = unrolled.DUAL_ROWS
    unrolled.DUAL_ROWS = 99 if dual else 0
    try:
        found = fast(layers, sizes, batch, n_steps, second_order)
    finally:
        unrolled.DUAL_ROWS = before
    expected = generic(layers, sizes, batch, n_steps, second_order)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for a, b in zip(gradients(found, layers, sizes), gradients(expected, layers, sizes), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@kinds
def test_each_task_may_start_from_its_own_weights(kind) -> None:
    batch = unequal(kind)
    layers, sizes = chain(3, batch.n_classes, 1, n_tasks=3), step_sizes(3)
    found, expected = fast(layers, sizes, batch, 2, True), _generic_per_task(layers, sizes, batch)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for a, b in zip(gradients(found, layers, sizes), gradients(expected, layers, sizes), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def _generic_per_task(layers, sizes, batch: TaskBatch) -> Tensor:
    """One task at a time, with that task's weights as shared ones."""
    scores = []
    for t in range(batch.n_tasks):
        values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
        one = dataclasses.replace(batch, **{k: v[t : t + 1] for k, v in values.items() if isinstance(v, Tensor)})
        scores.append(generic([(w[t], b[t]) for w, b in layers], sizes, one, 2, True))
    return torch.cat(scores)


@kinds
@pytest.mark.parametrize("second_order", [True, False])
def test_a_head_on_learned_features_sends_its_gradient_into_them(kind, second_order) -> None:
    batch = unequal(kind)
    layers, sizes = chain(1, batch.n_classes, 2), step_sizes(1)
    found = []
    for scores in (fast, generic):
        x = [v.clone().requires_grad_() for v in (batch.support_x, batch.query_x)]
        learned = dataclasses.replace(batch, support_x=torch.tanh(x[0]), query_x=torch.tanh(x[1]))
        if scores is generic and not second_order:  # first order: inner gradients are constants, features included
            learned = dataclasses.replace(learned, support_x=learned.support_x.detach())
        value = scores(layers, sizes, learned, 3, second_order)
        grads = torch.autograd.grad(value.square().sum(), [*x, *layers[0], *sizes[0]], allow_unused=True)
        found.append([torch.zeros(()) if g is None else g for g in grads])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b.expand_as(a).to(a), rtol=1e-8, atol=1e-8)
    assert (float(found[0][0].abs().max()) > 1e-3) == second_order


def test_without_gradients_nothing_is_kept() -> None:
    batch = unequal("regression")
    layers, sizes = chain(3, 1, 0), step_sizes(3)
    with torch.no_grad():
        quiet = fast(layers, sizes, batch, 3, True)
    assert quiet.grad_fn is None
    torch.testing.assert_close(quiet, fast(layers, sizes, batch, 3, True).detach(), rtol=0, atol=0)


def test_a_second_derivative_of_the_meta_gradient_is_refused() -> None:
    batch = unequal("regression")
    layers, sizes = chain(2, 1, 0), step_sizes(2)
    (gradient,) = torch.autograd.grad(fast(layers, sizes, batch, 2, True).sum(), [layers[0][0]], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad"):
        torch.autograd.grad(gradient.square().sum(), [layers[0][0]])


def test_a_large_first_layer_is_the_same_product() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((3, 7, 11), (11, 5), (1, 5)))
    found = []
    for large in (0, 1e9):
        own = [v.clone().requires_grad_() for v in (weight, bias)]
        before, unrolled.LARGE = unrolled.LARGE, large
        try:
            y = unrolled._first_layer(x, *own)
        finally:
            unrolled.LARGE = before
        found.append([y, *torch.autograd.grad(y.square().sum(), own)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
