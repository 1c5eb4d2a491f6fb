"""φ on frozen text vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.models.base import BaseModel, Params, init_linear, linear


@dataclass(frozen=True)
class VectorNet(BaseModel):
    """φ(x) = v + Σ_b W_b' relu(W_b v_b), v = layer norm of the frozen vector x, each v_b what the blocks before made.

    Residual blocks whose second matrix starts at zero (as in SkipInit, De & Smith 2020, and ReZero): an untrained φ
    *is* the normalised vector, so that before any training prototypes and ridge heads do what they do on the vectors
    themselves, and learning starts from there. The normalisation has no parameters: encoders differ in scale, and step
    sizes and penalties should not have to follow.
    """

    in_dim: int
    hidden: int = 64
    n_blocks: int = 1

    @property
    def feature_dim(self) -> int:
        return self.in_dim

    def init_features(self, generator: Generator) -> Params:
        params: Params = {}
        for i in range(self.n_blocks):
            params |= init_linear(f"block{i}.in", self.in_dim, self.hidden, generator)
            params |= init_linear(f"block{i}.out", self.hidden, self.in_dim, generator)
            params[f"block{i}.out.weight"] = torch.zeros(self.hidden, self.in_dim)
        return params

    def features(self, params: Params, x: Tensor) -> Tensor:
        h = F.layer_norm(x, x.shape[-1:])
        for i in range(self.n_blocks):
            h = h + linear(params, f"block{i}.out", F.relu(linear(params, f"block{i}.in", h)))
        return h
