"""ψ that is a field's own tool: a score that is already a column of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from metastudy.adapt.base import Mapping
from metastudy.model import BaseModel, Params
from metastudy.tasks import Kind, TaskBatch


@dataclass(frozen=True)
class InputScore(Mapping):
    """ψ(f; α) = exp(α) x[column]: Lead, LexRank or BM25 as a member of g. It uses neither θ nor the support.

    α: a scale, since a score alone says in which order rows come and not how much that is worth. For ranking only.
    """

    column: int = 0
    name: str = "input_score"  # type: ignore[misc]
    kinds: ClassVar[frozenset[Kind]] = frozenset({"ranking"})

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {"log_scale": torch.tensor(0.0)}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        return alpha["log_scale"].exp() * batch.query_x.flatten(2)[..., self.column, None]
