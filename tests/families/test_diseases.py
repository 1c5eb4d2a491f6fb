"""Diseases: held out with all their tables, patients never on both sides, everything learned from the support."""

from __future__ import annotations

import dataclasses
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import skew

from at_hand import needs
from helpers import NoTestFold
from metastudy import registry, task_lists
from metastudy.errors import DataError, ParameterError
from metastudy.families.diseases import DISEASES, EXCLUDED, GROUPS, HEART, Diseases, tables_of
from metastudy.families.encoded import Encoded
from metastudy.families.patients import class_limits, unpack
from metastudy.loaders.medical import HOSPITALS, MedicalTable
from metastudy.tasks import collate

NAMES = tuple(name for disease in DISEASES for name in tables_of(disease))
SOURCES = tuple(source.name for source in registry.load().of_field("medical"))
WIDE, TWICE = "arrhythmia", "breast_wisconsin"  # more columns than fit; patients with several rows


def made_table(name: str, seed: int) -> Encoded:
    rng = np.random.default_rng(seed)
    n_columns = 60 if name == WIDE else int(rng.integers(3, 12))
    diagnosis = np.repeat([0] * 40 + [1] * 25, 2 if name == TWICE else 1)
    x = rng.normal(size=(len(diagnosis), n_columns)) + diagnosis[:, None]
    x[rng.random(x.shape) < 0.1] = np.nan
    patients = np.repeat(np.arange(65), 2) if name == TWICE else np.arange(65)
    return Encoded(name, tuple(f"c{i}" for i in range(n_columns)), x, diagnosis, patients)


def made(**settings: int) -> Diseases:
    """The family on tables of random numbers."""
    family = Diseases(**{"draws": 2, "n_query": 30, "n_train_query": 20, **settings})
    family.__dict__["data"] = {name: made_table(name, i) for i, name in enumerate(sorted(NAMES))}
    return family


FAMILY = made()
FOLDS = {fold.name: fold for fold in FAMILY.folds()}
SPECS = FAMILY.freeze(np.random.default_rng(0))


def test_every_table_is_used_once_or_excluded_with_a_reason() -> None:
    heart = {f"{HEART}{hospital}" for hospital in HOSPITALS}
    assert len(DISEASES) == len(set(DISEASES)) == 20 and len(NAMES) == len(set(NAMES)) == 24
    assert not set(EXCLUDED) & set(NAMES) and all(EXCLUDED.values())
    assert set(NAMES) | set(EXCLUDED) == {*SOURCES, *heart} - {"heart"}


