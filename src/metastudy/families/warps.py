"""Drawings drawn again: affine and elastic warps, shared by a task, by a class, or by nobody. N pictures, s their side.

Three sizes of the same thing. What all drawings of a task share makes another alphabet (mirrored, slanted, stretched);
what the drawings of one class share makes another character of it; what each drawing has for itself is how hands
differ. Warps of different sizes are composed in one resampling, from pictures twice as large as needed, whose 2 x 2
pixels are then averaged: without that, interpolation would blur what is trained on and not what is tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

DIHEDRAL = torch.tensor(
    [
        [[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]],
        [[-1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1], [-1, 0]],
    ],
    dtype=torch.float32,
)  # fmt: skip
"""The eight symmetries of a square: four quarter turns, and the same mirrored."""


@cache
def _bicubic(nodes: int, side: int) -> Tensor:
    """(side, nodes): bicubic interpolation from nodes to pixels along one axis, which is linear in what it interpolates
    (as a matrix it takes a tenth of the time)."""
    rows = torch.eye(nodes)[None, None]
    return F.interpolate(rows, size=(side, nodes), mode="bicubic", align_corners=True)[0, 0]


@dataclass(frozen=True)
class Warp:
    """How far pictures are warped. Standard deviations; lengths in halves of a picture's side.

    `elastic` is the displacement at the nodes of a coarse grid, in between it is interpolated (bicubic): the smooth
    random fields of Simard et al. (2003) without their convolution.
    """

    rotation: float = 0.0  # radians
    shear: float = 0.0
    log_scale: float = 0.0  # of each axis by itself
    shift: float = 0.0
    elastic: float = 0.0
    nodes: int = 4  # of the coarse grid, each way

    def matrices(self, n: int, generator: torch.Generator) -> Tensor:
        """Random linear maps (n, 2, 2): rotation after shear after scale."""
        angle, shear, a, b = torch.randn(4, n, generator=generator)
        cos, sin = (angle * self.rotation).cos(), (angle * self.rotation).sin()
        a, b, shear = (a * self.log_scale).exp(), (b * self.log_scale).exp(), shear * self.shear
        return torch.stack([cos * a, (cos * shear - sin) * b, sin * a, (sin * shear + cos) * b], -1).reshape(n, 2, 2)

    def fields(self, n: int, side: int, generator: torch.Generator) -> Tensor:
        """Random displacements (n, side, side, 2): a shift, and the elastic field."""
        shift = torch.randn(n, 1, 1, 2, generator=generator) * self.shift
        if not self.elastic:
            return shift.expand(n, side, side, 2)
        coarse = torch.randn(n, 2, self.nodes, self.nodes, generator=generator) * self.elastic
        upwards = _bicubic(self.nodes, side)
        return (upwards @ coarse @ upwards.T).permute(0, 2, 3, 1) + shift


@dataclass(frozen=True)
class Redraw:
    """Warps of a whole task, of each class, and of each drawing; `mirrored` lets symmetries be mirrored as well."""

    task: Warp = Warp()
    classes: Warp = Warp()
    drawing: Warp = Warp()
    mirrored: bool = True

    def __call__(self, pictures: np.ndarray, rng: np.random.Generator, symmetry: np.ndarray) -> np.ndarray:
        """Drawings (C, n, 2s, 2s) uint8 to (C, n, s, s) uint8, class c first turned by DIHEDRAL[symmetry[c]]."""
        n_classes, per_class, double = pictures.shape[:3]
        side, n = double // 2, n_classes * per_class
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))

        def each(of_class: Tensor) -> Tensor:
            return of_class.repeat_interleave(per_class, 0)

        of_class = DIHEDRAL[torch.from_numpy(symmetry)] @ self.task.matrices(1, generator)
        of_class = of_class @ self.classes.matrices(n_classes, generator)
        matrices = each(of_class) @ self.drawing.matrices(n, generator)
        fields = each(self.classes.fields(n_classes, side, generator)) + self.drawing.fields(n, side, generator)
        found = warped(pictures.reshape(n, double, double), matrices, fields)
        return found.reshape(n_classes, per_class, side, side)

    def symmetries(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n,): which of `DIHEDRAL`, at random."""
        return rng.integers(8 if self.mirrored else 4, size=n)


def warped(pictures: np.ndarray, matrices: Tensor, fields: Tensor) -> np.ndarray:
    """Pictures (N, 2s, 2s) uint8 under maps (N, 2, 2) and displacements (N, s, s, 2): (N, s, s) uint8.

    The pixel at u shows what the picture has at A (u + d(u)): displaced first, then mapped. What lies outside is paper.
    """
    n, double = pictures.shape[:2]
    side = double // 2
    axis = (2 * torch.arange(side, dtype=torch.float32) + 1) / side - 1  # centres of pixels
    base = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (s, s, 2), x before y
    grid = ((fields + base).reshape(n, -1, 2) @ matrices.mT).reshape(n, side, side, 2)
    # averaged over 2 x 2 first: sampling that in between two pixels is what averaging after sampling would find, and
    # a quarter of the work. The averages' corners lie one pixel inside the picture's, hence the factor
    ink = torch.from_numpy(np.ascontiguousarray(pictures))[:, None].float()
    ink = ink[..., 1:] + ink[..., :-1]  # several times as fast as avg_pool2d
    source = (ink[..., 1:, :] + ink[..., :-1, :]) / 4
    drawn = F.grid_sample(source, grid * (side / (side - 1)), padding_mode="zeros", align_corners=True)
    return drawn[:, 0].round().to(torch.uint8).numpy()
