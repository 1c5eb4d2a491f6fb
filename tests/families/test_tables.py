"""Medical tables: diseases and patients stay apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import skew
from sklearn.datasets import load_breast_cancer, load_diabetes

from helpers import NoTestFold
from metastudy.errors import DataError, ParameterError
from metastudy.families.diagnosis import standardise
from metastudy.families.tables import TABLES, MedicalTables
from metastudy.tasks import Task

FAMILY = MedicalTables(n_test=3)
VALUES = {"breast_cancer": load_breast_cancer().data, "diabetes": load_diabetes(scaled=False).data}
SICK = {
    "breast_cancer": load_breast_cancer().target == 0,
    "diabetes": load_diabetes().target > np.median(load_diabetes().target),
}


def fold_of(table: str):
    return next(f for f in FAMILY.folds() if f.test == (table,))


def specs_of(table: str):
    return [s for s in FAMILY.freeze(np.random.default_rng(1)) if s.fold == table]


def test_folds_test_a_disease_that_was_not_trained_on() -> None:
    assert sorted(f.test[0] for f in FAMILY.folds()) == sorted(TABLES)
    for fold in FAMILY.folds():
        assert not set(fold.test) & {*fold.train, *fold.validation}


@pytest.mark.parametrize("table", TABLES)
def test_training_and_validation_patients_are_different_people(table) -> None:
    train, validation = (set(FAMILY.patients(table, part).tolist()) for part in ("train", "validation"))
    assert not train & validation and train | validation == set(range(len(VALUES[table])))
    assert len(train) / len(VALUES[table]) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("table", TABLES)
def test_sampled_tasks_hold_the_patients_of_their_part_only(table, part) -> None:
    fold = fold_of(table)
    other = fold.train[0]
    allowed = set(FAMILY.patients(other, part).tolist())
    for task in FAMILY.sample(NoTestFold(fold), part, 3, 6, np.random.default_rng(0)):
        assert task.family == other != table
        assert task.support_y.tolist() == [0.0] * 3 + [1.0] * 3
        query = [int(i) for i in task.query_ids]
        assert len(query) == len(set(query)) == FAMILY.n_query and set(query) <= allowed
        assert task.query_y.bool().tolist() == SICK[other][query].tolist()
        assert task.support_x.shape == (6, 6, 4) and torch.isfinite(task.query_x).all()


@pytest.mark.parametrize("table", TABLES)
def test_frozen_tasks_are_what_their_ids_say(table) -> None:
    fold = fold_of(table)
    for spec in specs_of(table):
        healthy, sick = spec.support
        assert len(healthy) == len(sick) == 10 and not set(spec.query) & {*healthy, *sick}
        assert not SICK[table][list(healthy)].any() and SICK[table][list(sick)].all()
        for k in (1, 3, 10):
            task = FAMILY.build(spec, k, fold)
            rows = [*healthy[:k], *sick[:k]]
            columns = VALUES[table][:, list(spec.columns)]
            zs, zq = standardise(columns[rows], columns[list(spec.query)])
            np.testing.assert_allclose(task.support_x[..., 0].numpy(), zs, rtol=0, atol=1e-6)
            np.testing.assert_allclose(task.query_x[..., 0].numpy(), zq, rtol=0, atol=1e-6)
            np.testing.assert_allclose(task.query_x[..., 1].numpy(), np.abs(zq) - 1, rtol=0, atol=1e-6)
            varied = zs.std(0) > 0
            lean = np.tanh(skew(zs[:, varied]))
            np.testing.assert_allclose(task.query_x[0, varied, 2].numpy(), lean, rtol=0, atol=1e-6)
            assert not task.query_x[:, ~varied, 2].any() and (task.query_x[..., 3] == 1).all()
            assert task.query_ids == tuple(map(str, spec.query))
            assert task.query_y.bool().tolist() == SICK[table][list(spec.query)].tolist()


def test_what_the_support_shows_does_not_depend_on_the_query() -> None:
    spec, fold = specs_of("diabetes")[0], fold_of("diabetes")
    fewer = dataclasses.replace(spec, query=spec.query[:1])
    full, short = (FAMILY.build(s, 5, fold) for s in (spec, fewer))
    assert torch.equal(full.support_x, short.support_x) and torch.equal(full.query_x[:1], short.query_x)


def test_query_patients_keep_the_natural_prevalence() -> None:
    many = MedicalTables(n_test=60)
    for table in TABLES:
        specs = [s for s in many.freeze(np.random.default_rng(0)) if s.fold == table]
        found = np.mean([SICK[table][list(s.query)].mean() for s in specs])
        assert found == pytest.approx(SICK[table].mean(), abs=0.03)


def test_scores_are_those_of_a_diagnosis() -> None:
    y = torch.tensor([0.0, 1.0, 0.0, 1.0])
    task = Task("t", "diabetes", "binary", torch.zeros(4, 6, 4), y, torch.zeros(4, 6, 4), y)
    sick = torch.tensor([0.1, 0.4, 0.5, 0.9])  # of four pairs, sick above healthy in three
    found = FAMILY.score(task, torch.stack([1 - sick, sick], 1))
    assert [s.metric for s in found] == ["auroc", "log_loss"] and found[0].value == 0.75


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(ParameterError, match="expected numbers from 1 to 10"):
        MedicalTables(shots=(1, 20))
    spec = dataclasses.replace(specs_of("diabetes")[0], query=(0, 442))
    with pytest.raises(DataError, match="asks for row 442 of 442"):
        FAMILY.build(spec, 1, fold_of("diabetes"))


def test_hash() -> None:
    changed = MedicalTables()
    changed.__dict__["data"] = FAMILY.data | {"diabetes": (VALUES["diabetes"] + 1, FAMILY.data["diabetes"][1])}
    assert changed.content_hash() != FAMILY.content_hash() == MedicalTables(n_columns=4).content_hash()
