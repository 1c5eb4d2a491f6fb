"""What a collection's text leaves for feedback: word counts, dense and latent semantic vectors, kept in data/cache.

`families.candidates` keeps how a page matches a query, but not its words. Everything here comes from pages and
queries; no judgement is looked at. Text is read once, afterwards a collection loads in a fraction of a second.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from threadpoolctl import threadpool_limits

from metastudy import cache, loaders, registry
from metastudy.encoders import Encoder, TfidfSvd, terms
from metastudy.errors import DataError, ParameterError
from metastudy.families.candidates import MADE_WITH, PARTS, to_search
from metastudy.families.collection import K1, LSA_DIM, B, Collection
from metastudy.staleness import code_hash

Values = NDArray[np.float64]
"""Double precision: pages with the same text then have the same scores up to 1e-12, and rounding makes them equal."""
AT_ONCE = 14  # indexes held in memory: seven collections with two encoders


@dataclass(frozen=True, eq=False)
class Query:
    """What somebody asks: counts of the V known words (V,), a dense vector (d,) and a latent semantic one (l,)."""

    words: Values
    dense: Values
    lsa: Values


@dataclass(frozen=True, eq=False)
class PageIndex:
    """N pages, Q queries and V words. Rows of `pages` and `queries` are ids, in the order of the collection.

    Shapes: counts (N, V) and asked (Q, V) hold how often a word occurs; dense (N, d) and dense_asked (Q, d) are
    vectors of the encoder, lsa (N, l) and lsa_asked (Q, l) latent semantic ones fitted on the pages, all of length one
    (or zero, where nothing is known of a text).
    """

    name: str
    pages: NDArray[np.str_]
    queries: NDArray[np.str_]
    counts: csr_matrix
    asked: csr_matrix
    dense: Values
    dense_asked: Values
    lsa: Values
    lsa_asked: Values

    @cached_property
    def bm25(self) -> csc_matrix:
        """(N, V) Lucene's BM25 of each page for each of its words, as in `families.collection.bm25_scores`.

        A query's BM25 is the sum of the columns of its words. An inner product with a weight for each word is BM25 of a
        weighted query, which is all that expansion needs.
        """
        length = np.asarray(self.counts.sum(1)).ravel()
        in_pages = np.bincount(self.counts.indices, minlength=self.counts.shape[1])
        idf = np.log(1 + (len(length) - in_pages + 0.5) / (in_pages + 0.5))
        tf, row = self.counts.data, np.repeat(np.arange(len(length)), np.diff(self.counts.indptr))
        saturated = tf / (tf + K1 * (1 - B + B * length[row] / length.mean()))
        weighted = csr_matrix((saturated * idf[self.counts.indices], self.counts.indices, self.counts.indptr))
        weighted.resize(self.counts.shape)
        return weighted.tocsc()

    @cached_property
    def bm25_rows(self) -> csr_matrix:
        """(N, V) the same weights by page, each page to length one: what a page adds to an expanded query."""
        rows = self.bm25.tocsr()
        length = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
        rows.data = rows.data / np.maximum(np.repeat(length, np.diff(rows.indptr)), 1e-12)
        return rows

    @cached_property
    def tfidf(self) -> csr_matrix:
        """(N, V) TF-IDF of pages, logarithmic counts, rows of length one (or zero)."""
        return csr_matrix(TfidfTransformer(sublinear_tf=True).fit_transform(self.counts))

    @cached_property
    def tfidf_columns(self) -> csc_matrix:
        """(N, V) the same by word."""
        return self.tfidf.tocsc()

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Page id -> row."""
        return {str(page): i for i, page in enumerate(self.pages)}

    def query(self, query: str) -> Query:
        """One of the collection's own queries by id. Raises ParameterError for an unknown one."""
        if query not in self._row:
            raise ParameterError(
                f"query {query!r} is none of the {len(self.queries)} of {self.name!r} ({', '.join(self.queries[:3])}, "
                "...); give one of them"
            )
        row = self._row[query]
        return Query(self.asked[[row]].toarray()[0], self.dense_asked[row], self.lsa_asked[row])

    @cached_property
    def _row(self) -> Mapping[str, int]:
        return {str(query): i for i, query in enumerate(self.queries)}


def build(collection: Collection, encoder: Encoder | None = None) -> dict[str, np.ndarray]:
    """The arrays of a `PageIndex`. Without an encoder, dense vectors are the latent semantic ones.

    Raises DataError where no page has a word that occurs in another one too.
    """
    count = CountVectorizer(analyzer=terms, dtype=np.float64)
    try:
        counts = csr_matrix(count.fit_transform(collection.pages))
    except ValueError as error:
        raise DataError(f"collection {collection.name!r}: no page has a word; expected some text to search") from error
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        latent = TfidfSvd(collection.pages, LSA_DIM)
        lsa, lsa_asked = latent(collection.pages), latent(collection.asked)
        dense, dense_asked = (encoder(collection.pages), encoder(collection.asked)) if encoder else (lsa, lsa_asked)
    return {
        "pages": np.array(collection.ids),
        "queries": np.array(collection.queries),
        **_parts("counts", counts),
        **_parts("asked", csr_matrix(count.transform(collection.asked))),
        "dense": dense,
        "dense_asked": dense_asked,
        "lsa": lsa,
        "lsa_asked": lsa_asked,
    }


def _parts(name: str, matrix: csr_matrix) -> dict[str, np.ndarray]:
    matrix.sort_indices()
    kept = {"data": matrix.data.astype(np.int32), "indices": matrix.indices, "indptr": matrix.indptr}
    return {f"{name}_{k}": v for k, v in kept.items()} | {f"{name}_shape": np.array(matrix.shape)}


def of_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> PageIndex:
    """What `build` made, by name."""

    def matrix(part: str) -> csr_matrix:
        data, indices, indptr, shape = (arrays[f"{part}_{k}"] for k in ("data", "indices", "indptr", "shape"))
        return csr_matrix((data.astype(np.float64), indices, indptr), shape=tuple(shape.tolist()))

    vectors = {k: arrays[k].astype(np.float64) for k in ("dense", "dense_asked", "lsa", "lsa_asked")}
    return PageIndex(name, arrays["pages"], arrays["queries"], matrix("counts"), matrix("asked"), **vectors)


def versions() -> list[str]:
    """Of the packages that words and vectors depend on."""
    return [importlib.metadata.version(package) for package in MADE_WITH]


@lru_cache(maxsize=AT_ONCE)
def load(name: str, encoder: Encoder | None = None) -> PageIndex:
    """A registered collection from data/cache, or built and kept there. Errors as in `loaders.load` and `build`."""
    source = registry.load()[name]
    key = cache.key(
        [file.sha256 for file in source.files],
        code_hash(__name__, source.loader.rpartition(".")[0]),
        encoder.fingerprint if encoder else "own pages",
        versions(),
    )
    kept = f"feedback_index_{name}_{encoder.name}" if encoder else f"feedback_index_{name}"
    return of_arrays(
        name, cache.arrays(kept, key, lambda: build(to_search(loaders.load(name), PARTS.get(name)), encoder))
    )
