"""Smooth nDCG@10 against loops, against ir_measures where ranks are exact, and gradients against finite differences."""

from __future__ import annotations

from math import exp, log, log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.families.search_base import measured
from metastudy.feedback import grid
from metastudy.feedback.approximate import DEPTH, ideal_dcg, listwise_loss, smooth_ndcg

torch.set_num_threads(1)  # on sums this small more threads only wait for each other
seeds = st.integers(0, 2**32 - 1)
temperatures = st.sampled_from([0.05, 0.3, 1.0, 4.0])


def drawn(seed: int, n: int | None = None, queries: int = 3, dtype=torch.float64):
    """Scores, grades of which some are above 0, an ideal of more pages than these, and a mask of one or more."""
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(1, 25))
    mask = np.arange(n) < rng.integers(1, n + 1, (queries, 1))
    grades = rng.integers(0, 4, (queries, n)) * (rng.random((queries, n)) < 0.5) * mask
    ideal = 1 + rng.random(queries) + (grades / np.log2(np.arange(2, n + 2))).sum(1)
    floats = [torch.tensor(v, dtype=dtype) for v in (rng.normal(size=(queries, n)), grades, ideal)]
    return *floats, torch.tensor(mask)


def logistic(x: float) -> float:
    return 1 / (1 + exp(-x)) if x > -700 else 0.0


def slow_ndcg(scores, grades, ideal, temperature: float) -> float:
    """Of one query whose candidates are all there."""
    total = 0.0
    for i, (s, g) in enumerate(zip(scores, grades, strict=True)):
        rank = 1 + sum(logistic((other - s) / temperature) for j, other in enumerate(scores) if j != i)
        total += g * logistic(10.5 - rank) / log2(1 + rank)
    return total / ideal


def slow_listwise(scores, grades) -> float:
    """Cross-entropy of shares and softmax, of one query whose candidates are all there."""
    if not sum(grades):
        return 0.0
    whole = sum(exp(s) for s in scores)
    return -sum(g / sum(grades) * log(exp(s) / whole) for s, g in zip(scores, grades, strict=True))


@settings(max_examples=25, deadline=None)
@given(seeds, temperatures)
def test_both_losses_are_the_slow_ones_and_padding_is_nothing(seed, temperature):
    scores, grades, ideal, mask = drawn(seed)
    fast, entropy = smooth_ndcg(scores, grades, ideal, mask, temperature), listwise_loss(scores, grades, mask)
    assert fast.shape == entropy.shape == (3,)
    for q, there in enumerate(mask):
        s, g = scores[q, there].tolist(), grades[q, there].tolist()
        assert fast[q].item() == pytest.approx(slow_ndcg(s, g, ideal[q].item(), temperature), abs=1e-9)
        assert entropy[q].item() == pytest.approx(slow_listwise(s, g), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seeds, temperatures)
def test_what_stands_where_no_candidate_is_has_no_influence(seed, temperature):
    scores, grades, ideal, mask = drawn(seed)
    scores.requires_grad_(True)
    other = torch.where(mask, scores, 50.0)
    wider = [torch.nn.functional.pad(v, (0, 4)) for v in (scores, grades, mask)]

    def smooth(s, g, m):
        return smooth_ndcg(s, g, ideal, m, temperature)

    for loss in (smooth, listwise_loss):
        found = loss(scores, grades, mask)
        torch.testing.assert_close(loss(other, grades, mask), found, rtol=0, atol=1e-12)
        torch.testing.assert_close(loss(*wider), found, rtol=0, atol=1e-12)
        (gradient,) = torch.autograd.grad(found.sum(), scores)
        assert torch.isfinite(gradient).all() and not gradient[~mask].any()
    assert torch.equal(smooth(scores, torch.where(mask, grades, 9.0), mask), smooth(scores, grades, mask))


@settings(max_examples=25, deadline=None)
@given(seeds, temperatures)
def test_the_order_of_candidates_and_a_constant_have_no_influence(seed, temperature):
    scores, grades, ideal, mask = drawn(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(scores.shape[1]))
    for loss in (lambda s, g, m: smooth_ndcg(s, g, ideal, m, temperature), listwise_loss):
        found = loss(scores, grades, mask)
        torch.testing.assert_close(loss(scores[:, order], grades[:, order], mask[:, order]), found, rtol=0, atol=1e-12)
        torch.testing.assert_close(loss(scores + 3, grades, mask), found, rtol=0, atol=1e-9)
    scaled = smooth_ndcg(7 * scores, grades, ideal, mask, 7 * temperature)
    torch.testing.assert_close(scaled, smooth_ndcg(scores, grades, ideal, mask, temperature), rtol=0, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([1, 3, 10, 11, 40]))
