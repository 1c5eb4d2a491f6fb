"""Omniglot as few-shot tasks, the classic benchmark: tell 5 or 20 handwritten characters apart from 1 or 5 drawings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from metastudy import loaders
from metastudy.errors import DataError, ParameterError
from metastudy.families import omniglot_split
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.families.image_tasks import image_task, turned
from metastudy.families.scoring import class_scores
from metastudy.families.warps import Redraw
from metastudy.loaders.omniglot import DRAWERS, Characters
from metastudy.model import Conv4
from metastudy.tasks import Kind, Task

AGAIN = "the task list was frozen from other data: draw it anew with `python -m metastudy.task_lists`"
UPRIGHT, ALL_TURNS = (0,), (0, 1, 2, 3)


def digest(rows: np.ndarray) -> str:
    """A short hash of drawn rows, kept in a frozen task so that another draw is noticed."""
    return hashlib.sha256(rows.astype("<i4").tobytes()).hexdigest()[:8]


@dataclass(frozen=True)
class Omniglot(Family):
    """Characters from anywhere (a task mixes alphabets), split by character as in Vinyals et al. (2016).

    Test tasks hold `max_shots` + `n_query` of the 20 drawings of each character; a frozen one is its characters (their
    positions in the data), the seed that its drawings are drawn from, and a hash of what was drawn. In training a
    character may be turned by 90, 180 or 270 degrees, which makes another class; no task holds the same character
    twice, since an O turned is still an O. Deviation from Snell et al. (2017): turned characters only train; theirs
    also validate and test. Part of Omniglot's evaluation alphabets trains here: not for the one-shot challenge.
    """

    study: ClassVar[str] = "omniglot"
    kind: ClassVar[Kind] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss")
    max_shots: ClassVar[int] = 5
    shots: tuple[int, ...] = (1, 5)
    ways: tuple[int, ...] = (5, 20)  # of test tasks: one family each
    train_ways: int = 20  # of training and validation tasks
    n_query: int = 15  # per class
    n_train_query: int = 5  # per class, in training and validation
    n_test: int = 1000  # tasks per family
    side: int = 28
    channels: int = 64
    redraw: Redraw | None = None  # of training tasks

    def __post_init__(self) -> None:
        self.check_shots()
        smallest = min(omniglot_split.SIZES.values())
        if not self.ways or not all(2 <= n <= smallest for n in (*self.ways, self.train_ways)):
            raise ParameterError(f"ways {self.ways}, train_ways {self.train_ways}; expected 2 to {smallest} classes")
        for name, most in (("n_query", DRAWERS), ("n_train_query", DRAWERS - 1)):  # one character has a picture twice
            if not 1 <= getattr(self, name) <= most - self.max_shots:
                raise ParameterError(f"{name} is {getattr(self, name)}; expected 1 to {most - self.max_shots}")

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without what can be loaded again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _characters(self) -> Characters:
        return loaders.load("omniglot")

    @cached_property
    def _pictures(self) -> np.ndarray:
        """(N, side, side) uint8."""
        return self._characters.resized(self.side)

    @cached_property
    def _large(self) -> np.ndarray:
        """(N, 2 side, 2 side) uint8: what is warped."""
        return self._characters.resized(2 * self.side)

    @cached_property
    def _drawings(self) -> list[np.ndarray]:
        """Rows of each character that may be drawn: all but repeated pictures."""
        return [self._characters.distinct(c) for c in range(len(self._characters.characters))]

    @cached_property
    def classes(self) -> dict[str, list[int]]:
        """Positions of the characters that train, validate and test."""
        return omniglot_split.standard(self._characters.characters)

    def folds(self) -> tuple[Fold, ...]:
        """One round, whose parts are those of the split; what is tested is named by the number of classes."""
        return (Fold("standard", ("train",), ("validation",), tuple(f"{n}-way" for n in self.ways)),)

    def model(self) -> Conv4:
        return Conv4(side=self.side, channels=self.channels)

    def class_name(self, c: int, turns: int = 0) -> str:
        """As in the class lists of prototypical-networks, for instance "Greek/character01/rot090"."""
        return f"{self._characters.characters[c].name}/rot{90 * (turns % 4):03d}{'/mirrored' * (turns > 3)}"

    def training_classes(self, fold: Fold) -> tuple[str, ...]:
        """Every class that a training task may hold: each training character in four positions, or eight."""
        return tuple(self.class_name(c, t) for part in fold.train for c in self.classes[part] for t in self._turns)

    @property
    def _turns(self) -> tuple[int, ...]:
        """Quarter turns, and from 4 on those of the mirrored character, as in `warps.DIHEDRAL`."""
        return tuple(range(8)) if self.redraw and self.redraw.mirrored else ALL_TURNS

    def _rows(self, classes: Sequence[int], per_class: int, rng: np.random.Generator) -> np.ndarray:
        """(C, per_class): different drawings of each class, at random."""
        return np.stack([rng.permutation(self._drawings[c])[:per_class] for c in classes])

    def _task(
        self,
        name: str,
        family: str,
        classes: Sequence[int],
        turns: Sequence[int],
        rows: np.ndarray,
        pictures: np.ndarray,
        shots: int,
    ) -> Task:
        """The first `shots` columns of rows (C, n) and pictures (C, n, s, s) are support, the others are query."""
        query = pictures[:, shots:].reshape(-1, self.side, self.side)
        query_y = np.repeat(np.arange(len(rows)), rows.shape[1] - shots)
        names = [self.class_name(c, t) for c, t in zip(classes, turns, strict=True)]
        ids = [str(row) for row in rows[:, shots:].ravel()]
        return image_task(name, family, pictures[:, :shots], query, query_y, names, ids)

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        """Tasks of `train_ways` characters. Whatever varies pictures in training belongs here, as turns do."""
        known = [c for name in getattr(fold, part) for c in self.classes[name]]
        tasks = []
        for i in range(n_tasks):
            classes = rng.choice(known, self.train_ways, replace=False).tolist()
            turns = rng.choice(self._turns if part == "train" else UPRIGHT, len(classes)).tolist()
            rows = self._rows(classes, shots + self.n_train_query, rng)
            if self.redraw and part == "train":
                pictures = self.redraw(self._large[rows], rng, np.array(turns))
            else:
                pictures = turned(self._pictures[rows], turns)
            tasks.append(self._task(f"{part}{i}", part, classes, turns, rows, pictures, shots))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        specs = []
        for ways in self.ways:
            for i in range(self.n_test):
                classes = rng.choice(self.classes["test"], ways, replace=False).tolist()
                seed = int(rng.integers(2**31))
                drawn = digest(self._drawn(classes, seed))
                specs.append(
                    TaskSpec(f"{ways}-way/{i:04d}", f"{ways}-way", "standard", (tuple(classes),), (seed,), (drawn,))
                )
        return specs

    def _drawn(self, classes: Sequence[int], seed: int) -> np.ndarray:
        return self._rows(classes, self.max_shots + self.n_query, np.random.default_rng(seed))

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        classes = list(spec.support[0])
        if unknown := sorted(set(classes) - set(self.classes["test"]), key=str):
            raise DataError(f"task {spec.id}: {unknown[0]!r} is no test character of this data; {AGAIN}")
        rows = self._drawn(classes, spec.query[0])
        if (found := digest(rows)) != spec.columns[0]:
            raise DataError(f"task {spec.id}: draws drawings with hash {found}, expected {spec.columns[0]}; {AGAIN}")
        kept = np.concatenate([rows[:, :shots], rows[:, self.max_shots :]], axis=1)  # the same query for every k
        return self._task(spec.id, spec.family, classes, UPRIGHT * len(classes), kept, self._pictures[kept], shots)

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return class_scores(task, prediction)

    @cached_property
    def _hash(self) -> str:
        parts = [[self._characters.characters[c].name for c in self.classes[part]] for part in omniglot_split.SIZES]
        return hashlib.sha256(f"{self._characters.content_hash()}{parts}".encode()).hexdigest()

    def content_hash(self) -> str:
        """Of all drawings in full size, their names and the split: `side` changes no task."""
        return self._hash
