"""ψ by gradient steps from a head made of prototypes (Triantafillou et al. 2020, Meta-Dataset, sec. 3: Proto-MAML)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from metastudy.adapt.base import Mapping
from metastudy.adapt.gradient import adapted_scores
from metastudy.adapt.prototypes import Prototypes, memberships, weighted_means
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params
from metastudy.tasks import Kind, TaskBatch


def prototype_head(phi: Tensor, alpha: Params, batch: TaskBatch) -> tuple[Tensor, Tensor]:
    """The linear head that scores as `Prototypes` does, up to what all classes share: (T, d, C) and (T, 1, C).

    -τ||φ - μ_c||² = 2τ μ_c·φ - τ||μ_c||² - τ||φ||², and the last term is the same for all classes. So
    w_c = 2τ μ_c and b_c = -τ||μ_c||² (Proto-MAML; the paper has τ = 1). With two prototypes and one score, as in
    binary and ranking tasks, the head is the difference of the two, exactly.
    """
    means = weighted_means(phi, memberships(batch))  # (T, C, d)
    temperature = alpha["log_temperature"].exp()
    weight = 2 * temperature * means.transpose(1, 2)
    bias = -temperature * (means**2).sum(-1)[:, None, :]
    if batch.kind == "classification":
        return weight, bias
    return weight[..., 1:] - weight[..., :1], bias[..., 1:] - bias[..., :1] + alpha["offset"]


@dataclass(frozen=True)
class ProtoMAML(Mapping):
    """Prototypes as the start of the head, then `n_steps` gradient steps on all of θ, second order.

    α: temperature, offset and one step size per parameter tensor. The start of the head depends on θ, and the
    meta-gradient goes through it, as in the paper; unlike in `GradientSteps`, the columns of the head differ from
    the start, so already the first step moves the features. Without a step it is `Prototypes`. f's own head is not
    used. Deviations: temperature, offset, learned step sizes; binary and ranking start from the difference of two
    prototypes.
    """

    name: ClassVar[str] = "proto_maml"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "binary", "ranking"})
    n_steps: int = 3
    first_order: bool = False
    initial_step_size: float = 0.1

    def init(self, model: BaseModel, generator: Generator) -> Params:
        names = model.init(torch.Generator().manual_seed(0))
        steps = {f"log_step.{n}": torch.tensor(self.initial_step_size).log() for n in names}
        return Prototypes().init(model, generator) | steps

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        weight, bias = prototype_head(model.features(theta, batch.support_x), alpha, batch)
        step_sizes = {n.removeprefix("log_step."): v.exp() for n, v in alpha.items() if n.startswith("log_step.")}
        start = theta | {HEAD_WEIGHT: weight, HEAD_BIAS: bias}
        return adapted_scores(model, start, batch, step_sizes, self.n_steps, not self.first_order)