def test_no_disease_is_on_two_sides_of_a_fold() -> None:
    tested = []
    for fold in FAMILY.folds():
        sides = [{t for d in part for t in tables_of(d)} for part in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 24
        for tables in GROUPS.values():
            assert sum(bool(set(tables) & side) for side in sides) == 1
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (12, 4, 4)
        tested += fold.test
    assert sorted(tested) == sorted(DISEASES) and len(FOLDS) == 5


def test_folds_are_a_random_permutation() -> None:
    names = sorted(DISEASES)
    drawn = [names[i] for i in np.random.default_rng(task_lists.SEED).permutation(len(names))]
    assert tuple(drawn) == DISEASES


@pytest.mark.parametrize("part", ["train", "validation"])
def test_sampled_tasks_are_of_their_part_only(part: str) -> None:
    fold = FAMILY.folds()[3]
    tasks = FAMILY.sample(NoTestFold(fold), part, 3, 60, np.random.default_rng(0))
    assert {task.family for task in tasks} == set(getattr(fold, part))
    for task in tasks:
        assert task.support_y.tolist() == [0.0] * 3 + [1.0] * 3 and len(task.query_y) == 20
        assert task.support_x.shape == (6, 43, 4) and task.query_x.shape == (20, 43, 4)
        assert set(task.query_y.tolist()) == {0.0, 1.0}
    assert collate(tasks).n_tasks == 60


def test_the_tables_of_a_disease_are_sampled_alike() -> None:
    fold = dataclasses.replace(FAMILY.folds()[0], train=("heart",))
    widths = {len(FAMILY.data[name].columns) for name in tables_of("heart")}
    tasks = FAMILY.sample(fold, "train", 1, 40, np.random.default_rng(0))
    assert {int(task.query_x[0, :, -1].sum()) for task in tasks} == widths and len(widths) > 1


def test_sampling_repeats_with_the_seed() -> None:
    first, again = (FAMILY.sample(FAMILY.folds()[1], "train", 5, 4, np.random.default_rng(7)) for _ in range(2))
    assert all(
        torch.equal(a.query_x, b.query_x) and a.query_ids == b.query_ids for a, b in zip(first, again, strict=True)
    )


@pytest.mark.parametrize("spec", SPECS[::5], ids=lambda spec: spec.id)
def test_frozen_tasks_are_what_their_ids_say(spec) -> None:
    table, fold = FAMILY.data[spec.id.split("/")[0]], FOLDS[spec.fold]
    assert spec.family in fold.test and table.name in tables_of(spec.family)
    healthy, sick = spec.support
    assert (len(healthy), len(sick)) == class_limits(table, 20)
    assert not table.diagnosis[list(healthy)].any() and table.diagnosis[list(sick)].all()
    query = unpack(spec.query).tolist()
    assert not set(table.patients[query]) & set(table.patients[[*healthy, *sick]])
    for k in (1, 3, 10, 20):
        task = FAMILY.build(spec, k, fold)
        rows = [*healthy[:k], *sick[:k]]
        x = table.x[:, list(spec.columns)] if spec.columns else table.x
        p = x.shape[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a column that nobody in the support has measured
            medians = np.nan_to_num(np.nanmedian(x[rows], axis=0))
        filled = np.where(np.isnan(x), medians, x)
        mean, deviation = filled[rows].mean(0), filled[rows].std(0)
        known = deviation > 1e-9
        z = np.where(known, 3 * np.tanh((filled - mean) / np.where(known, deviation, 1) / 3), 0)
        np.testing.assert_allclose(task.support_x[:, :p, 0].numpy(), z[rows], rtol=0, atol=1e-6)
        np.testing.assert_allclose(task.query_x[:, :p, 0].numpy(), z[query], rtol=0, atol=1e-6)
        np.testing.assert_allclose(task.query_x[:, :p, 1].numpy(), np.abs(z[query]) - 1, rtol=0, atol=1e-6)
        leaning = np.tanh(skew(z[rows][:, known]))
        np.testing.assert_allclose(task.query_x[0, :p][known, 2].numpy(), leaning, rtol=0, atol=1e-6)
        assert (task.query_x[:, :p, 3] == 1).all() and not task.query_x[:, p:].any()
        assert task.query_ids == tuple(map(str, query)) and task.family == spec.family
        assert task.query_y.tolist() == table.diagnosis[query].tolist()
        assert task.support_y.tolist() == [0.0] * len(healthy[:k]) + [1.0] * len(sick[:k])


def test_a_table_with_too_many_columns_is_seen_through_some_of_them() -> None:
    wide = [spec for spec in SPECS if spec.id.startswith(WIDE)]
    assert all(len(set(spec.columns)) == 43 and max(spec.columns) < 60 for spec in wide)
    assert wide[0].columns != wide[1].columns
    assert all(spec.columns == () for spec in SPECS if spec not in wide)


def test_what_the_support_shows_does_not_depend_on_the_query() -> None:
    spec = SPECS[0]
    table = FAMILY.data[spec.id.split("/")[0]]
    query = unpack(spec.query)
    changed = made()
    x = table.x.copy()
    x[query[1:]] = 1e6
    changed.data[table.name] = dataclasses.replace(table, x=x)
    task, other = (family.build(spec, 5, FOLDS[spec.fold]) for family in (FAMILY, changed))
    assert torch.equal(task.support_x, other.support_x) and torch.equal(task.query_x[0], other.query_x[0])
    assert not torch.equal(task.query_x[1:], other.query_x[1:])


def test_a_written_list_is_read_back(tmp_path) -> None:
    assert task_lists.read(FAMILY, task_lists.write(FAMILY, tmp_path).parent) == FAMILY.freeze(task_lists.rng())


def test_pickled_and_printed() -> None:
    family = Diseases(draws=3)
    assert pickle.loads(pickle.dumps(family)) == family and "data" not in family.__dict__
    assert repr(family).startswith("Diseases(shots=(1, 3, 5, 10, 20), n_columns=43")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "nowhere/000"}, "disease 'lymphography' has no table 'nowhere'"),
        ({"family": "heart"}, "disease 'heart' has no table 'lymphography'"),
        ({"query": ("AAAAAAAAAAAAAAE=",)}, "asks for row 87 of 65"),
        ({"support": ((0, 1), (65,))}, "asks for row 65 of 65"),
        ({"columns": (0, 50)}, "asks for column 50 of"),
        ({"query": (1, 2)}, "is no packed list of rows"),
    ],
)
def test_tasks_of_other_data_are_refused(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FAMILY.build(dataclasses.replace(SPECS[0], **change), 1, FOLDS[SPECS[0].fold])


def test_too_many_shots_are_refused() -> None:
    with pytest.raises(ParameterError, match="expected numbers from 1 to 20"):
        Diseases(shots=(1, 21))


def test_hash_is_of_the_data() -> None:
    changed = made()
    first = changed.data["bupa"]
    changed.data["bupa"] = dataclasses.replace(first, x=first.x + 1)
    assert changed.content_hash() != FAMILY.content_hash() == made(draws=5).content_hash()


def loaded(name: str, sick: int = 25) -> MedicalTable:
    """What a loader would give: 40 healthy patients and some sick ones; at each of four hospitals, for heart."""
    sites = HOSPITALS if name == "heart" else ("",)
    diagnosis = np.tile([0] * 40 + [1] * sick, len(sites))
    site = np.repeat(sites, 40 + sick)
    values = pd.DataFrame({"pulse": np.arange(len(diagnosis), dtype=float)})
    rest = {"age": None, "sex": None, "counts": {}, "rows_removed": {}, "cells_repaired": {}}
    return MedicalTable(
        name,
        values,
        diagnosis,
        diagnosis.astype(str),
        np.arange(len(diagnosis)),
        site if len(sites) > 1 else None,
        **rest,
    )


def test_tables_come_from_their_loaders_and_heart_by_hospital(monkeypatch) -> None:
    monkeypatch.setattr("metastudy.loaders.load", loaded)
    data = Diseases().data
    assert set(data) == set(NAMES) and all(len(table.diagnosis) == 65 for table in data.values())
    assert data["heart_va"].x[:, 0].tolist() == list(range(195, 260)) and data["bupa"].x[0, 0] == 0


def test_a_table_with_too_few_of_a_class_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("metastudy.loaders.load", lambda name: loaded(name, 19 if name == "kidney" else 25))
    with pytest.raises(DataError, match=r"table 'kidney' has 19 patients of class 1, expected at least 20"):
        Diseases().data  # noqa: B018


@pytest.fixture(scope="module")
def real() -> Diseases:
    return Diseases(draws=4)


@needs(*SOURCES)
def test_real_tables_hold_what_the_tasks_need(real: Diseases) -> None:
    assert set(real.data) == set(NAMES)
    widths = {name: len(table.columns) for name, table in real.data.items()}
    assert {name for name, width in widths.items() if width > real.n_columns} == {"arrhythmia"}
    assert widths["kidney"] == real.n_columns  # the widest that fits
    for table in real.data.values():
        assert min(np.bincount(table.diagnosis)) >= 20 and len(np.unique(table.patients)) <= len(table.diagnosis)
        assert not np.isnan(table.x).all(0).any()
    assert len(np.unique(real.data["breast_wisconsin"].patients)) == 645


@needs(*SOURCES)
def test_real_tasks_are_small_lists_of_finite_tasks(real: Diseases, tmp_path) -> None:
    path = task_lists.write(real, tmp_path)
    specs = task_lists.read(real, tmp_path)
    assert len(specs) == 24 * 4 and path.stat().st_size / len(specs) < 390  # bytes a task: 24 x 100 of them are 0.9 MB
    prevalence = {}
    for spec in specs:
        task = real.build(spec, 5, next(f for f in real.folds() if f.name == spec.fold))
        table = real.data[spec.id.split("/")[0]]
        chosen = [row for ids in spec.support for row in ids]
        assert not set(table.patients[unpack(spec.query)]) & set(table.patients[chosen])
        assert len(task.query_y) == min(200, np.sum(~np.isin(table.patients, table.patients[chosen])))
        prevalence.setdefault(table.name, []).append(float(task.query_y.mean()) - table.diagnosis.mean())
    assert np.mean([np.mean(v) for v in prevalence.values()]) == pytest.approx(0, abs=0.03)
