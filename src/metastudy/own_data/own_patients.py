"""Somebody's table of patients as a family: earlier tasks are the medical tables that come with scikit-learn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import pad

from metastudy.errors import DataError
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.families.diagnosis import CHANNELS, scores
from metastudy.families.patients import pack, unpack
from metastudy.families.tables import TABLES, MedicalTables
from metastudy.model import ColumnNet
from metastudy.own_data import blocks
from metastudy.tabular.own_table import OwnTable
from metastudy.tasks import Kind, Task

MOST_ASKED = 200  # patients of a query, as in the study


@dataclass(frozen=True, eq=False)
class Patients:
    """N patients: columns as they were read, diagnosis (N,) 0 or 1, and two names each: `task` (a hospital, say), and
    `group`, equal in rows that are not independent."""

    columns: pd.DataFrame
    diagnosis: np.ndarray
    task: np.ndarray
    group: np.ndarray

    def digest(self) -> str:
        """sha256 of all of it."""
        rows = self.columns.assign(**{"\0y": self.diagnosis, "\0t": self.task, "\0g": self.group})
        return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class OwnPatients(Family):
    """A task: k labelled patients of each class, and up to 200 patients of one block to diagnose.

    Blocks (`blocks`) share no patient; with six tasks or more (`Patients.task`) these are the independent units
    instead. Columns are read off the labelled patients alone (`OwnTable`) and padded to `n_columns`, which changes no
    prediction. Earlier tasks are both tables of `MedicalTables`: 70% of their patients train, the others validate.
    """

    study: ClassVar[str] = "own_diagnosis"
    kind: ClassVar[Kind] = "binary"
    metrics: ClassVar[tuple[str, ...]] = ("auroc", "log_loss", "brier")
    clustered: ClassVar[bool] = True
    max_shots: ClassVar[int] = 50
    n_train_query: ClassVar[int] = 60
    patients: Patients
    shots: tuple[int, ...]
    n_columns: int
    draws: int = 40
    digest: str = field(default="")

    def __post_init__(self) -> None:
        self.check_shots()
        if not self.digest:
            object.__setattr__(self, "digest", self.patients.digest())

    def __repr__(self) -> str:
        return f"OwnPatients({self.digest[:16]}, shots={self.shots}, n_columns={self.n_columns}, draws={self.draws})"

    @property
    def earlier(self) -> MedicalTables:
        return MedicalTables(shots=tuple(sorted({min(k, MedicalTables.max_shots) for k in self.shots})))

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("own", TABLES, TABLES, tuple(dict.fromkeys(self.patients.task))),)

    def model(self) -> ColumnNet:
        return ColumnNet(channels=CHANNELS, n_columns=self.n_columns)

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        """Earlier tasks, padded. Where more shots are asked for than they have, they have their most."""
        tasks = self.earlier.sample(fold, part, min(shots, self.earlier.max_shots), n_tasks, rng)
        return [replace(t, support_x=self._padded(t.support_x), query_x=self._padded(t.query_x)) for t in tasks]

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """Task by task its blocks in turn, until there are `draws` in all, and at least one a block."""
        names = list(dict.fromkeys(self.patients.task))
        own = {name: np.flatnonzero(self.patients.task == name) for name in names}
        each = -(-self.draws // len(names))
        specs = []
        for name, rows in own.items():
            y, group = self.patients.diagnosis[rows], self.patients.group[rows]
            n = blocks.n_blocks(y, group, max(self.shots), ("0", "1"), f"task {name!r}")
            block_of = blocks.deal(y, group, n, rng)
            blocks.check_both(y, block_of, f"task {name!r}")
            for i in range(max(each, n)):
                support, query = blocks.draw(y, group, block_of, i % n, max(self.shots), MOST_ASKED, rng)
                unit = name if len(names) >= blocks.FEWEST else f"{name}/{i % n}"
                ids = tuple(tuple(rows[s].tolist()) for s in support)
                specs.append(TaskSpec(f"{name}/{i % n}/{i // n}", unit, "own", ids, pack(rows[query])))
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        support = [row for ids in spec.support for row in ids[:shots]]
        return self.task(spec.id, spec.family, support, unpack(spec.query))

    def task(self, name: str, unit: str, support: Sequence[int], query: Sequence[int]) -> Task:
        """Rows of the user's table as a task."""
        p = self.patients
        table = OwnTable.of(p.columns.iloc[list(support)])
        x = table.rows(), table.rows(p.columns.iloc[list(query)])
        y = [torch.tensor(p.diagnosis[list(rows)], dtype=torch.float32) for rows in (support, query)]
        return Task(name, unit, "binary", self._padded(x[0]), y[0], self._padded(x[1]), y[1],
                    query_ids=tuple(map(str, query)))  # fmt: skip

    def _padded(self, x: Tensor) -> Tensor:
        if x.shape[1] > self.n_columns:
            raise DataError(f"{x.shape[1]} columns, room for {self.n_columns}; expected the table that it was made for")
        return pad(x, (0, 0, 0, self.n_columns - x.shape[1]))

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return scores(task, prediction, self.metrics)

    def content_hash(self) -> str:
        return self.digest


def most_columns(columns: pd.DataFrame) -> int:
    """How many columns of numbers `OwnTable` can make of these, whichever patients are labelled."""
    wide = 0
    for name in columns:
        values = columns[name]
        held = values.dropna().nunique()
        wide += 1 if pd.api.types.is_numeric_dtype(values) or held <= 2 else held
    return wide + int(columns.isna().any().sum())
