"""ψ that asks a few patients how common the disease is here, and leaves the order of patients as f has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt import Mapping
from metastudy.model import BaseModel, Params
from metastudy.tasks import Kind, TaskBatch

N_OFFSETS, N_SLOPES = 65, 7
REACH = 3.2  # offsets up to sinh(3.2) = 12 times their spread
DEGREES = 3.0  # of freedom of the offset's prior


def _nodes(like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets and slopes in units of their spread, (G,) each, and the logarithm of their prior weights, (G,).

    Offsets z = sinh(u) for equally spaced u, with the density of Student's t and the width cosh(u) of a step; slopes
    from -2 to 2 with the density of a normal.
    """
    u = torch.linspace(-REACH, REACH, N_OFFSETS, dtype=like.dtype, device=like.device)
    z, v = torch.sinh(u), torch.linspace(-2, 2, N_SLOPES, dtype=like.dtype, device=like.device)
    log_z = -(DEGREES + 1) / 2 * torch.log1p(z**2 / DEGREES) + torch.log(torch.cosh(u))
    weights = (log_z[:, None] - v**2 / 2).flatten()
    return z.repeat_interleave(N_SLOPES), v.repeat(N_OFFSETS), weights.log_softmax(0)


@dataclass(frozen=True)
class Recalibration(Mapping):
    """p(sick | x) = E σ(b f(x) + δ): the mean over what the support leaves open about offset δ and slope b.

    δ has a Student t prior (3 degrees of freedom) around 0, b a log-normal one; α are its spreads and the usual slope,
    learned from hospitals that were new to f. So few patients move little (shrinkage), and the posterior is integrated
    on a grid, not cut down to its peak: ten patients leave open what the prevalence is, and the answer says so. Heavy
    tails, because one hospital in four is far from the rest. Every part of the mean grows with f(x), so the order of
    patients, and AUROC, are those of f. Without support the prior answers. Logistic recalibration: Cox 1958 (Biometrika
    45:562); deviation: a prior over its two numbers, and the mean over them. `slope=False`: b = 1 is fixed.
    """

    name: str = "recalibrated"
    slope: bool = True
    on_features: ClassVar[bool] = True
    kinds: ClassVar[frozenset[Kind]] = frozenset({"binary"})

    def init(self, model: BaseModel, generator: Generator) -> Params:
        spreads = {"log_offset_spread": torch.tensor(0.7).log()}
        if self.slope:
            spreads |= {"log_slope": torch.tensor(0.0), "log_slope_spread": torch.tensor(0.3).log()}
        return spreads

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        f_s, f_q = model(theta, batch.support_x), model(theta, batch.query_x)  # (T, S, 1), (T, Q, 1)
        z, v, weights = _nodes(f_s)
        offset = alpha["log_offset_spread"].exp() * z
        slope = (alpha["log_slope"] + alpha["log_slope_spread"].exp() * v).exp() if self.slope else torch.ones_like(v)
        sign = (2 * batch.support_y - 1)[..., None]
        likelihood = F.logsigmoid(sign * (slope * f_s + offset)) * batch.support_mask[..., None]  # (T, S, G)
        posterior = (weights + likelihood.sum(1)).log_softmax(-1)[:, None]  # (T, 1, G)
        logits = slope * f_q + offset  # (T, Q, G)
        sick, well = (torch.logsumexp(posterior + F.logsigmoid(s), -1) for s in (logits, -logits))
        return (sick - well)[..., None]
