"""ψ in closed form: a ridge-regression head on the support's features (Bertinetto et al. 2019, R2D2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt.base import Mapping
from metastudy.losses import gain_distribution, group_mean
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params
from metastudy.tasks import TaskBatch


def solve_ridge(x: Tensor, y: Tensor, penalty: Tensor) -> Tensor:
    """argmin_W ||x W - y||² + penalty ||W||²: x (T, S, d), y (T, S, C) -> (T, d, C).

    Two equal forms (R2D2, eq. 4 and 6), chosen by which matrix is smaller:
    primal (xᵀx + λI)⁻¹ xᵀy is d by d, dual xᵀ(xxᵀ + λI)⁻¹ y is S by S. Rows of zeros have no influence.
    """
    n_rows, dim = x.shape[-2:]
    xt = x.transpose(-1, -2)
    if n_rows < dim:
        return xt @ torch.linalg.solve(x @ xt + penalty * torch.eye(n_rows, dtype=x.dtype, device=x.device), y)
    return torch.linalg.solve(xt @ x + penalty * torch.eye(dim, dtype=x.dtype, device=x.device), xt @ y)


def targets(batch: TaskBatch) -> Tensor:
    """What the head regresses on, (T, S, C): one-hot minus 1/ways, ±1, the value, or the centred share of gain."""
    y = batch.support_y
    if batch.kind == "classification":
        ways = batch.class_mask.sum(1)[:, None, None]
        return (F.one_hot(y, batch.n_classes) - 1 / ways) * batch.class_mask[:, None, :]
    if batch.kind == "binary":
        return (2 * y - 1)[..., None]
    if batch.kind == "regression":
        return y[..., None]
    share = gain_distribution(y, batch.support_group, batch.support_mask)[..., None]
    return share - group_mean(share, batch.support_group, batch.support_mask)


@dataclass(frozen=True)
class RidgeHead(Mapping):
    """W = W₀ + argmin_Δ ||Φ(W₀ + Δ) - Y||² + λ||Δ||², with learned λ, scale and offset of the scores.

    W₀ is f's own head where outputs mean the same in all tasks (binary, regression, ranking), so that with no
    evidence the answer is f's; it is 0 for classification, as in R2D2. Deviations: the prior centre W₀; a
    constant feature for the intercept; ranking centres features within each group (only differences inside a
    group matter).
    """

    name: ClassVar[str] = "ridge"
    on_features: ClassVar[bool] = True
    initial_penalty: float = 1.0
    initial_scale: float = 1.0

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {
            "log_penalty": torch.tensor(self.initial_penalty).log(),
            "log_scale": torch.tensor(self.initial_scale).log(),
        }

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        phi_s, phi_q = model.features(theta, batch.support_x), model.features(theta, batch.query_x)
        if batch.kind == "ranking":
            phi_s = phi_s - group_mean(phi_s, batch.support_group, batch.support_mask)
            ones_s, ones_q = torch.zeros_like(phi_s[..., :1]), torch.ones_like(phi_q[..., :1])
        else:
            ones_s, ones_q = torch.ones_like(phi_s[..., :1]), torch.ones_like(phi_q[..., :1])
        x = torch.cat([phi_s, ones_s], -1) * batch.support_mask[..., None]  # (T, S, d + 1)
        y = targets(batch) * batch.support_mask[..., None]
        if batch.kind == "classification":
            prior = x.new_zeros(x.shape[-1], batch.n_classes)
        else:
            prior = torch.cat([theta[HEAD_WEIGHT], theta[HEAD_BIAS]])  # (d + 1, 1)
        weight = prior + solve_ridge(x, y - x @ prior, alpha["log_penalty"].exp())
        return alpha["log_scale"].exp() * (torch.cat([phi_q, ones_q], -1) @ weight)
