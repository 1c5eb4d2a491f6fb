"""Where a training stands between two steps, kept on disk now and then, so that it goes on bit for bit.

The one random state of a training is its numpy stream: samplers draw from it, nothing reads torch's or numpy's global
state. The learning rate is a function of the step. So parameters, moments and `Course` are all there is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metastudy import checkpoint
from metastudy.mixture import without_prefix
from metastudy.model import Params
from metastudy.optimise import Optimizer, TrainConfig

KIND = "checkpoint"
SAVE_SECONDS = 60.0  # between two checkpoints: a question of cost, never of numbers


@dataclass(frozen=True)
class Course:
    """Everything but the tensors that move in place. Replaced as a whole, so that it is never half of two moments."""

    random: Mapping[str, Any]  # state of the numpy stream
    step: int = 0
    best: float = math.inf
    since: int = 0  # validations since the best
    running: tuple[float, ...] = ()  # training losses since the last validation
    history: tuple[dict[str, float], ...] = ()
    best_params: Params = field(default_factory=dict)


class Training:
    """Parameters, optimizer and course of one run. `course` is None while a step is being made."""

    def __init__(self, params: Params, config: TrainConfig, rng: np.random.Generator) -> None:
        contiguous = torch.contiguous_format
        self.params = {name: v.detach().clone(memory_format=contiguous) for name, v in params.items()}
        self.optimizer = Optimizer(self.params, config)
        self.rng = rng
        self.course: Course | None = Course(rng.bit_generator.state)

    def validated(self, value: float) -> None:
        """Take down a validation loss, and the parameters if it is the lowest so far."""
        course = self.course
        train_loss = float(np.mean(course.running)) if course.running else math.nan
        entry = {"step": course.step, "train_loss": train_loss, "validation_loss": value}
        course = replace(course, history=(*course.history, entry), running=(), since=course.since + 1)
        if value < course.best:
            own = {name: v.clone() for name, v in self.optimizer.trained.items()}
            course = replace(course, best=value, since=0, best_params=self.params | own)
        self.course = course

    def update(self, loss: float, gradient: Params, norm: float) -> None:
        """Make one step."""
        course, self.course = self.course, None
        self.optimizer.step(gradient, norm, course.step)
        random, running = self.rng.bit_generator.state, (*course.running, loss)
        self.course = replace(course, step=course.step + 1, random=random, running=running)

    def state(self) -> tuple[Params, dict[str, Any]]:
        """Tensors (without memory, which is data) and the rest."""
        tensors = {f"current/{name}": v for name, v in self.optimizer.trained.items()}
        best = self.course.best_params
        tensors |= {f"best/{name}": best[name] for name in self.optimizer.trained if best}
        tensors |= {f"optimizer/{name}": v for name, v in self.optimizer.tensors().items()}
        return tensors, asdict(replace(self.course, best_params={}))

    def restore(self, tensors: Params, course: Mapping[str, Any]) -> None:
        """Go back to a `state`; the numpy stream goes with it."""
        with torch.no_grad():
            for name, value in without_prefix(tensors, "current/").items():
                self.params[name].copy_(value)
        self.optimizer.restore(without_prefix(tensors, "optimizer/"))
        best = {name: v.to(self.params[name].device) for name, v in without_prefix(tensors, "best/").items()}
        course = Course(**course)
        self.course = replace(
            course,
            running=tuple(course.running),
            history=tuple(course.history),
            best_params=self.params | best if best else {},
        )
        self.rng.bit_generator.state = course.random


class Keeper:
    """Keeps a training in `path`, or nothing where that is None. `identity` says what the training is of."""

    def __init__(self, path: Path | None, training: Training, identity: Mapping[str, str]) -> None:
        self._path, self._training = path, training
        self._saved = time.monotonic()
        if path is None:
            return
        start = checkpoint.digest(training.params, str(training.course.random))
        shapes = {name: list(v.shape) for name, v in training.params.items()}
        # the start stands for the seed, for the initial weights and for what a memory holds
        self._identity = {**identity, "shapes": shapes, "start": start, "torch": torch.__version__}
        if path.exists():
            tensors, record = checkpoint.read(path, KIND)
            checkpoint.check(path, record["identity"], self._identity)
            training.restore(tensors, record["course"])

    def save_now_and_then(self) -> None:
        """Save where the last time is long enough ago."""
        if self._path is not None and time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Save, unless a step is half made: then the last file stands."""
        if self._path is not None and self._training.course is not None:
            tensors, course = self._training.state()
            checkpoint.write(self._path, KIND, tensors, {"identity": self._identity, "course": course})
            self._saved = time.monotonic()

    def finish(self) -> None:
        """Bring a file that exists up to date, so that it gives its result at once; short runs leave none."""
        if self._path is not None and self._path.exists():
            self.save()
