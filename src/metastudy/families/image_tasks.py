"""Drawings as tasks: grey pictures in, classes out. C classes, k shots, Q queries, s side of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metastudy.tasks import Task


def as_input(pictures: np.ndarray) -> Tensor:
    """(N, s, s) uint8 to (N, 1, s, s) float32 from 0 (paper) to 1 (ink)."""
    return torch.from_numpy(np.ascontiguousarray(pictures))[:, None].float() / 255


def turned(pictures: np.ndarray, turns: Sequence[int]) -> np.ndarray:
    """(C, k, s, s): the pictures of class c by turns[c] quarter turns, counterclockwise."""
    return np.stack([np.rot90(p, int(turn), axes=(1, 2)) for p, turn in zip(pictures, turns, strict=True)])


def image_task(
    name: str,
    family: str,
    support: np.ndarray,
    query: np.ndarray,
    query_y: np.ndarray,
    class_names: Sequence[str],
    query_ids: Sequence[str],
) -> Task:
    """A task of exchangeable classes. Shapes: support (C, k, s, s) and query (Q, s, s) uint8, query_y (Q,)."""
    n_classes, shots = support.shape[:2]
    return Task(
        id=name,
        family=family,
        kind="classification",
        support_x=as_input(support.reshape(-1, *support.shape[2:])),
        support_y=torch.arange(n_classes).repeat_interleave(shots),
        query_x=as_input(query),
        query_y=torch.as_tensor(query_y, dtype=torch.int64),
        n_classes=n_classes,
        query_ids=tuple(query_ids),
        class_names=tuple(class_names),
    )
