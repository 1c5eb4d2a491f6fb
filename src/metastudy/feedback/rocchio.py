"""Relevance feedback as weighted sums of `components`: which columns each formula has, and which weights are tried.

Rocchio 1971: the query vector moves towards the mean of relevant pages and away from the mean of the others,

    q' = a q + b mean(relevant) - c mean(not relevant).

A page's score is its inner product with q', so it is linear in a, b, c (Salton and Buckley 1990, eq. 1). Here each
inner product is a column of its own, from whichever space: BM25, TF-IDF, dense vectors, latent semantic ones.

Deviations: each column is standardised over the collection, so that weights mean the same in all of them; weights of
words may be negative, where SMART set them to 0; expansion has all words of the judged pages (Salton and Buckley's
"expand by all terms"), except in RM3. BM25 of the query keeps weight 1: only ratios matter for a ranking.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from metastudy.errors import ParameterError
from metastudy.feedback.components import NAMES, RM3_ORIGINAL, RM3_WORDS, Scores, rm3_name

Weights = Mapping[str, float]
"""Column -> weight; columns that are not named have none."""

NONE: Weights = {"bm25": 1.0, "dense": 1.0}
"""The first stage without feedback and without tuning: both standardised scores count the same."""

DIGITS = 9
QUERY = (0.25, 0.5, 1.0, 2.0)
MEAN = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
AWAY = (0.0, 0.25, 0.5, 1.0)
"""Weight of the mean of judged pages that are not relevant, as a share of the weight of the relevant ones."""


def dense_rocchio(query: float, mean: float, away: float) -> Weights:
    """BM25 of the query, and Rocchio's formula on dense vectors."""
    return {"bm25": 1.0, "dense": query, "dense_positive": mean, "dense_negative": -away * mean}


def rm3(words: int, original: float, query: float, mean: float) -> Weights:
    """RM3 (Abdul-Jaleel et al. 2004, with `original` the weight of the query's own model), and dense Rocchio beside it.

    Deviations: the relevance model comes from judged relevant pages, not from the first results; pages are ranked by
    BM25 of the weighted words, as Anserini's RM3 does (Yang et al. 2017), not by divergence of language models.
    """
    return {rm3_name(words, original): 1.0, "dense": query, "dense_positive": mean}


def both_rocchio(query: float, mean: float, lexical: float, space: str, away: float) -> Weights:
    """Rocchio's formula on dense vectors and on words; `space` of words: "bm25" or "tfidf"."""
    words = {f"{space}_positive": lexical, f"{space}_negative": -away * lexical}
    return dense_rocchio(query, mean, away) | words


def with_lsa(weights: Weights, query: float, mean: float, away: float) -> Weights:
    """Besides, Rocchio's formula on latent semantic vectors of the collection.

    Without an encoder these are the dense vectors already: then nothing new is added, only the grid is another one.
    """
    return {**weights, "lsa": query, "lsa_positive": mean, "lsa_negative": -away * mean}


def grid_d() -> tuple[Weights, ...]:
    """120 settings of D."""
    return tuple(dense_rocchio(*v) for v in itertools.product((0.0, *QUERY), MEAN, AWAY))


def grid_rm3() -> tuple[Weights, ...]:
    """450 settings of RM3 with dense Rocchio beside it."""
    return tuple(rm3(*v) for v in itertools.product(RM3_WORDS, RM3_ORIGINAL, (0.0, *QUERY), MEAN))


def grid_f() -> tuple[Weights, ...]:
    """1,200 settings of F."""
    lexical = (0.25, 0.5, 1.0, 2.0, 4.0)
    once = itertools.product((0.0, *QUERY), MEAN, lexical, ("bm25", "tfidf"), AWAY)
    return tuple(both_rocchio(*v) for v in once)


def grid_f_lsa() -> tuple[Weights, ...]:
    """1,728 settings of F+L: coarser in F's own weights."""
    own = itertools.product((0.25, 0.5, 1.0), (0.5, 1.0, 2.0), (0.5, 1.0, 2.0), ("bm25", "tfidf"), (0.0, 0.25))
    lsa = ((q, m) for q in (0.0, 0.5, 1.0, 2.0) for m in (0.0, 0.5, 1.0, 2.0))
    return tuple(with_lsa(both_rocchio(*f), *l, f[-1]) for f, l in itertools.product(own, lsa))  # noqa: E741


GRIDS = {"none": lambda: (NONE,), "D": grid_d, "RM3": grid_rm3, "F": grid_f, "F+L": grid_f_lsa}


def matrix(settings: Iterable[Weights]) -> Scores:
    """Settings as rows: (G, len(NAMES)). Raises ParameterError for a column that there is not."""
    settings = list(settings)
    found = np.zeros((len(settings), len(NAMES)))
    for row, weights in zip(found, settings, strict=True):
        for name, weight in weights.items():
            if name not in NAMES:
                raise ParameterError(f"column {name!r} is unknown; expected one of {', '.join(NAMES)}")
            row[NAMES.index(name)] = weight
    return found


def combined(columns: Scores, settings: Scores) -> Scores:
    """Weighted sums of columns (n, len(NAMES)) for settings (G, len(NAMES)): (G, n).

    Rounded to `DIGITS`, so that pages with the same text have the same score.
    """
    return np.round(settings @ columns.T, DIGITS)


def feedback_scores(columns: Scores, weights: Weights, positives: bool) -> Scores:
    """Score of each page: (n,). Where no judged page is relevant, by `NONE`: pages that are not wanted do not say what
    is, and weights that were chosen for a query beside relevant pages are not those for a query alone."""
    return combined(columns, matrix([weights if positives else NONE]))[0]


def rank(scores: Scores, judged: Sequence[int] = ()) -> list[int]:
    """Pages as places, best first; of equal scores the first page is ahead. Judged pages are no results: they would
    match themselves best."""
    seen = set(judged)
    return [i for i in np.argsort(-scores, kind="stable").tolist() if i not in seen]
