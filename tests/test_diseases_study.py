"""Questions about diseases, on scores whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from metastudy.clinical.predictions import PREDICTIONS, check_predictions
from metastudy.diseases_study import (
    ReversedDiseases,
    _predictions,
    adaptation_time,
    by_table,
    patients_saved,
    reversal,
    summary,
    ten_patients,
    unseen_table,
)
from metastudy.families.diagnosis import channels
from metastudy.families.diseases import Diseases
from metastudy.methods import Classifier
from metastudy.tasks import Task
from metastudy.train import TrainConfig

SHIFT = {"g": 0.1, "x": 0.0, "y": 0.12}


def scores(shots=(5,), seeds=(0, 1), tables=("a", "b"), methods=tuple(SHIFT)) -> pd.DataFrame:
    """Table a is easier by .2, seed 1 by .02, each label more by .01; g is .3 worse than usual in table b."""
    rows = []
    for table in tables:
        for draw in range(6):
            for method in methods:
                for k in shots:
                    for seed in seeds:
                        value = 0.5 + 0.2 * (table == "a") + SHIFT[method] + 0.02 * seed + 0.01 * k
                        value -= 0.3 * (method == "g" and table == "b")
                        rows.append(("diseases", table, f"{table}/{draw:03d}", method, k, seed, "auroc", value))
    columns = ["study", "family", "task", "method", "shots", "seed", "metric", "value"]
    frame = pd.DataFrame(rows, columns=columns)
    return pd.concat([frame, frame.assign(metric="log_loss", value=9.0)], ignore_index=True)


def test_tables_are_compared_one_by_one() -> None:
    found = by_table(scores(), ["x", "y"], 5)
    assert found["table"].tolist() == ["a", "b"], "the largest gain over the first rival on top"
    assert found["g"].tolist() == pytest.approx([0.86, 0.36])
    assert found["over x"].tolist() == pytest.approx([0.1, -0.2])
    assert found["over y"].tolist() == pytest.approx([-0.02, -0.32])
    said = summary(found, ["x", "y"]).set_index("rival")
    assert said.loc["x"].tolist() == ["x", pytest.approx(-0.05), 1, 2, "b", pytest.approx(-0.2)][1:]
    assert said.loc["y", "better on"] == 0


def test_what_turned_labels_cost() -> None:
    backwards = scores(seeds=(0,)).assign(value=lambda f: f["value"] - 0.04 * (f["method"] == "g"))
    found = reversal(scores(), backwards, "x").set_index("method")
    assert found.loc["g", "as coded"] == pytest.approx(0.61)
    assert found.loc["g", "reversed"] == pytest.approx(0.56)  # the first seed alone
    assert found.loc["g", "reversed, over x"] == pytest.approx(0.56 - 0.65)
    assert found.loc["x", "reversed, over x"] == 0


def test_patients_saved_are_counted_on_the_best_tool() -> None:
    frame = scores(shots=(1, 5, 10, 20), tables=("a",))
    found = patients_saved(frame, ["x", "y"], (5,), 0)
    assert found["k"].tolist() == [5] and 2 < found["needed"].iloc[0] < 5, "y needs fewer than g"
    alone = patients_saved(frame, ["x"], (5,), 0)
    assert 10 < alone["needed"].iloc[0] < 20, "g at 5 is x at 15"


def toy_task() -> Task:
    rng = np.random.default_rng(0)
    x = channels(rng.normal(size=(9, 3)), np.zeros(3))
    y = torch.tensor([0.0, 0, 1, 1, 0, 1, 0, 1, 1])
    return Task("wdbc/007", "wisconsin", "binary", x[:4], y[:4], x[4:], y[4:], query_ids=tuple("46810"))


def test_predictions_are_as_clinical_measures_want_them() -> None:
    found = check_predictions(_predictions("g", toy_task(), np.linspace(0, 1, 5), 2))
    assert list(found.columns) == list(PREDICTIONS) and len(found) == 5
    assert found["row"].tolist() == [4, 6, 8, 1, 0] and found["truth"].tolist() == [0, 1, 0, 1, 1]
    assert set(found["table"]) == {"wdbc"} and set(found["family"]) == {"wisconsin"} and set(found["shots"]) == {2}


def test_reversed_diseases_are_the_frozen_ones_with_other_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    task = toy_task()
    monkeypatch.setattr(Diseases, "build", lambda self, spec, shots, fold: task)
    found = ReversedDiseases().build(None, 2, None)
    assert torch.equal(found.support_y, 1 - task.support_y) and torch.equal(found.query_y, 1 - task.query_y)
    assert torch.equal(found.support_x, task.support_x)
    assert ReversedDiseases().task_list == Diseases.study and ReversedDiseases.sample is Diseases.sample


def test_time_is_measured_for_every_method() -> None:
    class Family:
        shots = (2,)

        def folds(self):
            return ("fold",)

        def sample(self, fold, part, shots, n_tasks, rng):
            return [toy_task()] * n_tasks

    class Constant:
        def fit(self, *_):
            return self

        def predict_proba(self, x):
            return np.full((len(x), 2), 0.5)

    found = adaptation_time(Family(), [Classifier("constant", Constant, channel=0)], TrainConfig(steps=1), 2)
    assert found["method"].tolist() == ["constant"] and 0 < found["ms"].iloc[0] < 1000


def test_the_unseen_table_and_its_ten_patients() -> None:
    table, progressed = unseen_table()
    assert table.shape == (442, 10) and 0.45 < progressed.mean() <= 0.5
    ten, patient = ten_patients(progressed, 0)
    assert progressed[ten].tolist() == [0] * 5 + [1] * 5 and patient not in ten and len(set(ten)) == 10
    assert ten_patients(progressed, 1)[0].tolist() != ten.tolist()
