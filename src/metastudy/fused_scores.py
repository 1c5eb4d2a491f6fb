"""Scores of fusions of BM25 and dense vectors, and how good they are: from a task's rows to nDCG@10 of each setting.

A page's score is a convex combination of two normalised scores, w BM25 + (1 - w) dense. A weight means something for
unscaled scores. Rows of a task are scaled, BM25 by another factor than dense vectors, and all collections of a fold by
the same two; `Scaling` takes that back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.base import Family, Fold
from metastudy.families.collection import FEATURES, RRF_K, TEXT_FEATURES, in_pool
from metastudy.families.search_base import Search
from metastudy.feedback.grid import ndcg

Values = NDArray[np.float64]
Setting = tuple[str, float]
"""How the two scores are made comparable (one of `FORMS`), and the weight of BM25."""

SCORES = ("bm25", "dense")
RANKS = tuple(f"{name}_reciprocal_rank" for name in SCORES)


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
