"""Four hospitals, one diagnosis: narrowed heart vessels, at a hospital that training never saw.

The heart disease study of Cleveland, Hungary, Switzerland and Long Beach. The columns mean the same everywhere, so f
can be learned once and moved to a new hospital, where patients and prevalence differ (36% to 93% sick). Research data,
not a medical device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from metastudy import loaders
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.families.diagnosis import impute, scores, standardise
from metastudy.families.encoded import Encoded, content_hash, encode
from metastudy.families.patients import (
    TRIES,
    check_rows,
    draw_balanced,
    draw_query,
    draw_random,
    labels,
    others,
    pack,
    unpack,
)
from metastudy.model import MLP
from metastudy.tasks import Kind, Task

Support = Literal["balanced", "random"]

COLUMNS = ("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak")
"""What the hospitals have in common. Slope, ca and thal are left out: of Hungary's patients 65%, 99% and 90% lack them,
of Long Beach's 51%, 99% and 83%. Cholesterol stays, though Switzerland measured none."""

VALIDATED_ON = {"cleveland": "va", "hungarian": "va", "switzerland": "va", "va": "hungarian"}
"""Tested hospital -> the one that validates: the smallest of the others, so that most patients train, but never
Switzerland, whose 8 healthy patients can decide nothing. It trains or is tested."""

MIN_CLASS = 2  # patients of each class in the query of a frozen task


@dataclass(frozen=True)
class Hospitals(Family):
    """A task: a few labelled patients of one hospital, its others to diagnose at its own prevalence.

    `support` "balanced" is k healthy and k sick patients (at most half of a class: Switzerland gives 4 of its 8
    healthy ones). That prevalence is false, which harms probabilities; "random" is 2k patients as they come, who may
    all be sick. A frozen task holds both, and one query for either. Columns are scaled by the training hospitals. No
    column says that a value is missing: that is a habit of a hospital, and tells nothing about a new one.
    """

    study: ClassVar[str] = "diagnosis_hospitals"
    kind: ClassVar[Kind] = "binary"
    metrics: ClassVar[tuple[str, ...]] = ("auroc", "log_loss", "brier")
    max_shots: ClassVar[int] = 10
    shots: tuple[int, ...] = (1, 3, 5, 10)
    support: Support = "balanced"
    hidden: tuple[int, ...] = (32,)
    n_train_query: int = 60
    draws: int = 100  # frozen tasks per hospital

    def __post_init__(self) -> None:
        self.check_shots()
        if self.support not in get_args(Support):
            raise ParameterError(f"support {self.support!r} is unknown; expected one of {', '.join(get_args(Support))}")

    @cached_property
    def data(self) -> dict[str, Encoded]:
        """Each hospital's patients, all with the same columns."""
        heart = loaders.load("heart")
        whole = encode(replace(heart, values=heart.values[list(COLUMNS)]), flags=False)
        found = {}
        for hospital in VALIDATED_ON:
            here = heart.sites == hospital
            found[hospital] = Encoded(
                hospital, whole.columns, whole.x[here], whole.diagnosis[here], whole.patients[here]
            )  # fmt: skip
        return found

    @cached_property
    def _scaled(self) -> dict[tuple[str, ...], dict[str, np.ndarray]]:
        return {}

    def rows(self, fold: Fold) -> dict[str, np.ndarray]:
        """(N, P) inputs by hospital; medians and scales come from the hospitals in `fold.train` alone."""
        if fold.train not in self._scaled:
            train = np.concatenate([self.data[hospital].x for hospital in fold.train])
            filled = impute(train, train)
            self._scaled[fold.train] = {
                hospital: standardise(filled, impute(train, table.x))[1] for hospital, table in self.data.items()
            }
        return self._scaled[fold.train]

    def folds(self) -> tuple[Fold, ...]:
        """Four rounds, named after the tested hospital: two others train, one validates."""
        return tuple(
            Fold(tested, tuple(h for h in VALIDATED_ON if h not in (tested, validates)), (validates,), (tested,))
            for tested, validates in VALIDATED_ON.items()
        )

    def model(self) -> MLP:
        return MLP(in_dim=len(next(iter(self.data.values())).columns), hidden=self.hidden)

    def _task(self, task_id: str, hospital: str, support: Sequence[int], query: Sequence[int], fold: Fold) -> Task:
        x, table = self.rows(fold)[hospital], self.data[hospital]
        x_s, x_q = (torch.tensor(x[list(rows)], dtype=torch.float32) for rows in (support, query))
        ids = tuple(str(row) for row in query)
        return Task(
            task_id, hospital, self.kind, x_s, labels(table, support), x_q, labels(table, query), query_ids=ids
        )  # fmt: skip

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tasks, hospitals = [], getattr(fold, part)
        for i in range(n_tasks):
            hospital = hospitals[rng.integers(len(hospitals))]
            table = self.data[hospital]
            if self.support == "random":
                support = draw_random(table, 2 * shots, rng)
            else:
                support = [row for rows in draw_balanced(table, shots, rng) for row in rows]
            query = draw_query(table, support, self.n_train_query, rng, at_least=0)
            tasks.append(self._task(f"{part}{i}", hospital, support, query, fold))
        return tasks

    def _draw_random(self, table: Encoded, balanced: Iterable[int], rng: np.random.Generator) -> list[int]:
        """A random support that leaves enough of each class to diagnose, next to the balanced one."""
        everyone = np.arange(len(table.diagnosis))
        for _ in range(TRIES):
            chosen = draw_random(table, 2 * self.max_shots, rng)
            left = table.diagnosis[others(table, [*balanced, *chosen], everyone)]
            if min(np.bincount(left, minlength=2)) >= MIN_CLASS:
                return chosen
        raise DataError(
            f"hospital {table.name!r} has too few patients of one class for a support of {2 * self.max_shots}"
        )

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """`draws` tasks per hospital. Support: healthy, sick, random sample; the query, packed, is everyone else."""
        specs = []
        for fold in self.folds():
            hospital = fold.test[0]
            table = self.data[hospital]
            for i in range(self.draws):
                healthy, sick = draw_balanced(table, self.max_shots, rng)
                random = self._draw_random(table, [*healthy, *sick], rng)
                query = draw_query(table, [*healthy, *sick, *random], len(table.diagnosis), rng, MIN_CLASS)
                support = (tuple(healthy), tuple(sick), tuple(random))
                specs.append(TaskSpec(f"{hospital}/{i:03d}", hospital, fold.name, support, pack(query)))
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        if spec.family not in self.data or len(spec.support) != 3:
            raise DataError(f"task {spec.id}: no hospital {spec.family!r} with three supports; draw the task list anew")
        query = unpack(spec.query).tolist()
        check_rows(spec, self.data[spec.family], [*query, *(row for ids in spec.support for row in ids)])
        healthy, sick, random = spec.support
        support = random[: 2 * shots] if self.support == "random" else (*healthy[:shots], *sick[:shots])
        return self._task(spec.id, spec.family, support, query, fold)

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return scores(task, prediction, self.metrics)

    def content_hash(self) -> str:
        return content_hash(self.data.values())
