"""What the tests answer to awkward input: equal values, missing labels, numbers that are none, far-out power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from metastudy.abtest.margins import equivalence
from metastudy.abtest.power import (
    detectable,
    intra_cluster_correlation,
    minimum_detectable,
    power_of,
    sample_size,
    simulated_power,
)
from metastudy.abtest.resampled import corrected_resampled_t
from metastudy.abtest.seeds import seed_aware
from metastudy.abtest.unpaired import ab_test, cuped, sample_ratio, two_proportions, welch
from metastudy.errors import DataError, ParameterError

NOISE = np.random.default_rng(0).normal(size=30)


@pytest.mark.parametrize(("value", "n", "m"), [(0.1, 7, 9), (0.3, 6, 11), (0.7, 5, 6)])
def test_equal_values_in_both_arms_are_no_difference(value: float, n: int, m: int) -> None:
    """Sums of .1 are not exact: a mean off by 1e-17 with a spread of 1e-17 must not become a finding."""
    found = welch(np.full(n, value), np.full(m, value))
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_a_constant_past_and_constant_folds_are_constant() -> None:
    found = cuped(NOISE[:13], NOISE[13:], np.full(13, 0.1), np.full(17, 0.1))
    assert found.theta == 0 and found.p == welch(NOISE[:13], NOISE[13:]).p
    folds = corrected_resampled_t([0.1] * 7, 90, 10)
    assert (folds.difference, folds.low, folds.high, folds.p) == (0.1, 0.1, 0.1, 0)
    assert equivalence([0.1] * 7, 0.1).p == 1  # at the margin is not inside


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_cluster_label_is_refused_not_dropped(missing: object) -> None:
    for call in (
        lambda: equivalence([0.1, 0.2, 0.3, 9], 1, ["a", "b", "c", missing]),
        lambda: seed_aware(np.ones((3, 2)), np.ones((3, 2)), ["a", "b", missing]),
        lambda: intra_cluster_correlation([1, 2, 3, 4, 5], ["a", "a", "b", "b", missing]),
    ):
        with pytest.raises(DataError, match="none missing"):
            call()


def test_error_rates_and_sizes_out_of_range_are_refused() -> None:
    for call in (
        lambda: seed_aware(np.eye(3)[:, :2], np.ones((3, 2)), alpha=2),
        lambda: corrected_resampled_t([1, 2], 90, 10, alpha=2),
        lambda: minimum_detectable([1, 2], alpha=2),
    ):
        with pytest.raises(ParameterError, match="alpha is 2"):
            call()
    with pytest.raises(ParameterError, match="n_train nan"):
        corrected_resampled_t([1, 2], math.nan, 10)
    with pytest.raises(ParameterError, match=r"power is 0.04 at alpha 0.05"):
        detectable(1, 10, power=0.04)


def test_counts_are_whole_and_finite() -> None:
    for counts in ([math.nan, 5], [math.inf, 5], [4.5, 5], [-1, 5]):
        with pytest.raises(DataError, match="expected the number of units"):
            sample_ratio(counts)
    with pytest.raises(ParameterError, match="one positive number"):
        sample_ratio([5, 5], [math.inf, 1])
    for successes, trials in (([1, 2, 3], [4, 5, 6]), ([0.5, 2], [4, 5]), ([math.nan, 2], [4, 5])):
        with pytest.raises(DataError, match="two whole numbers"):
            two_proportions(successes, trials)


def test_the_past_of_one_arm_alone_is_refused() -> None:
    with pytest.raises(ParameterError, match="one arm only"):
        ab_test(NOISE[:15], NOISE[15:], control_before=NOISE[:15])


def test_a_deterministic_method_has_one_column() -> None:
    with pytest.raises(DataError, match="b is called deterministic and has 3 seeds"):
        seed_aware(np.eye(3), np.eye(3), deterministic=(False, True))


def exact_power(effect: float, n: int, alpha: float, arms: int) -> float:
    """By integrating over the standard deviation that a study finds."""
    df, shift = (n - 1, effect * n**0.5) if arms == 1 else (2 * n - 2, effect * (n / 2) ** 0.5)
    critical = stats.t.isf(alpha / 2, df)

    def part(s: float) -> float:
        beyond = stats.norm.sf(critical * s - shift) + stats.norm.cdf(-critical * s - shift)
        return beyond * stats.chi.pdf(s * df**0.5, df) * df**0.5

    return integrate.quad(part, 0, 1, limit=400)[0] + integrate.quad(part, 1, 8, limit=400)[0]


@pytest.mark.parametrize(
    ("effect", "n", "alpha", "arms"),
    [(0.5, 20, 0.05, 1), (8, 2, 0.05, 1), (20, 2, 0.05, 1), (5, 3, 0.01, 1), (8, 2, 0.01, 2), (8, 3, 1e-3, 2)],
)
def test_power_is_right_far_out_where_the_noncentral_t_is_nan(effect, n, alpha, arms) -> None:
    assert power_of(1, effect, n, alpha, arms) == pytest.approx(exact_power(effect, n, alpha, arms), abs=2e-3)


def test_sizes_and_differences_hold_for_few_units() -> None:
    assert sample_size(1, 8) == 3  # two pairs find it in 63% of studies
    for n, alpha in ((2, 0.05), (3, 0.001), (3, 1e-6)):
        found = detectable(1, n, alpha)
        assert exact_power(found, n, alpha, 1) == pytest.approx(0.8, abs=0.01)


def test_simulated_power_of_clusters() -> None:
    equal = simulated_power([5] * 12, sd=2, delta=1, icc=0.3)
    assert equal == pytest.approx(power_of(2 * math.sqrt((1 + 4 * 0.3) / 5), 1, 12), abs=0.03)
    assert equal == simulated_power([5] * 12, sd=2, delta=1, icc=0.3)
    assert simulated_power([3, 9, 1, 20], sd=1, delta=0, icc=0.2) == pytest.approx(0.05, abs=0.02)
    sizes, rng = [1, 2, 4, 8, 16, 16], np.random.default_rng(1)
    cluster = np.repeat(np.arange(6), sizes)
    raw = 1 + rng.normal(0, math.sqrt(0.3), (3000, 6))[:, cluster] + rng.normal(0, math.sqrt(0.7), (3000, len(cluster)))
    means = np.stack([raw[:, cluster == i].mean(axis=1) for i in range(6)], axis=1)
    found = (stats.ttest_1samp(means, 0, axis=1).pvalue < 0.05).mean()
    assert simulated_power(sizes, sd=1, delta=1, icc=0.3) == pytest.approx(found, abs=0.035)
    with pytest.raises(ParameterError, match="1 clusters"):
        simulated_power([5], 1, 1, 0.1)
    with pytest.raises(ParameterError, match="cluster size 0"):
        simulated_power([5, 0], 1, 1, 0.1)
