"""Power: against simulation, its own inverse, and hand-worked clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metastudy.abtest.power import (
    clusters_needed,
    design_effect,
    detectable,
    intra_cluster_correlation,
    minimum_detectable,
    power_of,
    sample_size,
)
from metastudy.errors import DataError, ParameterError


@pytest.mark.parametrize(("delta", "n"), [(0.2, 100), (0.5, 30), (0.8, 15)])
@pytest.mark.parametrize("arms", [1, 2])
def test_power_is_what_simulation_finds(delta: float, n: int, arms: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(delta, 1, (4000, n))
    p = (
        stats.ttest_1samp(x, 0, axis=1).pvalue
        if arms == 1
        else stats.ttest_ind(x, rng.normal(0, 1, (4000, n)), axis=1).pvalue
    )
    assert power_of(1, delta, n, arms=arms) == pytest.approx((p < 0.05).mean(), abs=0.03)
    assert power_of(3, 3 * delta, n, arms=arms) == pytest.approx(power_of(1, -delta, n, arms=arms))


@pytest.mark.parametrize("arms", [1, 2])
def test_sizes_and_differences_are_inverses_of_power(arms: int) -> None:
    n = sample_size(2.0, 0.7, arms=arms)
    assert power_of(2.0, 0.7, n, arms=arms) >= 0.8 > power_of(2.0, 0.7, n - 1, arms=arms)
    assert power_of(2.0, detectable(2.0, 40, arms=arms), 40, arms=arms) == pytest.approx(0.8, abs=1e-6)
    assert sample_size(1.0, 100.0, arms=arms) == 2


def test_cohen_s_example() -> None:
    assert sample_size(1, 0.5, arms=2) == 64  # Cohen 1988: d = .5, 80%, two-sided 5%
    assert sample_size(1, 0.5, arms=1) == 34


def test_the_normal_approximation_by_hand() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert minimum_detectable(values) == pytest.approx(z * np.std(values, ddof=1) / 2)
    assert minimum_detectable([2.0, 2.0, 2.0]) == 0.0 and detectable(0.0, 5) == 0.0


def test_correlation_inside_clusters_by_hand() -> None:
    # between: means 2, 6, grand 4, 2 (4 + 4) / 1 = 16; within: (1 + 1 + 1 + 1) / 2 = 2; icc = 14 / (16 + 2)
    assert intra_cluster_correlation([1, 3, 5, 7], ["a", "a", "b", "b"]) == pytest.approx(14 / 18)
    assert intra_cluster_correlation([1, 1, 5, 5], ["a", "a", "b", "b"]) == 1.0
    assert intra_cluster_correlation([1, 3, 1, 3], ["a", "a", "b", "b"]) == 0.0
    assert intra_cluster_correlation([2, 2, 2, 2], ["a", "a", "b", "b"]) == 0.0


def test_correlation_of_unequal_clusters_is_found_again() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 12, 600)
    cluster = np.repeat(np.arange(600), sizes)
    values = rng.normal(0, 0.5, 600)[cluster] + rng.normal(0, 1, sizes.sum())
    assert intra_cluster_correlation(values, cluster) == pytest.approx(0.2, abs=0.03)


def test_clusters_cost_their_design_effect() -> None:
    assert design_effect(11, 0.1) == pytest.approx(2) and design_effect(1, 0.7) == 1
    assert clusters_needed(1, 0.5, 1, 0.3) == sample_size(1, 0.5)
    assert clusters_needed(1, 0.5, 8, 1.0) == sample_size(1, 0.5), "copies tell nothing new"
    rng = np.random.default_rng(1)
    k = clusters_needed(1.0, 0.4, 10, 0.25)
    means = 0.4 + rng.normal(0, math.sqrt(0.25), (4000, k)) + rng.normal(0, math.sqrt(0.75 / 10), (4000, k))
    power = (stats.ttest_1samp(means, 0, axis=1).pvalue < 0.05).mean()
    assert 0.78 < power < 0.87


def test_bad_input_is_refused() -> None:
    for call in (lambda: power_of(0, 1, 9), lambda: power_of(1, 0, 9), lambda: sample_size(1, math.inf)):
        with pytest.raises(ParameterError, match="expected a spread above 0"):
            call()
    with pytest.raises(ParameterError, match="n is 1"):
        power_of(1, 1, 1)
    with pytest.raises(ParameterError, match="power is 1"):
        sample_size(1, 1, power=1)
    with pytest.raises(ParameterError, match="arms is 3"):
        sample_size(1, 1, arms=3)
    with pytest.raises(DataError, match="4 values in 4 clusters"):
        intra_cluster_correlation([1, 2, 3, 4], list("abcd"))
    with pytest.raises(ParameterError, match="icc 2"):
        design_effect(3, 2)
