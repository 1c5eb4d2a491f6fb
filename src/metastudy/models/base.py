"""What every base model f shares: θ as a flat dict of tensors, shared or one copy per task, and the head w."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod, sqrt
from typing import ClassVar

import torch
from torch import Generator, Tensor

Params = dict[str, Tensor]
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"


def is_head(name: str) -> bool:
    """Whether a parameter of θ belongs to the head w (else: to the features φ)."""
    return name in (HEAD_WEIGHT, HEAD_BIAS)


def linear(params: Params, name: str, x: Tensor) -> Tensor:
    """x (T, N, I) @ W + b -> (T, N, O), with W (I, O) or (T, I, O)."""
    return x @ params[f"{name}.weight"] + params[f"{name}.bias"]


def init_linear(name: str, n_in: int, n_out: int, generator: Generator) -> Params:
    """He (2015) initialisation: zero bias, weights N(0, 2 / n_in)."""
    weight = torch.randn(n_in, n_out, generator=generator) * sqrt(2 / n_in)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(1, n_out)}


def per_task(params: Params, n_tasks: int) -> Params:
    """A copy of shared θ for each task: (I, O) -> (T, I, O). A head that each task has of its own already stays."""
    return {k: v if is_head(k) and v.dim() == 3 else v.expand(n_tasks, *v.shape) for k, v in params.items()}


def n_parameters(params: Params) -> int:
    """How many numbers θ holds."""
    return sum(prod(v.shape) for v in params.values())


class BaseModel(ABC):
    """f = head ∘ features. Subclasses define φ; the head is one column w (d, 1), widened per class when needed."""

    feature_dim: int
    tasks_at_once: ClassVar[int | None] = None
    """How many tasks of a batch are best adapted together on a CPU (`meta_gradient`); None: all of them."""

    @abstractmethod
    def init_features(self, generator: Generator) -> Params:
        """Fresh parameters of φ."""

    @abstractmethod
    def features(self, params: Params, x: Tensor) -> Tensor:
        """φ(x; θ): (T, N, *D) -> (T, N, d)."""

    def init(self, generator: Generator) -> Params:
        """Fresh θ = (φ parameters, w). The head starts near zero: an untrained f says nothing with confidence."""
        params = self.init_features(generator)
        params[HEAD_WEIGHT] = torch.randn(self.feature_dim, 1, generator=generator) * 0.1 / sqrt(self.feature_dim)
        params[HEAD_BIAS] = torch.zeros(1, 1)
        return params

    def untied(self, params: Params) -> Params:
        """θ with the head written out for every feature; the identity unless a model shares head weights."""
        return params

    def head(self, params: Params, phi: Tensor) -> Tensor:
        """Σ_i w_i φ_i + b: (T, N, d) -> (T, N, C)."""
        return linear(params, "head", phi)

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """f(x; θ): (T, N, *D) -> scores (T, N, C)."""
        return self.head(params, self.features(params, x))
