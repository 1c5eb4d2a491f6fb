"""Friedman and its followers give the numbers of Demsar's paper, and refuse tables they cannot judge."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metastudy.abtest.many import against_control, cliques, critical_difference, friedman
from metastudy.errors import DataError, ParameterError

# Demsar (2006), table 6: AUC of four variants of C4.5 on 14 data sets. The third figure of one entry is moved by 1e-5,
# because the paper ranks unrounded values there.
DEMSAR = pd.DataFrame(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975], [0.957, 0.978, 0.946, 0.970],
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)  # fmt: skip


def scores(n: int, k: int, seed: int, shift: float = 0, ties: bool = False) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(n, k)) + shift * np.arange(k)
    return pd.DataFrame(values.round(0) if ties else values, columns=[f"m{i}" for i in range(k)])


def test_demsar_s_example() -> None:
    found = friedman(DEMSAR)
    assert found.n_families == 14
    assert found.ranks.round(3).to_dict() == {"C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143}
    # the paper leaves ties uncorrected: three pairs (2³ - 2 each) and one row of four (4³ - 4), of 14 (4³ - 4)
    uncorrected = found.chi2 * (1 - (3 * 6 + 60) / (14 * 60))
    assert uncorrected == pytest.approx(9.28, abs=0.005)
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=0.005)
    assert found.f == pytest.approx(13 * found.chi2 / (14 * 3 - found.chi2))
    assert found.p == pytest.approx(stats.f.sf(found.f, 3, 39)) and found.p < 0.05
    assert found.cd == pytest.approx(1.25, abs=0.005)
    assert cliques(found.ranks, found.cd) == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]


def test_demsar_s_figure_at_ten_percent() -> None:
    found = friedman(DEMSAR, alpha=0.1)
    assert found.cd == pytest.approx(1.12, abs=0.005)
    assert cliques(found.ranks, found.cd) == [("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5")]


def test_demsar_s_comparison_with_a_control() -> None:
    found = against_control(friedman(DEMSAR), "C4.5").set_index("method")
    z = {"C4.5+m+cf": -1.179 / 0.488, "C4.5+m": -1.143 / 0.488, "C4.5+cf": -0.250 / 0.488}
    assert found["z"].to_dict() == pytest.approx(z, abs=0.005)  # below 0: better than the control
    assert found["p"].to_dict() == pytest.approx({"C4.5+m+cf": 0.016, "C4.5+m": 0.019, "C4.5+cf": 0.607}, abs=0.002)
    p = found["p"].to_dict()  # Holm: 3 · smallest, 2 · next (never below), 1 · largest
    smallest = 3 * p["C4.5+m+cf"]
    by_hand = {"C4.5+m+cf": smallest, "C4.5+m": max(smallest, 2 * p["C4.5+m"]), "C4.5+cf": p["C4.5+cf"]}
    assert found["p_adjusted"].to_dict() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("k", "alpha", "q"),
    [(2, 0.05, 1.960), (3, 0.05, 2.343), (4, 0.05, 2.569), (10, 0.05, 3.164), (2, 0.1, 1.645), (10, 0.1, 2.920)],
)
def test_critical_values_of_demsar_s_table_5(k: int, alpha: float, q: float) -> None:
    for n in (6, 14, 30):
        assert critical_difference(k, n, alpha) == pytest.approx(q * math.sqrt(k * (k + 1) / (6 * n)), rel=5e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 12), st.integers(3, 6), st.integers(0, 1000), st.booleans())
def test_ranks_and_chi2_are_those_of_scipy(n, k, seed, ties) -> None:
    table = scores(n, k, seed, ties=ties)
    found = friedman(table)
    assert found.chi2 == pytest.approx(stats.friedmanchisquare(*table.to_numpy().T).statistic)
    # a rank counts who is better, and half of who is equal, oneself included
    x = table.to_numpy()
    slow = 0.5 + (x[:, None, :] > x[:, :, None]).sum(2) + (x[:, None, :] == x[:, :, None]).sum(2) / 2
    assert found.ranks[table.columns].tolist() == pytest.approx(slow.mean(0).tolist())
    assert found.ranks.is_monotonic_increasing and found.ranks.mean() == pytest.approx((k + 1) / 2)
    turned = friedman(-table, lower_is_better=True)
    assert turned.ranks.equals(found.ranks) and (turned.chi2, turned.p) == (found.chi2, found.p)
    assert friedman(table, lower_is_better=True).ranks[table.columns].tolist() == pytest.approx(
        (k + 1 - found.ranks[table.columns]).tolist()
    )


def test_families_that_all_agree_have_the_chance_of_agreeing() -> None:
    table = pd.DataFrame([[3.0, 2, 1]] * 6, columns=list("abc"))
    found = friedman(table)
    assert found.chi2 == pytest.approx(12) and found.f == math.inf  # 6 families times 2 degrees of freedom
    assert found.p == pytest.approx((1 / 6) ** 5) and found.ranks.to_dict() == {"a": 1, "b": 2, "c": 3}
    strong = friedman(scores(7, 4, seed=0, shift=100))
    assert strong.p == pytest.approx(24.0**-6)


@pytest.mark.filterwarnings("error")
def test_methods_that_are_all_equal() -> None:
    found = friedman(pd.DataFrame(np.ones((6, 3)), columns=list("abc")))
    assert (found.chi2, found.f, found.p) == (0, 0, 1) and set(found.ranks) == {2.0}
    assert cliques(found.ranks, found.cd) == [("a", "b", "c")]
    assert against_control(found, "a")["p_adjusted"].tolist() == [1, 1]


def test_equal_methods_are_told_apart_in_one_case_of_twenty() -> None:
    rejected = sum(friedman(scores(8, 4, seed)).p < 0.05 for seed in range(300))
    low, high = stats.binom.interval(0.999, 300, 0.05)
    assert low <= rejected <= high


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=3, max_size=7), st.integers(1, 15))
def test_cliques_are_the_largest_groups_within_the_critical_difference(tenths, cd) -> None:
    ranks = pd.Series(tenths, index=[f"m{i}" for i in range(len(tenths))], dtype=float)
    groups = [
        set(g)
        for size in range(2, len(ranks) + 1)
        for g in itertools.combinations(ranks.index, size)
        if np.ptp(ranks[list(g)]) < cd
    ]
    largest = [g for g in groups if not any(g < h for h in groups)]
    found = cliques(ranks, cd)
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest))
    assert [ranks[g[0]] for g in found] == sorted(ranks[g[0]] for g in found)


def test_methods_far_apart_share_no_group() -> None:
    assert cliques(pd.Series({"a": 1.0, "b": 2.0, "c": 3.0}), 1.0) == []  # a difference of cd itself counts


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (scores(5, 4, 0), "5 families; 6 or more are needed.*interval of each family"),
        (scores(8, 2, 0), "2 methods; expected 3 or more"),
        (scores(8, 3, 0).replace({"m1": {scores(8, 3, 0)["m1"][4]: np.nan}}), "m1 has no finite score on 4"),
        (scores(8, 3, 0) * np.inf, "m0 has no finite score on 0"),
        (scores(8, 3, 0).set_axis(["a", "b", "a"], axis=1), "named twice"),
        (scores(8, 3, 0).set_axis([0] * 8), "named twice"),
    ],
)
def test_tables_that_cannot_be_ranked_are_refused(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        friedman(table)


def test_wrong_level_and_unknown_control() -> None:
    with pytest.raises(ParameterError, match="alpha is 5"):
        friedman(scores(8, 3, 0), alpha=5)
    with pytest.raises(DataError, match=r"no method 'g'; expected one of \['m0', 'm1', 'm2'\]"):
        against_control(friedman(scores(8, 3, 0)), "g")
