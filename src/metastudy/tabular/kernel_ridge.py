"""ψ in closed form on plain columns: kernel ridge regression, the nonlinear member that needs no features.

Saunders et al. 1998; with ±1 as targets it is the least-squares support vector machine without intercept (Suykens and
Vandewalle 1999), and the mean of a Gaussian process with this covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from metastudy.adapt.base import Mapping
from metastudy.adapt.ridge import targets
from metastudy.model import BaseModel, Params
from metastudy.tasks import Kind, TaskBatch


@dataclass(frozen=True)
class KernelRidge(Mapping):
    """s(x) = exp(a + b log S) k(x, X) (K + λI)⁻¹ Y + c with k(x, x') = exp(-γ ||x - x'||² / P).

    x are a row's plain values (channel 0) of P real columns, S the labelled rows. α: γ, λ, and a, b, c, which make a
    log odds of the score: with S rows it shrinks towards zero as it should by itself only for the right λ.
    """

    name: ClassVar[str] = "kernel_ridge"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"binary"})
    initial_width: float = 0.6  # γ
    initial_scale: float = 2.0

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {
            "log_width": torch.tensor(self.initial_width).log(),
            "log_penalty": torch.tensor(0.0),
            "log_scale": torch.tensor(self.initial_scale).log(),
            "by_count": torch.tensor(0.0),
            "offset": torch.tensor(0.0),
        }

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        root = batch.support_x[:, :1, :, -1].sum(-1, keepdim=True).clamp(min=1).sqrt()  # (T, 1, 1)
        seen, asked = batch.support_x[..., 0] / root, batch.query_x[..., 0] / root
        mask = batch.support_mask
        width = alpha["log_width"].exp()
        k = (-width * torch.cdist(seen, seen) ** 2).exp() * mask[:, :, None] * mask[:, None]  # (T, S, S)
        k_asked = (-width * torch.cdist(asked, seen) ** 2).exp() * mask[:, None]  # (T, Q, S)
        noise = alpha["log_penalty"].exp() * torch.eye(seen.shape[1], dtype=seen.dtype, device=seen.device)
        score = k_asked @ torch.linalg.solve(k + noise, targets(batch) * mask[..., None])
        log_count = mask.sum(1).clamp(min=1).log()[:, None, None] - 2
        return (alpha["log_scale"] + alpha["by_count"] * log_count).exp() * score + alpha["offset"]
