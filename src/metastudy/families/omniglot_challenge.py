"""Omniglot's one-shot challenge: 20 official runs, each 20 characters of one alphabet that meta-training never saw."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from metastudy import loaders
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.families.image_tasks import image_task
from metastudy.families.scoring import accuracy_and_log_loss
from metastudy.families.warps import Redraw
from metastudy.loaders.omniglot import DRAWERS, Characters
from metastudy.loaders.omniglot_runs import WAYS, Challenge
from metastudy.model import Conv4
from metastudy.tasks import Kind, Task

BACKGROUNDS = ("full", "small1", "small2")
RUNS = tuple(f"run{i:02d}" for i in range(1, 21))
SHOWN = tuple(f"class{i:02d}" for i in range(1, WAYS + 1))  # the files' names: one drawing to learn from
ASKED = tuple(f"item{i:02d}" for i in range(1, WAYS + 1))  # and one to recognise


def held_out(sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Which alphabets validate: one in six, at least one: the smallest that still have the 20 characters of a run.

    So validation looks like the test, and training keeps the most. Ties go by name.
    """
    large_enough = sorted((n, alphabet) for alphabet, n in sizes.items() if n >= WAYS)
    return tuple(alphabet for _, alphabet in large_enough[: max(1, len(sizes) // 6)])


@dataclass(frozen=True)
class OmniglotChallenge(Family):
    """Lake et al. (2015): 20-way, one shot, characters of one alphabet; a run is a task and a family by itself.

    `background` says what meta-training may see: "full" (30 alphabets), "small1" or "small2" (5 each). The alphabets of
    the test, Omniglot's images_evaluation, are dropped on loading. Training and validation tasks are made like runs:
    characters of one alphabet, as many as it has up to 20, shown in the drawings of one person and recognised in those
    of others, the same people for all characters. Every background has a frozen list with its own split; the tasks in
    them are the same.
    """

    study: ClassVar[str] = "omniglot_challenge"
    kind: ClassVar[Kind] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("error_percent", "log_loss")
    clustered: ClassVar[bool] = True
    max_shots: ClassVar[int] = 1
    shots: tuple[int, ...] = (1,)
    background: Literal["full", "small1", "small2"] = "full"
    min_ways: int = 10  # alphabets with fewer characters do not train
    n_train_query: int = 4  # drawers, and so queries per class, in training and validation
    side: int = 28
    channels: int | tuple[int, ...] = 64  # of `Conv4`
    redraw: Redraw | None = None  # of training tasks
    all_train: bool = False  # alphabets that validate train too: once all settings are chosen

    def __post_init__(self) -> None:
        self.check_shots()
        if self.background not in BACKGROUNDS:
            raise ParameterError(f"background is {self.background!r}; expected one of {', '.join(BACKGROUNDS)}")
        if not 2 <= self.min_ways <= WAYS:
            raise ParameterError(f"min_ways is {self.min_ways}; expected 2 to {WAYS}, the characters of a run")
        if not 1 <= self.n_train_query <= DRAWERS - self.max_shots - 1:  # one drawer repeats a picture of another
            raise ParameterError(f"n_train_query is {self.n_train_query}; expected 1 to {DRAWERS - self.max_shots - 1}")

    @property
    def task_list(self) -> str:
        """Each background has a list of its own, since alphabets that train and validate differ."""
        return "" if self.background == "full" else f"{self.study}_{self.background}"

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without what can be loaded again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _characters(self) -> Characters:
        """The background; nothing of images_evaluation stays."""
        if self.background == "full":
            return loaders.load("omniglot").part("background")
        return loaders.load("omniglot_minimal").part(self.background)

    @cached_property
    def _pictures(self) -> np.ndarray:
        """(N, side, side) uint8, of the background."""
        return self._characters.resized(self.side)

    @cached_property
    def _large(self) -> np.ndarray:
        """(N, 2 side, 2 side) uint8, of the background: what is warped."""
        return self._characters.resized(2 * self.side)

    @cached_property
    def _challenge(self) -> Challenge:
        return loaders.load("omniglot_challenge")

    @cached_property
    def _runs(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and test pictures of the runs, (R, 20, side, side) uint8."""
        return self._challenge.resized(self.side)

    @cached_property
    def alphabets(self) -> dict[str, list[int]]:
        """Positions of the characters of each background alphabet."""
        found: dict[str, list[int]] = {}
        for i, c in enumerate(self._characters.characters):
            found.setdefault(c.alphabet, []).append(i)
        return found

    def folds(self) -> tuple[Fold, ...]:
        """One round: alphabets that train, alphabets that validate, and the runs."""
        validation = held_out({a: len(found) for a, found in self.alphabets.items()})
        train = tuple(a for a, found in self.alphabets.items() if a not in validation and len(found) >= self.min_ways)
        if not train or not validation:
            raise DataError(
                f"background {self.background!r} has {len(train)} alphabets for training and {len(validation)} for "
                "validation; expected at least one of each: lower min_ways, or fetch the data again"
            )
        return (Fold("official", train, validation, RUNS),)

    def model(self) -> Conv4:
        return Conv4(side=self.side, channels=self.channels)

    def training_classes(self, fold: Fold) -> tuple[str, ...]:
        """Every class that a training task may hold."""
        alphabets = fold.train + (fold.validation if self.all_train else ())
        return tuple(self._characters.characters[c].name for a in alphabets for c in self.alphabets[a])

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        """Tasks like runs, an alphabet as often as it has characters. With `redraw`, alphabets that train are turned,
        mirrored and warped as well."""
        names = getattr(fold, part) + (fold.validation if self.all_train and part == "train" else ())
        sizes = np.array([len(self.alphabets[name]) for name in names])
        tasks = []
        for i in range(n_tasks):
            alphabet = names[rng.choice(len(names), p=sizes / sizes.sum())]
            known = self.alphabets[alphabet]
            classes = rng.choice(known, min(WAYS, len(known)), replace=False)
            rows = classes[:, None] * DRAWERS + np.arange(DRAWERS)
            usable = ~np.isin(rows, list(self._characters.repeats)).any(0)  # drawers without a repeated picture here
            rows = rows[:, rng.permutation(np.flatnonzero(usable))[: shots + self.n_train_query]]
            if self.redraw and part == "train":  # an alphabet is turned and mirrored as a whole
                symmetry = self.redraw.symmetries(1, rng).repeat(len(classes))
                pictures = self.redraw(self._large[rows], rng, symmetry)
            else:
                pictures = self._pictures[rows]
            tasks.append(
                image_task(
                    f"{part}{i}",
                    alphabet,
                    pictures[:, :shots],
                    pictures[:, shots:].reshape(-1, self.side, self.side),
                    np.repeat(np.arange(len(classes)), rows.shape[1] - shots),
                    [self._characters.characters[c].name for c in classes],
                    [str(row) for row in rows[:, shots:].ravel()],
                )
            )
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """The runs as they are: nothing is drawn."""
        return [TaskSpec(run, run, "official", tuple((name,) for name in SHOWN), ASKED) for run in self._challenge.runs]

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        def place(what: str, known: Sequence[str], name: int | str) -> int:
            if name not in known:
                raise DataError(f"task {spec.id}: the challenge has no {what} {name!r}; restore the task list from git")
            return known.index(str(name))

        run = place("run", self._challenge.runs, spec.family)
        shown = [place("drawing to learn from", SHOWN, ids[0]) for ids in spec.support]
        asked = [place("drawing to recognise", ASKED, name) for name in spec.query]
        answers = self._challenge.answers[run, asked].tolist()
        if missing := sorted(set(answers) - set(shown)):
            raise DataError(f"task {spec.id}: asks for {SHOWN[missing[0]]}, which it does not show; restore the list")
        training, test = self._runs
        return image_task(
            spec.id,
            spec.family,
            training[run, shown][:, None],
            test[run, asked],
            np.array([shown.index(answer) for answer in answers]),
            [f"{spec.family}/{SHOWN[i]}" for i in shown],
            [f"{spec.family}/{ASKED[i]}" for i in asked],
        )

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """The share of wrong answers in percent, as the challenge is reported, and log loss: lower is better."""
        accuracy, log_loss = accuracy_and_log_loss(task, prediction)
        return [Score(task.id, "error_percent", 100 * (1 - accuracy)), Score(task.id, "log_loss", log_loss)]

    @cached_property
    def _hash(self) -> str:
        return hashlib.sha256(f"{self._challenge.content_hash()}{self._characters.content_hash()}".encode()).hexdigest()

    def content_hash(self) -> str:
        """Of the runs and the background, in full size: `side` changes no task."""
        return self._hash
