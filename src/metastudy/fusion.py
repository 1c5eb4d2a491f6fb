"""Fusion of BM25 and dense vectors, the tool of hybrid search, as methods: untuned, or with a weight tuned somewhere.

A page's score is a convex combination of two normalised scores, w BM25 + (1 - w) dense (Bruch et al. 2023: few judged
queries are enough to tune w). The weight is chosen by the k judged queries of the new collection, by all queries of the
other collections, or by both: what a meta-learner for search has to be better than.

A weight means something for unscaled scores. Rows of a task are scaled, BM25 by another factor than dense vectors, and
all collections of a fold by the same two; `Scaling` takes that back.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.base import Family, Fold
from metastudy.families.collection import FEATURES, RRF_K, TEXT_FEATURES, in_pool
from metastudy.families.search_base import Search
from metastudy.feedback.grid import ndcg
from metastudy.methods import Fitted, Method
from metastudy.tasks import Task
from metastudy.train import TrainConfig, rng_for

Values = NDArray[np.float64]
Setting = tuple[str, float]
"""How the two scores are made comparable (one of `FORMS`), and the weight of BM25."""
Chooser = Callable[[Values], int]
"""nDCG@10 of the G settings for the k judged queries of a task, (k, G) -> the place of the setting to use."""

SCORES = ("bm25", "dense")
RANKS = tuple(f"{name}_reciprocal_rank" for name in SCORES)
WEIGHTS = tuple(i / 20 for i in range(21))
UNTUNED = 0.5
COUNTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e9)
"""Judged queries that other collections stand for, tried from none to what no support can outweigh."""
N_DRAWS = 50  # supports that are drawn of each collection to choose a count
EQUAL = 1e-9  # means of nDCG that differ by less are equal


@dataclass(frozen=True, eq=False)
class Results:
    """The n candidates of one query, in their order: scores (n, 2) as standardised over the collection, ranks (n, 2)
    from 1, grades (n,); and the grades above 0 of all its relevant pages, best first, whether candidates or not."""

    scores: Values
    ranks: Values
    grades: Values
    ideal: tuple[float, ...]


def standard(results: Results) -> Values:
    """Zero mean and unit variance over the candidates (Montague and Aslam 2001, "ZMUV"): (n, 2)."""
    return (results.scores - results.scores.mean(0)) / np.maximum(results.scores.std(0), 1e-6)


def min_max(results: Results) -> Values:
    """From 0 to 1 over the candidates (Lee 1997): (n, 2)."""
    low, high = results.scores.min(0), results.scores.max(0)
    return (results.scores - low) / np.maximum(high - low, 1e-6)


def reciprocal(results: Results, k: float) -> Values:
    """1 / (k + rank), with ranks among all pages (Cormack et al. 2009): (n, 2)."""
    return 1 / (k + results.ranks)


FORMS: Mapping[str, Callable[[Results], Values]] = {
    "z": standard,
    "z of all pages": lambda results: results.scores,
    "min-max": min_max,
    "rrf": partial(reciprocal, k=RRF_K),
    "rrf, k = 10": partial(reciprocal, k=10),
    "rrf, k = 1": partial(reciprocal, k=1),
}


def fused(results: Results, settings: Sequence[Setting]) -> NDArray[np.float32]:
    """Scores of the candidates by each setting: (G, n). In single precision, so that what is tuned is what is used."""
    parts = {form: FORMS[form](results).T for form, _ in settings}
    return np.array([w * parts[form][0] + (1 - w) * parts[form][1] for form, w in settings], dtype=np.float32)


def table(queries: Iterable[Results], settings: Sequence[Setting]) -> Values:
    """nDCG@10 of each setting for each query that has a relevant page, as `Search.score` measures it: (Q, G)."""
    found = [ndcg(fused(q, settings), q.grades, q.ideal) for q in queries if q.ideal]
    return np.array(found).reshape(-1, len(settings))


@dataclass(frozen=True, eq=False)
class Scaling:
    """What a family of search does to its rows in a fold, to be undone: x = scale * row + mean, (F,) each."""

    names: tuple[str, ...]
    pool: int
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, family: Family, fold: Fold) -> Scaling:
        """As in `Search.judged`. Raises ParameterError for a family that is none of search."""
        if not isinstance(family, Search):
            raise ParameterError(
                f"fusion needs rows with {', '.join((*SCORES, *RANKS))}, which families of search have; "
                f"{type(family).__name__} is none: leave fusion out of {family.study}"
            )
        seen = torch.cat([j.x[: j.n_candidates] for name in fold.train for j in family.unscaled()[name].values()])
        names = FEATURES if family.n_features == len(FEATURES) else TEXT_FEATURES
        return cls(names, family.pool, seen.mean(0), seen.std(0).clamp(min=1e-6))

    def _columns(self, x: Tensor, wanted: Sequence[str]) -> Values:
        columns = dict(zip(self.names, (x.double() * self.scale + self.mean).numpy().T, strict=True))
        return np.stack([columns[name] for name in wanted], axis=1)

    def _ranks(self, x: Tensor) -> Values:
        return np.round(1 / np.clip(self._columns(x, RANKS), 1e-9, 1))

    def inside(self, x: Tensor) -> NDArray[np.bool_]:
        """Which rows (N, F) of one query are candidates, by their ranks: (N,)."""
        return in_pool(*(1 / self._ranks(x)).T, self.pool)

    def results(self, x: Tensor, y: Tensor, n_candidates: int | None = None) -> Results:
        """Of one query's rows (N, F) and grades (N,).

        In a support, relevant pages that are no candidates have rows too; ranks tell them where `n_candidates` does
        not. They are no results, as they are none of the queries that a task asks.
        """
        ranks = self._ranks(x)
        inside = self.inside(x) if n_candidates is None else np.arange(len(y)) < n_candidates
        scores = self._columns(x, SCORES)
        grades = y.double().numpy()
        return Results(scores[inside], ranks[inside], grades[inside], tuple(sorted(grades[grades > 0], reverse=True)))


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
