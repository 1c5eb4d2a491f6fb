"""ψ that ignores the support: f as it is. Trained alone it is pooled training over all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from metastudy.adapt.base import Mapping
from metastudy.model import BaseModel, Params
from metastudy.tasks import Kind, TaskBatch


@dataclass(frozen=True)
class Unadapted(Mapping):
    """ψ(f; ·) = f. Senseless where classes are renamed between tasks, so it refuses classification."""

    name: ClassVar[str] = "unadapted"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"binary", "regression", "ranking"})

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        return model(theta, batch.query_x)
