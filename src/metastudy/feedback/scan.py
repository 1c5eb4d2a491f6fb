"""Exact nearest vectors in one pass over a file that need not fit into memory: no index to build, nothing to keep.

Vectors are read in blocks that stay in the processor's cache while they are turned into single precision and
multiplied with all queries. Sums in single precision are off by a little, so what is kept is not the first k but all
that could be among them for any rounding; double precision then decides between those few.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from metastudy.errors import ParameterError

BLOCK = 2048  # vectors at once: of 384 dimensions 3 MB in single precision
UNIT = 2.0**-24  # unit roundoff of single precision
LONGEST = 1.001
"""Bound on the length of a vector: those of length one are below it after rounding to half precision."""

Ids = NDArray[np.int64]
Scores = NDArray[np.float64]


def nearest(
    vectors: NDArray[np.float16], queries: np.ndarray, k: int = 10, longest: float = LONGEST, block: int = BLOCK
) -> tuple[Ids, Scores]:
    """The k vectors with the largest inner product with each query, best first; of equal ones the first is ahead.

    Shapes: vectors (N, d), float16, memory-mapped or not; queries (Q, d), rounded to float32; ids and inner products
    (Q, min(k, N)), computed in double precision. No vector may be longer than `longest` (or NaN): the result would not
    be exact. Raises ParameterError for shapes or types that do not fit, and for queries that are not finite.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if vectors.dtype != np.float16 or vectors.ndim != 2 or queries.ndim != 2 or vectors.shape[1] != queries.shape[1]:
        raise ParameterError(
            f"vectors {vectors.shape} of {vectors.dtype} and queries {queries.shape}; expected (N, d) of float16 "
            "and (Q, d)"
        )
    if k < 1 or block < 1 or not np.isfinite(queries).all():
        raise ParameterError(f"k {k}, block {block}; expected both at least 1, and queries that are finite")
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    kept = [_Kept(k, 2 * rounding(vectors.shape[1]) * longest * length) for length in lengths]
    floor = np.full(len(queries), -np.inf, dtype=np.float32)
    for start, scores in _blocks(vectors, queries, block):
        near = scores >= floor
        if near.any():  # rare after the first blocks
            for q in np.flatnonzero(near.any(0)):
                rows = np.flatnonzero(near[:, q])
                floor[q] = kept[q].add(start + rows, scores[rows, q])
    found = [one.decided(vectors, query) for one, query in zip(kept, queries, strict=True)]
    shape = len(queries), min(k, len(vectors))
    ids, products = (np.array([part[i] for part in found]).reshape(shape) for i in (0, 1))
    return ids.astype(np.int64), products.astype(np.float64)


def rounding(d: int) -> float:
    """How far an inner product of d terms in single precision may be off, as a share of the product of lengths, in
    whatever order it is summed (Higham 2002, Accuracy and Stability of Numerical Algorithms, eq. 3.5)."""
    return d * UNIT / (1 - d * UNIT)


class _Kept:
    """What may be among the first k of one query: everything at most `slack` below the k-th largest score so far.

    If a and b are off by at most slack / 2 each, a can be the larger one only where it is not `slack` below b.
    """

    def __init__(self, k: int, slack: float) -> None:
        self.k, self.slack = k, slack
        self.ids, self.scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)

    def add(self, ids: Ids, scores: NDArray[np.float32]) -> np.float32:
        """Returns the least score that still counts, rounded down."""
        self.ids, self.scores = np.concatenate([self.ids, ids]), np.concatenate([self.scores, scores])
        if len(self.scores) < self.k:
            return np.float32(-np.inf)
        floor = np.float32(float(np.partition(self.scores, -self.k)[-self.k]) - self.slack)
        floor = np.nextafter(floor, np.float32(-np.inf))
        left = self.scores >= floor
        self.ids, self.scores = self.ids[left], self.scores[left]
        return floor

    def decided(self, vectors: NDArray[np.float16], query: NDArray[np.float32]) -> tuple[Ids, Scores]:
        """The first k by double precision. Row by row, so that equal vectors have equal products."""
        products = (vectors[self.ids].astype(np.float64) * query).sum(1)
        order = np.lexsort((self.ids, -products))[: self.k]
        return self.ids[order], products[order]


def _blocks(
    vectors: NDArray[np.float16], queries: NDArray[np.float32], block: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Where each block starts, and its inner products with the queries: (rows, Q)."""
    with warnings.catch_warnings():  # a file opened for reading only: nothing is written to it
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        halves = torch.from_numpy(np.asarray(vectors))
    buffer = np.empty((min(block, len(vectors)), vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(vectors), block):
        part = halves[start : start + block]
        rows = buffer[: len(part)]
        torch.from_numpy(rows).copy_(part)  # many times as fast as NumPy's own conversion
        yield start, rows @ queries.T


def recall(found: Ids, exact: Ids) -> float:
    """Share of the exact results that were found, the mean over queries. Shapes: (Q, m) and (Q, k), any order.

    Raises ParameterError where the numbers of queries differ.
    """
    if len(found) != len(exact):
        raise ParameterError(f"results of {len(found)} queries beside {len(exact)}; expected the same queries")
    shares = [np.isin(own, some).mean() for own, some in zip(exact, found, strict=True)]
    return float(np.mean(shares))
