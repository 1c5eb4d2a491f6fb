"""An evaluation leaves its traces in the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal

from helpers import ToyFamily
from metastudy import evaluate, parameters, recipes, study, task_lists
from metastudy.abtest import summarise
from metastudy.adapt import MAML, RidgeHead
from metastudy.errors import DataError
from metastudy.families.sinusoid import Sinusoid
from metastudy.lineups.sinusoid import sinusoid_example
from metastudy.methods import InputColumn, Scratch, mixture_and_members
from metastudy.project import Project, sha256
from metastudy.train import TrainConfig

CONFIG = TrainConfig(steps=2, tasks_per_step=2, validate_every=1)


class Toy(parameters.CrossValidated):
    pass


FAMILY = ToyFamily("regression", shots=(1, 3), n_test=2)
VALUES = {"profile": "quick", "seed": 4, "jobs": 1, "seeds": 2, "primary_seeds": 2, "steps": 2, "shots": [1, 3]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> study.Run:
    monkeypatch.setitem(parameters.MODELS, "01_toy", Toy)
    for variable in study.THREAD_LIMITS:
        monkeypatch.setenv(variable, "1")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    task_lists.write(FAMILY, tmp_path / "data" / "tasks" / "quick")
    return study.start("01_toy", VALUES, Project(tmp_path.resolve(), tmp_path.resolve() / "results", {"01_toy": ()}))


def test_the_task_list_is_an_input_of_the_run(run: study.Run) -> None:
    assert recipes.frozen(run, FAMILY) == FAMILY.freeze(np.random.default_rng(task_lists.SEED))
    run.finish()
    manifest = json.loads(run.project.manifest("quick", "01_toy").read_text())
    name = "data/tasks/quick/toy.json"
    assert manifest["inputs"] == {name: sha256(run.project.root / name)}


def test_a_missing_task_list_is_refused(run: study.Run) -> None:
    (run.project.root / "data/tasks/quick/toy.json").unlink()
    with pytest.raises(DataError, match="data/tasks/quick/toy.json is missing"):
        recipes.frozen(run, FAMILY)


def test_an_evaluation_writes_scores_and_table_and_goes_on_where_it_stopped(
    run: study.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = [InputColumn("first column", 0), *mixture_and_members(MAML(1), RidgeHead())[1:]]
    result, table = recipes.evaluate(run, FAMILY, tried, CONFIG)
    assert set(result.scores["method"]) == {"first column", "ridge", "g"} and set(result.scores["shots"]) == {1, 3}
    assert set(result.scores["seed"]) == {4, 5}, "`seeds` seeds, from `seed` on"
    assert_frame_equal(table, summarise(result.scores, clustered=False))
    assert len(run.read_scores("toy")) == len(result.scores) and len(run.read_table("toy")) == len(table)

    def never(*_: object) -> None:
        raise AssertionError("a finished fit was computed again")

    monkeypatch.setattr(evaluate, "run_cell", never)
    again, _ = recipes.evaluate(run, FAMILY, tried, CONFIG)
    assert_frame_equal(again.scores, result.scores, check_exact=True)


def test_refitting_gives_the_predictions_that_were_scored(run: study.Run) -> None:
    scratch = Scratch(n_steps=(2,))
    result, _ = recipes.evaluate(run, FAMILY, [scratch], CONFIG)
    fold, tasks, fitted = recipes.refit(run, FAMILY, scratch, CONFIG, shots=3)
    assert fold.name == "one" and [t.family for t in tasks] == ["d", "d"]
    (score,) = FAMILY.score(tasks[0], fitted.predict(tasks[:1], 3)[0])
    found = result.scores[(result.scores["seed"] == 4) & (result.scores["shots"] == 3)]
    assert found.iloc[0]["value"] == pytest.approx(score.value, rel=1e-5)


def test_the_sinusoid_example_shows_truth_and_predictions_of_one_task(
    run: study.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Sinusoid(shots=(5,), n_test=2)
    task_lists.write(family, run.project.root / "data" / "tasks" / "quick")
    curves, support = sinusoid_example(run, family, CONFIG)
    assert list(dict.fromkeys(curves["method"])) == ["maml", "ridge", "g", "truth"]
    assert curves.groupby("method").size().tolist() == [200] * 4 and len(support) == 5
    truth = curves[curves["method"] == "truth"]
    assert (truth["x"].min(), truth["x"].max()) == (-5, 5)
    near = np.interp(support["x"], truth["x"], truth["y"])
    assert near == pytest.approx(support["y"].to_numpy(), abs=0.02), "the labelled points lie on the true curve"
    assert torch.get_num_threads() == 1
