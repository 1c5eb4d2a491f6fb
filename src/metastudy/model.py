"""The base model f(x; θ) = Σ_i w_i φ(x; θ_i): learned features φ and a linear head w.

θ is a flat dict of tensors. Every function takes θ either *shared* (weights (I, O)) or *per task* (weights
(T, I, O), biases (T, 1, O)): a matrix product broadcasts over both, so adapted and unadapted models run the
same code, batched over tasks without a loop. No layer looks across rows (no batch statistics), so a query's
prediction never depends on the other queries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

Params = dict[str, Tensor]
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"


def is_head(name: str) -> bool:
    """Whether a parameter of θ belongs to the head w (else: to the features φ)."""
    return name in (HEAD_WEIGHT, HEAD_BIAS)


def linear(params: Params, name: str, x: Tensor) -> Tensor:
    """x (T, N, I) @ W + b -> (T, N, O), with W (I, O) or (T, I, O)."""
    return x @ params[f"{name}.weight"] + params[f"{name}.bias"]


def _init_linear(name: str, n_in: int, n_out: int, generator: Generator) -> Params:
    """He (2015) initialisation: zero bias, weights N(0, 2 / n_in)."""
    weight = torch.randn(n_in, n_out, generator=generator) * sqrt(2 / n_in)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(1, n_out)}


def per_task(params: Params, n_tasks: int) -> Params:
    """A copy of shared θ for each task: (I, O) -> (T, I, O)."""
    return {k: v.expand(n_tasks, *v.shape) for k, v in params.items()}


class BaseModel(ABC):
    """f = head ∘ features. Subclasses define φ; the head is one column w (d, 1), widened per class when needed."""

    feature_dim: int

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


@dataclass(frozen=True)
class MLP(BaseModel):
    """Fully connected φ with ReLU between layers; `hidden[-1]` is the feature dimension d."""

    in_dim: int
    hidden: tuple[int, ...] = (64, 64)

    @property
    def feature_dim(self) -> int:
        return self.hidden[-1]

    def init_features(self, generator: Generator) -> Params:
        sizes = (self.in_dim, *self.hidden)
        params: Params = {}
        for i in range(len(self.hidden)):
            params |= _init_linear(f"layer{i}", sizes[i], sizes[i + 1], generator)
        return params

    def features(self, params: Params, x: Tensor) -> Tensor:
        h = x.flatten(2)
        for i in range(len(self.hidden)):
            h = F.relu(linear(params, f"layer{i}", h))
        return h


@dataclass(frozen=True)
class ConvNet(BaseModel):
    """A small convolutional φ for (1, H, W) images: 3x3 convolution with stride 2 and ReLU per block.

    Each convolution is written as patches times a matrix (im2col), so that weights may differ per task without
    grouped convolutions, which are slow in backward on a CPU. Layer norm over each image's own
    activations, never over the batch.
    """

    side: int = 8
    channels: tuple[int, ...] = (32, 32)

    @property
    def _out_side(self) -> int:
        return -(-self.side // 2 ** len(self.channels))

    @property
    def feature_dim(self) -> int:
        return self.channels[-1] * self._out_side**2

    def init_features(self, generator: Generator) -> Params:
        sizes = (1, *self.channels)
        params: Params = {}
        for i in range(len(self.channels)):
            params |= _init_linear(f"conv{i}", 9 * sizes[i], sizes[i + 1], generator)
        return params

    def features(self, params: Params, x: Tensor) -> Tensor:
        n_tasks, n_rows = x.shape[:2]
        h, side = x, self.side  # (T, N, c, s, s)
        for i, channels in enumerate(self.channels):
            patches = F.unfold(h.reshape(n_tasks * n_rows, -1, side, side), 3, padding=1, stride=2)  # (T*N, 9c, L)
            side = (side + 1) // 2
            patches = patches.transpose(1, 2).reshape(n_tasks, n_rows * side * side, -1)
            h = linear(params, f"conv{i}", patches).reshape(n_tasks * n_rows, side, side, channels)
            h = F.relu(F.layer_norm(h, (side, side, channels))).permute(0, 3, 1, 2)
        return h.reshape(n_tasks, n_rows, self.feature_dim)


@dataclass(frozen=True)
class ColumnNet(BaseModel):
    """φ for tables with different columns: one small MLP reads every cell; its outputs stay apart by column.

    x is (T, N, P, channels): P columns padded to the widest table; channel 0 is the plain value, the last is 1 on
    real columns and 0 on padding. φ has P blocks of `width` features, the first of each block the plain value. The
    head is learned as one block, shared by all columns (so f knows only what holds for columns in general), and
    written out per column by `untied`, from where a mapping can move each column's weights by itself.
    """

    channels: int
    n_columns: int
    hidden: int = 32
    width: int = 4

    @property
    def feature_dim(self) -> int:
        return self.n_columns * self.width

    def init_features(self, generator: Generator) -> Params:
        first = _init_linear("cell0", self.channels, self.hidden, generator)
        return first | _init_linear("cell1", self.hidden, self.width - 1, generator)

    def init(self, generator: Generator) -> Params:
        params = self.init_features(generator)
        params[HEAD_WEIGHT] = torch.randn(self.width, 1, generator=generator) * 0.1 / sqrt(self.width)
        params[HEAD_BIAS] = torch.zeros(1, 1)
        return params

    def untied(self, params: Params) -> Params:
        return params | {HEAD_WEIGHT: params[HEAD_WEIGHT].repeat(self.n_columns, 1)}

    def features(self, params: Params, x: Tensor) -> Tensor:
        n_tasks, n_rows, n_columns, _ = x.shape
        cells = x.reshape(n_tasks, n_rows * n_columns, -1)
        h = linear(params, "cell1", F.relu(linear(params, "cell0", cells))).tanh()
        h = torch.cat([cells[..., :1], h], -1) * cells[..., -1:]
        h = h.reshape(n_tasks, n_rows, n_columns * self.width)
        # evidence of more columns adds up, tamely: comparable scores for 3 and for 30 columns
        return h / x[..., -1].sum(-1, keepdim=True).clamp(min=1).sqrt()


def n_parameters(params: Params) -> int:
    """How many numbers θ holds."""
    return sum(prod(v.shape) for v in params.values())
