"""The few words that a query and its judged pages have, as places in the vocabulary, and weights of these words alone.

A weighted query (`components.weighted_query`) touches only the postings of its words; so nothing here is as long as
the vocabulary. Words are sorted, so that of equal weights the first in the vocabulary is still first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from metastudy.feedback.index import PageIndex, Query, Values

Words = NDArray[np.int64]


def row(rows: csr_matrix, place: int) -> slice:
    """Where a row's indices and data are."""
    return slice(rows.indptr[place], rows.indptr[place + 1])


def words_of(index: PageIndex, query: Query, judged: Sequence[int]) -> Words:
    """Words of the query and of the judged pages, sorted: (w,)."""
    own = [index.counts.indices[row(index.counts, place)] for place in judged]
    return np.unique(np.concatenate([np.flatnonzero(query.words), *own]))


def each_at(rows: csr_matrix, places: Sequence[int], words: Words) -> Values:
    """Some rows at these words, of which none may be missing: (len(places), w)."""
    found = np.zeros((len(places), len(words)))
    for own, place in zip(found, places, strict=True):
        at = row(rows, place)
        own[np.searchsorted(words, rows.indices[at])] = rows.data[at]
    return found


def relevance(index: PageIndex, positives: Sequence[int], words: Words) -> Values:
    """P(w | R) of `components.relevance_model`, not yet cut: (w,)."""
    counts = each_at(index.counts, positives, words)
    return (counts / np.maximum(counts.sum(1, keepdims=True), 1)).mean(0)


def expansion(likely: Values, n: int) -> Values:
    """Its n likeliest words, as shares of each other: (w,). Of equal ones the first, as in `relevance_model`."""
    kept, order = np.zeros_like(likely), np.argsort(-np.round(likely, 12), kind="stable")[:n]
    kept[order] = likely[order] / max(likely[order].sum(), 1e-12)
    return kept
