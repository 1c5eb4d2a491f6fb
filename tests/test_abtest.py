"""Comparisons keep their promises: exact where they can be, honest about errors, and strict about pairing."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from metastudy.abtest import (
    benjamini_hochberg,
    compare,
    gains,
    holm,
    interval,
    minimum_detectable,
    paired_scores,
    paired_test,
    sign_flip_p,
    summarise,
    t_interval,
    verdict,
)
from metastudy.errors import DataError

numbers = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 6))


def enumerated_p(whole: np.ndarray) -> float:
    """Share of all sign flips of whole numbers whose sum is as far from zero as the observed one."""
    flips = np.array(list(itertools.product((1, -1), repeat=len(whole))))
    return float(np.mean(np.abs(flips @ whole) >= abs(whole.sum())))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=8, max_size=8))
def test_sign_flips_are_exact_for_few_values(whole) -> None:
    values = np.array(whole)
    assert sign_flip_p(values.astype(float)) == pytest.approx(enumerated_p(values), abs=1e-12)


def test_sign_flips_are_exact_for_thirteen_values_and_random_beyond() -> None:
    values = np.arange(1, 14) * np.where(np.arange(13) % 4 == 0, -1, 1)
    assert sign_flip_p(values.astype(float)) == pytest.approx(enumerated_p(values), abs=1e-12)
    assert sign_flip_p(values.astype(float), seed=1) == sign_flip_p(values.astype(float), seed=2)
    more = np.random.default_rng(0).normal(0.2, 1, 40)
    assert sign_flip_p(more, seed=1) == sign_flip_p(more, seed=1)
    assert sign_flip_p(more, seed=1) == pytest.approx(stats.ttest_1samp(more, 0).pvalue, abs=0.03)


def test_a_strong_effect_has_the_smallest_possible_p() -> None:
    assert sign_flip_p(np.arange(1.0, 9.0)) == 2 / 2**8
    assert sign_flip_p(np.arange(1.0, 41.0)) == pytest.approx(2 / 10_000)  # never zero


def test_holm_by_hand() -> None:
    # sorted: 4 · .001, 3 · .02, 2 · .03 (never below the one before), 1 · .5
    assert holm([0.001, 0.02, 0.03, 0.5]).tolist() == pytest.approx([0.004, 0.06, 0.06, 0.5])
    assert holm([0.5, 0.02, 0.001, 0.03]).tolist() == pytest.approx([0.5, 0.06, 0.004, 0.06])
    assert holm([0.7, 0.8]).tolist() == pytest.approx([1, 1])
    assert holm([]).tolist() == []


@settings(max_examples=20, deadline=None)
@given(st.lists(numbers, min_size=2, max_size=29, unique=True), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_of_few_values_is_student_s(values, confidence) -> None:
    expected = stats.t.interval(confidence, len(values) - 1, np.mean(values), stats.sem(values))
    assert interval(np.array(values), confidence) == pytest.approx(expected, abs=1e-9)


def test_the_interval_of_many_values_is_bca_and_repeats() -> None:
    values = np.random.default_rng(0).exponential(size=400)
    found = interval(values, seed=4)
    again = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(4))
    assert found == tuple(map(float, again.confidence_interval)) == interval(values, seed=4)
    assert found[1] - values.mean() > values.mean() - found[0]  # the long tail is to the right


@pytest.mark.filterwarnings("error")
def test_intervals_of_awkward_values() -> None:
    assert all(np.isnan(interval(np.array([0.3]))))
    assert interval(np.full(40, 0.25)) == (0.25, 0.25) == interval(np.full(3, 0.25))
    low, high = interval(np.array([0.0] * 399 + [1.0]))
    assert 0 <= low <= 1 / 400 < high < 0.05


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    for n, replicates in ((50, 1000), (400, 200)):
        covered = [low < 1 < high for low, high in (interval(rng.normal(1, 2, n), seed=i) for i in range(replicates))]
        assert 0.92 <= np.mean(covered) <= 0.98


def test_two_equal_methods_differ_significantly_in_one_case_of_twenty() -> None:
    rng = np.random.default_rng(0)
    p = np.array([paired_test(rng.normal(size=12), rng.normal(size=12)).p for _ in range(300)])
    low, high = stats.binom.interval(0.999, 300, 0.05)
    assert low <= np.sum(p <= 0.05) <= high
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_with_dependent_tasks_only_clusters_are_honest() -> None:
    """Differences that whole families share: tasks as units reject an equal method far too often."""
    rng, cluster = np.random.default_rng(0), np.repeat([f"f{i}" for i in range(8)], 10)
    p = {"tasks": [], "clusters": []}
    for i in range(100):
        a = np.repeat(rng.normal(size=8), 10) + 0.3 * rng.normal(size=80)
        p["clusters"].append(paired_test(a, np.zeros(80), cluster).p)
        if i < 20:
            p["tasks"].append(sign_flip_p(a))
    low, high = stats.binom.interval(0.999, 100, 0.05)
    assert low <= np.sum(np.array(p["clusters"]) <= 0.05) <= high
    assert np.mean(np.array(p["tasks"]) <= 0.05) > 0.3


def test_paired_test_by_hand() -> None:
    a, b = np.array([0.9, 0.8, 0.7, 0.9]), np.array([0.5, 0.6, 0.6, 0.2])
    found = paired_test(a, b)
    assert (found.difference, found.n_tasks, found.n_clusters) == (pytest.approx(0.35), 4, 0)
    assert found.p == pytest.approx(2 / 16)
    assert (found.low, found.high) == pytest.approx(interval(a - b))
    turned = paired_test(b, a)
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-0.35, -found.high, -found.low))
    assert turned.p == found.p


def test_clusters_are_compared_by_their_means() -> None:
    cluster = ["z"] * 5 + ["a", "b", "c", "d", "e"]
    a = np.array([1.0, 1, 1, 1, 6, 1, 3, 2, 5, 4])
    found = paired_test(a, np.zeros(10), cluster)
    means = np.array([1.0, 3, 2, 5, 4, 2])  # the cluster z counts once
    assert (found.difference, found.n_tasks, found.n_clusters) == (pytest.approx(means.mean()), 10, 6)
    assert found.p == pytest.approx(2 / 2**6) and (found.low, found.high) == pytest.approx(interval(means))


def test_no_difference_at_all() -> None:
    same = np.random.default_rng(0).normal(size=20)
    found = paired_test(same, same.copy())
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert verdict(found.difference, found.low, found.high, found.p, margin=0.01) == "equivalent"


@pytest.mark.parametrize(
    ("a", "b", "cluster", "message"),
    [
        ([1, 2, 3], [1, 2], None, r"shapes \(3,\) and \(2,\)"),
        ([[1, 2]], [[1, 2]], None, "two equally long vectors"),
        ([1.0, np.nan], [1, 2], None, "not finite"),
        ([1.0, 2], [np.inf, 2], None, "not finite"),
        ([1.0], [2.0], None, "at least two tasks"),
        (range(10), range(10), list("aabbccddee"), "5 clusters; 6 or more"),
        (range(10), range(10), list("aaaaaaaaaa"), "1 clusters; 6 or more"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, cluster, message) -> None:
    with pytest.raises(DataError, match=message):
        paired_test(np.array(a), np.array(b), cluster)


@pytest.mark.parametrize(
    ("difference", "low", "high", "p", "expected"),
    [
        (0.2, 0.1, 0.3, 0.01, "better"),
        (-0.2, -0.3, -0.1, 0.01, "worse"),
        (0.01, 0.005, 0.015, 0.01, "equivalent"),  # surely above zero, and surely too small to matter
        (0.0, -0.02, 0.02, 0.9, "equivalent"),
        (0.01, -0.01, 0.04, 0.3, "equivalent"),
        (0.01, -0.01, 0.05, 0.3, "undecided"),  # reaches the margin
        (-0.01, -0.05, 0.01, 0.3, "undecided"),
        (0.2, 0.1, 0.3, 0.05, "undecided"),  # alpha itself does not do
        (0.0, 0.0, 0.0, 0.01, "equivalent"),
        (0.2, float("nan"), float("nan"), 0.5, "undecided"),
    ],
)
def test_verdicts(difference, low, high, p, expected) -> None:
    assert verdict(difference, low, high, p, margin=0.05) == expected


@pytest.mark.parametrize("n", [30, 100, 400])
def test_the_smallest_detectable_difference_is_that_of_a_power_analysis(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.1, 3, n)
    effect = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert minimum_detectable(differences) == pytest.approx(effect * differences.std(ddof=1), rel=2 / n)
    assert minimum_detectable(differences, power=0.9) > minimum_detectable(differences)


def table(values: dict[str, list[float]], seeds: int = 1, families: int = 2, **constant) -> pd.DataFrame:
    """Scores of methods on tasks t0, t1, .. of families f0, f1, .. in turn; seed s adds s."""
    rows = [
        ("toy", f"f{i % families}", f"t{i}", method, 5, seed, "accuracy", v + seed)
        for method, scores in values.items()
        for i, v in enumerate(scores)
        for seed in range(seeds)
    ]
    columns = ["study", "family", "task", "method", "shots", "seed", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).assign(**constant)


def test_methods_are_paired_by_task_after_averaging_seeds() -> None:
    scores = pd.concat(
        [
            table({"g": [1.0, 2, 3, 4]}, seeds=3),
            table({"ridge": [0.5, 1, 4, 1]}).sample(frac=1, random_state=0),
            table({"g": [9.0] * 4, "ridge": [9.0] * 4}, metric="log_loss"),
            table({"g": [8.0] * 4, "ridge": [8.0] * 4}, shots=1),
        ]
    )
    pairs = paired_scores(scores, "g", "ridge", "accuracy", 5).set_index("task").sort_index()
    assert pairs["a"].tolist() == [2.0, 3, 4, 5] and pairs["b"].tolist() == [0.5, 1, 4, 1]
    assert pairs["family"].tolist() == ["f0", "f1", "f0", "f1"]
    found = compare(scores, "g", "ridge", "accuracy", 5, clustered=False)
    assert found.difference == pytest.approx((1.5 + 2 + 0 + 4) / 4) and found.n_tasks == 4
    lower = compare(scores, "g", "ridge", "accuracy", 5, lower_is_better=True, clustered=False)
    assert lower.difference == pytest.approx(-found.difference) and lower.p == found.p


def test_compare_takes_families_as_clusters() -> None:
    scores = table({"a": list(range(1, 15)), "b": [0] * 14}, families=7)
    found = compare(scores, "a", "b", "accuracy", 5)
    assert (found.n_tasks, found.n_clusters) == (14, 7) and found.p == pytest.approx(2 / 2**7)
    with pytest.raises(DataError, match="2 clusters"):
        compare(table({"a": [1.0, 2], "b": [1.0, 3]}), "a", "b", "accuracy", 5)


def test_unpaired_scores_are_refused() -> None:
    scores = table({"a": [1.0, 2, 3], "b": [1.0, 2]})
    with pytest.raises(DataError, match=r"not scored on the same tasks \(for example 't2'\)"):
        compare(scores, "a", "b", "accuracy", 5, clustered=False)
    with pytest.raises(DataError, match=r"no accuracy at 5 shots for \['c'\]; found \['a', 'b'\]"):
        compare(scores, "a", "c", "accuracy", 5)
    with pytest.raises(DataError, match="no accuracy at 2 shots"):
        compare(scores, "a", "b", "accuracy", 2)


def test_a_seed_that_broke_down_is_not_quietly_left_out() -> None:
    scores = table({"a": [1.0, 2, 3], "b": [1.0, 2, 4]}, seeds=2)
    scores.loc[(scores["method"] == "a") & (scores["task"] == "t1") & (scores["seed"] == 1), "value"] = np.nan
    with pytest.raises(DataError, match="not finite"):
        compare(scores, "a", "b", "accuracy", 5, clustered=False)


def test_summary_by_hand() -> None:
    scores = table({"g": [1.0, 2, 3, 6]}, seeds=2)  # over seeds: 1.5, 2.5, 3.5, 6.5
    found = summarise(scores, clustered=False).set_index("family")
    assert list(found.columns) == [
        "study", "method", "shots", "metric", "mean", "low", "high", "n_tasks", "n_seeds", "published", "source",
    ]  # fmt: skip
    assert found["mean"].to_dict() == pytest.approx({"f0": 2.5, "f1": 4.5, "all": 3.5})
    assert found["n_tasks"].to_dict() == {"f0": 2, "f1": 2, "all": 4} and set(found["n_seeds"]) == {2}
    for family, values in {"f0": [1.5, 3.5], "f1": [2.5, 6.5], "all": [1.5, 2.5, 3.5, 6.5]}.items():
        expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        assert tuple(found.loc[family, ["low", "high"]]) == pytest.approx(expected)


def test_a_clustered_summary_pools_over_families() -> None:
    scores = pd.concat([table({"g": [1.0, 2, 3, 6]}), table({"g": [10.0] * 4}, families=1).assign(family="f9")])
    scores["task"] += scores["family"]
    found = summarise(scores, clustered=True).set_index("family")
    means = [2.0, 4.0, 10.0]  # f9 has twice as many tasks and counts once
    expected = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert found.loc["all", "mean"] == pytest.approx(np.mean(means)) and found.loc["all", "n_tasks"] == 8
    assert tuple(found.loc["all", ["low", "high"]]) == pytest.approx(expected)


def test_a_single_family_has_no_pooled_row_and_a_single_task_no_interval() -> None:
    found = summarise(table({"g": [1.0]}, families=1), clustered=False)
    assert found["family"].tolist() == ["f0"] and found[["low", "high"]].isna().all(axis=None)


def test_the_t_interval_by_hand() -> None:
    half = 4.302653 * 1 / 3**0.5  # Student's t with 2 degrees of freedom; the values' deviation is 1
    assert t_interval(np.array([1.0, 2, 3])) == pytest.approx((2 - half, 2 + half), abs=1e-6)
    assert t_interval(np.array([1.0, 2, 3]), 0.9) == pytest.approx((2 - 2.919986 / 3**0.5, 2 + 2.919986 / 3**0.5))
    assert t_interval([1, 1, 1]) == (1.0, 1.0)
    assert all(np.isnan(t_interval(np.array([2.0]))))
    many = np.random.default_rng(0).exponential(size=50)  # symmetric for any number of values
    low, high = t_interval(many)
    assert high - many.mean() == pytest.approx(many.mean() - low)


def test_benjamini_hochberg_by_hand() -> None:
    # sorted: 4/1 · .005, 4/2 · .02, 4/3 · .03, 4/4 · .04 (never above the one after)
    assert benjamini_hochberg([0.04, 0.005, 0.03, 0.02]).tolist() == pytest.approx([0.04, 0.02, 0.04, 0.04])
    assert benjamini_hochberg([0.001, 0.9]).tolist() == pytest.approx([0.002, 0.9])
    assert benjamini_hochberg([0.3]).tolist() == [0.3] and benjamini_hochberg([]).tolist() == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_screen_is_never_stricter_than_holm_and_never_below_p(p) -> None:
    found = benjamini_hochberg(p)
    assert (found >= np.array(p) - 1e-12).all() and (found <= holm(p) + 1e-12).all()


def test_gains_by_hand() -> None:
    scores = pd.concat(
        [
            table({"ridge": [1.0, 1, 1, 1], "g": [2.0, 3, 4, 7]}, seeds=2),
            table({"ridge": [5.0] * 4, "g": [5.0] * 4}, shots=1),
            table({"ridge": [9.0] * 4, "g": [0.0] * 4}, metric="log_loss"),
            table({"lead": [0.0, 0, 1, 1]}),  # one seed: its task means are compared with those of two
            table({"lead": [5.0] * 4}, shots=1),
        ]
    ).sample(frac=1, random_state=0)
    found = gains(scores, "accuracy", "ridge", clustered=False)
    assert list(found.columns) == ["method", "shots", "mean", "low", "high"]
    assert found["shots"].tolist() == [1, 1, 5, 5] and set(found["method"]) == {"g", "lead"}
    found = found.set_index(["method", "shots"])
    assert found.loc[("g", 1)].tolist() == [0, 0, 0]
    assert found.loc[("g", 5)].tolist() == pytest.approx([3.0, *t_interval([1, 2, 3, 6])])
    assert found.loc[("lead", 5)].tolist() == pytest.approx([-1.0, *t_interval([-1.5, -1.5, -0.5, -0.5])])
    over_families = gains(scores, "accuracy", "ridge", clustered=True).set_index(["method", "shots"])
    assert over_families.loc[("g", 5)].tolist() == pytest.approx([3.0, *t_interval([2, 4])])  # t0, t2 and t1, t3


def test_what_tasks_have_in_common_does_not_widen_a_gain() -> None:
    hard = np.random.default_rng(0).normal(0, 10, 12)
    found = gains(table({"a": list(hard), "g": list(hard + 1)}), "accuracy", "a", clustered=False)
    assert found[["mean", "low", "high"]].to_numpy()[0] == pytest.approx([1, 1, 1], abs=1e-9)


def test_a_gain_over_a_missing_reference_is_refused() -> None:
    with pytest.raises(DataError, match=r"no accuracy at 5 shots for \['lead'\]"):
        gains(table({"g": [1.0, 2]}), "accuracy", "lead", clustered=False)
