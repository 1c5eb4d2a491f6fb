"""What training leaves, and keeping it in a small file, so that predicting needs no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metastudy import checkpoint
from metastudy.mixture import MetaLearner
from metastudy.model import Params

KIND = "trained model"


@dataclass(frozen=True, eq=False)
class Trained:
    """The parameters with the lowest validation loss, and the path to them (step, train and validation loss)."""

    params: Params
    history: list[dict[str, float]]


def _identity(learner: MetaLearner) -> dict[str, str]:
    return {"learner": checkpoint.description(learner)}


def save(path: Path, learner: MetaLearner, trained: Trained, about: Mapping[str, Any] | None = None) -> None:
    """Write parameters (memory included) and history to `path` (*.safetensors), with a readable .json beside it.

    `about` adds to the record, which `record` gives back.
    """
    checkpoint.write(path, KIND, trained.params, {**(about or {}), **_identity(learner), "history": trained.history})


def record(path: Path) -> dict[str, Any]:
    """What a file says of its training. Raises DataError for a missing or damaged one."""
    return checkpoint.read(path, KIND)[1]


def load(path: Path, learner: MetaLearner) -> Trained:
    """The trained parameters of `learner`, ready for `learner.predict`.

    Raises DataError for a missing or damaged file, TrainingError for one of another learner or of other shapes.
    """
    params, found = checkpoint.read(path, KIND)
    checkpoint.check(path, found, _identity(learner))
    if not learner.memory_size:  # else `init` would need earlier tasks only to learn their shapes
        expected = learner.init(torch.Generator().manual_seed(0))
        shapes = [{name: list(v.shape) for name, v in sorted(some.items())} for some in (params, expected)]
        checkpoint.check(path, {"shapes": shapes[0]}, {"shapes": shapes[1]})
    return Trained(params, found["history"])
