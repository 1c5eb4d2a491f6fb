"""Subgroups against scikit-learn on their rows, and the bootstrap against one that copies patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, recall_score, roc_auc_score

from metastudy.clinical.subgroups import COLUMNS, METRICS, by_subgroup, subgroup_differences, weighted_auroc
from metastudy.errors import DataError, ParameterError


def toy(n: int = 90, draws: int = 4, seed: int = 0, methods: tuple[str, ...] = ("g", "logistic")) -> pd.DataFrame:
    """Two tables of n patients; each draw asks about two thirds of them."""
    rng = np.random.default_rng(seed)
    frames = []
    for table in ("va", "ilpd"):
        truth = (rng.random(n) < 0.45).astype(int)
        for draw in range(draws):
            rows = rng.permutation(n)[: 2 * n // 3]
            for method in methods:
                p = np.clip(rng.normal(0.35 + 0.3 * truth[rows], 0.2), 0, 1).round(2)
                columns = {"method": method, "family": table, "table": table, "task": f"{table}/{draw}", "shots": 5}
                frames.append(pd.DataFrame(columns | {"row": rows, "truth": truth[rows], "probability": p}))
    return pd.concat(frames, ignore_index=True)


def halves(frame: pd.DataFrame, every: int = 3) -> pd.DataFrame:
    known = frame[["table", "row"]].drop_duplicates()
    return known.assign(subgroup=np.where(known["row"] % every == 0, "women", "men"))


def slow(part: pd.DataFrame, threshold: float) -> list[float]:
    by_draw = [d for _, d in part.groupby("task") if d["truth"].nunique() == 2]
    return [
        np.mean([roc_auc_score(d["truth"], d["probability"]) for d in by_draw]) if by_draw else np.nan,
        brier_score_loss(part["truth"], part["probability"], labels=[0, 1]),
        part["probability"].mean() - part["truth"].mean(),
        recall_score(part["truth"], part["probability"] >= threshold) if part["truth"].any() else np.nan,
    ]


def test_every_measure_is_scikit_learns_on_the_subgroups_rows() -> None:
    frame = toy()
    sex = halves(frame)
    found = by_subgroup(frame, sex, threshold=0.6)
    assert list(found.columns) == COLUMNS and len(found) == 2 * 2 * 2 * len(METRICS)
    assert found[["low", "high"]].isna().all().all(), "no interval without resamples"
    joined = frame.merge(sex, on=["table", "row"])
    for (method, table, subgroup), rows in found.groupby(["method", "table", "subgroup"]):
        part = joined[(joined["method"] == method) & (joined["table"] == table) & (joined["subgroup"] == subgroup)]
        assert rows.set_index("metric")["value"][list(METRICS)].tolist() == pytest.approx(slow(part, 0.6))
        people = joined[(joined["table"] == table) & (joined["subgroup"] == subgroup)].drop_duplicates("row")
        assert set(rows["n_patients"]) == {len(people)} and set(rows["n_sick"]) == {people["truth"].sum()}


def test_a_subgroup_of_one_class_is_missing_where_it_must_be() -> None:
    frame = toy()
    healthy = frame.loc[(frame["truth"] == 0) & (frame["table"] == "va"), ["table", "row"]].drop_duplicates()
    found = by_subgroup(frame, healthy.assign(subgroup="healthy"), resamples=20)
    values = found[found["method"] == "g"].set_index("metric")
    assert values["value"][["auroc", "sensitivity"]].isna().all() and values["n_sick"].eq(0).all()
    assert values["low"][["auroc", "sensitivity"]].isna().all()
    assert values[["value", "low", "high"]].loc[["brier", "in_the_large"]].notna().all().all()
    assert set(found["table"]) == {"va"}, "patients without a subgroup are left out"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=20))
def test_weights_are_copies(drawn: list[tuple[int, int, int]]) -> None:
    truth, p, w = (np.array(column) for column in zip(*drawn, strict=True))
    p = p / 5
    found = weighted_auroc(truth, p, np.stack([w, np.ones_like(w)]))
    for value, copies in zip(found, (w, np.ones_like(w)), strict=True):
        y, q = np.repeat(truth, copies), np.repeat(p, copies)
        expected = roc_auc_score(y, q) if len(set(y)) == 2 else np.nan
        assert value == pytest.approx(expected, nan_ok=True)


def test_intervals_are_those_of_copied_patients() -> None:
    frame = toy(draws=2, methods=("g",))
    sex = halves(frame, every=2)
    found = by_subgroup(frame, sex, resamples=2000, seed=1)
    part = frame.merge(sex, on=["table", "row"]).query("table == 'va' and subgroup == 'women'")
    people = part["row"].unique()
    rng = np.random.default_rng(2)
    draws = []
    at = part.groupby("row").indices
    for _ in range(150):
        copies = np.concatenate([at[row] for row in rng.choice(people, len(people))])
        draws.append(slow(part.iloc[copies], 0.5))
    slow_low, slow_high = np.percentile(draws, [2.5, 97.5], axis=0)
    rows = found.query("table == 'va' and subgroup == 'women'").set_index("metric").loc[list(METRICS)]
    width = slow_high - slow_low
    assert (np.abs(rows["low"] - slow_low) < 0.2 * width).all() and (
        np.abs(rows["high"] - slow_high) < 0.2 * width
    ).all()
    assert ((rows["low"] < rows["value"]) & (rows["value"] < rows["high"])).all()


def test_differences_are_differences() -> None:
    frame = toy()
    sex = halves(frame)
    found = subgroup_differences(frame, sex, "women", "men", resamples=300)
    values = by_subgroup(frame, sex).set_index(["method", "table", "metric", "subgroup"])["value"]
    people = sex.groupby(["table", "subgroup"]).size().unstack()
    assert len(found) == 2 * 2 * len(METRICS)
    for r in found.itertuples():
        key = r.method, r.table, r.metric
        assert r.difference == pytest.approx(values[(*key, "women")] - values[(*key, "men")])
        assert r.low < r.difference < r.high and (r.n_a, r.n_b) == tuple(people.loc[r.table, ["women", "men"]])
    back = subgroup_differences(frame, sex, "men", "women", resamples=300)
    assert back["difference"].to_numpy() == pytest.approx(-found["difference"].to_numpy())
    assert back["low"].to_numpy() == pytest.approx(-found["high"].to_numpy()), "the same resamples"


def test_a_real_difference_is_found_and_none_where_there_is_none() -> None:
    frame = toy(n=300, draws=2, methods=("g",))
    sex = halves(frame, every=2)
    worse = frame["row"] % 2 == 0
    spoiled = frame.assign(probability=np.where(worse, 0.9, frame["probability"]))
    found = subgroup_differences(spoiled, sex, "women", "men", resamples=200).set_index(["table", "metric"])
    assert (found.loc[("va", "auroc"), ["low", "high"]] < 0).all() and found.loc[("va", "in_the_large"), "low"] > 0.2
    hits = 0
    for seed in range(30):
        null = toy(n=120, draws=1, seed=seed, methods=("g",))
        rows = subgroup_differences(null, halves(null, 2), "women", "men", resamples=200)
        rows = rows[(rows["table"] == "va") & (rows["metric"] == "brier")]
        hits += not (rows["low"].item() <= 0 <= rows["high"].item())
    assert hits <= 5, "about 2 of 30"


def test_resamples_depend_on_nothing_but_names_and_seed() -> None:
    frame = toy()
    sex = halves(frame)
    whole = (
        by_subgroup(frame, sex, resamples=50, seed=3).query("method == 'g' and table == 'va'").reset_index(drop=True)
    )
    shuffled = frame[(frame["table"] == "va")].sample(frac=1, random_state=0)
    alone = by_subgroup(shuffled, sex.iloc[::-1], resamples=50, seed=3).query("method == 'g'").reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, alone)
    other = by_subgroup(frame, sex, resamples=50, seed=4).query("method == 'g' and table == 'va'")
    assert (other["low"].to_numpy() != whole["low"].to_numpy()).any()


def test_an_interval_needs_resamples_that_are_defined() -> None:
    frame = toy(draws=1)
    sick = frame.query("table == 'va' and truth == 1")["row"].iloc[:1].tolist()
    well = frame.query("table == 'va' and truth == 0")["row"].unique()[:3].tolist()
    few = pd.DataFrame({"table": "va", "row": sick + well, "subgroup": "few"})
    found = by_subgroup(frame, few, resamples=200).query("method == 'g'").set_index("metric")
    assert np.isfinite(found["value"]["auroc"]) and np.isnan(found["low"]["auroc"]), "a third of them has no sick one"
    assert np.isfinite(found["low"]["brier"])


def test_bad_subgroups_are_refused() -> None:
    frame = toy()
    sex = halves(frame)
    for bad, message in (
        (sex.drop(columns="subgroup"), r"lack columns \['subgroup'\]"),
        (pd.concat([sex, sex.iloc[:1]]), "is in two subgroups"),
        (sex.assign(row=sex["row"].astype(str)), "expected the same table and row names"),
        (sex[sex["table"] == "va"].assign(table="elsewhere"), "no prediction is of a patient with a subgroup"),
        (sex.iloc[:0], "no prediction is of a patient"),
        (sex.assign(subgroup=None), "no prediction is of a patient"),
    ):
        with pytest.raises(DataError, match=message):
            by_subgroup(frame, bad)
    torn = frame.assign(
        truth=np.where((frame["row"] == 0) & (frame["task"] == "va/0"), 1 - frame["truth"], frame["truth"])
    )
    torn = torn[(torn["row"] != 0) | torn["task"].isin(["va/0", "va/1", "va/2", "va/3"])]
    with pytest.raises(DataError, match="sick in one prediction, healthy in another"):
        by_subgroup(torn, sex)
    with pytest.raises(DataError, match="no table has patients in both 'women' and 'children'.*men, women"):
        subgroup_differences(frame, sex, "women", "children")
    for threshold, resamples in ((1.5, 0), (0.5, -1)):
        with pytest.raises(ParameterError, match="expected a probability"):
            by_subgroup(frame, sex, threshold, resamples)
