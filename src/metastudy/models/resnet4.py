"""φ of a small residual network: Conv4 with a second convolution in each block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.models.base import Params
from metastudy.models.conv4 import Conv4, normed_convolution

OF_A_BLOCK = 8  # weights: those of `normed_convolution` twice


def embed(
    x: Tensor, weights: Sequence[Tensor], keep_little: bool = False, precision: torch.dtype = torch.float32
) -> Tensor:
    """(B, G*I, H, W) -> (B, G*d), as `conv4.embed`; `keep_little` changes nothing."""
    x = x.to(memory_format=torch.channels_last)
    for i in range(0, len(weights), OF_A_BLOCK):
        first, second = weights[i : i + 4], weights[i + 4 : i + OF_A_BLOCK]
        x = F.relu(normed_convolution(x, *first, precision=precision if i else torch.float32))
        x = x + normed_convolution(x, *second, precision=precision)
        x = F.relu(F.max_pool2d(x, 2))
    return x.flatten(1)


@dataclass(frozen=True)
class ResNet4(Conv4):
    """Blocks of h = ReLU(norm(conv(x))), then ReLU(max-pool(h + norm(conv(h)))), both convolutions 3x3.

    Source: He et al. (2016, Deep residual learning), in the size of `Conv4`, of which everything else here is:
    layer norm, widths, weights per task, precision. Deviation: the short cut begins behind the first convolution, which
    changes the width, so that it needs no weights; the second kernel starts at half of He's size, near a plain block.
    """

    blocks: ClassVar[Callable[..., Tensor]] = staticmethod(embed)

    @property
    def convolutions(self) -> dict[str, tuple[int, int]]:
        plain = super().convolutions
        return {name: sizes for i, (a, b) in plain.items() for name, sizes in ((i, (a, b)), (f"{i}b", (b, b)))}

    def init_features(self, generator: Generator) -> Params:
        """As `Conv4`, second kernels halved."""
        params = super().init_features(generator)
        return {k: v / 2 if k.endswith("b.weight") and v.dim() == 4 else v for k, v in params.items()}
