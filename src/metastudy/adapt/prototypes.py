"""ψ by likeness to class means in feature space (Snell et al. 2017, Prototypical networks)."""

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
    """Means of phi (T, S, d) under non-negative weights (T, S, C): (T, C, d); zero where all weights are."""
    total = weights.sum(1).clamp(min=1e-12)[..., None]
    return weights.transpose(1, 2) @ phi / total


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_n - b_c||²: (T, N, d), (T, C, d) -> (T, N, C). Written out: cdist has no stable second derivative at 0."""
    return (a**2).sum(-1)[..., None] - 2 * a @ b.transpose(1, 2) + (b**2).sum(-1)[:, None, :]


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """cos(a_n, b_c): (T, N, d), (T, C, d) -> (T, N, C). Lengths below 1e-3 count as 1e-3, to keep gradients tame."""
    return F.normalize(a, dim=-1, eps=1e-3) @ F.normalize(b, dim=-1, eps=1e-3).transpose(1, 2)


def gain_degree(batch: TaskBatch) -> Tensor:
    """Share of its group's gain, over the largest share of the task: (T, S) in [0, 1]; 0 where there is no gain."""
    share = gain_distribution(batch.support_y, batch.support_group, batch.support_mask)
    return share / share.amax(1, keepdim=True).clamp(min=1e-12)


def memberships(batch: TaskBatch) -> Tensor:
    """How far each support row belongs to each prototype, in [0, 1]: (T, S, C), or (T, S, 2) without classes.

    The two prototypes of binary tasks are healthy and sick; those of ranking are weighted by the absence of gain and
    by gain (`gain_degree`). Padded rows belong nowhere.
    """
    mask = batch.support_mask[..., None]
    if batch.kind == "classification":
        return F.one_hot(batch.support_y, batch.n_classes) * mask
    positive = batch.support_y if batch.kind == "binary" else gain_degree(batch)
    return torch.stack([1 - positive, positive], -1) * mask


@dataclass(frozen=True)
class Prototypes(Mapping):
    """score_c = -τ ||φ(x) - mean of class c||², squared Euclidean, with a learned temperature τ.

    binary: distance to the healthy mean minus distance to the sick one, plus a learned offset. ranking: the two
    means are weighted by gain and by its absence. Deviations: temperature and offset (the paper has τ = 1).
    """

    name: ClassVar[str] = "prototypes"
    on_features: ClassVar[bool] = True
    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "binary", "ranking"})

    def initial_temperature(self, model: BaseModel) -> float:
        """Squared distances grow with the dimension, so τ starts with its inverse."""
        return 8 / model.feature_dim

    def similarity(self, phi: Tensor, prototypes: Tensor) -> Tensor:
        """(T, N, d), (T, C, d) -> (T, N, C), larger for the more alike."""
        return -squared_distances(phi, prototypes)

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {
            "log_temperature": torch.tensor(self.initial_temperature(model)).log(),
            "offset": torch.tensor(0.0),
        }

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        phi_s, phi_q = model.features(theta, batch.support_x), model.features(theta, batch.query_x)
        similarity = self.similarity(phi_q, weighted_means(phi_s, memberships(batch)))
        temperature = alpha["log_temperature"].exp()
        if batch.kind == "classification":
            return temperature * similarity
        return temperature * (similarity[..., 1:] - similarity[..., :1]) + alpha["offset"]


@dataclass(frozen=True)
class CosinePrototypes(Prototypes):
    """score_c = τ cos(φ(x), mean of class c), with a learned τ (Chen et al. 2021, Meta-Baseline, sec. 3).

    τ starts at 10, as there. binary and ranking: likeness to the second mean minus likeness to the first, plus an
    offset, as in `Prototypes`.
    """

    name: ClassVar[str] = "cosine_prototypes"

    def initial_temperature(self, model: BaseModel) -> float:
        return 10.0

    def similarity(self, phi: Tensor, prototypes: Tensor) -> Tensor:
        return cosines(phi, prototypes)
