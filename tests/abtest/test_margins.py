"""Equivalence and non-inferiority: two one-sided t-tests, and the interval that says the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metastudy.abtest.margins import equivalence, non_inferiority
from metastudy.errors import DataError, ParameterError

VALUES = np.random.default_rng(0).normal(0.1, 1, 40)


def test_two_one_sided_tests_are_those_of_scipy() -> None:
    lower = stats.ttest_1samp(VALUES, -0.5, alternative="greater").pvalue
    upper = stats.ttest_1samp(VALUES, 0.5, alternative="less").pvalue
    found = equivalence(VALUES, 0.5)
    assert found.p == pytest.approx(max(lower, upper)) and found.n == 40
    ends = stats.t.interval(0.9, 39, VALUES.mean(), stats.sem(VALUES))
    assert (found.low, found.high) == pytest.approx(ends)
    better = non_inferiority(VALUES, 0.5)
    assert better.p == pytest.approx(lower) and better.high == np.inf and better.low == pytest.approx(ends[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=30), st.floats(0.05, 1))
def test_p_and_interval_decide_the_same(values, margin) -> None:
    found = equivalence(values, margin)
    if np.ptp(values) > 1e-6 and min(abs(found.low + margin), abs(found.high - margin)) > 1e-9:
        assert (found.p < 0.05) == (-margin < found.low and found.high < margin)


def test_clusters_are_the_units_whatever_their_sizes() -> None:
    cluster = ["a"] * 30 + ["b"] * 8 + ["c"] * 2
    means = [VALUES[:30].mean(), VALUES[30:38].mean(), VALUES[38:].mean()]
    found = equivalence(VALUES, 0.5, cluster)
    assert found.n == 3 and found.difference == pytest.approx(np.mean(means))
    assert found == equivalence(means, 0.5)


def test_without_any_difference_methods_are_equivalent() -> None:
    found = equivalence(np.zeros(10), 0.1)
    assert (found.p, found.low, found.high) == (0.0, 0.0, 0.0)
    assert equivalence(np.full(10, 0.2), 0.1).p == 1.0
    assert non_inferiority(np.full(10, 0.2), 0.1).p == 0.0


def test_bad_input_is_refused() -> None:
    for margin in (0, -1, np.nan):
        with pytest.raises(ParameterError, match="margin is"):
            equivalence(VALUES, margin)
        with pytest.raises(ParameterError, match="margin is"):
            non_inferiority(VALUES, margin)
    with pytest.raises(DataError, match="39 cluster labels for 40"):
        equivalence(VALUES, 0.5, ["a"] * 39)
    with pytest.raises(DataError, match="cluster means have shape"):
        equivalence(VALUES, 0.5, ["a"] * 40)
    with pytest.raises(ParameterError, match="alpha is 2"):
        equivalence(VALUES, 0.5, alpha=2)
