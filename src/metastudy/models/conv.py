"""φ of a small convolutional network, written as matrix products."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.models.base import BaseModel, Params, init_linear, linear


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
            params |= init_linear(f"conv{i}", 9 * sizes[i], sizes[i + 1], generator)
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
