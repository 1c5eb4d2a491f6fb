"""The one interface of every way of adapting, ψ(f; α_j)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Generator, Tensor

from metastudy.errors import TaskError
from metastudy.model import BaseModel, Params
from metastudy.tasks import KINDS, Kind, TaskBatch


class Mapping(ABC):
    """ψ_j: (f, θ, α_j, support) -> scores on the query rows. Pure: nothing is stored between calls."""

    name: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]] = frozenset(KINDS)
    on_features: ClassVar[bool] = False
    """Whether `adapt` sees x through φ(x; θ) alone, with θ as it is: then members of a mixture share one pass."""
    memory_size: ClassVar[int] | int = 0
    """How many earlier tasks the mapping keeps; they are handed to `remember` before training starts."""

    @abstractmethod
    def init(self, model: BaseModel, generator: Generator) -> Params:
        """Fresh α_j: what is learned about this way of adapting."""

    @abstractmethod
    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        """Adapt to each task's support and score its query: (T, Q, C). Differentiable in θ and α_j."""

    def remember(self, earlier: TaskBatch) -> Params:
        """What the mapping keeps of `memory_size` earlier tasks: data, never trained. By default nothing."""
        return {}

    def outer_loss(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor | None:
        """A scalar whose gradient is this mapping's own rule for θ, added to the training loss.

        None for mappings that learn from the query loss alone, through `adapt`. The others (Reptile, pooled training,
        an estimator without gradients) predict without a gradient into θ and bring their rule here.
        """
        return None

    def __call__(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        """`adapt`, refusing kinds for which this mapping makes no sense (TaskError)."""
        if batch.kind not in self.kinds:
            raise TaskError(
                f"mapping {self.name!r} cannot adapt to {batch.kind} tasks; it works for "
                f"{', '.join(sorted(self.kinds))}: leave it out of the mixture for this study"
            )
        return self.adapt(model, theta, alpha, batch)
