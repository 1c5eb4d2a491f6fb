"""Where meta-training gets its batches from: one family, or several in one run. Tasks stream, none is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from metastudy.errors import TaskError
from metastudy.tasks import Task, TaskBatch, collate

Sampler = Callable[[np.random.Generator], TaskBatch]


def mixed(samplers: Mapping[str, Sampler], weights: Mapping[str, float] | None = None) -> Sampler:
    """One family per step, drawn by weight (default: all alike); kinds and sizes may differ from step to step.

    The model and the mappings must take the inputs of all. Raises TaskError for no sampler, or for weights that are
    not one positive number for each.
    """
    if not samplers:
        raise TaskError("no sampler to mix; expected at least one")
    weights = dict.fromkeys(samplers, 1.0) if weights is None else weights
    if set(weights) != set(samplers) or not all(0 < w < math.inf for w in weights.values()):
        raise TaskError(f"weights are {dict(weights)}; expected one number above 0 for each of {', '.join(samplers)}")
    shares = np.array([weights[name] for name in samplers], dtype=float)
    shares /= shares.sum()
    chosen = list(samplers.values())

    def sample(rng: np.random.Generator) -> TaskBatch:
        return chosen[rng.choice(len(chosen), p=shares)](rng)

    return sample


def earlier_tasks(sample: Sampler, n_tasks: int, rng: np.random.Generator) -> TaskBatch:
    """`n_tasks` training tasks in one batch, for a memory; from as many draws as it takes.

    Raises TaskError where batches do not name their tasks, or where tasks differ in kind or input shape.
    """
    found: list[Task] = []
    while len(found) < n_tasks:
        batch = sample(rng)
        if not batch.tasks:
            raise TaskError("a batch without its tasks cannot be remembered; make batches with `tasks.collate`")
        found += batch.tasks
    return collate(found[:n_tasks])
