"""Drawn and varied tables are fit to learn from, and several trainings are averaged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from metastudy.families.base import Fold
from metastudy.families.diagnosis import channels, lean, standardise
from metastudy.losses import PROBABILISTIC
from metastudy.model import ColumnNet
from metastudy.tabular.column_prior import ColumnPrior
from metastudy.tabular.kernel_ridge import KernelRidge
from metastudy.tabular.synthetic import SyntheticTables, written
from metastudy.tabular.varied import FEWEST, TabularMethod, Variation, reversed_labels, thinned, varied_batches
from metastudy.tasks import collate
from metastudy.train import TrainConfig, rng_for

DRAWN = SyntheticTables(n_columns=12, n_query=20)
CONFIG = TrainConfig(steps=3, tasks_per_step=4, validate_every=1)


@dataclass(frozen=True)
class Drawn:
    """A family whose real tables are drawn too."""

    study: ClassVar[str] = "drawn"
    kind: ClassVar[str] = "binary"
    shots: tuple[int, ...] = (1, 3)
    n_columns: int = 12
    n_train_query: int = 20

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("one", ("a",), ("b",), ("c",)),)

    def model(self) -> ColumnNet:
        return ColumnNet(channels=4, n_columns=self.n_columns, hidden=4, width=2)

    def sample(self, fold, part, shots, n_tasks, rng):
        return [replace(DRAWN.task(shots, rng), id=part, family="real") for _ in range(n_tasks)]


FAMILY = Drawn()
FOLD = FAMILY.folds()[0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), shots=st.integers(1, 20))
def test_a_drawn_task_is_whole(seed, shots) -> None:
    task = DRAWN.task(shots, np.random.default_rng(seed))
    assert task.support_y.tolist() == [0.0] * shots + [1.0] * shots
    assert task.support_x.shape == (2 * shots, 12, 4) and task.query_x.shape == (20, 12, 4)
    assert 0 < task.query_y.sum() < 20
    real = task.support_x[0, :, 3] > 0
    assert real.sum() >= 4 and not task.query_x[:, ~real].any()


def test_drawn_columns_point_upwards_more_often_and_tell_something() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        sick = np.arange(400) % 2 == 1
        x = DRAWN.table(sick, rng)
        found.append([roc_auc_score(sick, x[:, j]) for j in range(x.shape[1]) if len(set(x[:, j])) > 1])
    of_column = np.concatenate(found)
    assert (of_column > 0.55).mean() > 1.5 * (of_column < 0.45).mean() > 0
    assert 0.05 < (np.abs(of_column - 0.5) > 0.1).mean() < 0.8, "neither all noise nor all signal"


def test_columns_are_written_in_every_form() -> None:
    rng = np.random.default_rng(1)
    column = rng.normal(size=200)
    distinct = {len(np.unique(written(column, rng))) for _ in range(60)}
    assert {2, 200} <= distinct and distinct & {3, 4, 5}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999))
def test_a_thinned_table_is_the_table_without_some_columns(seed) -> None:
    rng = np.random.default_rng(seed)
    task = DRAWN.task(3, rng)
    thin = thinned(task, rng)
    real, kept = task.support_x[0, :, 3] > 0, thin.support_x[0, :, 3] > 0
    assert FEWEST <= kept.sum() < real.sum() and not (kept & ~real).any()
    for part in ("support_x", "query_x"):
        x, y = getattr(thin, part), getattr(task, part)
        assert torch.equal(x[:, kept], y[:, kept]) and not x[:, ~kept].any()


def test_a_narrow_table_stays_whole() -> None:
    rng = np.random.default_rng(0)
    seen, asked = standardise(rng.normal(size=(4, FEWEST)), rng.normal(size=(5, FEWEST)))
    task = DRAWN.task(2, rng)
    narrow = replace(
        task, support_x=channels(seen, lean(seen), 12), query_x=channels(asked, lean(seen), 12),
        query_y=task.query_y[:5],
    )  # fmt: skip
    assert thinned(narrow, rng) is narrow


def test_reversing_twice_is_nothing() -> None:
    task = DRAWN.task(3, np.random.default_rng(0))
    assert torch.equal(reversed_labels(task).query_y, 1 - task.query_y)
    assert torch.equal(reversed_labels(reversed_labels(task)).support_y, task.support_y)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_shares_of_training_tasks(share) -> None:
    sample = varied_batches(FAMILY, FOLD, CONFIG, Variation(synthetic=share, thinned=0.0, reversed=share))
    batch = sample(np.random.default_rng(0))
    assert {t.family for t in batch.tasks} == ({"synthetic"} if share else {"real"})
    first = {t.support_y[0].item() for t in batch.tasks}
    assert first == {share}, "healthy come first, unless labels are reversed"


def test_the_average_of_several_trainings(tmp_path: Path) -> None:
    mappings = (ColumnPrior(hidden=4), KernelRidge())
    method = TabularMethod("g", mappings, trainings=2)
    fitted = method.fit(FAMILY, FOLD, CONFIG, 5, tmp_path / "cell.safetensors")
    tasks = FAMILY.sample(FOLD, "test", 3, 3, np.random.default_rng(7))
    found = fitted.predict(tasks, 3)
    again = method.fit(FAMILY, FOLD, CONFIG, 5).predict(tasks, 3)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True)), "a seed repeats"
    learner = fitted.learner
    params = [fitted.trained.params]
    one = TabularMethod("g", mappings, trainings=1).fit(FAMILY, FOLD, CONFIG, 5)
    assert all(torch.equal(v, params[0][k]) for k, v in one.trained.params.items()), "the first of two is the only one"
    single = one.predict(tasks, 3)
    assert any(not torch.allclose(a, b) for a, b in zip(found, single, strict=True))
    assert all(torch.allclose(p.sum(1), torch.ones(len(p)), atol=1e-6) for p in found)
    assert fitted.weights(tasks).shape == (3, 2) and torch.allclose(fitted.weights(tasks).sum(1), torch.ones(3))
    assert learner.predict(params[0], collate(tasks)).shape[0] == 3 and FAMILY.kind in PROBABILISTIC
    assert rng_for(5, 1, 0).random() == rng_for(5, 1).random(), "zeros at the end do not count"
