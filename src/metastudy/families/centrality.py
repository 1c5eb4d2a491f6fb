"""How central, and how new, each sentence of a document is, from its words alone. N sentences, W words of a document.

Everything is linear in the document's length, in time and in memory: no matrix of sentences by sentences is ever held,
so that a corpus of meetings can be one document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Vector = NDArray[np.float64]
WINDOW = 200  # sentences that redundancy looks back
DAMPING = 0.85  # of LexRank


class Weights(Protocol):
    """The weight of a word: a dict, or `documents.Idf`."""

    def __getitem__(self, word: str, /) -> float: ...


def tfidf(sentences: Sequence[Sequence[str]], idf: Weights) -> sparse.csr_array:
    """Sentences of stems -> (N, W), rows of length one, or zero for a sentence without words."""
    vocabulary: dict[str, int] = {}
    rows, columns, values = [], [], []
    for i, sentence in enumerate(sentences):
        for word in sentence:
            rows.append(i)
            columns.append(vocabulary.setdefault(word, len(vocabulary)))
            values.append(idf[word])
    shape = len(sentences), max(len(vocabulary), 1)
    matrix = sparse.coo_array((np.array(values, dtype=np.float64), (rows, columns)), shape).tocsr()  # adds repetitions
    lengths = np.sqrt(matrix.multiply(matrix).sum(1))
    return sparse.diags_array(1 / np.where(lengths > 0, lengths, 1)).dot(matrix).tocsr()


def lexrank(vectors: sparse.csr_array, damping: float = DAMPING, tolerance: float = 1e-6) -> Vector:
    """Continuous LexRank (Erkan and Radev 2004, section 3.3): stationary distribution over sentences, (N,).

    A random walk that moves to a sentence in proportion to its cosine, and jumps anywhere with 1 - `damping`;
    `vectors` (N, W) are not negative, with rows of length one or zero. Deviation: a sentence is not its own neighbour,
    unless it has no other; then it jumps. A step of the walk is two products with `vectors`.
    """
    n = vectors.shape[0]
    own = vectors.multiply(vectors).sum(1)  # 1, or 0 for a sentence without words
    neighbours = vectors @ vectors.sum(0) - own
    alone = neighbours < 1e-9
    share = np.where(alone, 0, 1 / np.where(alone, 1, neighbours))
    rank = np.full(n, 1 / n)
    for _ in range(200):
        leaving = rank * share
        arriving = vectors @ (leaving @ vectors) - own * leaving
        new = damping * (arriving + rank[alone].sum() / n) + (1 - damping) / n
        if np.abs(new - rank).max() < tolerance:
            return new
        rank = new
    return rank


def centroid(vectors: sparse.csr_array) -> tuple[Vector, Vector]:
    """Cosine of each sentence with the sum of all (Radev et al. 2004), and with the sum of the others: (N,), (N,)."""
    total = vectors.sum(0)
    length = float(total @ total)
    dot, own = vectors @ total, vectors.multiply(vectors).sum(1)
    others = np.sqrt(np.maximum(length - 2 * dot + own, 0))
    return dot / max(np.sqrt(length), 1e-12), np.where(others > 1e-9, (dot - own) / np.maximum(others, 1e-9), 0)


def redundancy_before(vectors: sparse.csr_array, window: int = WINDOW) -> Vector:
    """The highest cosine with one of the `window` sentences before, 0 for the first: (N,)."""
    n = vectors.shape[0]
    found = np.zeros(n)
    for start in range(0, n, window):
        first, end = max(0, start - window), min(start + window, n)
        block = (vectors[start:end] @ vectors[first:end].T).toarray()  # (<= window, <= 2 window)
        row, column = np.ogrid[start:end, first:end]
        seen = (column < row) & (column >= row - window)
        found[start:end] = np.where(seen, block, 0).max(1)
    return found
