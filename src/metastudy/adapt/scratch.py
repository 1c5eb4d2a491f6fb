"""ψ that has learned nothing: f trained on each task's support from random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from metastudy.adapt.adam import train_on_support
from metastudy.adapt.base import Mapping
from metastudy.adapt.detached import calibrated
from metastudy.model import BaseModel, Params
from metastudy.tasks import TaskBatch


@dataclass(frozen=True)
class FromScratch(Mapping):
    """f(x; θ_T), with θ_T from `n_steps` of Adam on the support of task T, started at weights drawn from `seed`.

    θ is not used and gets no gradient, so alone this mapping leaves it as it was. All tasks start from the same
    weights. α: a scale of the scores (`calibrated`), since what was trained on few rows is too certain.
    """

    name: ClassVar[str] = "from_scratch"
    n_steps: int = 40
    learning_rate: float = 0.01
    seed: int = 0

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {"log_scale": torch.tensor(0.0)}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        fresh = model.untied(model.init(torch.Generator().manual_seed(self.seed)))
        start = {k: v.to(theta[k]) for k, v in fresh.items()}
        with torch.no_grad():
            scores = model(train_on_support(model, start, batch, self.learning_rate, self.n_steps), batch.query_x)
        return calibrated(scores, alpha["log_scale"], batch)
