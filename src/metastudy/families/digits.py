"""Handwritten digits as few-shot tasks: tell apart classes that meta-training never saw (scikit-learn's digits)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from metastudy.errors import TaskError
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec, check_rows
from metastudy.families.scoring import class_scores
from metastudy.model import ConvNet
from metastudy.tasks import Kind, Task

# (quarter turns, mirrored): views in training. What turns one digit into another is left out on purpose:
# 180 degrees (a training 6 becomes a test 9) and the upright mirror image (a 2 becomes a 5).
VIEWS = ((0, False), (1, False), (3, False), (1, True), (3, True))
N_TRAIN_QUERY = 8  # query images per class in training and validation
GROUPS = {"0-1-2": (0, 1, 2), "3-4-5": (3, 4, 5), "6-7-8": (6, 7, 8)}


View = tuple[int, bool]


@dataclass(frozen=True)
class Digits(Family):
    """3-way k-shot tasks on 1,797 images of 8x8 pixels; splits are by class, never by image.

    Three folds: one class group is tested, the next three digits validate, the other four train. In training and
    validation each task draws its own number of classes, from 2 to all that its part of the fold has, and a whole task
    may be seen on its side, mirrored or not; views are never mixed within a task, which would reward telling views
    apart instead of shapes.
    """

    embedded: ClassVar[bool] = True
    study: ClassVar[str] = "digits"
    kind: ClassVar[Kind] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss")
    max_shots: ClassVar[int] = 20
    shots: tuple[int, ...] = (1, 2, 5, 10, 20)
    ways: int = 3  # of test tasks
    n_query: int = 10  # per class
    n_test: int = 80  # tasks per fold

    def __post_init__(self) -> None:
        self.check_shots()
        if not 2 <= self.ways <= 3:
            raise TaskError(f"ways is {self.ways}; a test group has 3 classes, so choose 2 or 3")

    @cached_property
    def _data(self) -> tuple[Tensor, np.ndarray]:
        bunch = load_digits()
        return torch.tensor(bunch.images / 16.0, dtype=torch.float32)[:, None], bunch.target

    @cached_property
    def _rows(self) -> dict[int, np.ndarray]:
        return {c: np.flatnonzero(self._data[1] == c) for c in range(10)}

    def folds(self) -> tuple[Fold, ...]:
        folds = []
        for name, group in GROUPS.items():
            others = [str((group[-1] + 1 + i) % 10) for i in range(7)]
            folds.append(Fold(name, train=tuple(others[3:]), validation=tuple(others[:3]), test=(name,)))
        return tuple(folds)

    def model(self) -> ConvNet:
        return ConvNet(side=8, channels=(32,))

    def images(self, rows: np.ndarray, view: View = VIEWS[0]) -> Tensor:
        """(len(rows), 1, 8, 8), seen in a view."""
        turns, mirrored = view
        images = torch.rot90(self._data[0][rows], turns, dims=(2, 3))
        return images.flip(3) if mirrored else images

    def _task(
        self, name: str, family: str, parts: list[tuple[np.ndarray, np.ndarray, View]], classes: tuple[str, ...] = ()
    ) -> Task:
        support = [self.images(rows, view) for rows, _, view in parts]
        query = [self.images(rows, view) for _, rows, view in parts]
        labels = [torch.cat([torch.full((len(x),), c) for c, x in enumerate(p)]) for p in (support, query)]
        ids = tuple(str(i) for _, rows, _ in parts for i in rows)
        x = torch.cat(support), labels[0], torch.cat(query), labels[1]
        return Task(name, family, "classification", *x, n_classes=len(parts), query_ids=ids, class_names=classes)

    def training_classes(self, fold: Fold) -> tuple[str, ...]:
        """Each training digit in each view."""
        return tuple(f"{digit}/{view}" for digit in fold.train for view in VIEWS)

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        digits = [int(digit) for digit in getattr(fold, part)]
        tasks = []
        for i in range(n_tasks):
            view = VIEWS[rng.integers(len(VIEWS))]
            parts, chosen = [], rng.choice(digits, rng.integers(2, len(digits) + 1), replace=False)
            for digit in chosen:
                rows = rng.choice(self._rows[digit], shots + N_TRAIN_QUERY, replace=False)
                parts.append((rows[:shots], rows[shots:], view))
            names = tuple(f"{digit}/{view}" for digit in chosen)
            tasks.append(self._task(f"{part}{i}", part, parts, names))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        specs = []
        for fold in self.folds():
            for i in range(self.n_test):
                digits = rng.permutation(GROUPS[fold.test[0]])[: self.ways]
                size = self.max_shots + self.n_query
                rows = [rng.choice(self._rows[d], size, replace=False).tolist() for d in digits]
                support = tuple(tuple(r[: self.max_shots]) for r in rows)
                query = tuple(x for r in rows for x in r[self.max_shots :])
                specs.append(TaskSpec(f"{fold.name}/{i:03d}", fold.name, fold.name, support, query))
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        check_rows(spec, len(self._data[1]))
        query = np.array(spec.query).reshape(len(spec.support), -1)
        parts = [(np.array(s[:shots]), q, VIEWS[0]) for s, q in zip(spec.support, query, strict=True)]
        return self._task(spec.id, spec.family, parts)

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return class_scores(task, prediction)

    def content_hash(self) -> str:
        images, labels = self._data
        return hashlib.sha256(images.numpy().tobytes() + labels.astype("<i8").tobytes()).hexdigest()
