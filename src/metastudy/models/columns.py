"""φ for tables with different columns: one small network reads every cell, whatever its column means."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.models.base import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params, init_linear, linear


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
        first = init_linear("cell0", self.channels, self.hidden, generator)
        return first | init_linear("cell1", self.hidden, self.width - 1, generator)

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


@dataclass(frozen=True)
class SetNet(BaseModel):
    """φ of a row as a *set* of cells: a network per cell, the mean over the row's columns, a network on the mean.

    The form that every function of a set has (Zaheer et al. 2017, Deep Sets, theorem 2). x is (T, N, P, channels) as
    for `ColumnNet`, the last channel 1 on real columns. Neither θ nor d depends on P, and columns have no order: what
    a cell means must stand in its channels (how its column relates to the label, say). A table of another width needs
    no padding to the widest of all. Against ColumnNet: combinations of columns can be learned, but no head can weigh
    one column by itself. Deviation from Deep Sets: the mean instead of the sum, so that 3 and 30 columns compare.
    """

    channels: int
    hidden: int = 32
    width: int = 16

    @property
    def feature_dim(self) -> int:
        return self.width

    def init_features(self, generator: Generator) -> Params:
        sizes = {"cell0": (self.channels, self.hidden), "cell1": (self.hidden, self.hidden)}
        sizes |= {"row0": (self.hidden, self.hidden), "row1": (self.hidden, self.width)}
        params: Params = {}
        for name, (n_in, n_out) in sizes.items():
            params |= init_linear(name, n_in, n_out, generator)
        return params

    def features(self, params: Params, x: Tensor) -> Tensor:
        n_tasks, n_rows, n_columns, _ = x.shape
        real = x[..., -1:]  # (T, N, P, 1)
        h = F.relu(linear(params, "cell0", x.flatten(1, 2)))
        h = F.relu(linear(params, "cell1", h)).reshape(n_tasks, n_rows, n_columns, self.hidden)
        mean = (h * real).sum(2) / real.sum(2).clamp(min=1)  # (T, N, hidden)
        return F.relu(linear(params, "row1", F.relu(linear(params, "row0", mean))))
