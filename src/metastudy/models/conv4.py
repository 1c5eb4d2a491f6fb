"""φ of Conv4, the network of most few-shot papers, made fast on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import sqrt
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.errors import TaskError
from metastudy.models.base import BaseModel, Params
from metastudy.models.first_block import EPS, first_block
from metastudy.models.image_chunks import embed_in_chunks

FEW_IMAGES = 25  # up to so many, what the first block keeps for its backward pass stays in the cache


def normed_convolution(
    x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, offset: Tensor, precision: torch.dtype = torch.float32
) -> Tensor:
    """3x3 convolution and layer norm: (B, G*I, H, W) -> (B, G*O, H, W), in G groups.

    weight (G, O, 3, 3, I); bias, scale and offset (G, O). `precision` is that of the convolution.
    """
    groups, before = weight.shape[0], x.dtype
    kernel = weight.permute(0, 1, 4, 2, 3).flatten(0, 1)
    if precision is not torch.float32:
        x, kernel, bias = (v.to(precision) for v in (x, kernel, bias))
    x = F.conv2d(x, kernel, bias.flatten(), padding=1, groups=groups).to(before)
    return F.group_norm(x, groups, scale.flatten(), offset.flatten(), EPS)


def block(
    x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, offset: Tensor, precision: torch.dtype = torch.float32
) -> Tensor:
    """`normed_convolution`, 2x2 max-pool, ReLU: (B, G*I, H, W) -> (B, G*O, H // 2, W // 2).

    Pooled before ReLU, which gives the same and leaves ReLU a quarter of the work. The plain form; see `first_block`
    for the first one.
    """
    return F.relu(F.max_pool2d(normed_convolution(x, weight, bias, scale, offset, precision), 2))


def embed(
    x: Tensor, weights: Sequence[Tensor], keep_little: bool = False, precision: torch.dtype = torch.float32
) -> Tensor:
    """(B, G*I, H, W) -> (B, G*d); `weights` are those of `block`, one block after another.

    `keep_little` leaves little of the first block in memory for the backward pass: faster for many images.
    """
    # the channels of a pixel side by side, here and in what follows: torch pools 20 times as fast
    x = x.to(memory_format=torch.channels_last)
    one_group, data = weights[0].shape[0] == 1, not x.requires_grad
    for i in range(0, len(weights), 4):
        if i == 0 and one_group and data:
            x = first_block(x, *weights[:4], keep_little)
        else:
            x = block(x, *weights[i : i + 4], precision)
    return x.flatten(1)


@dataclass(frozen=True)
class Conv4(BaseModel):
    """Blocks of 3x3 convolution, norm, ReLU and 2x2 max-pool on x (T, N, in_channels, side, side); φ is what is left.

    Sources: Vinyals et al. 2016, sec. 4.1; Snell et al. 2017; with 28 x 28 images d = channels. Deviation: layer norm
    over each image's own activations (scale and offset per channel) instead of batch norm, so that no query looks at
    another. Instance norm (each channel by itself) would do that too, but took 10 to 40% more time, and after short
    training on digits (8 x 8 pixels, 3 blocks, 32 channels; mean of 3 folds x 2 seeds) its accuracy with 1, 5 and 20
    shots was 0.63, 0.77, 0.82 against 0.70, 0.84, 0.89 for prototypes, 0.63, 0.84, 0.92 against 0.63, 0.86, 0.94 for
    ridge heads.

    `channels`: of every block, or a number for each. With 64 everywhere, three quarters of the arithmetic are in the
    second block; fewer channels early and more of them late are faster and, on drawings, better.

    Kernels are stored (O, 3, 3, I), which is how they lie in memory when channels come last; norms as (1, O).

    On a CPU, weights per task run as one ordinary convolution per task (a grouped one is several times slower in
    backward); `tasks_at_once` tells `meta_gradient` to spread tasks over threads. Weights shared by all images run in
    chunks of images over threads. Elsewhere tasks are the groups of a grouped convolution.

    `bfloat16`: convolutions after the first in that precision, a way to train: half again as fast on CPUs that have it
    (φ differs by 0.5%), slow on others. Parameters and norms stay as they are.
    """

    side: int = 28
    in_channels: int = 1
    channels: int | tuple[int, ...] = 64
    n_blocks: int = 4
    bfloat16: bool = False
    tasks_at_once: ClassVar[int | None] = 1
    blocks: ClassVar[Callable[..., Tensor]] = staticmethod(embed)

    def __post_init__(self) -> None:
        if self.side < 2**self.n_blocks:
            raise TaskError(
                f"images of side {self.side} vanish: {self.n_blocks} blocks halve them to nothing; expected a side of "
                f"at least {2**self.n_blocks}, or fewer blocks"
            )
        if len(self.widths) != self.n_blocks:
            raise TaskError(f"channels are {self.channels} for {self.n_blocks} blocks; expected one number for each")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each block."""
        return (self.channels,) * self.n_blocks if isinstance(self.channels, int) else self.channels

    @property
    def feature_dim(self) -> int:
        return self.widths[-1] * (self.side >> self.n_blocks) ** 2

    @property
    def convolutions(self) -> dict[str, tuple[int, int]]:
        """Channels in and out of each convolution, by the end of its parameters' names, in the order of `embed`."""
        return {str(i): sizes for i, sizes in enumerate(pairwise((self.in_channels, *self.widths)))}

    @property
    def embed(self) -> Callable[..., Tensor]:
        """(images, weights, keep_little) to φ: `blocks`, in the precision asked for."""
        return partial(self.blocks, precision=torch.bfloat16) if self.bfloat16 else self.blocks

    def init_features(self, generator: Generator) -> Params:
        """He (2015) for kernels, zero bias; norms start as the identity."""
        params: Params = {}
        for i, (n_in, n) in self.convolutions.items():
            kernel = torch.randn(n, 3, 3, n_in, generator=generator) * sqrt(2 / (9 * n_in))
            params[f"conv{i}.weight"], params[f"conv{i}.bias"] = kernel, torch.zeros(1, n)
            params[f"norm{i}.weight"], params[f"norm{i}.bias"] = torch.ones(1, n), torch.zeros(1, n)
        return params

    def _weights(self, params: Params) -> list[Tensor]:
        """The weights of φ in the order of `embed`, with tasks as groups; shared ones are one group."""
        found = []
        for i in self.convolutions:
            kernel = params[f"conv{i}.weight"]
            rows = [
                params[f"{name}{i}.{part}"] for name, part in (("conv", "bias"), ("norm", "weight"), ("norm", "bias"))
            ]
            found += [kernel[None], *rows] if kernel.dim() == 4 else [kernel, *(row[:, 0] for row in rows)]
        return found

    def features(self, params: Params, x: Tensor) -> Tensor:
        n_tasks, n_rows = x.shape[:2]
        weights, on_cpu, run = self._weights(params), x.device.type == "cpu", self.embed
        if params["conv0.weight"].dim() == 4:
            images = x.flatten(0, 1)
            phi = embed_in_chunks(run, images, weights) if on_cpu else run(images, weights)
            return phi.reshape(n_tasks, n_rows, self.feature_dim)
        if on_cpu:
            many = n_rows > FEW_IMAGES
            return torch.stack([run(x[t], [w[t : t + 1] for w in weights], many) for t in range(n_tasks)])
        images = x.transpose(0, 1).flatten(1, 2)  # (N, T*C, H, W)
        return run(images, weights).reshape(n_rows, n_tasks, self.feature_dim).transpose(0, 1)
