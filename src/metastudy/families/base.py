"""What a task family offers: where its tasks come from, how they are split, and how predictions are scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from metastudy.errors import DataError, ParameterError, TaskError
from metastudy.model import BaseModel
from metastudy.tasks import Kind, Task

Part = Literal["train", "validation"]
Ids = tuple[int | str, ...]


@dataclass(frozen=True)
class Fold:
    """One round of cross-validation over tasks: names of what is trained on, tuned on and tested on."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class TaskSpec:
    """A frozen evaluation task, as ids of rows and never as data.

    `support` holds one tuple of ids per class (one tuple in all where there are no classes), in a fixed order:
    k shots means the first k of each, so supports are nested and the query is the same for every k.
    `columns` names the input columns where a task has a choice of them.
    """

    id: str
    family: str
    fold: str
    support: tuple[Ids, ...]
    query: Ids
    columns: Ids = ()


@dataclass(frozen=True)
class Score:
    """One measured value; `task` is the unit that comparisons are paired on."""

    task: str
    metric: str
    value: float


@dataclass(frozen=True)
class FieldBaseline:
    """The classical tool of a field, already present among the inputs: input column `column` is its score."""

    name: str
    column: int
    sign: float = 1.0


def check_rows(spec: TaskSpec, n_rows: int) -> None:
    """Raises DataError where a task whose ids are row numbers asks for a row that the data does not have."""
    rows = [*(i for ids in spec.support for i in ids), *spec.query]
    if wrong := [row for row in rows if row not in range(n_rows)]:
        raise DataError(f"task {spec.id} asks for row {wrong[0]!r} of {n_rows}; draw the task list anew")


class Family(ABC):
    """A source of tasks. Subclasses are cheap to construct and pickle; heavy state is built on first use.

    Whatever is fitted (vocabularies, scalings) is fitted on `fold.train` alone, or on a task's own support.
    """

    study: str
    kind: Kind
    metrics: tuple[str, ...]
    shots: tuple[int, ...]
    max_shots: int  # examples that every frozen task holds; `shots` may ask for as many
    field_baselines: tuple[FieldBaseline, ...] = ()
    task_list: str = ""  # name of the frozen list where it is not the study's: a study with several splits
    embedded: bool = False  # its data comes with the pinned packages
    clustered: bool = False  # families are many enough to be the independent units of a pooled interval

    def check_shots(self) -> None:
        """Raises ParameterError for numbers of shots that the frozen tasks cannot serve."""
        if not self.shots or min(self.shots) < 1 or max(self.shots) > self.max_shots:
            raise ParameterError(
                f"shots of {self.study} are {list(self.shots)}; expected numbers from 1 to {self.max_shots}, which is "
                "how many labelled examples each frozen task holds"
            )

    @abstractmethod
    def folds(self) -> tuple[Fold, ...]:
        """The rounds of cross-validation; every name is tested in at most one."""

    @abstractmethod
    def model(self) -> BaseModel:
        """The base model f that all methods of this study share."""

    def training_classes(self, fold: Fold) -> tuple[str, ...]:
        """Every `class_name` that a training task may have, for ordinary training on all of them at once.

        Raises TaskError where the family has no exchangeable classes.
        """
        raise TaskError(f"{self.study} has no classes of its own to train on; it is of kind {self.kind!r}")

    @abstractmethod
    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        """Draw training or validation tasks of one fold; never touches `fold.test`.

        Tasks of one draw may differ in classes and rows: `collate` pads and masks. `shots` is the same for all.
        """

    @abstractmethod
    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """Draw the evaluation tasks once; the list is committed under `data/tasks/` with its hash."""

    @abstractmethod
    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        """The data of a frozen task at k = `shots`. Raises DataError where an id is not in the data."""

    @abstractmethod
    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """Metrics of one task. `prediction` is (Q, C) probabilities, or (Q,) values for regression and ranking."""

    def quality(self, task: Task, prediction: Tensor) -> Sequence[float]:
        """The first metric alone, one value for each group of the task's query rows, in their order."""
        return [s.value for s in self.score(task, prediction) if s.metric == self.metrics[0]]

    def answers(self, task: Task, prediction: Tensor) -> dict[str, str]:
        """What a user would be shown, as text, by unit of pairing: kept beside the scores. Nothing by default."""
        return {}

    @abstractmethod
    def content_hash(self) -> str:
        """sha256 of the data that task ids refer to, so that a list never meets other data unnoticed."""
