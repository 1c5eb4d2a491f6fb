"""The always-valid test may be looked at all the time; the naive one may not, and Wald's decides early."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from metastudy.abtest.sequential import confidence_sequence, naive_peeking, two_arm_sequence
from metastudy.abtest.wald import bernoulli_sprt
from metastudy.errors import DataError, ParameterError

streams = st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=3, max_size=30).filter(
    lambda v: np.ptp(v) > 0.1
)


def mixed(estimate: float, error: float, tau: float) -> float:
    """The likelihood ratio of a difference drawn from N(0, tau²) against 0, by numeric integration."""
    top = integrate.quad(
        lambda d: stats.norm.pdf(estimate, d, error) * stats.norm.pdf(d, 0, tau), -8 * tau, 8 * tau, limit=200
    )[0]
    return top / stats.norm.pdf(estimate, 0, error)


def test_p_is_one_over_the_mixed_likelihood_ratio() -> None:
    values = [1.0, 3, 2, 6, 4, 4.5]
    found = confidence_sequence(values, tau=0.5, minimum=3)
    assert found.p[:2].tolist() == [1, 1] and found.estimate.tolist() == pytest.approx([1, 2, 2, 3, 3.2, 20.5 / 6])
    ratios = []
    for n in range(3, 7):
        sd = np.std(values[:n], ddof=1)
        assert found.error[n - 1] == pytest.approx(sd / n**0.5)
        ratios.append(mixed(np.mean(values[:n]), sd / n**0.5, 0.5 * sd))
        assert found.p[n - 1] == pytest.approx(min(1, 1 / max(ratios)), rel=1e-6)


def test_the_interval_ends_where_the_mixed_likelihood_ratio_reaches_one_over_alpha() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 40)
    found = confidence_sequence(values, tau=0.2, alpha=0.1, minimum=5)
    for n in (5, 17, 40):
        sd = values[:n].std(ddof=1)
        for end in (found.low[n - 1], found.high[n - 1]):
            assert mixed(values[:n].mean() - end, sd / n**0.5, 0.2 * sd) == pytest.approx(10, rel=1e-6)
    assert np.isinf(found.low[:4]).all() and np.isinf(found.high[:4]).all()


@settings(max_examples=30, deadline=None)
@given(streams, st.floats(0.05, 2), st.floats(0.1, 10))
def test_units_signs_and_origin_do_not_matter(values, tau, unit) -> None:
    values = np.array(values)
    one, scaled = confidence_sequence(values, tau, minimum=2), confidence_sequence(unit * values, tau, minimum=2)
    turned, moved = confidence_sequence(-values, tau, minimum=2), confidence_sequence(values + 100, tau, minimum=2)
    assert (np.diff(one.p) <= 0).all() and one.p.max() <= 1
    assert scaled.p == pytest.approx(one.p, rel=1e-6) and turned.p == pytest.approx(one.p, rel=1e-6)
    assert turned.low == pytest.approx(-one.high, rel=1e-6) and scaled.high == pytest.approx(unit * one.high, rel=1e-6)
    assert moved.low - 100 == pytest.approx(one.low, rel=1e-5, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(streams)
def test_p_and_interval_tell_the_same(values) -> None:
    found = confidence_sequence(values, tau=1, minimum=2)
    outside = (found.low > 0) | (found.high < 0)
    assert (np.maximum.accumulate(outside) == (found.p < 0.05)).all()
    assert (found.stop or len(values) + 1) == (np.argmax(outside) + 1 if outside.any() else len(values) + 1)


SHAPES = {
    "normal": lambda rng: rng.normal(size=1000),
    "ties": lambda rng: rng.choice([-1.0, 0, 0, 1], 1000),
    "zero-inflated": lambda rng: np.where(rng.random(1000) < 0.1, rng.normal(size=1000), 0),
    "bounded": lambda rng: rng.beta(2, 8, 1000) - rng.beta(2, 8, 1000),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_difference_few_streams_ever_reject(shape: str) -> None:
    rng = np.random.default_rng(1)
    rejected = sum(confidence_sequence(SHAPES[shape](rng)).stop is not None for _ in range(300))
    assert rejected <= stats.binom.ppf(0.999, 300, 0.05)


def test_all_intervals_of_a_stream_hold_the_truth_at_once() -> None:
    rng, missed = np.random.default_rng(2), 0
    for _ in range(300):
        found = confidence_sequence(rng.normal(0.4, 2, 600))
        missed += bool(((found.low > 0.4) | (found.high < 0.4)).any())
    assert missed <= stats.binom.ppf(0.999, 300, 0.05)


def test_two_arms_of_2000_have_the_published_power() -> None:
    """Measured before: power .67 and median stop 1480 for 0.1 standard deviations; .89 at a fixed horizon."""
    rng = np.random.default_rng(3)
    stops = [two_arm_sequence(rng.normal(size=2000), rng.normal(0.1, 1, 2000)).stop for _ in range(300)]
    assert np.mean([s is not None for s in stops]) == pytest.approx(0.68, abs=0.1)
    assert 900 < np.median([s or 2001 for s in stops]) < 1900
    same = [two_arm_sequence(rng.normal(size=1000), rng.normal(size=600)).stop for _ in range(300)]
    assert np.sum([s is not None for s in same]) <= stats.binom.ppf(0.999, 300, 0.05)


@pytest.mark.parametrize(("looks", "rate"), [(1, 0.05), (5, 0.142), (20, 0.248)])
def test_peeking_rejects_as_often_as_armitage_found(looks: int, rate: float) -> None:
    """Table 2 of Armitage, McPherson and Rowe (1969), for known variance. A negative control: it must be far off."""
    rng = np.random.default_rng(4)
    rejected = sum(naive_peeking(rng.normal(size=1000), looks).stop is not None for _ in range(600))
    low, high = stats.binom.interval(0.999, 600, rate)
    assert low <= rejected <= high


def test_peeking_is_a_t_test_at_each_look() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 50)
    found = naive_peeking(values, 7)
    assert found.looks.tolist() == [7, 14, 21, 29, 36, 43, 50]
    expected = [stats.ttest_1samp(values[:n], 0).pvalue for n in found.looks]
    assert found.p == pytest.approx(expected)
    assert found.stop == found.looks[np.argmax(np.array(expected) < 0.05)]
    assert naive_peeking(np.zeros(40)).p.tolist() == [1] * 20 and naive_peeking(np.zeros(40)).stop is None


def test_two_arms_by_hand() -> None:
    control, treatment = np.array([1.0, 2, 4, 3]), np.array([2.0, 5, 3, 6, 9, 8])
    found = two_arm_sequence(control, treatment, tau=0.3, minimum=3)
    # steps 3 and 4 see as many of each; 5 and 6 only more of the treatment
    assert found.estimate.tolist() == pytest.approx([1, 2, 1, 1.5, 2.5, 3])
    assert found.p[:2].tolist() == [1, 1]
    ratios = []
    for step in range(3, 7):
        c, t = control[:step], treatment[:step]
        variances = c.var(ddof=1), t.var(ddof=1)
        error = (variances[0] / len(c) + variances[1] / len(t)) ** 0.5
        ratios.append(mixed(t.mean() - c.mean(), error, 0.3 * np.mean(variances) ** 0.5))
        assert found.p[step - 1] == pytest.approx(min(1, 1 / max(ratios)), rel=1e-6)
        assert found.error[step - 1] == pytest.approx(error)
    turned = two_arm_sequence(treatment, control, tau=0.3, minimum=3)
    assert turned.estimate == pytest.approx(-found.estimate) and turned.p == pytest.approx(found.p)


@pytest.mark.filterwarnings("error")
def test_what_shows_no_scale_is_undecided() -> None:
    for constant in (0.0, 0.1):
        found = confidence_sequence([constant] * 60)
        assert found.stop is None and (found.p == 1).all() and np.isinf(found.high).all()
    late = confidence_sequence([0.0] * 50 + [1.0] * 50)
    assert np.isinf(late.low[:50]).all() and np.isfinite(late.low[50:]).all() and late.p[-1] < 0.05


def test_the_path_as_a_table() -> None:
    values = np.random.default_rng(0).normal(1, 1, 60)
    found = confidence_sequence(values)
    path = found.frame()
    assert list(path.columns) == ["n", "estimate", "low", "high", "p", "naive_low", "naive_high"]
    assert path["n"].tolist() == list(range(1, 61)) and found.stop == path.loc[path["p"] <= 0.05, "n"].iloc[0]
    half = 1.959964 * values.std(ddof=1) / 60**0.5
    assert path.iloc[-1][["naive_low", "naive_high"]].tolist() == pytest.approx(
        [values.mean() - half, values.mean() + half]
    )
    bounded = path[np.isfinite(path["low"])]
    assert (bounded["low"] < bounded["naive_low"]).all() and (bounded["high"] > bounded["naive_high"]).all()


@pytest.mark.parametrize(
    ("values", "settings", "error", "message"),
    [
        ([1.0], {}, DataError, r"values have shape \(1,\); expected one stream of two or more"),
        ([[1.0, 2]], {}, DataError, r"shape \(1, 2\)"),
        ([1.0, np.nan], {}, DataError, r"values\[1\] is nan; expected finite"),
        ([1.0, 2], {"tau": 0}, ParameterError, "tau is 0"),
        ([1.0, 2], {"tau": np.inf}, ParameterError, "tau is inf"),
        ([1.0, 2], {"alpha": 1}, ParameterError, "alpha is 1"),
        ([1.0, 2], {"minimum": 1}, ParameterError, "minimum is 1"),
    ],
)
def test_streams_that_cannot_be_judged_are_refused(values, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        confidence_sequence(values, **settings)
    with pytest.raises(error, match=message.replace("values", "treatment")):
        two_arm_sequence([1.0, 2.0], values, **settings)


def test_peeking_needs_two_values_a_look() -> None:
    for looks in (0, 6):
        with pytest.raises(ParameterError, match=rf"{looks} looks at 10 values; expected 1 to 5"):
            naive_peeking(np.arange(10.0), looks)


def test_wald_by_hand() -> None:
    """p0 = .5, p1 = .75: a success adds log 1.5, a failure log .5; the bounds are log 16 and log(.2 / .95)."""
    assert bernoulli_sprt([1] * 20, 0.5, 0.75) == ("p1", 7)  # 1.5^6 = 11.4 < 16 <= 1.5^7 = 17.1
    assert bernoulli_sprt([0] * 20, 0.5, 0.75) == ("p0", 3)  # .25 > .2105 >= .125
    assert bernoulli_sprt([1, 0] * 3, 0.5, 0.75) == ("undecided", 6)
    assert bernoulli_sprt([0] * 20, 0.75, 0.5) == ("p1", 4)  # a failure adds log 2: 2^4 = 16
    assert bernoulli_sprt([0] * 20, 0.5, 0.75, alpha=0.3) == ("p0", 2)  # .25 <= .2 / .7


def test_wald_keeps_its_error_rates_and_saves_trials() -> None:
    rng = np.random.default_rng(5)
    null, other = ([bernoulli_sprt(rng.random(400) < p, 0.5, 0.65) for _ in range(400)] for p in (0.5, 0.65))
    assert np.mean([d == "p1" for d, _ in null]) < 0.08 and np.mean([d == "p0" for d, _ in other]) < 0.26
    assert np.mean([d == "undecided" for d, _ in [*null, *other]]) < 0.02
    # a fixed test of the same errors (one-sided normal approximation) needs 68 trials
    assert np.mean([n for _, n in null]) < 60 and np.mean([n for _, n in other]) < 60


@pytest.mark.parametrize(
    ("trials", "settings", "error", "message"),
    [
        ([], {}, DataError, "one or more trials"),
        ([0, 2], {}, DataError, "each 0 or 1"),
        ([0, np.nan], {}, DataError, "each 0 or 1"),
        ([1], {"p1": 0.5}, ParameterError, "two different ones"),
        ([1], {"p1": 1.0}, ParameterError, "between 0 and 1"),
        ([1], {"alpha": 0.5, "beta": 0.5}, ParameterError, "a sum below 1"),
    ],
)
def test_wald_refuses(trials, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        bernoulli_sprt(trials, **{"p0": 0.5, "p1": 0.6} | settings)
