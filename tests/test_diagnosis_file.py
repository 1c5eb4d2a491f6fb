"""A g for tables: trained as in the study, and kept in a file that is whole, or refused by name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from at_hand import needs
from metastudy import checkpoint, diagnosis_file, trained
from metastudy.diagnose import MetaDiagnosis
from metastudy.diagnosis_file import AllDiseases, train_g, train_on
from metastudy.errors import DataError
from metastudy.families import diagnosis
from metastudy.families.diseases import DISEASES, GROUPS
from metastudy.lineups.diseases import disease_mappings
from metastudy.tabular.ensemble import Ensemble
from metastudy.tabular.varied import TabularMethod, averaged
from metastudy.train import TrainConfig
from metastudy.trained import Trained
from toy_tables import CONFIG, ToyTables, patients, toy_model


@pytest.fixture
def path(tmp_path):
    diagnosis_file.write(tmp_path / "g.safetensors", toy_model())
    return tmp_path / "g.safetensors"


def rewritten(path, change):
    """The file with other tensors or another record, whole by its sha256."""
    tensors, record = checkpoint.read(path, diagnosis_file.KIND)
    record = {k: v for k, v in record.items() if k not in ("kind", "format")}
    change(tensors, record)
    checkpoint.write(path, diagnosis_file.KIND, tensors, record)


def test_what_is_read_is_what_was_written(path):
    model, found = toy_model(), diagnosis_file.read(path, toy_model().learner)
    assert found.learner == model.learner and len(found.params) == len(model.params) == 2
    for own, expected in zip(found.params, model.params, strict=True):
        assert own.keys() == expected.keys()
        assert all(torch.equal(own[name], expected[name]) for name in own)
    assert not torch.equal(found.params[0]["beta.bias"], found.params[1]["beta.bias"]), "each training has its own"


def test_the_record_says_what_it_learned_from(path):
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["trained on"] == ["drawn"] and record["stopped by"] == ["drawn too"]
    assert record["trainings"] == 2 and record["seed"] == 0 and record["columns"] == 8
    assert "steps=30" in record["config"] and "thinned=0.5" in record["variation"]
    assert diagnosis_file.read(path, toy_model().learner).about == record
    first = path.read_bytes()
    diagnosis_file.write(path, toy_model())
    assert path.read_bytes() == first, "the same bytes each time"


def test_a_damaged_or_foreign_file_is_refused(path, tmp_path):
    learner = toy_model().learner
    with pytest.raises(DataError, match="h.safetensors is missing; expected a diagnosis model"):
        diagnosis_file.read(tmp_path / "h.safetensors", learner)
    with pytest.raises(DataError, match="does not end in .safetensors"):
        diagnosis_file.write(tmp_path / "g.bin", toy_model())
    other = tmp_path / "other.safetensors"
    trained.save(other, learner, Trained(toy_model().params[0], []))
    with pytest.raises(DataError, match="is a trained model of format 1, expected a diagnosis model"):
        diagnosis_file.read(other, learner)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        diagnosis_file.read(path, learner)


def test_a_file_of_another_learner_is_refused(path):
    learner = toy_model().learner
    with pytest.raises(DataError, match="made by another version of the project: its learner is"):
        diagnosis_file.read(path, replace(learner, floor=0.3))
    rewritten(path, lambda tensors, record: tensors.pop("1.beta.bias"))
    with pytest.raises(DataError, match="its parameters are .*, expected .*; make it again"):
        diagnosis_file.read(path, learner)


def test_a_training_that_is_missing_is_noticed(path):
    def without_second(tensors, record):
        record["trainings"] = 1

    rewritten(path, without_second)
    with pytest.raises(DataError, match="tables are read otherwise here"):
        diagnosis_file.read(path, toy_model().learner)


def test_code_that_reads_tables_otherwise_is_noticed(path, monkeypatch):
    monkeypatch.setattr(diagnosis_file, "standardise", lambda a, b: (a - a.mean(0), b - a.mean(0)))
    with pytest.raises(DataError, match="tables are read otherwise here; make it again"):
        diagnosis_file.read(path, toy_model().learner)
    monkeypatch.setattr(diagnosis_file, "standardise", diagnosis.standardise)
    diagnosis_file.read(path, toy_model().learner)


def test_rounding_of_another_machine_is_no_difference(path):
    def rounded(tensors, record):
        tensors["probe"] *= 1 + 1e-6

    rewritten(path, rounded)
    assert isinstance(diagnosis_file.read(path, toy_model().learner), Ensemble)
    assert np.isfinite(checkpoint.read(path, diagnosis_file.KIND)[0]["probe"].numpy()).all()


def test_training_is_that_of_the_study():
    method = TabularMethod("g", disease_mappings(), trainings=2)
    family = ToyTables()
    fitted = method.fit(family, family.folds()[0], CONFIG, seed=0)
    found = train_on(family, seed=0, config=CONFIG, trainings=2)
    task = family.sample(family.folds()[0], "train", 5, 1, np.random.default_rng(0))[0]
    own = averaged(found.learner, [Trained(p, []) for p in found.params])
    assert torch.equal(own.predict([task], 5)[0], fitted.predict([task], 5)[0])
    assert found.about["validation loss"][0] == pytest.approx(fitted.trained.history[-1]["validation_loss"])
    assert all((found.params[0][k] != found.params[1][k]).any() for k in ("theta.cell0.weight", "beta.bias"))


def test_every_disease_is_learned_from_or_stops_training_and_none_is_tested():
    (fold,) = AllDiseases().folds()
    assert sorted((*fold.train, *fold.validation)) == sorted(DISEASES) and fold.test == ()
    assert len(fold.validation) == 4


@needs(*sorted((set(DISEASES) - set(GROUPS)) | {"heart", "hypothyroid", "new_thyroid", "wdbc", "breast_wisconsin"}))
def test_g_learns_from_public_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("metastudy.methods.N_VALIDATION", 2)
    config = TrainConfig(steps=2, tasks_per_step=2, validate_every=2)
    diagnosis_file.write(tmp_path / "g.safetensors", train_g(0, config, trainings=1))
    x, y = patients()
    found = MetaDiagnosis(tmp_path / "g.safetensors").fit(x, y)
    assert found.model_.about["trained on"] == list(DISEASES[:16])
    assert found.score(x, y) > 0.6
