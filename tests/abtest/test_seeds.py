"""Seeds as a random factor: right error rates where ignoring seeds finds winners everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metastudy.abtest.paired import paired_test
from metastudy.abtest.seeds import seed_aware
from metastudy.errors import DataError


def test_the_variance_by_hand() -> None:
    a = np.array([[3.0, 5.0], [5.0, 7.0], [4.0, 6.0]])  # seed means 4, 6
    b = np.array([[1.0], [2.0], [4.5]])
    # units: 4 - 1, 6 - 2, 5 - 4.5 = 3, 4, .5: mean 2.5, var 3.25, / 3; seeds of a: var(4, 6) = 2, / 2
    found = seed_aware(a, b, deterministic=(False, True))
    units, seeds = 3.25 / 3, 1.0
    df = (units + seeds) ** 2 / (units**2 / 2 + seeds**2 / 1)
    assert found.difference == pytest.approx(2.5) and found.n == 3 and found.df == pytest.approx(df)
    assert found.seed_share == pytest.approx(seeds / (units + seeds))
    half = stats.t.ppf(0.975, df) * math.sqrt(units + seeds)
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half))


def test_without_seeds_it_is_the_paired_t() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, (20, 1)), rng.normal(0, 1, (20, 1))
    found = seed_aware(a, b, deterministic=(True, True))
    expected = stats.ttest_rel(a[:, 0], b[:, 0])
    assert found.p == pytest.approx(expected.pvalue) and found.df == 19 and found.seed_share == 0


def test_clusters_are_the_units() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (12, 3)), rng.normal(0, 1, (12, 2))
    cluster = ["x"] * 7 + ["y"] * 3 + ["z"] * 2
    means = [np.stack([m[:7].mean(0), m[7:10].mean(0), m[10:].mean(0)]) for m in (a, b)]
    found, expected = seed_aware(a, b, cluster), seed_aware(*means)
    assert found.n == 3 and (found.difference, found.p) == pytest.approx((expected.difference, expected.p), rel=1e-9)


def rates(n_seeds: int, effect: float, seed_sd: float, replicates: int = 600) -> tuple[float, float]:
    """How often the seed-aware test and the paired one, which averages over seeds, find a difference."""
    rng = np.random.default_rng(n_seeds)
    aware = naive = 0
    for _ in range(replicates):
        difficulty = rng.normal(0, 1, (60, 1))
        a, b = (
            difficulty + shift + rng.normal(0, seed_sd, n_seeds) + rng.normal(0, 0.5, (60, n_seeds))
            for shift in (effect, 0.0)
        )
        aware += seed_aware(a, b).p < 0.05
        naive += stats.ttest_rel(a.mean(1), b.mean(1)).pvalue < 0.05
    return aware / replicates, naive / replicates


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_where_seeds_differ_only_the_seed_aware_test_keeps_its_promise(n_seeds: int) -> None:
    aware, naive = rates(n_seeds, 0.0, 0.3)
    assert aware <= 0.08 and naive > 0.4


def test_where_seeds_do_not_differ_it_is_careful_and_still_finds_effects() -> None:
    aware, naive = rates(4, 0.15, 0.0)
    assert naive > 0.8 and naive - 0.35 < aware < naive
    assert rates(4, 0.25, 0.0)[0] > 0.9
    assert rates(4, 0.0, 0.0)[0] <= 0.05


def test_it_says_how_much_comes_from_seeds() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (50, 1)) + np.array([0.0, 1.0, 2.0]) + rng.normal(0, 0.1, (50, 3))
    b = a[:, [0]] + rng.normal(0, 0.1, (50, 3))
    assert seed_aware(a, b).seed_share > 0.9 > 0.5 > seed_aware(b, b + rng.normal(0, 1, (50, 3))).seed_share


def test_bad_input_is_refused_and_equal_scores_have_an_answer() -> None:
    scores = np.ones((5, 2))
    assert (seed_aware(scores, scores).p, seed_aware(scores, scores).difference) == (1.0, 0.0)
    with pytest.raises(DataError, match="a has one seed"):
        seed_aware(scores[:, :1], scores)
    with pytest.raises(DataError, match="same tasks"):
        seed_aware(scores, scores[:4])
    with pytest.raises(DataError, match=r"scores of b have shape \(5,\)"):
        seed_aware(scores, scores[:, 0])
    with pytest.raises(DataError, match="finite"):
        seed_aware(scores, np.full((5, 2), np.nan))
    with pytest.raises(DataError, match="1 unit"):
        seed_aware(scores[:1], scores[:1])
    assert paired_test(scores[:, 0], scores[:, 0]).p == 1.0
