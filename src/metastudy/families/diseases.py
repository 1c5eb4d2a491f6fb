"""Diseases as few-shot tasks: a table that meta-training never saw, from a handful of its patients.

24 public tables of 20 diseases. Tables that share patients, or may, are one disease here and are held out together.
Class 1 is always the sick one. Research data, not a medical device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from torch import Tensor

from metastudy import loaders
from metastudy.errors import DataError
from metastudy.families.base import Family, Fold, Ids, Part, Score, TaskSpec
from metastudy.families.diagnosis import CHANNELS, channels, impute, lean, scores, standardise
from metastudy.families.draws import rotate
from metastudy.families.encoded import Encoded, content_hash, encode
from metastudy.families.patients import (
    check_classes,
    check_rows,
    draw_balanced,
    draw_query,
    labels,
    pack,
    unpack,
)
from metastudy.model import ColumnNet
from metastudy.tasks import Kind, Task

MIN_SHOTS = 10  # of each class, that every table has to give
HEART = "heart_"  # tables of the source `heart`, one a hospital
GROUPS = {
    "heart": ("heart_cleveland", "heart_hungarian", "heart_va"),
    "thyroid": ("hypothyroid", "new_thyroid"),
    "wisconsin": ("wdbc", "breast_wisconsin"),
}
"""Diseases of several tables: one study at several hospitals, one gland, one clinic that may have sent a patient twice.
Breast cancer, lymphography and primary tumor of Ljubljana come from one institute too, but, as far as is known, from
different patients: three diseases."""

DISEASES = (
    "lymphography", "heart_failure", "bupa", "arrhythmia",
    "ilpd", "dermatology", "spect", "thyroid",
    "kidney", "primary_tumor", "cervical_cancer", "pima_diabetes",
    "vertebral_column", "breast_ljubljana", "heart", "cardiotocography",
    "hepatitis", "appendicitis", "haberman", "wisconsin",
)  # fmt: skip
"""In the order of one random permutation; the four of a line are tested together. Drawn once, never tuned."""

EXCLUDED = {
    "heart_switzerland": "8 healthy patients",
    "fertility": "12 patients with altered semen",
    "postoperative": "known to carry almost no signal; a decision, no disease",
    "acute_inflammations": "invented patients, told apart by rules",
    "parkinsons": "about 6 recordings a person and no ids: the same person would be learned from and diagnosed",
}
"""Tables that are loaded and not used here, and why."""


def tables_of(disease: str) -> tuple[str, ...]:
    """The tables of a disease."""
    return GROUPS.get(disease, (disease,))


@dataclass(frozen=True)
class Diseases(Family):
    """A task: one table, k patients per class, up to `n_query` others to diagnose at the table's own prevalence.

    All columns of the table, padded to `n_columns` (enough for every table but arrhythmia, whose tasks see so many of
    its 268, drawn anew for each). Missing values become the support's median, and a column of its own says that they
    were missing. Five folds: 4 diseases are tested, the next 4 validate, 12 train. `n_train_query` is the query's size
    in training and validation. A table gives at most half of a class to the support, `MIN_SHOTS` at least: where 20 of
    each are asked for, appendicitis has 10 without and hepatitis 16 who died.
    """

    study: ClassVar[str] = "diagnosis_diseases"
    kind: ClassVar[Kind] = "binary"
    metrics: ClassVar[tuple[str, ...]] = ("auroc", "log_loss")
    max_shots: ClassVar[int] = 20
    clustered: ClassVar[bool] = True
    shots: tuple[int, ...] = (1, 3, 5, 10, 20)
    n_columns: int = 43
    n_query: int = 200
    n_train_query: int = 60
    draws: int = 100  # frozen tasks per table

    def __post_init__(self) -> None:
        self.check_shots()

    @cached_property
    def data(self) -> dict[str, Encoded]:
        """The encoded tables by name. Raises DataError where a class is too small for `MIN_SHOTS`."""
        heart = loaders.load("heart")
        found = {}
        for name in (table for disease in sorted(DISEASES) for table in tables_of(disease)):
            hospital = name.removeprefix(HEART)
            table = heart.take(heart.sites == hospital, name) if hospital in heart.sites else loaders.load(name)
            found[name] = encode(table)
            check_classes(found[name], MIN_SHOTS)
        return found

    def folds(self) -> tuple[Fold, ...]:
        return rotate(DISEASES, 4)

    def model(self) -> ColumnNet:
        return ColumnNet(channels=CHANNELS, n_columns=self.n_columns)

    def _columns(self, table: Encoded, rng: np.random.Generator) -> Ids:
        """Columns of one task, where the table has more than there is room for; else () for all."""
        if len(table.columns) <= self.n_columns:
            return ()
        return tuple(sorted(rng.choice(len(table.columns), self.n_columns, replace=False).tolist()))

    def _task(
        self, task_id: str, disease: str, table: Encoded, columns: Ids, support: Sequence[int], query: Sequence[int]
    ) -> Task:
        values = table.x[:, list(columns)] if columns else table.x
        seen, asked = values[list(support)], values[list(query)]
        zs, zq = standardise(impute(seen, seen), impute(seen, asked))
        leaning = lean(zs)
        x_s, x_q = (channels(z, leaning, self.n_columns) for z in (zs, zq))
        ids = tuple(str(row) for row in query)
        return Task(
            task_id, disease, self.kind, x_s, labels(table, support), x_q, labels(table, query), query_ids=ids
        )  # fmt: skip

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        """Any disease of the part as often as another, and so any of its tables."""
        tasks, diseases = [], getattr(fold, part)
        for i in range(n_tasks):
            disease = diseases[rng.integers(len(diseases))]
            names = tables_of(disease)
            table = self.data[names[rng.integers(len(names))]]
            healthy, sick = draw_balanced(table, shots, rng)
            query = draw_query(table, [*healthy, *sick], self.n_train_query, rng)
            tasks.append(self._task(f"{part}{i}", disease, table, self._columns(table, rng), [*healthy, *sick], query))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """`draws` tasks per table, named table/number. The query is packed (`patients.pack`)."""
        specs = []
        for fold in self.folds():
            for disease, name in ((d, t) for d in fold.test for t in tables_of(d)):
                table = self.data[name]
                for i in range(self.draws):
                    columns = self._columns(table, rng)
                    healthy, sick = draw_balanced(table, self.max_shots, rng)
                    query = draw_query(table, [*healthy, *sick], self.n_query, rng)
                    support = (tuple(healthy), tuple(sick))
                    specs.append(TaskSpec(f"{name}/{i:03d}", disease, fold.name, support, pack(query), columns))
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        name = spec.id.split("/")[0]
        if name not in tables_of(spec.family) or name not in self.data:
            raise DataError(f"task {spec.id}: disease {spec.family!r} has no table {name!r}; draw the task list anew")
        table = self.data[name]
        query = unpack(spec.query).tolist()
        check_rows(spec, table, [*query, *(row for ids in spec.support for row in ids)])
        support = [row for ids in spec.support for row in ids[:shots]]
        return self._task(spec.id, spec.family, table, spec.columns, support, query)

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return scores(task, prediction, self.metrics)

    def content_hash(self) -> str:
        return content_hash(self.data.values())
