"""Scores in the units of the published tables, against numbers worked out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from metastudy.classic.results import collected, in_published_units
from metastudy.errors import DataError
from metastudy.tables import SCORES

T2, T3 = 4.302652729911275, 3.182446305284263
"""97.5% points of Student's t with 2 and 3 degrees of freedom, from printed tables."""
COLUMNS = ["setting", "method", "mean", "low", "high", "n"]


def scores(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(SCORES))


def only(found: pd.DataFrame, setting: str, method: str) -> pd.Series:
    (row,) = found[(found["setting"] == setting) & (found["method"] == method)].itertuples(index=False)
    return row


def test_the_sinusoid_is_reported_as_squared_error_by_number_of_points() -> None:
    values = {("maml", 5): [1.0, 2.0, 3.0], ("maml", 10): [0.5, 0.5, 0.5], ("g", 5): [0.1, 0.2, 0.6]}
    rows = [
        ("sinusoid", "sinusoid", f"t{i}", method, k, 0, "mse", value)
        for (method, k), own in values.items()
        for i, value in enumerate(own)
    ]
    rows += [("sinusoid", "sinusoid", "t0", "maml", 5, 0, "r2", 77.0)]  # another metric is not reported
    found = in_published_units(scores(*rows), "sinusoid")
    assert list(found.columns) == COLUMNS
    assert list(zip(found["setting"], found["method"], strict=True)) == [
        ("K=5", "maml"),
        ("K=10", "maml"),
        ("K=5", "g"),
    ]
    row = only(found, "K=5", "maml")
    half = T2 * 1 / math.sqrt(3)  # standard deviation of 1, 2, 3 is 1
    assert (row.mean, row.low, row.high, row.n) == pytest.approx((2.0, 2 - half, 2 + half, 3))
    row = only(found, "K=5", "g")
    half = T2 * math.sqrt(0.07) / math.sqrt(3)  # (0.04 + 0.01 + 0.09) / 2
    assert (row.mean, row.low, row.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half))
    row = only(found, "K=10", "maml")
    assert (row.mean, row.low, row.high) == pytest.approx((0.5, 0.5, 0.5))


def test_omniglot_is_reported_as_accuracy_in_percent_by_ways_and_shots() -> None:
    rows = [
        ("omniglot", f"{ways}-way", f"{ways}-way/{i:04d}", "g", k, 0, metric, value)
        for ways, k, own in ((5, 1, [0.9, 1.0, 0.8, 0.9]), (5, 5, [1.0, 1.0, 1.0, 1.0]), (20, 1, [0.5, 0.7, 0.6, 0.6]))
        for i, value in enumerate(own)
        for metric, value in (("accuracy", value), ("log_loss", 9.0))
    ]
    found = in_published_units(scores(*rows), "omniglot")
    assert found["setting"].tolist() == ["5-way 1-shot", "5-way 5-shot", "20-way 1-shot"]
    half = T3 * math.sqrt(200 / 3) / 2  # of 90, 100, 80, 90: squares 0, 100, 100, 0
    row = only(found, "5-way 1-shot", "g")
    assert (row.mean, row.low, row.high, row.n) == pytest.approx((90.0, 90 - half, 90 + half, 4))
    assert only(found, "20-way 1-shot", "g").mean == pytest.approx(60.0)
    assert only(found, "5-way 5-shot", "g").mean == 100.0


def test_seeds_of_one_task_are_averaged_before_tasks_are_counted() -> None:
    values = {("t0", 0): 1.0, ("t0", 1): 3.0, ("t1", 0): 4.0, ("t1", 1): 4.0, ("t2", 0): 5.0, ("t2", 1): 7.0}
    rows = [("sinusoid", "sinusoid", t, "g", 5, seed, "mse", v) for (t, seed), v in values.items()]
    row = only(in_published_units(scores(*rows), "sinusoid"), "K=5", "g")
    half = T2 * 2 / math.sqrt(3)  # of 2, 4, 6
    assert (row.mean, row.low, row.high, row.n) == pytest.approx((4.0, 4 - half, 4 + half, 3))


def challenge(errors: dict[str, list[float]], method: str = "g") -> dict[str, pd.DataFrame]:
    """Scores by background, of as many runs as there are errors."""
    return {
        f"omniglot_challenge_{background}": scores(
            *(
                ("omniglot_challenge", f"run{i:02d}", f"run{i:02d}", method, 1, 0, metric, value)
                for i, error in enumerate(own, 1)
                for metric, value in (("error_percent", error), ("log_loss", 0.3))
            )
        )
        for background, own in errors.items()
    }


def test_the_challenge_is_reported_as_error_over_runs_with_the_mean_of_both_small_backgrounds() -> None:
    parts = challenge({"full": [0.0, 5.0, 10.0], "small1": [10.0, 20.0, 30.0], "small2": [20.0, 20.0, 50.0]})
    found = in_published_units(collected(parts), "omniglot_challenge")
    assert found["setting"].tolist() == ["30 alphabets", "5 alphabets"]
    half = T2 * 5 / math.sqrt(3)
    row = only(found, "30 alphabets", "g")
    assert (row.mean, row.low, row.high, row.n) == pytest.approx((5.0, 5 - half, 5 + half, 3))
    half = T2 * math.sqrt(175) / math.sqrt(3)  # of 15, 20, 40: squares 100, 25, 225
    row = only(found, "5 alphabets", "g")
    assert (row.mean, row.low, row.high, row.n) == pytest.approx((25.0, 25 - half, 25 + half, 3))


def test_one_unit_has_a_mean_and_no_interval() -> None:
    row = only(in_published_units(collected(challenge({"full": [5.0]})), "omniglot_challenge"), "30 alphabets", "g")
    assert (row.mean, row.n) == (5.0, 1) and math.isnan(row.low) and math.isnan(row.high)


def test_parts_are_collected_under_their_own_names() -> None:
    parts = challenge({"full": [0.0, 5.0], "small1": [10.0, 20.0]})
    found = collected(parts)
    assert found["study"].tolist() == ["omniglot_challenge_full"] * 4 + ["omniglot_challenge_small1"] * 4
    assert found.index.tolist() == list(range(8)) and list(found.columns) == list(SCORES)
    assert found.loc[found["metric"] == "error_percent", "value"].tolist() == [0.0, 5.0, 10.0, 20.0]
    assert set(parts["omniglot_challenge_full"]["study"]) == {"omniglot_challenge"}, "what was given stays as it was"


def test_another_benchmark_is_refused() -> None:
    with pytest.raises(DataError, match="benchmark 'digits' is unknown; expected sinusoid, omniglot or omniglot_"):
        in_published_units(collected(challenge({"full": [5.0]})), "digits")


def test_an_unknown_background_is_refused() -> None:
    with pytest.raises(DataError, match="small3"):
        in_published_units(collected(challenge({"full": [1.0, 2.0], "small3": [5.0, 6.0]})), "omniglot_challenge")
