"""ψ by distance to class means in feature space (Snell et al. 2017, Prototypical networks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt.base import Mapping
from metastudy.losses import gain_distribution
from metastudy.model import BaseModel, Params
from metastudy.tasks import Kind, TaskBatch


def weighted_means(phi: Tensor, weights: Tensor) -> Tensor:
    """Means of phi (T, S, d) under non-negative weights (T, S, C): (T, C, d)."""
    total = weights.sum(1).clamp(min=1e-12)[..., None]
    return weights.transpose(1, 2) @ phi / total


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_n - b_c||²: (T, N, d), (T, C, d) -> (T, N, C). Written out: cdist has no stable second derivative at 0."""
    return (a**2).sum(-1)[..., None] - 2 * a @ b.transpose(1, 2) + (b**2).sum(-1)[:, None, :]


@dataclass(frozen=True)
class Prototypes(Mapping):
    """score_c = -τ ||φ(x) - mean of class c||², squared Euclidean, with a learned temperature τ.

    binary: distance to the healthy mean minus distance to the sick one, plus a learned offset. ranking: the two
    means are weighted by gain and by its absence. Deviations: temperature and offset (the paper has τ = 1).
    """

    name: ClassVar[str] = "prototypes"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "binary", "ranking"})

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {"log_temperature": torch.tensor(8 / model.feature_dim).log(), "offset": torch.tensor(0.0)}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        phi_s, phi_q = model.features(theta, batch.support_x), model.features(theta, batch.query_x)
        mask = batch.support_mask[..., None]
        temperature = alpha["log_temperature"].exp()
        if batch.kind == "classification":
            weights = F.one_hot(batch.support_y, batch.n_classes) * mask
            return -temperature * squared_distances(phi_q, weighted_means(phi_s, weights))
        if batch.kind == "binary":
            positive = batch.support_y
        else:
            share = gain_distribution(batch.support_y, batch.support_group, batch.support_mask)
            positive = share / share.amax(1, keepdim=True).clamp(min=1e-12)
        weights = torch.stack([1 - positive, positive], -1) * mask
        distance = squared_distances(phi_q, weighted_means(phi_s, weights))
        return temperature * (distance[..., :1] - distance[..., 1:]) + alpha["offset"]
