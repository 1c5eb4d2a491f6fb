"""Local only: what a hospital can do with its own few patients, and nothing from others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from metastudy.adapt.estimator import log_probabilities
from metastudy.families.base import Family, Fold
from metastudy.methods import Fitted, Method, validation_tasks
from metastudy.tasks import Task
from metastudy.train import TrainConfig


@dataclass(frozen=True)
class LocalOnly(Method):
    """Logistic regression on the support alone; C is chosen on validation tasks, for each number of shots.

    A support of one class leaves nothing to fit: then Laplace's rule of succession, the same for every patient.
    """

    grid: tuple[float, ...]
    name: str = "local only"
    deterministic: ClassVar[bool] = True

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        chosen = {
            shots: min(self.grid, key=lambda C, tasks=tasks: np.mean([log_loss(task, C) for task in tasks]))
            for shots, tasks in validation_tasks(family, fold).items()
        }
        return Fitted(lambda tasks, shots: [probabilities(task, chosen[shots]) for task in tasks])


def probabilities(task: Task, C: float) -> Tensor:
    """(Q, 2) probabilities of a task's query."""
    rows = (task.support_x.numpy(), task.support_y.numpy().astype(int), task.query_x.numpy())
    return torch.from_numpy(np.exp(log_probabilities(LogisticRegression(C=C), *rows, 2))).float()


def log_loss(task: Task, C: float) -> float:
    return -float(probabilities(task, C).gather(1, task.query_y.long()[:, None]).log().mean())
