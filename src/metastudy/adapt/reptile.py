"""ψ by gradient steps from a start that moves towards where they lead (Nichol et al. 2018, Reptile)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metastudy.adapt.gradient import GradientSteps, gradient_steps, widen_head
from metastudy.model import BaseModel, Params, is_head
from metastudy.tasks import TaskBatch


@dataclass(frozen=True)
class Reptile(GradientSteps):
    """Predicts like first-order MAML; but θ learns by Reptile's own rule, θ ← θ - ε (θ - θ') / a.

    θ' is what `n_steps` steps of size a on a task's support lead to; no query is needed to learn the start (Nichol et
    al. 2018, algorithm 1; g_Reptile = (θ - θ') / a). Deviations: the rule is handed to the optimizer of meta-training
    as a gradient; steps use the k rows that a new task will have instead of minibatches of more (with more, the start
    never learns to be stable on few: the sinusoid diverged); step sizes are learned, from the query loss.
    """

    name: ClassVar[str] = "reptile"
    n_steps: int = 5
    first_order: bool = True

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        return super().adapt(model, {k: v.detach() for k, v in theta.items()}, alpha, batch)

    def outer_loss(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        """½ Σ ||θ - θ'||² / a, mean over tasks (and over the classes that share a head column), with θ' held fixed."""
        sizes = {k: v.detach() for k, v in self.step_sizes(theta, alpha).items()}
        start = {k: v.detach() for k, v in widen_head(theta, batch.n_classes).items()}
        with torch.no_grad():
            adapted = gradient_steps(model, start, batch, sizes, self.n_steps, create_graph=False)
        total = next(iter(theta.values())).new_zeros(())
        for name, size in sizes.items():
            distance = (theta[name] - adapted[name]) ** 2 / (2 * size)  # (T, I, O)
            total = total + distance.flatten(1).sum(1).mean() / (batch.n_classes if is_head(name) else 1)
        return total
