"""A trained model comes back from a small file, and predicts the same without training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers import make_task
from learners import FOLD, MAPPINGS, QUICK, TOY, learner_of, train
from metastudy.adapt import RidgeHead
from metastudy.errors import DataError, TrainingError
from metastudy.methods import MetaMethod
from metastudy.mixture import MetaLearner
from metastudy.model import MLP
from metastudy.tasks import collate
from metastudy.trained import load, record, save


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", MAPPINGS)
def test_what_is_saved_predicts_the_same(name: str, path: Path) -> None:
    learner, batch = learner_of(*MAPPINGS[name]), collate([make_task("regression")])
    trained = train(learner)
    save(path, learner, trained)
    found = load(path, learner)
    assert set(found.params) == set(trained.params) and str(found.history) == str(trained.history)
    assert torch.equal(learner.predict(found.params, batch), learner.predict(trained.params, batch))
    assert path.stat().st_size < 20_000 and "history" in path.with_suffix(".json").read_text()


def test_a_method_is_fitted_from_the_file(path: Path) -> None:
    method = MetaMethod("g", MAPPINGS["mixture"])
    fitted = method.fit(TOY, FOLD, QUICK, 0)
    save(path, fitted.learner, fitted.trained)
    tasks = [make_task("regression", seed) for seed in range(3)]
    found = method.load(TOY, path)
    assert all(torch.equal(a, b) for a, b in zip(found.predict(tasks, 2), fitted.predict(tasks, 2), strict=True))
    assert found.learner == fitted.learner


def test_another_learner_other_shapes_and_a_checkpoint_are_refused(path: Path, monkeypatch) -> None:
    learner = learner_of(RidgeHead())
    save(path, learner, train(learner))
    other = learner_of(RidgeHead(initial_penalty=3.0))
    with pytest.raises(
        TrainingError, match=r"its learner is .*initial_penalty=1\.0.*, expected .*initial_penalty=3\.0"
    ):
        load(path, other)
    monkeypatch.setattr(MLP, "__repr__", lambda self: "MLP(in_dim=3, hidden=(6, 4))")
    with pytest.raises(TrainingError, match=r"its shapes is \{.*\[6, 4\].*, expected \{.*\[6, 5\]"):
        load(path, MetaLearner(MLP(3, (6, 5)), (RidgeHead(),)))
    with pytest.raises(DataError, match="none.safetensors is missing; expected a trained model"):
        load(path.with_name("none.safetensors"), learner)


def test_a_file_says_how_it_was_trained(path: Path) -> None:
    learner = learner_of(RidgeHead())
    fitted = train(learner)
    save(path, learner, fitted, {"seconds": 1.5, "learner": "something else"})
    found = record(path)
    assert found["seconds"] == 1.5 and found["learner"] == repr(learner), "what it is of cannot be said otherwise"
    assert str(found["history"]) == str(fitted.history)
    assert set(load(path, learner).params) == set(fitted.params)
    save(path, learner, fitted)
    assert "seconds" not in record(path)
    with pytest.raises(DataError, match="none.safetensors is missing"):
        record(path.with_name("none.safetensors"))
