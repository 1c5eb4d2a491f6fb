"""Losses and within-group softmax against loops and hand computations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers import batch_of, in_double, make_task
from metastudy.losses import gain_distribution, group_log_softmax, group_mean, loss, predict
from metastudy.tasks import KINDS, collate


def random_groups(seed: int, n_tasks: int, n_rows: int, n_groups: int):
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(n_tasks, n_rows, generator=generator, dtype=torch.float64)
    return scores, torch.randint(n_groups, (n_tasks, n_rows), generator=generator)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 7), st.integers(1, 4))
def test_group_log_softmax_equals_a_loop(seed, n_tasks, n_rows, n_groups) -> None:
    scores, group = random_groups(seed, n_tasks, n_rows, n_groups)
    expected = torch.full_like(scores, torch.nan)
    for t in range(n_tasks):
        for g in range(n_groups):
            rows = group[t] == g
            expected[t, rows] = F.log_softmax(scores[t, rows], 0)
    torch.testing.assert_close(group_log_softmax(scores, group), expected, rtol=0, atol=1e-12)


def test_group_log_softmax_stands_large_scores_and_has_the_right_gradient() -> None:
    scores, group = random_groups(0, 2, 5, 2)
    shifted = group_log_softmax(scores + 1e4 * group, group)
    torch.testing.assert_close(shifted, group_log_softmax(scores, group), rtol=0, atol=1e-8)
    assert torch.autograd.gradcheck(lambda s: group_log_softmax(s, group), scores.requires_grad_())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(1, 7), st.integers(1, 4))
def test_group_mean_and_gain_distribution_equal_loops(seed, n_rows, n_groups) -> None:
    values, group = random_groups(seed, 2, n_rows, n_groups)
    mask = (torch.arange(n_rows) < torch.tensor([[n_rows], [max(1, n_rows - 2)]])).double()
    gain = values.abs().round()
    means, shares = group_mean(values[..., None], group, mask)[..., 0], gain_distribution(gain, group, mask)
    for t in range(2):
        for i in range(n_rows):
            same = (group[t] == group[t, i]) & (mask[t] == 1)
            expected = values[t, same].mean() if same.any() else torch.tensor(0.0)
            assert float(means[t, i]) == pytest.approx(float(expected), abs=1e-12)
            total = float(gain[t, same].sum())
            assert float(shares[t, i]) == pytest.approx(float(gain[t, i] * mask[t, i]) / total if total else 0)


def test_listnet_by_hand() -> None:
    # group 0: gains 3, 1, scores 0, ln 3: target 3/4, 1/4, model 1/4, 3/4; group 1: no gain; group 2: one row
    scores = torch.tensor([[0.0, math.log(3), 5.0, -5.0, 2.0]], dtype=torch.float64)[..., None]
    gain = torch.tensor([[3.0, 1.0, 0.0, 0.0, 2.0]], dtype=torch.float64)
    group, mask = torch.tensor([[0, 0, 1, 1, 2]]), torch.ones(1, 5, dtype=torch.float64)
    first = -(0.75 * math.log(0.25) + 0.25 * math.log(0.75))
    found = loss("ranking", scores, gain, mask, group)
    assert found.tolist() == pytest.approx([(first + 0) / 2])  # two groups count, the second is certain


def test_losses_equal_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    for kind in ("classification", "binary", "regression"):
        batch = batch_of(kind)
        scores = torch.randn(2, 5, batch.n_classes, generator=generator, dtype=torch.float64)
        prediction = predict(kind, scores, batch.class_mask)
        found = loss(kind, prediction, batch.query_y, batch.query_mask, batch.query_group)
        for t in range(2):
            y = batch.query_y[t]
            if kind == "classification":
                expected = F.cross_entropy(scores[t], y)
            elif kind == "binary":
                expected = F.binary_cross_entropy_with_logits(scores[t, :, 0], y)
            else:
                expected = F.mse_loss(scores[t, :, 0], y)
            assert float(found[t]) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("kind", ["classification", "binary"])
def test_probabilities_sum_to_one_over_the_classes_a_task_has(kind) -> None:
    batch = in_double(collate([make_task(kind, 0, ways=2), make_task(kind, 1, ways=4)]))
    scores = torch.randn(2, 5, batch.n_classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = predict(kind, scores, batch.class_mask).exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 5, dtype=torch.float64))
    if kind == "classification":
        assert p[0, :, 2:].abs().max() == 0 and p[1].min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_padded_rows_have_no_influence_on_a_loss(kind) -> None:
    small, large = make_task(kind, 0, 4, 3, ways=2), make_task(kind, 1, 9, 8, ways=4, n_groups=3)
    alone, both = in_double(collate([small])), in_double(collate([small, large]))
    scores = torch.randn(2, 8, both.n_classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def value(batch, scores) -> float:
        prediction = predict(kind, scores, batch.class_mask)
        return float(loss(kind, prediction, batch.query_y, batch.query_mask, batch.query_group)[0])

    expected = value(alone, scores[:1, :3, : alone.n_classes])
    assert value(both, scores) == pytest.approx(expected, abs=1e-12)
    scores[0, 3:] = 1e3
    assert value(both, scores) == pytest.approx(expected, abs=1e-12)
