"""What a support says about each of its columns: numbers that do not depend on the order of rows or of columns."""

from __future__ import annotations

import torch
from torch import Tensor

from metastudy.tasks import TaskBatch

TINY = 1e-6
STATISTICS = (
    *(f"{name} of {what}" for what in ("value", "size") for name in ("difference", "spread", "effect", "wins")),
    "ties", "lean", "correlation with the others", "correlation with the agreed", "rows", "columns", "balance",
)  # fmt: skip
"""Of each column, in the order of the last axis of `column_statistics`; see there."""


def _correlation(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Over the real rows of (T, S, P) with (T, S, P) or (T, S, 1): (T, P), 0 where one of them does not vary."""
    count = mask.sum(1).clamp(min=1)
    a, b = ((v - (v * mask).sum(1, keepdim=True) / count[:, None]) * mask for v in (a, b))
    return (a * b).sum(1) / ((a**2).sum(1) * (b**2).sum(1) + TINY).sqrt()


def _by_class(v: Tensor, sick: Tensor, healthy: Tensor) -> list[Tensor]:
    """Difference of the class means of (T, S, P), spread within classes, their ratio, and the share of pairs in which
    the sick one has more, less the share in which it has less (2 AUROC - 1): each (T, P)."""
    n1, n0 = sick.sum(1).clamp(min=1), healthy.sum(1).clamp(min=1)
    mean1, mean0 = (v * sick).sum(1) / n1, (v * healthy).sum(1) / n0
    variance = (((v - mean1[:, None]) ** 2 * sick).sum(1) + ((v - mean0[:, None]) ** 2 * healthy).sum(1)) / (n1 + n0)
    pairs = sick[:, :, None] * healthy[:, None]  # (T, S, S, 1)
    wins = ((v[:, :, None] - v[:, None]).sign() * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
    difference = mean1 - mean0
    return [difference, variance.sqrt(), difference / (variance + 0.1).sqrt() / 4, wins]


def _ties(v: Tensor, mask: Tensor) -> Tensor:
    """Share of pairs of different rows of (T, S, P) with equal values, (T, P): near 1 for a rare sign or symptom."""
    others = 1 - torch.eye(v.shape[1], dtype=v.dtype, device=v.device)[None, :, :, None]
    pairs = mask[:, :, None] * mask[:, None] * others
    same = ((v[:, :, None] - v[:, None]).abs() < TINY) * pairs
    return same.sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)


def column_statistics(batch: TaskBatch) -> tuple[Tensor, Tensor]:
    """Statistics of each column of a batch of tables, (T, P, len(STATISTICS)), and (T, P) 1.0 on real columns.

    x is (T, S, P, channels): value, size, lean, ..., 1 on real columns (`families.diagnosis.channels`). By class, of
    values and of sizes: see `_by_class`. Then: ties; skewness; how a column correlates with the sum of the others, and
    with the sum of the others each times its own difference of classes (do they agree?); and, the same for all columns,
    how many labelled rows and columns there are (logarithms, over 3), and the balance of the classes.
    """
    x, mask = batch.support_x, batch.support_mask[..., None]
    values, sizes, lean, real = x[..., 0], x[..., 1], x[:, 0, :, 2], x[:, 0, :, -1]
    sick, healthy = (batch.support_y[..., None] * mask, (1 - batch.support_y[..., None]) * mask)
    found = [*_by_class(values, sick, healthy), *_by_class(sizes, sick, healthy), _ties(values, mask), lean]
    for v in (values * real[:, None], values * (found[0] * real)[:, None]):
        found.append(_correlation(values, v.sum(-1, keepdim=True) - v, mask))  # without the column itself
    n_sick, n_healthy = sick.sum(1), healthy.sum(1)
    n_columns = real.sum(1, keepdim=True).clamp(min=1)
    balance = (n_sick - n_healthy) / (n_sick + n_healthy).clamp(min=1)
    found += [v.expand_as(lean) for v in (mask.sum(1).clamp(min=1).log() / 3, n_columns.log() / 3, balance)]
    return torch.stack(found, -1) * real[..., None], real
