"""What a collection says of its own words and pages, for the columns that g learns from (`learned_columns`).

Word vectors, the nearest pages of each page, and the words of titles. All of it comes from unlabelled pages; no query
and no judgement is looked at. Made once from a `PageIndex`, kept in data/cache beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from threadpoolctl import threadpool_limits

from metastudy import cache, loaders, registry
from metastudy.encoders import Encoder, normalise, terms
from metastudy.families.candidates import PARTS, to_search
from metastudy.families.collection import LSA_DIM, Collection
from metastudy.feedback import index as page_index
from metastudy.feedback.index import AT_ONCE, PageIndex, Values
from metastudy.staleness import code_hash

NEAREST = 10  # neighbours of a page
SAMPLED = 256  # pages that stand for the collection where all would take too long
BLOCK = 256  # rows of N x N similarities held at once
GROUPS = 1024  # of pages, of which the largest similarity is looked at first
PAIRS = 100_000  # pairs of pages whose similarity is computed exactly at once


@dataclass(frozen=True, eq=False)
class Surroundings:
    """N pages, V words. words (V, l): vectors of length one (or zero); titles (N, V): how often a word is in a title.

    near_dense and near_lsa (N, N): weights of the `NEAREST` pages of each page by cosine, adding up to one.
    """

    index: PageIndex
    words: Values
    titles: csr_matrix
    near_dense: csr_matrix
    near_lsa: csr_matrix

    @cached_property
    def weights(self) -> TfidfTransformer:
        """TF-IDF of the pages' words, as in `PageIndex.tfidf`."""
        return TfidfTransformer(sublinear_tf=True).fit(self.index.counts)

    @cached_property
    def title_columns(self) -> csc_matrix:
        """(N, V) TF-IDF of titles, rows of length one (or zero), by word."""
        return csc_matrix(self.weights.transform(self.titles))

    @cached_property
    def expected(self) -> Values:
        """(V,) how often a word occurs in a page, on average."""
        return np.asarray(self.index.counts.sum(0)).ravel() / len(self.index.pages)

    @cached_property
    def sample(self) -> NDArray[np.int64]:
        """Pages that stand for the collection: the same ones each time."""
        n = len(self.index.pages)
        return np.sort(np.random.default_rng(0).choice(n, min(SAMPLED, n), replace=False))


def neighbours(vectors: Values) -> dict[str, np.ndarray]:
    """The nearest pages of each page by inner product, never itself: places (N, n), weights (N, n) that add up to one.

    Weights are the inner products, those below zero count as zero; all zero where nothing is near. Of equally near
    pages (to the ninth digit) the first. Time is quadratic in N, 50 s for 100,000 pages with 128 numbers each: single
    precision tells which few pages come into question (`_in_question`), double precision which of them are nearest.
    """
    n = len(vectors)
    count = min(NEAREST, n - 1)
    places, weights = np.tile(np.arange(count, dtype=np.int32), (n, 1)), np.zeros((n, count))
    places += places >= np.arange(n)[:, None]  # what stays for a page without words, to which all are equally near
    rough = np.asarray(vectors, dtype=np.float32)
    some = np.flatnonzero(rough.any(1))
    for start in range(0, len(some) if count else 0, BLOCK):
        for rows, pages in _in_question(rough, some[start : start + BLOCK], count):
            near = np.einsum("ij,ij->i", vectors[rows], vectors[pages])
            best = np.lexsort((pages, -np.round(near, 9), rows))
            first = np.flatnonzero(np.diff(rows[best], prepend=-1))  # of each row
            kept = best[first[:, None] + np.arange(count)]
            places[rows[best][first]] = pages[kept]
            weights[rows[best][first]] = np.maximum(near[kept], 0)
    return {"places": places, "weights": weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)}


