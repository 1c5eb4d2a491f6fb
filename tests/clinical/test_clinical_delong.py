"""DeLong's covariance against its definition by pairs, a bootstrap, and how often its interval and test hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from metastudy.clinical.delong import auroc_covariance, auroc_interval, compare_aurocs
from metastudy.errors import DataError


def slow(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong et al. 1988, eq. 3-8: every sick patient against every healthy one."""
    m = len(scores)
    v10 = np.zeros((m, int(truth.sum())))
    v01 = np.zeros((m, int((1 - truth).sum())))
    for r in range(m):
        ill, well = scores[r][truth == 1], scores[r][truth == 0]
        for i, x in enumerate(ill):
            for j, y in enumerate(well):
                won = 1.0 if x > y else 0.5 if x == y else 0.0
                v10[r, i] += won / len(well)
                v01[r, j] += won / len(ill)
    auroc = v10.mean(1)
    s10, s01 = np.zeros((m, m)), np.zeros((m, m))
    for r in range(m):
        for s in range(m):
            s10[r, s] = np.sum((v10[r] - auroc[r]) * (v10[s] - auroc[s])) / (v10.shape[1] - 1)
            s01[r, s] = np.sum((v01[r] - auroc[r]) * (v01[s] - auroc[s])) / (v01.shape[1] - 1)
    return auroc, s10 / v10.shape[1] + s01 / v01.shape[1]


@st.composite
def studies(draw: st.DrawFn, m: int = 3) -> tuple[np.ndarray, np.ndarray]:
    n1, n0 = draw(st.integers(2, 8)), draw(st.integers(2, 8))
    value = st.integers(0, 6) if draw(st.booleans()) else st.integers(-999, 999)
    rows = [draw(st.lists(value, min_size=n1 + n0, max_size=n1 + n0)) for _ in range(m)]
    truth = np.array(draw(st.permutations([1] * n1 + [0] * n0)))
    return truth, np.array(rows) / 7


@settings(max_examples=50, deadline=None)
@given(studies())
def test_midranks_give_the_definition(study: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = study
    found, covariance = auroc_covariance(truth, scores)
    expected, slow_covariance = slow(truth, scores)
    assert found == pytest.approx(expected)
    assert found == pytest.approx([roc_auc_score(truth, s) for s in scores])
    assert covariance == pytest.approx(slow_covariance, abs=1e-12)
    mirrored, same = auroc_covariance(1 - truth, -scores)
    assert mirrored == pytest.approx(found) and same == pytest.approx(covariance, abs=1e-12)


def patients(n: int, seed: int, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truths and two correlated scores, the second with more noise."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(n) < 0.4 * n).astype(int)
    x = rng.normal(shift * truth)
    return truth, x + rng.normal(0, 0.3, n), x + rng.normal(0, 0.8, n)


def test_the_covariance_is_near_that_of_a_bootstrap() -> None:
    truth, a, b = patients(300, 0)
    rng = np.random.default_rng(1)
    ill, well = np.flatnonzero(truth), np.flatnonzero(1 - truth)
    draws = []
    for _ in range(1500):
        rows = np.concatenate([rng.choice(ill, len(ill)), rng.choice(well, len(well))])
        ranks = stats.rankdata([a[rows], b[rows]], axis=1)[:, : len(ill)].sum(1)
        draws.append((ranks - len(ill) * (len(ill) + 1) / 2) / (len(ill) * len(well)))
    _, covariance = auroc_covariance(truth, np.stack([a, b]))
    assert covariance == pytest.approx(np.cov(np.array(draws).T), rel=0.15)
    found = compare_aurocs(truth, a, b)
    low, high = np.percentile(np.subtract(*np.array(draws).T), [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_intervals_hold_and_the_test_keeps_its_level() -> None:
    true, held, rejected, runs = stats.norm.cdf(1.2 / np.sqrt(2 + 2 * 0.25)), 0, 0, 400
    rng = np.random.default_rng(2)
    for _ in range(runs):
        truth = np.repeat([1, 0], [25, 40])
        x = rng.normal(1.2 * truth)
        a, b = x + rng.normal(0, 0.5, 65), x + rng.normal(0, 0.5, 65)  # equally good
        _, low, high = auroc_interval(truth, a)
        held += low <= true <= high
        rejected += compare_aurocs(truth, a, b).p < 0.05
    assert 0.92 <= held / runs <= 0.98 and 0.02 <= rejected / runs <= 0.085


@settings(max_examples=60, deadline=None)
@given(studies(m=1))
def test_the_interval_holds_the_auroc_and_stays_inside(study: tuple[np.ndarray, np.ndarray]) -> None:
    truth, (score,) = study
    auroc, low, high = auroc_interval(truth, score)
    assert auroc == pytest.approx(roc_auc_score(truth, score))
    if 0 < auroc < 1:
        assert 0 <= low <= auroc + 1e-12 and auroc - 1e-12 <= high <= 1
        assert auroc_interval(truth, score, 0.5)[1] >= low - 1e-12
    else:
        assert np.isnan([low, high]).all()


@settings(max_examples=60, deadline=None)
@given(studies(m=2))
def test_exchanging_the_methods_turns_the_difference_round(study: tuple[np.ndarray, np.ndarray]) -> None:
    truth, (a, b) = study
    one, other = compare_aurocs(truth, a, b), compare_aurocs(truth, b, a)
    assert one.difference == pytest.approx(-other.difference) and one.p == pytest.approx(other.p, nan_ok=True)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), nan_ok=True)
    assert compare_aurocs(truth, a, 2 * a + 1).p == 1, "the same ranking"


def test_a_difference_by_hand() -> None:
    truth, a, b = patients(800, 3)
    found = compare_aurocs(truth, a, b)
    (auroc_a, auroc_b), s = slow(truth, np.stack([a, b]))
    error = np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1])
    assert (found.a, found.b, found.difference) == pytest.approx((auroc_a, auroc_b, auroc_a - auroc_b))
    assert (found.low, found.high) == pytest.approx(
        (found.difference - 1.96 * error, found.difference + 1.96 * error), abs=1e-5
    )
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference) / error))
    assert found.p < 0.05 < compare_aurocs(truth, a, a + 1e-3 * b).p


def test_what_cannot_be_known_is_missing_or_refused() -> None:
    perfect = auroc_interval([0, 0, 1, 1], [1, 2, 3, 4])
    assert perfect[0] == 1 and np.isnan(perfect[1:]).all()
    lone = auroc_interval([0, 0, 0, 1], [1, 3, 2, 2])
    assert lone[0] == pytest.approx(0.5) and np.isnan(lone[1:]).all()
    assert np.isnan(auroc_interval([1, 1], [1, 2])).all()
    worst = compare_aurocs([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1])
    assert worst.difference == 1 and np.isnan([worst.p, worst.low, worst.high]).all(), "no variance is no certainty"
    for truth, scores, message in (
        ([0, 1, 1], [[1, 2, 3]], "2 sick and 1 healthy"),
        ([0, 1], [[1, 2, 3]], r"\(2,\), scores \(1, 3\)"),
        ([0, 0, 1, 1], [1, 2, 3, 4], r"scores \(4,\)"),
        ([0, 0, 1, 2], [[1, 2, 3, 4]], "truths 0 or 1"),
        ([0, 0, 1, 1], [[1, 2, 3, np.nan]], "must be numbers"),
    ):
        with pytest.raises(DataError, match=message):
            auroc_covariance(np.array(truth), np.array(scores, dtype=float))