def test_at_small_temperatures_only_the_soft_cut_at_ten_is_left_between_it_and_ndcg(seed, n):
    """Ranks are the exact ones then. What is left is known: the difference of a logistic function and a step."""
    rng = np.random.default_rng(seed)
    scores, elsewhere = rng.permutation(n).astype(float), rng.integers(1, 4, 3)
    grades = rng.integers(0, 4, n) * (rng.random(n) < 0.4)
    qrels = {f"p{i}": int(g) for i, g in enumerate(grades) if g} | {f"e{i}": int(g) for i, g in enumerate(elsewhere)}
    best = sorted(qrels.values(), reverse=True)[:DEPTH]
    ideal = ideal_dcg(torch.tensor([best + [0] * (DEPTH - len(best))], dtype=torch.float32)).double()
    found = smooth_ndcg(
        torch.tensor(scores)[None], torch.tensor(grades, dtype=torch.float64)[None], ideal,
        torch.ones(1, n, dtype=torch.bool), 1e-3,
    ).item()  # fmt: skip
    order = np.argsort(-scores)
    exact = measured({"q": qrels}, {"q": [f"p{i}" for i in order]})["q"]["ndcg@10"]
    soft = sum(grades[i] * (logistic(10.5 - r) - (r <= 10)) / log2(1 + r) for r, i in enumerate(order, 1))
    assert found == pytest.approx(exact + soft / ideal.item(), abs=1e-6)


def test_far_from_the_cut_it_is_ndcg():
    """Relevant pages among the first three or after the twentieth: within a thousandth."""
    grades = torch.zeros(1, 40)
    grades[0, [0, 2, 25, 30]] = torch.tensor([1.0, 3, 2, 1])
    ideal = ideal_dcg(torch.tensor([[3.0, 2, 1, 1, 0, 0, 0, 0, 0, 0]]))
    found = smooth_ndcg(-torch.arange(40.0)[None], grades, ideal, torch.ones(1, 40, dtype=torch.bool), 0.01)
    qrels = {str(i): int(grades[0, i]) for i in (0, 2, 25, 30)}
    exact = measured({"q": qrels}, {"q": [str(i) for i in range(40)]})["q"]["ndcg@10"]
    assert found.item() == pytest.approx(exact, abs=1e-3)


def test_ideal_dcg_by_hand_and_as_far_down_as_what_it_is_compared_with():
    grades = torch.tensor([[3.0, 1, 1, 0, 0, 0, 0, 0, 0, 0], [2.0] * 10])
    by_hand = [3 + 1 / log2(3) + 1 / 2, sum(2 / log2(r + 1) for r in range(1, 11))]
    assert ideal_dcg(grades).tolist() == pytest.approx(by_hand, rel=1e-6)
    assert DEPTH == grid.DEPTH


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([0.3, 1.0]))
def test_gradients_are_finite_differences(seed, temperature):
    scores, grades, ideal, mask = drawn(seed, n=8)
    scores.requires_grad_(True)
    for loss in (lambda s: smooth_ndcg(s, grades, ideal, mask, temperature), lambda s: listwise_loss(s, grades, mask)):
        (gradient,) = torch.autograd.grad(loss(scores).sum(), scores)
        for q, i in np.ndindex(*scores.shape):
            step = torch.zeros_like(scores)
            step[q, i] = 1e-5
            slope = (loss(scores + step).sum() - loss(scores - step).sum()).item() / 2e-5
            assert gradient[q, i].item() == pytest.approx(slope, abs=1e-7)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0, 1))
def test_the_listwise_loss_is_convex_and_lowest_where_the_softmax_is_the_shares_of_grades(seed, share):
    scores, grades, _, mask = drawn(seed)
    other = scores.flip(0) * 2
    mixed = listwise_loss(share * scores + (1 - share) * other, grades, mask)
    between = share * listwise_loss(scores, grades, mask) + (1 - share) * listwise_loss(other, grades, mask)
    assert (mixed <= between + 1e-9).all()
    shares = (grades + 1e-9 * mask) / (grades + 1e-9 * mask).sum(1, keepdim=True)
    best = listwise_loss(torch.log(shares.clamp(min=1e-300)), grades, mask)
    assert (best <= listwise_loss(scores, grades, mask) + 1e-6).all()


def test_more_relevant_pages_up_is_more_and_nothing_relevant_is_nothing():
    rng = np.random.default_rng(0)
    grades = torch.tensor([[0.0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0]])
    mask, ideal = torch.ones(1, 12, dtype=torch.bool), torch.tensor([2 + 1 / log2(3)])
    worst, best = -grades, grades
    between = torch.tensor(rng.normal(size=(1, 12)), dtype=torch.float32)
    for temperature in (0.05, 0.3):
        low, middle, high = (smooth_ndcg(s, grades, ideal, mask, temperature).item() for s in (worst, between, best))
        assert low < middle < high <= 1
    assert smooth_ndcg(best, torch.zeros(1, 12), ideal, mask, 0.3).item() == 0
    assert listwise_loss(best, torch.zeros(1, 12), mask).item() == 0