def _in_question(rough: NDArray[np.float32], rows: NDArray[np.int64], count: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Pairs of a row and a page that may be among the `count` nearest of the row, all of a row together: (m,) each.

    A page may if its inner product in single precision is not below the `count`-th largest by more than both can be
    wrong. That one is at least the `count`-th largest of the maxima over groups of pages, which cost one pass.
    """
    n, d = rough.shape
    wrong = 2 * (d + 2) * np.finfo(np.float32).eps * max(1.0, float((rough * rough).sum(1).max()))  # of two products
    near = np.full((len(rows), GROUPS * -(-n // GROUPS)), -np.inf, dtype=np.float32)
    np.matmul(rough[rows], rough.T, out=near[:, :n])
    near[np.arange(len(rows)), rows] = -np.inf
    grouped = near.reshape(len(rows), GROUPS, -1)
    most = grouped.max(2)
    limit = np.partition(most, -count, axis=1)[:, -count] - wrong
    row, group = np.nonzero(most >= limit[:, None])
    pair, within = np.nonzero(grouped[row, group] >= limit[row, None])
    page = group[pair] * grouped.shape[2] + within
    row = row[pair]
    ends = np.searchsorted(row, np.arange(len(rows)), side="right")
    start = 0
    while start < len(rows):  # many where many pages are the same
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS, side="right")))
        part = slice(before, ends[stop - 1])
        yield rows[row[part]], page[part]
        start = stop


def build(index: PageIndex, collection: Collection) -> dict[str, np.ndarray]:
    """The arrays of `Surroundings`. `collection` is the one that the index was made of."""
    count = CountVectorizer(analyzer=terms, dtype=np.float64)
    count.fit(collection.pages)
    titles = csr_matrix(count.transform(collection.summaries))
    rank = min(LSA_DIM, min(index.tfidf.shape) - 1)
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        if rank >= 1:
            svd = TruncatedSVD(rank, random_state=0).fit(index.tfidf)
            words = normalise((svd.components_ * svd.singular_values_[:, None]).T)
        else:
            words = np.ones((index.counts.shape[1], 1), dtype=np.float32)  # one page or one word: all are alike
        near = {"lsa": neighbours(index.lsa)}
        near["dense"] = near["lsa"] if np.array_equal(index.dense, index.lsa) else neighbours(index.dense)
    found = {f"near_{space}_{k}": v for space, arrays in near.items() for k, v in arrays.items()}
    titles.sort_indices()
    parts = {k: getattr(titles, k) for k in ("data", "indices", "indptr")}
    return {"words": words, **found, **{f"titles_{k}": v for k, v in parts.items()}}


def of_arrays(index: PageIndex, arrays: Mapping[str, np.ndarray]) -> Surroundings:
    """What `build` made."""
    n = len(index.pages)

    def graph(space: str) -> csr_matrix:
        places, weights = arrays[f"near_{space}_places"], arrays[f"near_{space}_weights"]
        rows = np.repeat(np.arange(n), places.shape[1])
        return csr_matrix((weights.ravel(), (rows, places.ravel())), shape=(n, n))

    titles = csr_matrix(tuple(arrays[f"titles_{k}"] for k in ("data", "indices", "indptr")), shape=index.counts.shape)
    words = arrays["words"].astype(np.float64)
    return Surroundings(index, words, titles, graph("dense"), graph("lsa"))


def of_collection(collection: Collection, encoder: Encoder | None = None) -> Surroundings:
    """Of text that is not registered: index and surroundings, made anew. Errors as in `index.build`."""
    index = page_index.of_arrays(collection.name, page_index.build(collection, encoder))
    return of_arrays(index, build(index, collection))


@lru_cache(maxsize=AT_ONCE)
def load(name: str, encoder: Encoder | None = None) -> Surroundings:
    """Of a registered collection, from data/cache or built and kept there. Errors as in `index.load`."""
    source, index = registry.load()[name], page_index.load(name, encoder)
    key = cache.key(
        [file.sha256 for file in source.files],
        code_hash(__name__, source.loader.rpartition(".")[0]),
        encoder.fingerprint if encoder else "own pages",
        page_index.versions(),
    )
    kept = f"feedback_surroundings_{name}_{encoder.name}" if encoder else f"feedback_surroundings_{name}"
    arrays = cache.arrays(kept, key, lambda: build(index, to_search(loaders.load(name), PARTS.get(name))))
    return of_arrays(index, arrays)
