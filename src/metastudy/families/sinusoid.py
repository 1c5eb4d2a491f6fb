"""Sinusoid regression, the classic sanity check (Finn et al. 2017, sec. 5.1): y = A sin(x - phase), no noise."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.model import MLP
from metastudy.tasks import Kind, Task

AMPLITUDE, PHASE, X = (0.1, 5.0), (0.0, math.pi), (-5.0, 5.0)


@dataclass(frozen=True)
class Sinusoid(Family):
    """Amplitude 0.1 to 5, phase 0 to π, x uniform in [-5, 5]; the support is k points, the query 50 others."""

    study: ClassVar[str] = "sinusoid"
    kind: ClassVar[Kind] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("mse",)
    max_shots: ClassVar[int] = 20
    shots: tuple[int, ...] = (5, 10, 20)
    n_test: int = 500
    n_query: int = 50

    def __post_init__(self) -> None:
        self.check_shots()

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("all", ("sinusoid",), ("sinusoid",), ("sinusoid",)),)

    def model(self) -> MLP:
        return MLP(in_dim=1, hidden=(40, 40))

    def truth(self, task_id: str, specs: Sequence[TaskSpec], x: Tensor) -> Tensor:
        """The noiseless curve of a frozen task at points x (N,)."""
        seed = next(spec.support[0][0] for spec in specs if spec.id == task_id)
        rng = np.random.default_rng(seed)
        amplitude, phase = rng.uniform(*AMPLITUDE), rng.uniform(*PHASE)
        return (amplitude * torch.sin(x - phase)).float()

    def _task(self, name: str, shots: int, rng: np.random.Generator) -> Task:
        amplitude, phase = rng.uniform(*AMPLITUDE), rng.uniform(*PHASE)
        # the query is drawn first, so that it is the same for every number of shots
        query_x, support_x = rng.uniform(*X, self.n_query), rng.uniform(*X, self.max_shots)[:shots]

        def pair(x: np.ndarray) -> tuple[Tensor, Tensor]:
            y = amplitude * np.sin(x - phase)
            return torch.tensor(x, dtype=torch.float32)[:, None], torch.tensor(y, dtype=torch.float32)

        return Task(name, "sinusoid", "regression", *pair(support_x), *pair(query_x))

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        return [self._task(f"{part}{i}", shots, rng) for i in range(n_tasks)]

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        seeds = rng.choice(2**31, size=self.n_test, replace=False)
        return [TaskSpec(f"s{i:04d}", "sinusoid", "all", ((int(s),),), ()) for i, s in enumerate(seeds)]

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        return self._task(spec.id, shots, np.random.default_rng(spec.support[0][0]))

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return [Score(task.id, "mse", float(((prediction - task.query_y) ** 2).mean()))]

    def content_hash(self) -> str:
        return hashlib.sha256(repr((AMPLITUDE, PHASE, X, self.n_query, self.max_shots)).encode()).hexdigest()
