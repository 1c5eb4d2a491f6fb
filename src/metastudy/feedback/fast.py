"""The columns of `components` for some pages alone, without a pass over the vectors of all others.

A column is standardised over the whole collection, but for that its mean and its spread are enough:

- inner products of N vectors v with q have the sum q'Σv and the sum of squares q'(Σvv')q, and neither Σv nor the (d, d)
  matrix Σvv' depends on q: they are summed once for a collection (`Moments`);
- a weighted query touches only the postings of its words, and all weighted queries of one matrix share one pass;
- RM3 mixes two columns, so its sum of squares follows from theirs and that of their products, whatever the mixture;
- judged pages, over which columns of feedback are not standardised, are few: their part is subtracted.

The numbers are those of `components` up to rounding. Where too much would cancel to promise that, as in a column that
is almost the same for all pages, `components` itself is asked, which takes as long as it takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from metastudy.errors import ParameterError
from metastudy.feedback.components import MATCH, NAMES, RM3_ORIGINAL, RM3_WORDS, Scores, components, rm3_name
from metastudy.feedback.index import PageIndex, Query, Values
from metastudy.feedback.postings import each_at, expansion, relevance, words_of

TRUST = 1e-6
"""The least share of a column's mean square that its variance may be: rounding then adds about 1e-10 to it."""
EXPANDED = tuple(f"expanded_{words}" for words in RM3_WORDS)
"""BM25 of the relevance model alone: not in `NAMES`, but what RM3 mixes with BM25 of the query."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of vectors v (N, d): total (d,) is Σv, and outer (d, d) is Σvv'."""

    total: Values
    outer: Values

    @classmethod
    def of(cls, vectors: Values) -> Moments:
        return cls(vectors.sum(0), vectors.T @ vectors)


@dataclass(frozen=True, eq=False)
class Basis:
    """Raw columns, c of them, that `NAMES` are mixed from.

    Over all pages: first (c,) sums, second (c, c) sums of products. Of single pages: judged (k, c) and values (n, c).
    """

    names: tuple[str, ...]
    first: Values
    second: Values
    judged: Values
    values: Values


@dataclass(frozen=True, eq=False)
class FastIndex:
    """A collection with what need not be computed again for each query. by_word: {"bm25", "tfidf"} -> (V, N)."""

    index: PageIndex
    moments: Mapping[str, Moments]
    by_word: Mapping[str, csr_matrix]

    @classmethod
    def of(cls, index: PageIndex) -> FastIndex:
        """Takes one pass over the collection, and two (d, d) matrices of memory."""
        index.bm25_rows  # noqa: B018  # made here once, not within the first query
        moments = {space: Moments.of(getattr(index, space)) for space in ("dense", "lsa")}
        return cls(index, moments, {"bm25": index.bm25.T, "tfidf": index.tfidf_columns.T})

    def columns(
        self, query: Query, positives: Sequence[int], negatives: Sequence[int], places: Sequence[int]
    ) -> Scores:
        """`components(index, query, positives, negatives)[places]`: (len(places), len(NAMES)).

        Errors as there; ParameterError too for a place that is not a row of the index.
        """
        places, judged = checked(self.index, query, positives, negatives, places)
        sides = {side: list(p) for side, p in (("positive", positives), ("negative", negatives)) if len(p)}
        parts = [_of_vectors(self, space, query, sides, judged, places) for space in ("dense", "lsa")]
        parts += _of_words(self, query, sides, judged, places)
        mixed = _standardised(parts, len(self.index.pages), max(query.words.sum(), 1))
        return components(self.index, query, positives, negatives)[places] if mixed is None else mixed


def checked(
    index: PageIndex, query: Query, positives: Sequence[int], negatives: Sequence[int], places: Sequence[int]
) -> tuple[NDArray[np.int64], list[int]]:
    """Places as an array, and all judged pages. Raises ParameterError for judged pages as `components` does, and for a
    place that is not a row of the index."""
    rows, judged, n = np.asarray(places, dtype=np.int64), [*positives, *negatives], len(index.pages)
    if len(rows) and not 0 <= rows.min() <= rows.max() < n:
        raise ParameterError(f"places from {rows.min()} to {rows.max()}; expected rows from 0 to {n - 1}")
    if len(set(judged)) < len(judged) or len(judged) >= n or not all(0 <= place < n for place in judged):
        components(index, query, positives, negatives)  # says what is wrong
    return rows, judged


