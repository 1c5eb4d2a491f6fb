"""A family of drawn tables and a g trained on it in moments, for the tests of diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

import helpers  # noqa: F401  (one thread)
from metastudy.diagnosis_file import train_on
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.families.diagnosis import CHANNELS
from metastudy.model import ColumnNet
from metastudy.tabular.ensemble import Ensemble
from metastudy.tabular.synthetic import SyntheticTables
from metastudy.tasks import Kind, Task
from metastudy.train import TrainConfig

WIDTH = 8
CONFIG = TrainConfig(steps=30, tasks_per_step=4, learning_rate=3e-3, validate_every=30)


@dataclass(frozen=True)
class ToyTables(Family):
    """Tables that nobody measured, as a family with one fold."""

    study: ClassVar[str] = "toy_tables"
    kind: ClassVar[Kind] = "binary"
    metrics: ClassVar[tuple[str, ...]] = ("auroc",)
    max_shots: ClassVar[int] = 5
    shots: tuple[int, ...] = (2, 5)
    n_columns: int = WIDTH
    n_train_query: int = 20

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("one", ("drawn",), ("drawn too",), ()),)

    def model(self) -> ColumnNet:
        return ColumnNet(CHANNELS, self.n_columns)

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tables = SyntheticTables(self.n_columns, self.n_train_query)
        return [tables.task(shots, rng) for _ in range(n_tasks)]

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        return []

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        raise NotImplementedError

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        raise NotImplementedError

    def content_hash(self) -> str:
        return "drawn"


@cache
def toy_model() -> Ensemble:
    """g of a few steps, twice; β is moved far from its start, so that it depends on the table."""
    found = train_on(ToyTables(), seed=0, config=CONFIG, trainings=2)
    for i, params in enumerate(found.params):
        noise = torch.randn(params["beta.weight"].shape, generator=Generator().manual_seed(i))
        params["beta.weight"] += noise
    return found


def patients(n: int = 12, n_columns: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, n_columns) numbers in which the sick, every other row, have more; and 0 or 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, n_columns)) + np.outer(y, np.linspace(0.2, 1.5, n_columns)), y
