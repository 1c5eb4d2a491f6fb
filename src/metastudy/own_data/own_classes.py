"""Somebody's own labelled rows as few-shot tasks: all classes of the file are the ways of every task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from metastudy.errors import DataError
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec, check_rows
from metastudy.families.scoring import class_scores
from metastudy.models.base import BaseModel, Params
from metastudy.models.vectors import VectorNet
from metastudy.own_data.class_earlier import EarlierTasks
from metastudy.tasks import Kind, Task

MAX_QUERY = 300  # rows of a block that its tasks ask about
HERE = "own rows"


class RowNet(VectorNet):
    """φ on standardised columns: a `VectorNet` without the norm of the row, which is half of what few columns say."""

    def features(self, params: Params, x: Tensor) -> Tensor:
        h = x
        for i in range(self.n_blocks):
            hidden = torch.relu(h @ params[f"block{i}.in.weight"] + params[f"block{i}.in.bias"])
            h = h + hidden @ params[f"block{i}.out.weight"] + params[f"block{i}.out.bias"]
        return h


@dataclass(frozen=True, eq=False)
class OwnClasses(Family):
    """k-shot tasks on the rows `x` (N, D) with classes `y` (N,), over `blocks` (N,) of rows that share nothing.

    A task's query is one block (of a large one MAX_QUERY rows, always the same), its support k rows of each class from
    the other blocks. So blocks are the independent units, and `family` of a task names its block.
    """

    study: ClassVar[str] = "own_classes"
    kind: ClassVar[Kind] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss")
    embedded: ClassVar[bool] = True
    clustered: ClassVar[bool] = True
    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    blocks: np.ndarray = field(repr=False)
    earlier: EarlierTasks = field(repr=False)
    base: BaseModel
    shots: tuple[int, ...]
    draws: int

    def __post_init__(self) -> None:
        self.check_shots()

    def __repr__(self) -> str:
        return (
            f"OwnClasses(data={self.content_hash()}, base={self.base!r}, shots={self.shots}, draws={self.draws}, "
            f"ways={self.earlier.ways})"
        )

    @property
    def max_shots(self) -> int:  # type: ignore[override]
        return max(self.shots)

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("own", tuple(self.earlier.train), tuple(self.earlier.validation), (HERE,)),)

    def model(self) -> BaseModel:
        return self.base

    def training_classes(self, fold: Fold) -> tuple[str, ...]:
        return tuple(f"{name}/{c}" for name, domain in self.earlier.train.items() for c in domain.classes)

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tasks = []
        for i in range(n_tasks):
            name, classes, support, query = self.earlier.draw(part, shots, rng)
            x = [torch.from_numpy(np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]))) for rows in (support, query)]
            y = [torch.arange(len(classes)).repeat_interleave(rows.shape[1]) for rows in (support, query)]
            tasks.append(Task(f"{part}{i}", name, self.kind, x[0], y[0], x[1], y[1], len(classes), class_names=classes))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """`draws` tasks, the blocks in turn."""
        n_blocks = int(self.blocks.max()) + 1
        queries = []
        for block in range(n_blocks):
            rows = rng.permutation(np.flatnonzero(self.blocks == block))[:MAX_QUERY]
            queries.append(tuple(np.sort(rows).tolist()))
        specs = []
        for draw in range(self.draws):
            block = draw % n_blocks
            support = []
            for c in range(len(self.classes)):
                rows = np.flatnonzero((self.y == c) & (self.blocks != block))
                support.append(tuple(rng.choice(rows, self.max_shots, replace=False).tolist()))
            specs.append(
                TaskSpec(f"{block}/{draw // n_blocks}", f"block {block}", "own", tuple(support), queries[block])
            )
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        check_rows(spec, len(self.y))
        rows = np.array([row for ids in spec.support for row in ids[:shots]])
        if (self.y[rows] != np.repeat(np.arange(len(self.classes)), shots)).any():
            raise DataError(f"task {spec.id}: rows of the support have other labels here; draw the task list anew")
        return self.task(spec.id, spec.family, rows, self.x[list(spec.query)], self.y[list(spec.query)], spec.query)

    def task(
        self, name: str, family: str, support: np.ndarray, x: np.ndarray, y: np.ndarray, ids: Sequence[int]
    ) -> Task:
        """Rows of the file as support (S,), anything as query: x (Q, D), y (Q,)."""
        parts = [torch.from_numpy(np.ascontiguousarray(a)) for a in (self.x[support], self.y[support], x, y)]
        return Task(
            name, family, self.kind, *parts, len(self.classes), query_ids=tuple(map(str, ids)),
            class_names=self.classes,
        )  # fmt: skip

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return class_scores(task, prediction)

    def content_hash(self) -> str:
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        digest = hashlib.sha256(json.dumps([self.classes, self.x.shape]).encode())
        for values in (self.x.astype("<f4"), self.y.astype("<i8"), self.blocks.astype("<i8")):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()
