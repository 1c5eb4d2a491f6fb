"""Two arms: against statsmodels and scipy, an analysis of covariance, and splits that are broken."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from metastudy.abtest.assignment import assign
from metastudy.abtest.unpaired import ab_test, cuped, sample_ratio, two_proportions, welch
from metastudy.errors import DataError, ParameterError

RNG = np.random.default_rng(0)
BEFORE = [RNG.gamma(2, 1, n) for n in (60, 90)]
CONTROL, TREATMENT = (
    2 * x + RNG.normal(shift, spread, len(x)) for x, shift, spread in zip(BEFORE, (0, 0.6), (1, 2), strict=True)
)


def test_welch_is_scipy_s() -> None:
    expected = stats.ttest_ind(TREATMENT, CONTROL, equal_var=False)
    found = welch(CONTROL, TREATMENT)
    ends = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12) and found.n == 150
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=1e-12)
    assert welch([1, 1, 1], [1, 1, 1]).p == 1.0 and welch([1, 1], [2, 2]).p == 0.0


def test_welch_and_cuped_agree_with_an_independent_package() -> None:
    tt = pytest.importorskip("tea_tasting", reason="tea-tasting is no dependency: pip install tea-tasting")
    import pandas as pd

    # it takes theta from both arms together, not within them: the same only where the arms' earlier means are equal
    before = [x - x.mean() for x in BEFORE]
    frame = pd.DataFrame({"variant": [0] * 60 + [1] * 90, "y": np.r_[CONTROL, TREATMENT], "x": np.concatenate(before)})
    found = tt.Experiment(plain=tt.Mean("y"), adjusted=tt.Mean("y", "x")).analyze(frame)
    assert welch(CONTROL, TREATMENT).p == pytest.approx(found["plain"].pvalue, abs=1e-6)
    assert cuped(CONTROL, TREATMENT, *before).p == pytest.approx(found["adjusted"].pvalue, abs=1e-6)


def test_cuped_has_the_slope_of_an_analysis_of_covariance() -> None:
    y, x = np.r_[CONTROL, TREATMENT], np.r_[BEFORE[0], BEFORE[1]]
    arm = np.r_[np.zeros(60), np.ones(90)]
    fit = sm.OLS(y, np.column_stack([np.ones(150), arm, x])).fit()
    found = cuped(CONTROL, TREATMENT, *BEFORE)
    assert found.theta == pytest.approx(fit.params[2], rel=1e-9)
    assert found.difference == pytest.approx(fit.params[1], rel=1e-9)
    by_hand = welch(CONTROL - found.theta * BEFORE[0], TREATMENT - found.theta * BEFORE[1])
    assert found.p == pytest.approx(by_hand.p) and (found.high - found.low) == pytest.approx(by_hand.high - by_hand.low)
    plain = welch(CONTROL, TREATMENT)
    assert found.high - found.low < plain.high - plain.low and 0.3 < found.variance_reduction < 0.95


def test_a_past_that_tells_nothing_changes_nothing() -> None:
    flat = cuped(CONTROL, TREATMENT, np.ones(60), np.ones(90))
    plain = welch(CONTROL, TREATMENT)
    assert (flat.difference, flat.p, flat.theta, flat.variance_reduction) == (plain.difference, plain.p, 0, 0)
    with pytest.raises(DataError, match="60 outcomes and 59 earlier values of control"):
        cuped(CONTROL, TREATMENT, BEFORE[0][:-1], BEFORE[1])


def test_shares_are_compared_with_the_interval_of_newcombe() -> None:
    found = two_proportions([30, 45], [100, 100])
    pooled = 0.375
    z = 0.15 / np.sqrt(pooled * (1 - pooled) * 2 / 100)
    assert found.difference == pytest.approx(0.15) and found.p == pytest.approx(2 * stats.norm.sf(z))
    assert found.low < 0.15 < found.high and found.low == pytest.approx(0.0155, abs=2e-3)
    assert two_proportions([0, 0], [10, 20]).p == 1.0 and two_proportions([10, 20], [10, 20]).p == 1.0
    with pytest.raises(DataError, match="0 <= successes <= trials"):
        two_proportions([11, 3], [10, 10])


def test_a_broken_split_stops_the_experiment() -> None:
    assert sample_ratio([500, 500]) == 1.0 and sample_ratio([100, 300], [1, 3]) == 1.0
    assert sample_ratio([510, 490]) == pytest.approx(stats.chisquare([510, 490]).pvalue)
    with pytest.raises(DataError, match=r"\[600, 400\] units, p = .* the assignment is broken"):
        sample_ratio([600, 400])
    with pytest.raises(DataError, match="the assignment is broken"):
        ab_test(np.zeros(600), np.ones(400))
    with pytest.raises(DataError, match="two or more arms"):
        sample_ratio([0, 0])
    with pytest.raises(ParameterError, match="one positive number for each of 2 arms"):
        sample_ratio([5, 5], [1, 0])


def test_the_whole_test_checks_first_and_uses_the_past_where_it_is_known() -> None:
    control, treatment, before = CONTROL, TREATMENT[:60], (BEFORE[0], BEFORE[1][:60])
    assert ab_test(control, treatment) == welch(control, treatment)
    assert ab_test(control, treatment, *before) == cuped(control, treatment, *before)


ARMS = ("a", "b", "c")


def test_an_assignment_is_a_pure_function_with_the_asked_shares() -> None:
    found = [assign(f"unit {i}", "test", "s", ARMS, (1, 2, 1)) for i in range(20_000)]
    assert found[:50] == [assign(f"unit {i}", "test", "s", ARMS, (1, 2, 1)) for i in range(50)]
    counts = [found.count(arm) for arm in ARMS]
    assert stats.chisquare(counts, [5000, 10_000, 5000]).pvalue > 0.001


def test_assignments_of_experiments_and_salts_are_independent() -> None:
    def arms(experiment: str, salt: str) -> list[str]:
        return [assign(f"u{i}", experiment, salt, ("a", "b")) for i in range(4000)]

    base = arms("one", "s")
    for other in (arms("two", "s"), arms("one", "t")):
        table = [[sum(x == i and y == j for x, y in zip(base, other, strict=True)) for j in "ab"] for i in "ab"]
        assert stats.chi2_contingency(table).pvalue > 0.001


def test_assignments_stay_what_they_were() -> None:
    assert "".join(assign(unit, "e", "s", ("a", "b")) for unit in "123456") == "aaaabb"
    with pytest.raises(ParameterError, match="two or more different names"):
        assign("1", "e", "s", ("a", "a"))
    with pytest.raises(ParameterError, match="one positive number for each of 2 arms"):
        assign("1", "e", "s", ("a", "b"), (1, -1))