def _of_vectors(
    fast: FastIndex, space: str, query: Query, sides: Mapping[str, list[int]], judged: list[int], places: Values
) -> Basis:
    """Inner products with the query and with the mean of each side."""
    vectors, moments = getattr(fast.index, space), fast.moments[space]
    wanted = {space: getattr(query, space)} | {f"{space}_{side}": vectors[p].mean(0) for side, p in sides.items()}
    q = np.stack(list(wanted.values()), axis=1)  # (d, c)
    return Basis(
        tuple(wanted), moments.total @ q, q.T @ moments.outer @ q, vectors[judged] @ q, vectors.take(places, 0) @ q
    )


def _of_words(
    fast: FastIndex, query: Query, sides: Mapping[str, list[int]], judged: list[int], places: Values
) -> list[Basis]:
    """Weighted queries: BM25 and TF-IDF, over the words of the query and of the judged pages alone."""
    index, words = fast.index, words_of(fast.index, query, judged)
    bm25 = {"bm25": query.words[words]}
    bm25 |= {f"bm25_{side}": each_at(index.bm25_rows, p, words).mean(0) for side, p in sides.items()}
    if "positive" in sides:
        likely = relevance(index, sides["positive"], words)
        bm25 |= {name: expansion(likely, n) for name, n in zip(EXPANDED, RM3_WORDS, strict=True)}
    tfidf = {f"tfidf_{side}": each_at(index.tfidf, p, words).mean(0) for side, p in sides.items()}
    found = []
    for space, wanted in (("bm25", bm25), ("tfidf", tfidf)):
        if wanted:
            x = fast.by_word[space][words].T @ np.stack(list(wanted.values()), axis=1)  # (N, c)
            found.append(Basis(tuple(wanted), np.ones(len(x)) @ x, x.T @ x, x[judged], x[places]))
    return found


def _standardised(parts: Sequence[Basis], n: int, asked: float) -> Scores | None:
    """The columns `NAMES` from all bases; n pages, `asked` words in the query. None where rounding would be seen."""
    names = [name for part in parts for name in part.names]
    mixture = np.zeros((len(names), len(NAMES)))
    for i, name in enumerate(names):
        if name in NAMES:
            mixture[i, NAMES.index(name)] = 1
    for name, words in zip(EXPANDED, RM3_WORDS, strict=True):
        if name in names:
            for original in RM3_ORIGINAL:
                column = NAMES.index(rm3_name(words, original))
                mixture[names.index("bm25"), column] = original / asked
                mixture[names.index(name), column] = 1 - original
    judged = np.concatenate([part.judged for part in parts], axis=1)
    first, second = np.concatenate([part.first for part in parts]), np.zeros((len(names), len(names)))
    for part in parts:  # products of columns of different parts are not needed: nothing mixes them
        at = names.index(part.names[0])
        second[at : at + len(part.names), at : at + len(part.names)] = part.second
    mean, square = _moments(mixture, first, second, n)
    rest = _moments(mixture, first - judged.sum(0), second - judged.T @ judged, n - len(judged))
    about_zero, own = square.copy(), len(MATCH)
    mean[own:], square[own:] = (values[own:] for values in rest)
    variance, used = square - mean**2, about_zero > 0
    if (variance[used] < TRUST * about_zero[used]).any():
        return None
    raw = np.concatenate([part.values for part in parts], axis=1) @ mixture
    return np.where(used, (raw - mean) / np.sqrt(np.where(used, variance, 1.0)), 0.0)


def _moments(mixture: Values, first: Values, second: Values, n: int) -> tuple[Values, Values]:
    """Mean and mean square of each mixture of columns over n pages."""
    return first @ mixture / n, (mixture * (second @ mixture)).sum(0) / n
