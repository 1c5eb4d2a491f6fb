"""Medical tables: diseases and patients stay apart, and scaling learns from the support alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew
from sklearn.datasets import load_breast_cancer, load_diabetes

from helpers import NoTestFold
from metastudy.errors import DataError, ParameterError
from metastudy.families.tables import CLIP, TABLES, MedicalTables, standardise
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


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 20), st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_standardising_equals_the_formula_and_forgets_units(seed, n_rows, unit, origin) -> None:
    rng = np.random.default_rng(seed)
    support, query = rng.normal(size=(n_rows, 3)), rng.normal(size=(5, 3))
    zs, zq = standardise(support, query)
    mean, deviation = support.mean(0), support.std(0)
    np.testing.assert_allclose(zs, 3 * np.tanh((support - mean) / deviation / 3), rtol=0, atol=1e-12)
    np.testing.assert_allclose(zq, 3 * np.tanh((query - mean) / deviation / 3), rtol=0, atol=1e-12)
    other = standardise(unit * support + origin, unit * query + origin)
    np.testing.assert_allclose(other[1], zq, rtol=0, atol=1e-5)


def test_standardising_learns_from_the_support_alone_and_clips_softly() -> None:
    rng = np.random.default_rng(0)
    support, query = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    zs, zq = standardise(support, query)
    far = query.copy()
    far[1:] = 1e6
    other_s, other_q = standardise(support, far)
    np.testing.assert_array_equal(other_s, zs)
    np.testing.assert_array_equal(other_q[0], zq[0])
    assert np.abs(other_q).max() <= CLIP and other_q[1].min() == pytest.approx(CLIP)
    assert np.all(np.diff(standardise(support, np.linspace(-9, 9, 50)[:, None].repeat(3, 1))[1], axis=0) > 0)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9, -1e-9])
def test_a_column_that_is_constant_in_the_support_tells_nothing(value) -> None:
    support = np.c_[np.full(4, value), np.arange(4.0)]
    zs, zq = standardise(support, np.array([[value + 1, 2.0], [value - 1e6, 1.0]]))
    assert not zs[:, 0].any() and not zq[:, 0].any()
    assert np.abs(zq[:, 1]).min() > 0


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


def test_scores_by_hand() -> None:
    y = torch.tensor([0.0, 1.0, 0.0, 1.0])
    x = torch.zeros(4, 6, 4)
    task = Task("t", "diabetes", "binary", x, y, x, y)
    sick = torch.tensor([0.1, 0.4, 0.5, 0.9])  # of four pairs, sick above healthy in three
    auroc, log_loss = FAMILY.score(task, torch.stack([1 - sick, sick], 1))
    assert (auroc.metric, auroc.value) == ("auroc", 0.75)
    assert log_loss.value == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.5) + math.log(0.9)) / 4)
    certain = torch.tensor([1.0, 0, 1, 0])
    assert FAMILY.score(task, torch.stack([1 - certain, certain], 1))[1].value == pytest.approx(-math.log(1e-7))


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
