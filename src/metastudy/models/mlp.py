"""φ of a fully connected network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.models.base import BaseModel, Params, init_linear, linear


@dataclass(frozen=True)
class MLP(BaseModel):
    """Fully connected φ with ReLU between layers; `hidden[-1]` is the feature dimension d.

    `hidden=()` is φ(x) = x: what is left of a method without learned features.
    """

    in_dim: int
    hidden: tuple[int, ...] = (64, 64)

    @property
    def feature_dim(self) -> int:
        return (self.in_dim, *self.hidden)[-1]

    def init_features(self, generator: Generator) -> Params:
        sizes = (self.in_dim, *self.hidden)
        params: Params = {}
        for i in range(len(self.hidden)):
            params |= init_linear(f"layer{i}", sizes[i], sizes[i + 1], generator)
        return params

    def features(self, params: Params, x: Tensor) -> Tensor:
        h = x.flatten(2)
        for i in range(len(self.hidden)):
            h = F.relu(linear(params, f"layer{i}", h))
        return h


@dataclass(frozen=True)
class WideMLP(MLP):
    """An MLP whose φ also holds the input, times `skip`: d = hidden[-1] + in_dim.

    So what is linear in x need not be learned by the network (wide and deep: Cheng et al. 2016).
    """

    skip: float = 0.3

    @property
    def feature_dim(self) -> int:
        return super().feature_dim + self.in_dim

    def features(self, params: Params, x: Tensor) -> Tensor:
        return torch.cat([self.skip * x.flatten(2), super().features(params, x)], dim=-1)
