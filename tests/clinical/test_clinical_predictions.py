"""The table of predictions is checked, rows become groups, and every table and family weighs alike in a mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.abtest import t_interval
from metastudy.clinical.averages import AVERAGES, DRAWS, groups, over_families
from metastudy.clinical.predictions import PREDICTIONS, check_predictions
from metastudy.errors import DataError


def toy(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "probability": rng.random(n), "truth": rng.integers(0, 2, n), "row": rng.permutation(n),
            "method": rng.choice(["g", "logistic"], n), "family": "heart", "table": rng.choice(["va", "zurich"], n),
            "task": rng.choice(["d0", "d1"], n), "shots": rng.choice([1, 5], n), "note": "more",
        }
    )  # fmt: skip


def test_good_predictions_come_back_in_their_columns() -> None:
    frame = toy()
    found = check_predictions(frame)
    assert tuple(found.columns) == PREDICTIONS and len(found) == len(frame)
    edge = frame.assign(probability=np.tile([0.0, 1.0], 30), truth=np.tile([True, False], 30))
    assert len(check_predictions(edge)) == 60, "0 and 1 are probabilities, True and False are truths"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns=["truth", "row"]), r"lack columns \['row', 'truth'\].*probability"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f.assign(probability=f["probability"].where(f.index > 1)), "2 missing values in 'probability'"),
        (lambda f: f.assign(method=f["method"].where(f.index != 4)), "1 missing values in 'method'"),
        (lambda f: f.assign(truth=f["truth"].astype(float).where(f.index != 7, 0.5)), "1 values of 'truth'.*0.5"),
        (lambda f: f.assign(truth=f["truth"] + 1), "'truth' are out of range.*0 .healthy. or 1"),
        (lambda f: f.assign(probability=f["probability"].where(f.index != 3, 1.000001)), "1 values.*1.000001.*clip"),
        (lambda f: f.assign(probability=-f["probability"]), "60 values of 'probability' are out of range"),
    ],
)
def test_bad_predictions_are_refused(change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_predictions(change(toy()))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 80), st.integers(0, 9))
def test_groups_are_those_of_a_plain_loop(n: int, seed: int) -> None:
    frame = toy(n, seed)
    found = list(groups(frame, DRAWS))
    expected = list(frame.groupby(DRAWS, sort=True))
    assert [key for key, _, _ in found] == [key for key, _ in expected]
    for (_, truth, probability), (_, part) in zip(found, expected, strict=True):
        assert truth.dtype == bool and truth.tolist() == part["truth"].astype(bool).tolist()
        assert probability.tolist() == part["probability"].tolist(), "rows keep their order"


def test_draws_then_tables_then_families_weigh_alike() -> None:
    rows = [
        ("heart", "va", "d0", 1.0), ("heart", "va", "d1", 3.0), ("heart", "va", "d2", np.nan),  # table: 2
        ("heart", "zurich", "d0", 6.0),  # family: 4
        ("liver", "ilpd", "d0", 8.0),
        ("lost", "lost", "d0", np.nan),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["family", "table", "task", "value"])
    frame = frame.assign(method="g", shots=5, metric="error", bin=0)
    (found,) = over_families(frame, by=["bin"]).itertuples(index=False)
    assert found[:4] == ("g", 5, 0, "error")
    low, high = t_interval(np.array([4.0, 8.0]))
    assert found[4:] == pytest.approx((6.0, low, high, 2, 3))


def test_one_family_has_no_interval() -> None:
    frame = pd.DataFrame([("g", 5, "heart", "va", "error", 0.25)], columns=["method", "shots", *_LONG])
    found = over_families(frame)
    assert list(found.columns) == ["method", "shots", "metric", *AVERAGES]
    assert found["mean"][0] == 0.25 and np.isnan(found["low"][0]) and found["n_families"][0] == 1


_LONG = ["family", "table", "metric", "value"]
