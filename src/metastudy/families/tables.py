"""Medical tables as few-shot tasks: a disease that meta-training never saw, from a handful of patients.

The two tables that come with scikit-learn: Wisconsin breast cancer (malignant or benign, 569 patients, 30 columns)
and diabetes (progression after a year above its median or not, 442 patients, 10 columns). Research data, not a
medical device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import Tensor

from metastudy.families.base import Family, Fold, Ids, Part, Score, TaskSpec, check_rows
from metastudy.families.diagnosis import CHANNELS, channels, lean, scores, standardise
from metastudy.model import ColumnNet
from metastudy.tasks import Kind, Task

TABLES = ("breast_cancer", "diabetes")


@dataclass(frozen=True)
class MedicalTables(Family):
    """A task: some columns of one disease's table, k patients per class, 100 others to diagnose.

    Two folds: the disease that is tested is never trained on; 30% of the other one's patients validate. Class 1 is
    always the sick one, and a task sees `n_columns` random columns, as a new clinic measures other things.
    """

    embedded: ClassVar[bool] = True
    study: ClassVar[str] = "diagnosis_diseases"
    kind: ClassVar[Kind] = "binary"
    metrics: ClassVar[tuple[str, ...]] = ("auroc", "log_loss")
    max_shots: ClassVar[int] = 10
    shots: tuple[int, ...] = (1, 3, 5, 10)
    n_columns: int = 6
    n_query: int = 100
    n_test: int = 150  # tasks per disease

    def __post_init__(self) -> None:
        self.check_shots()

    @cached_property
    def data(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        cancer, diabetes = load_breast_cancer(), load_diabetes(scaled=False)
        progressed = diabetes.target > np.median(diabetes.target)
        return {
            "breast_cancer": (cancer.data, (cancer.target == 0).astype(int)),  # 0 is malignant in scikit-learn
            "diabetes": (diabetes.data, progressed.astype(int)),
        }

    def folds(self) -> tuple[Fold, ...]:
        other = {"breast_cancer": "diabetes", "diabetes": "breast_cancer"}
        return tuple(Fold(t, train=(other[t],), validation=(other[t],), test=(t,)) for t in TABLES)

    def model(self) -> ColumnNet:
        return ColumnNet(channels=CHANNELS, n_columns=self.n_columns)

    def patients(self, table: str, part: Part) -> np.ndarray:
        """Row numbers: the same fixed 70% of a table train, the rest validate."""
        order = np.random.default_rng(0).permutation(len(self.data[table][1]))
        cut = int(0.7 * len(order))
        return order[:cut] if part == "train" else order[cut:]

    def _task(self, name: str, table: str, columns: Ids, support: np.ndarray, query: np.ndarray) -> Task:
        values, labels = self.data[table]
        values = values[:, list(columns)]
        zs, zq = standardise(values[support], values[query])
        leaning = lean(zs)
        y = [torch.tensor(labels[rows], dtype=torch.float32) for rows in (support, query)]
        ids = tuple(str(i) for i in query)
        x_s, x_q = channels(zs, leaning), channels(zq, leaning)
        return Task(name, table, "binary", x_s, y[0], x_q, y[1], query_ids=ids)

    def _draw(self, table: str, rows: np.ndarray, shots: int, rng: np.random.Generator) -> tuple[Ids, list, list]:
        """Columns, `shots` patients of each class, and query patients at the natural prevalence."""
        values, labels = self.data[table]
        columns = tuple(int(c) for c in sorted(rng.choice(values.shape[1], self.n_columns, replace=False)))
        rows = rng.permutation(rows)
        support = [rows[labels[rows] == c][:shots].tolist() for c in (0, 1)]
        taken = {*support[0], *support[1]}
        return columns, support, [int(r) for r in rows if r not in taken][: self.n_query]

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tasks = []
        for i in range(n_tasks):
            table = getattr(fold, part)[rng.integers(len(getattr(fold, part)))]
            columns, support, query = self._draw(table, self.patients(table, part), shots, rng)
            tasks.append(self._task(f"{part}{i}", table, columns, np.array(support[0] + support[1]), np.array(query)))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        specs = []
        for fold in self.folds():
            for i in range(self.n_test):
                table = fold.test[0]
                everyone = np.arange(len(self.data[table][1]))
                columns, support, query = self._draw(table, everyone, self.max_shots, rng)
                specs.append(
                    TaskSpec(f"{table}/{i:03d}", table, fold.name, tuple(map(tuple, support)), tuple(query), columns)
                )
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        check_rows(spec, len(self.data[spec.family][1]))
        support = np.array([i for ids in spec.support for i in ids[:shots]])
        return self._task(spec.id, spec.family, spec.columns, support, np.array(spec.query))

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return scores(task, prediction, self.metrics)

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for name in TABLES:
            values, labels = self.data[name]
            digest.update(values.astype("<f8").tobytes() + labels.astype("<i8").tobytes())
        return digest.hexdigest()
