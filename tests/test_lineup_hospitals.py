"""The line-up of a new hospital: what must be in it, and that g mixes only what is also tried alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metastudy.adapt import REGISTRY, Unadapted
from metastudy.families.encoded import Encoded
from metastudy.families.hospitals import VALIDATED_ON, Hospitals
from metastudy.hospitals import NewHospital
from metastudy.hospitals.anchors import C
from metastudy.hospitals_study import ZERO
from metastudy.lineups.hospitals import BLIND, LOCAL, MEMBERS, SOURCE, hospital_methods
from metastudy.methods import FineTuned, Scratch
from metastudy.train import TrainConfig

METHODS = {m.name: m for m in hospital_methods()}
TOO_FEW = {"input_score", "from_scratch", "fine_tuned"}
"""Mappings that are no line of their own: no column is a field's own score, and two are methods with tuned settings."""


def small() -> Hospitals:
    rng = np.random.default_rng(0)
    family = Hospitals(draws=1, shots=(1, 2), support="random", n_train_query=20)
    family.__dict__["data"] = {
        name: Encoded(name, ("a", "b"), rng.normal(size=(60, 2)), (np.arange(60) % 4 > 0).astype(int), np.arange(60))
        for name in VALIDATED_ON
    }
    return family


def test_every_method_has_its_own_name_and_g_comes_last() -> None:
    names = [m.name for m in hospital_methods()]
    assert len(set(names)) == len(names) and names[-1] == "g"
    assert {SOURCE, LOCAL, BLIND, FineTuned().name, Scratch().name, "pooled"} <= set(names)
    assert set(ZERO) <= set(names)


def test_every_mapping_for_diagnoses_is_tried() -> None:
    tried = {m.name for method in METHODS.values() for m in getattr(method, "mappings", ())}
    assert {name for name, cls in REGISTRY.items() if "binary" in cls.kinds} - TOO_FEW <= tried


def test_source_only_is_the_anchors_regression() -> None:
    source = METHODS[SOURCE]
    assert source.mappings == (Unadapted(),) and not source.intercepts and source.penalty == C == 0.3


def test_g_mixes_what_is_tried_alone_over_the_same_f() -> None:
    g = METHODS["g"]
    alone = [
        m.mappings[0] for m in METHODS.values() if isinstance(m, NewHospital) and m.intercepts and len(m.mappings) == 1
    ]
    assert set(MEMBERS) <= set(alone) and g.mappings == METHODS[BLIND].mappings == MEMBERS
    assert METHODS[BLIND].blind and not g.blind


@pytest.mark.parametrize("name", METHODS)
def test_supports_of_one_class_are_answered(name: str) -> None:
    family = small()
    fold = family.folds()[0]
    tasks = family.sample(fold, "validation", 1, 30, np.random.default_rng(1))
    assert {0.5, 1.0} <= {float(t.support_y.mean()) for t in tasks}
    fitted = METHODS[name].fit(family, fold, TrainConfig(steps=1, tasks_per_step=2), 0)
    for task, p in zip(tasks, fitted.predict(tasks, 1), strict=True):
        assert p.shape == (len(task.query_y), 2) and torch.isfinite(p).all()
        torch.testing.assert_close(p.sum(1), torch.ones(len(p)), rtol=0, atol=1e-4)
