"""The posterior agrees with closed forms and with the slow sum over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metastudy.abtest.bayesian import signed_rank
from metastudy.errors import DataError, ParameterError

tenths = st.lists(st.integers(-8, 8), min_size=2, max_size=9)


def regions(z: np.ndarray, rope: float) -> np.ndarray:
    """(3, n + 1, n + 1) from whole numbers: which pairs lie below, within and above the rope; the prior's 0 first."""
    z = np.concatenate([[0], z])
    sums = z[:, None] + z[None, :]
    return np.stack([sums < -2 * rope, (sums >= -2 * rope) & (sums <= 2 * rope), sums > 2 * rope])


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_differences_beyond_twice_the_rope_by_hand(n: int) -> None:
    """Only the prior with itself is equivalent: weight w0², so better wins if w0 < sqrt(1/2), w0 ~ Beta(1/2, n)."""
    found = signed_rank(np.linspace(3, 9, n), rope=1, samples=40_000)
    expected = stats.beta.cdf(0.5**0.5, 0.5, n)
    assert found.p_better == pytest.approx(expected, abs=0.006) and found.p_worse == 0
    # E w0² = a (a + 1) / (A (A + 1)) with a = 1/2 of A = n + 1/2
    assert found.expected == pytest.approx(
        (0, 0.75 / ((n + 0.5) * (n + 1.5)), 1 - 0.75 / ((n + 0.5) * (n + 1.5))), abs=0.01
    )


@pytest.mark.parametrize("n", [2, 4, 6, 10])
def test_differences_between_one_and_two_ropes_by_hand(n: int) -> None:
    """Beside the prior a unit is equivalent too: above has weight (1 - w0)², so better wins if w0 < 1 - sqrt(1/2)."""
    found = signed_rank(-np.linspace(1.2, 1.8, n), rope=1, samples=40_000)
    expected = stats.beta.cdf(1 - 0.5**0.5, 0.5, n)
    assert (found.p_worse, found.p_equivalent) == pytest.approx((expected, 1 - expected), abs=0.01)
    assert found.p_better == 0


@settings(max_examples=25, deadline=None)
@given(tenths, st.integers(0, 4), st.floats(0.2, 3))
def test_expected_shares_are_those_of_all_pairs(whole, rope, prior) -> None:
    """E w_i w_j = a_i a_j / (A (A + 1)), and a_i more on the diagonal; ties and pairs on the edge included."""
    found = signed_rank(np.array(whole, dtype=float), rope, samples=4000, prior=prior)
    a = np.concatenate([[prior], np.ones(len(whole))])
    moments = (np.outer(a, a) + np.diag(a)) / (a.sum() * (a.sum() + 1))
    expected = (regions(np.array(whole), rope) * moments).sum(axis=(1, 2))
    assert found.expected == pytest.approx(expected.tolist(), abs=0.025)
    assert found.p_better + found.p_equivalent + found.p_worse == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_are_those_of_the_slow_sum_over_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.normal(3, 10, 12).round()
    found = signed_rank(whole / 10, rope=0.3, samples=20_000)  # many sums that are 0.6 but for rounding
    weights = rng.gamma(np.concatenate([[0.5], np.ones(12)]), size=(4000, 13))  # Dirichlet, but for the sum
    shares = np.einsum("si,rij,sj->sr", weights, regions(whole, 3).astype(float), weights)
    slow = np.bincount(shares.argmax(1), minlength=3) / 4000
    assert (found.p_worse, found.p_equivalent, found.p_better) == pytest.approx(slow.tolist(), abs=0.035)


def test_a_against_b_is_b_against_a_turned() -> None:
    z = np.random.default_rng(0).normal(0.4, 1, 30)
    one, other = signed_rank(z, 0.1, samples=20_000), signed_rank(-z, 0.1, samples=20_000)
    assert other.p_worse == pytest.approx(one.p_better, abs=0.02)
    assert other.expected[::-1] == pytest.approx(one.expected, abs=0.01)


def test_verdicts() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, 40)
    assert signed_rank(z + 2, 0.1).verdict == "better" and signed_rank(z - 2, 0.1).verdict == "worse"
    assert signed_rank(z / 100, 0.1).verdict == "equivalent"
    found = signed_rank(z - z.mean(), 0.1)
    assert found.verdict == "undecided" and max(found.p_better, found.p_worse) < 0.95 and found.n == 40
    assert signed_rank(z + 0.25, 0.0, threshold=0.6).verdict == "better"
    assert signed_rank(z + 0.25, 0.0, threshold=0.9999).verdict == "undecided"


def test_few_units_have_probabilities_but_no_verdict() -> None:
    for n, verdict in ((2, "undecided"), (5, "undecided"), (6, "better")):
        found = signed_rank(np.full(n, 1.0), 0.1)
        assert found.p_better > 0.95 and (found.n, found.verdict) == (n, verdict)


def test_no_difference_at_all() -> None:
    found = signed_rank(np.zeros(10), 0.01)
    assert (found.p_equivalent, found.expected, found.verdict) == (1, pytest.approx((0, 1, 0)), "equivalent")
    assert signed_rank(np.zeros(10), 0).verdict == "equivalent"
    assert signed_rank(np.zeros(3), 0.01).verdict == "undecided"


def test_seeds_repeat_and_chunks_do_not_matter() -> None:
    z = np.random.default_rng(0).normal(0.05, 1, 1000)
    one = signed_rank(z, 0.1, samples=3000, seed=7)  # three chunks
    assert one == signed_rank(z, 0.1, samples=3000, seed=np.random.default_rng(7))
    assert one != signed_rank(z, 0.1, samples=3000, seed=8)
    few = signed_rank(z, 0.1, samples=1000, seed=8)  # one chunk
    assert one.p_better == pytest.approx(few.p_better, abs=0.06) and one.expected == pytest.approx(
        few.expected, abs=0.005
    )


def test_equal_methods_are_called_different_about_as_often_as_documented() -> None:
    rng = np.random.default_rng(0)
    calls = [signed_rank(rng.normal(size=20), 0.02, samples=400, seed=i).verdict for i in range(200)]
    called = sum(c in ("better", "worse") for c in calls)
    assert stats.binom.ppf(0.001, 200, 0.10) <= called <= stats.binom.ppf(0.999, 200, 0.15)


@pytest.mark.parametrize(
    ("differences", "settings", "error", "message"),
    [
        ([0.1], {}, DataError, r"shape \(1,\); expected two or more"),
        ([[0.1, 0.2]], {}, DataError, r"shape \(1, 2\)"),
        ([0.1, np.nan], {}, DataError, "not finite"),
        ([0.1, 0.2], {"rope": -0.1}, ParameterError, "rope is -0.1"),
        ([0.1, 0.2], {"rope": np.nan}, ParameterError, "rope is nan"),
        ([0.1, 0.2], {"prior": 0}, ParameterError, "prior is 0"),
        ([0.1, 0.2], {"samples": 0}, ParameterError, "0 samples"),
        ([0.1, 0.2], {"threshold": 0.5}, ParameterError, "threshold is 0.5"),
        ([0.1, 0.2], {"threshold": 1.0}, ParameterError, "threshold is 1.0"),
    ],
)
def test_what_cannot_be_judged_is_refused(differences, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        signed_rank(differences, **{"rope": 0.1} | settings)
