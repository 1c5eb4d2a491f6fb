"""A kind of data that is learned in no time: what the comparison, the command and the page do with any kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from metastudy.errors import DataError
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.methods import Fitted, Method
from metastudy.model import MLP
from metastudy.own_data.kind import Asked, Kind, Options, Prepared, the_method
from metastudy.tasks import Kind as TaskKind
from metastudy.tasks import Task
from metastudy.train import TrainConfig


@dataclass(frozen=True)
class ToyFamily(Family):
    """Numbers to guess: a task's error is that of its method, and a block's own."""

    study: ClassVar[str] = "toy_own"
    kind: ClassVar[TaskKind] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("mse",)
    max_shots: ClassVar[int] = 20
    clustered: ClassVar[bool] = True
    shots: tuple[int, ...] = (1, 5)
    draws: int = 16

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("own", ("earlier",), ("earlier",), ("own",)),)

    def model(self) -> MLP:
        return MLP(1, (2,))

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        raise AssertionError("the toy methods learn from no earlier task")

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        return [TaskSpec(f"b{i % 8}/{i}", f"b{i % 8}", "own", ((i,),), (i,)) for i in range(self.draws)]

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        row = torch.tensor([[float(spec.query[0])]])
        return Task(spec.id, spec.family, "regression", row, row[:, 0], row, row[:, 0])

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return [Score(task.id, "mse", float((prediction - task.query_y).pow(2).mean()))]

    def content_hash(self) -> str:
        return "0" * 64


@dataclass(frozen=True)
class Off(Method):
    """Wrong by `by`, times a number that depends on task and method, less with more shots."""

    name: str
    by: float
    deterministic: ClassVar[bool] = True

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        def one(task: Task, shots: int) -> Tensor:
            row = int(task.query_y[0])
            wobble = 1 + 0.1 * np.sin(row * 12.9898 + len(self.name))
            return task.query_y + self.by * wobble / shots**0.5

        return Fitted(lambda tasks, shots: [one(task, shots) for task in tasks])


class ToyOptions(Options):
    shots: tuple[int, ...] = Field((1, 5), description="examples")
    target: str = Field(description="what to guess")
    far: bool = Field(False, description="whether g is far off")


class ToyKind(Kind):
    name = "toy"
    summary = "Numbers."
    examples = ("numbers.txt --target x",)
    options = ToyOptions

    def prepare(self, options: ToyOptions) -> Prepared:
        if options.target != "x":
            raise DataError(f"--target {options.target!r}; expected 'x'")
        methods = (Off("mean", 1.0), Off("near", 1.0001), Off("bad", 3.0), Off("g", 9.0 if options.far else 0.5))
        return Prepared(
            ToyFamily(options.shots, options.draws or 16), methods, TrainConfig(steps=1), "mse", ("mean", "bad"), 100,
            "labelled numbers", "numbers", True, {"numbers": 100, "what <b>": "a & b"}, ("nothing <i>real</i>",),
        )  # fmt: skip

    def ask(self, options: ToyOptions, method: str, new: Path | None) -> Asked:
        prepared = self.prepare(options)
        family = prepared.family
        task = family.build(family.freeze(np.random.default_rng(0))[3], 1, family.folds()[0])
        return Asked(
            family, the_method(prepared.methods, method), prepared.config, 1, [task],
            lambda found: pd.DataFrame({"line": [2], "guess": found[0].numpy()}),
        )  # fmt: skip
