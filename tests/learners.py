"""Learners on the toy family, and ways to stop them half way, for the tests of meta-training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from helpers import ToyFamily
from metastudy.adapt import MAML, Attention, Mapping, RidgeHead
from metastudy.methods import training_batches, validation_tasks
from metastudy.mixture import MetaLearner
from metastudy.model import BaseModel, Params
from metastudy.samplers import Sampler
from metastudy.tasks import TaskBatch, collate
from metastudy.train import TrainConfig, Trained, meta_train, rng_for

TOY = ToyFamily()
FOLD = TOY.folds()[0]
QUICK = TrainConfig(steps=12, tasks_per_step=4, validate_every=4)


class Remembering(Mapping):
    """f plus a learned share of the mean label of five earlier tasks."""

    name: ClassVar[str] = "remembering"
    memory_size: ClassVar[int] = 5

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {"share": torch.tensor(0.5)}

    def remember(self, earlier: TaskBatch) -> Params:
        return {"y": earlier.support_y[: self.memory_size]}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        return model(theta, batch.query_x) + alpha["share"] * alpha["memory.y"].mean()

    def __repr__(self) -> str:
        return "Remembering()"


class Fixed(Mapping):
    """An answer that depends on nothing that is learned."""

    name: ClassVar[str] = "fixed"

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        mean = (batch.support_y * batch.support_mask).sum(1) / batch.support_mask.sum(1)
        return mean[:, None, None].expand(-1, batch.query_x.shape[1], 1)


MAPPINGS: dict[str, tuple[Mapping, ...]] = {
    "maml": (MAML(1),),
    "ridge": (RidgeHead(),),
    "mixture": (MAML(1), RidgeHead(), Attention()),
    "memory": (Remembering(), RidgeHead()),
}


def learner_of(*mappings: Mapping) -> MetaLearner:
    return MetaLearner(TOY.model(), mappings)


def validation() -> list[TaskBatch]:
    return [collate(tasks[:8]) for tasks in validation_tasks(TOY, FOLD).values()]


def sampler(config: TrainConfig = QUICK) -> Sampler:
    return training_batches(TOY, FOLD, config)


def train(
    learner: MetaLearner,
    rng: np.random.Generator | None = None,
    config: TrainConfig = QUICK,
    checkpoint: Path | None = None,
    sample: Sampler | None = None,
    label: str = "toy",
) -> Trained:
    rng, sample = rng or rng_for(3), sample or sampler(config)
    return meta_train(learner, sample, validation(), config, rng, label, checkpoint=checkpoint)


def stops(sample: Sampler, at: int, error: type[BaseException] = KeyboardInterrupt) -> Sampler:
    """Raises in the call number `at` (from 1), after it has drawn its random numbers."""
    calls = 0

    def stopping(rng: np.random.Generator) -> TaskBatch:
        nonlocal calls
        calls += 1
        batch = sample(rng)
        if calls == at:
            raise error
        return batch

    return stopping


def counted(function: Callable) -> tuple[Callable, list[None]]:
    """The function, and a list that grows with each call."""
    calls: list[None] = []

    def counting(*arguments: object) -> object:
        calls.append(None)
        return function(*arguments)

    return counting, calls
