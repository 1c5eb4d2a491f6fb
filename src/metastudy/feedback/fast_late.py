"""`late.best_matches` of several weightings of words at once, for pages that share many words.

Inner products are made once for each word that the pages have, whichever weighting wants them; of those of its own
words a page keeps the largest. Matches below zero are cut after that, when little is left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from metastudy.feedback.index import Values
from metastudy.feedback.postings import Words


def best_matches_each(
    words: Words, weights: Values, vectors: Values, pages: csr_matrix, places: NDArray[np.int64]
) -> Values:
    """`best_matches` by each of r rows of weights (r, w) for wanted words (w,): (r, len(places)).

    Wanted words are places in the vocabulary, that is rows of vectors (V, l). As there, pages are (N, V), no weight is
    negative, and pages without words have 0, as a weighting without a weight has.
    """
    found = np.zeros((len(weights), len(places)))
    wanted, rows = weights.any(0), pages[places]
    if not wanted.any() or not rows.nnz:
        return found
    there = np.zeros(len(vectors), dtype=bool)
    there[rows.indices] = True
    own = np.flatnonzero(there)  # np.unique would sort
    number = np.empty(len(vectors), dtype=np.int64)
    number[own] = np.arange(len(own))
    near = vectors[words[wanted]] @ vectors.take(own, 0).T  # (wanted words, own words)
    filled = np.diff(rows.indptr) > 0
    starts, at = rows.indptr[:-1][filled], number[rows.indices]
    best, of_word = np.empty((len(near), len(starts))), np.empty(len(at))
    for values, most in zip(near, best, strict=True):  # a word at a time stays in the processor's cache
        values.take(at, out=of_word, mode="clip")  # no place is out of range; other modes copy `out` first
        np.maximum.reduceat(of_word, starts, out=most)
    shares = weights[:, wanted] / np.maximum(weights.sum(1, keepdims=True), 1e-300)
    found[:, filled] = shares @ np.maximum(best, 0)
    return found
