"""A mixture of rankings: members as standard scores, so that each counts for its order and gaps, not for its scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from metastudy.errors import TaskError
from metastudy.losses import group_mean
from metastudy.losses import loss as task_loss
from metastudy.mixture import MetaLearner, mix
from metastudy.model import Params
from metastudy.tasks import TaskBatch


def standardised(batch: TaskBatch, scores: Tensor) -> Tensor:
    """Scores (T, Q, 1) with mean 0 and spread 1 in each group of the query."""
    centred = scores - group_mean(scores, batch.query_group, batch.query_mask)
    variance = group_mean(centred**2, batch.query_group, batch.query_mask)
    return centred / (variance + 1e-8).sqrt()


@dataclass(frozen=True)
class StandardScores(MetaLearner):
    """f and the mappings that adapt it, for rankings: g = Σ_j β_j z(ψ_j), z standard scores in a group, β_j = 1 / m.

    As in the data fusion of Montague and Aslam (2001), "ZMUV". With equal weights there is nothing to learn in the
    mixture, so that members are trained, and training is stopped, by the mean of their own losses (that of the mixture,
    whose scores are standard and so too sure, is lowest before anything is learned); `beta`, `member_share` and `floor`
    have no effect. `metastudy.evidence` replaces β by weights
    from a task's support. Raises TaskError for members that are not for rankings and for `resplit`, which this training
    does not have, and otherwise as `MetaLearner`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if others := [m.name for m in self.mappings if "ranking" not in m.kinds]:
            raise TaskError(f"{others} are not for rankings, of which alone there are standard scores: leave them out")
        if self.resplit:
            raise TaskError("members are trained by their own losses, without other divisions: choose resplit=False")

    def init(self, generator: Generator, earlier: TaskBatch | None = None) -> Params:
        """Fresh (θ, α). Errors as in `MetaLearner.init`."""
        return {k: v for k, v in super().init(generator, earlier).items() if not k.startswith("beta.")}

    def weights(self, params: Params, batch: TaskBatch) -> Tensor:
        """Equal ones: (T, m)."""
        m = len(self.mappings)
        return batch.support_mask.new_full((batch.n_tasks, m), 1 / m)

    def predict(self, params: Params, batch: TaskBatch) -> Tensor:
        """Mean of the members' standard scores: (T, Q, 1)."""
        return mix(batch, self.weights(params, batch), [standardised(batch, m) for m in self.members(params, batch)])

    def query_loss(self, params: Params, batch: TaskBatch) -> Tensor:
        """Mean over members and tasks of each member's loss on the query rows."""
        found = [
            task_loss(batch.kind, m, batch.query_y, batch.query_mask, batch.query_group).mean()
            for m in self.members(params, batch)
        ]
        return torch.stack(found).mean()

    def training_loss(self, params: Params, batch: TaskBatch) -> Tensor:
        """`query_loss`, plus the rules that members bring for θ."""
        return torch.stack([self.query_loss(params, batch), *self.own_rules(params, batch)]).sum()
