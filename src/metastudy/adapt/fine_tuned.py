"""ψ by transfer: one model trained on all earlier tasks at once, then tuned on each task's support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from metastudy.adapt.adam import train_on_support
from metastudy.adapt.base import Mapping
from metastudy.adapt.detached import calibrated, mean_query_loss
from metastudy.model import BaseModel, Params
from metastudy.tasks import Kind, TaskBatch


@dataclass(frozen=True)
class FineTuned(Mapping):
    """f(x; θ_T), with θ_T from `n_steps` of Adam on the support of task T, started at θ; no gradient into θ.

    Its rule for θ is that of pooled training: the query loss of f as it is, without adaptation. (In a mixture θ is
    shared, and learns from the other members too.) α: a scale of the scores (`calibrated`). Classes that are
    renamed from task to task cannot be pooled, so it refuses classification.
    """

    name: ClassVar[str] = "fine_tuned"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"binary", "regression", "ranking"})
    n_steps: int = 20
    learning_rate: float = 0.01

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {"log_scale": torch.tensor(0.0)}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            scores = model(train_on_support(model, theta, batch, self.learning_rate, self.n_steps), batch.query_x)
        return calibrated(scores, alpha["log_scale"], batch)

    def outer_loss(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        """Pooled training: the query loss of f at θ."""
        return mean_query_loss(model(theta, batch.query_x), batch)
