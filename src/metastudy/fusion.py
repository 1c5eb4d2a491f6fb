"""Fusion of BM25 and dense vectors, the tool of hybrid search, as methods: untuned, or with a weight tuned somewhere.

The weight of `fused_scores` is chosen by the k judged queries of the new collection (Bruch et al. 2023: few are
enough), by all queries of the other collections, or by both: what a meta-learner for search has to be better than.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.base import Family, Fold
from metastudy.fused_scores import FORMS, Scaling, Setting, Values, fused, table
from metastudy.methods import Fitted, Method
from metastudy.tasks import Task
from metastudy.train import TrainConfig, rng_for

Chooser = Callable[[Values], int]
"""nDCG@10 of the G settings for the k judged queries of a task, (k, G) -> the place of the setting to use."""

WEIGHTS = tuple(i / 20 for i in range(21))
UNTUNED = 0.5
COUNTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e9)
"""Judged queries that other collections stand for, tried from none to what no support can outweigh."""
N_DRAWS = 50  # supports that are drawn of each collection to choose a count
EQUAL = 1e-9  # means of nDCG that differ by less are equal


def best(values: Values, settings: Sequence[Setting]) -> int:
    """The place of the highest of values (G,); of equal ones the weight nearest to `UNTUNED`, then the first."""
    equal = np.flatnonzero(values >= values.max() - EQUAL)
    return int(min(equal, key=lambda i: abs(settings[i][1] - UNTUNED)))


def shrunken(own: Values, prior: Values, count: float) -> Values:
    """Mean of k judged queries, (k, G), and of `count` imagined ones that are as `prior` (G,) says: (G,)."""
    return (own.sum(0) + count * prior) / (len(own) + count) if len(own) else prior


def choose_count(
    tables: Sequence[Values], settings: Sequence[Setting], shots: int, counts: Sequence[float] = COUNTS
) -> float:
    """The count that serves a new collection best, where each of `tables`, (Q, G), is the new one in turn.

    The prior is the mean of the others; supports of `shots` queries are drawn `N_DRAWS` times, and a collection's other
    queries say how good the setting is. Means over draws, then over collections; of equal counts the first. Raises
    ParameterError unless there are two collections, one of them with more than `shots` queries.
    """
    rng, means, gained = rng_for(11, shots), np.array([t.mean(0) for t in tables]), []
    for i, own in enumerate(tables):
        if len(tables) > 1 and len(own) > shots:
            prior, found = np.delete(means, i, axis=0).mean(0), np.zeros(len(counts))
            for _ in range(N_DRAWS):
                order = rng.permutation(len(own))
                support, asked = own[order[:shots]], own[order[shots:]].mean(0)
                found += [asked[best(shrunken(support, prior, count), settings)] for count in counts]
            gained.append(found)
    if not gained:
        raise ParameterError(
            f"collections with {[len(t) for t in tables]} queries cannot say what {shots} judged ones are worth; "
            f"expected at least two, one of them with more than {shots}: take fewer shots"
        )
    return counts[int(np.argmax(np.mean(gained, axis=0)))]


@dataclass(frozen=True)
class Fusion(Method):
    """Convex combinations of BM25 and dense vectors; a subclass says how one of `settings` is chosen for a task.

    `forms`: which of `FORMS` are tried. Raises ParameterError for none, and for an unknown one.
    """

    name: str
    forms: tuple[str, ...] = ("z",)
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.forms or not set(self.forms) <= set(FORMS):
            raise ParameterError(f"{self.name}: forms {self.forms}; expected one or more of {', '.join(FORMS)}")

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What is chosen from."""
        return tuple(itertools.product(self.forms, WEIGHTS))

    @abstractmethod
    def chooser(self, others: Callable[[], list[Values]]) -> Chooser:
        """How to choose. `others` gives a table of each collection that trains or validates, with all its queries."""

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        scaling, settings = Scaling.of(family, fold), self.settings

        def others() -> list[Values]:
            found = [family.judged(fold)[name].values() for name in (*fold.train, *fold.validation)]
            return [table((scaling.results(j.x, j.y, j.n_candidates) for j in some), settings) for some in found]

        choose = self.chooser(others)

        def one(task: Task) -> Tensor:
            x, y, group = task.support_x, task.support_y, task.support_group
            judged = [scaling.results(x[group == g], y[group == g]) for g in group.unique()]
            setting = settings[choose(table(judged, settings))]
            scores = torch.empty(len(task.query_y))
            for g in task.query_group.unique():
                rows = task.query_group == g
                asked = scaling.results(task.query_x[rows], task.query_y[rows], int(rows.sum()))
                scores[rows] = torch.from_numpy(fused(asked, [setting])[0])
            return scores

        return Fitted(lambda tasks, _: [one(task) for task in tasks])


@dataclass(frozen=True)
class UntunedFusion(Fusion):
    """Both scores count the same, in the first of `forms`; with "z" it is CombSUM (Fox and Shaw 1994) of z-scores."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        return ((self.forms[0], UNTUNED),)

    def chooser(self, others: Callable[[], list[Values]]) -> Chooser:
        return lambda own: 0


@dataclass(frozen=True)
class TunedFusion(Fusion):
    """What has the highest mean nDCG@10 on the task's own support. Other collections have no say."""

    def chooser(self, others: Callable[[], list[Values]]) -> Chooser:
        nothing = np.zeros(len(self.settings))
        return lambda own: best(shrunken(own, nothing, 0), self.settings)


@dataclass(frozen=True)
class TransferredFusion(Fusion):
    """What has the highest nDCG@10 on other collections, each of which counts the same. The support has no say."""

    def chooser(self, others: Callable[[], list[Values]]) -> Chooser:
        chosen = best(np.mean([t.mean(0) for t in others()], axis=0), self.settings)
        return lambda own: chosen


@dataclass(frozen=True)
class ShrunkenFusion(Fusion):
    """What is best on the support, with other collections as if they were so many more judged queries.

    How many, `choose_count` says for each number of judged queries, by the other collections.
    """

    counts: tuple[float, ...] = COUNTS

    def chooser(self, others: Callable[[], list[Values]]) -> Chooser:
        settings, tables = self.settings, others()
        prior = np.mean([t.mean(0) for t in tables], axis=0)
        count = cache(lambda k: choose_count(tables, settings, k, self.counts))
        return lambda own: best(shrunken(own, prior, count(len(own))), settings)
