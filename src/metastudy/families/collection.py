"""A collection to search: pages, queries, judgements, and what scores a match of a query with a page.

Where the text comes from does not matter here: `families.search` makes collections of documentation,
`families.candidates` of public ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import bm25s
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from metastudy.encoders import Encoder, TfidfSvd, terms
from metastudy.errors import DataError

Array = NDArray[np.float32]
LSA_DIM = 128  # of 64, 128 and 256 the best for the baselines themselves
K1, B = 1.5, 0.75  # bm25s's defaults
RRF_K = 60  # Cormack et al. 2009
FEEDBACK = 5  # pages whose mean vector stands for "more like these"

FEATURES = (
    "bm25", "dense", "rrf", "dense_summary",  # field baselines; standardised within the query
    "bm25_reciprocal_rank", "dense_reciprocal_rank", "cosine", "summary_cosine",
    "feedback", "term_share", "idf_share", "summary_overlap", "log_length",
    "same_kind", "is_function", "is_class", "log_query_terms",
)  # fmt: skip
KIND_FEATURES = ("same_kind", "is_function", "is_class")
"""Only where pages have kinds and a query is a page itself."""
TEXT_FEATURES = tuple(name for name in FEATURES if name not in KIND_FEATURES)


class Vectors(NamedTuple):
    """Encoded text: pages (N, d), their summaries (N, d), queries (Q, d)."""

    pages: Array
    summaries: Array
    queries: Array


def bm25_index(pages: Sequence[Sequence[str]]) -> bm25s.BM25:
    """Lucene's BM25 over pages given as terms."""
    index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy", auto_compile=False)
    index.index([list(p) for p in pages], show_progress=False)
    return index


def bm25_scores(pages: Sequence[Sequence[str]], queries: Sequence[Sequence[str]]) -> Array:
    """(Q, N) BM25 of queries with pages, all given as terms; a term that comes twice in a query counts twice."""
    index = bm25_index(pages)
    scores = []
    for query in queries:
        known = [t for t in query if t in index.vocab_dict]
        scores.append(index.get_scores(known) if known else np.zeros(len(pages)))
    return np.stack(scores).astype(np.float32)


def ranks(scores: Array) -> NDArray[np.int64]:
    """Ranks from 1 within each row, highest score first; of equal ones the first column is ahead. (Q, N) -> (Q, N)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    result = np.empty_like(order)
    np.put_along_axis(result, order, np.arange(1, scores.shape[1] + 1)[None, :], axis=1)
    return result


def standardise(scores: Array, allowed: NDArray[np.bool_]) -> Array:
    """Zero mean and unit variance within each query, over the pages that may be results."""
    count = allowed.sum(1, keepdims=True)
    mean = (scores * allowed).sum(1, keepdims=True) / count
    deviation = np.sqrt((((scores - mean) ** 2) * allowed).sum(1, keepdims=True) / count)
    return (scores - mean) / np.maximum(deviation, 1e-6)


class Collection:
    """Rows of all arrays are the queries (`queries`, by id), columns the pages (`ids`), both in the order given.

    A page is a summary line and a body. `excluded` names a page that is never a result of a query (its own entry, for
    one); `kinds` the kind of each page and the page that each query is. `clean` is applied to text before it is scored.
    Raises DataError for fewer than two pages.
    """

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        summaries: Sequence[str],
        bodies: Sequence[str],
        queries: Mapping[str, str],
        relevant: Mapping[str, Mapping[str, int]],
        excluded: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
        clean: Callable[[str], str] = str,
    ):
        if len(ids) < 2:
            raise DataError(f"collection {name!r}: {len(ids)} pages; searching needs at least 2")
        self.name = name
        self.ids = list(ids)
        self.position = {id_: i for i, id_ in enumerate(self.ids)}
        self.summaries = list(summaries)
        self.bodies = list(bodies)
        self.pages = [f"{s} {b}" for s, b in zip(self.summaries, self.bodies, strict=True)]
        self.queries = list(queries)
        self.asked = list(queries.values())
        self.relevant = {query: dict(grades) for query, grades in relevant.items()}
        self.excluded = dict(excluded or {})
        self.kinds = kinds
        self._clean = clean

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it has, in order."""
        return FEATURES if self.kinds else TEXT_FEATURES

    @cached_property
    def _texts(self) -> tuple[list[str], list[str], list[str]]:
        """Pages, summaries and queries as they are scored."""
        return tuple([self._clean(t) for t in texts] for texts in (self.pages, self.summaries, self.asked))

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """(Q, N): False where a page is never a result of the query."""
        own = np.array([self.position.get(self.excluded.get(q, ""), -1) for q in self.queries])
        return own[:, None] != np.arange(len(self.ids))[None, :]

    @cached_property
    def bm25(self) -> Array:
        """(Q, N) BM25 of each query with each page."""
        pages, _, queries = self._texts
        return bm25_scores([terms(p) for p in pages], [terms(q) for q in queries])

    def _static(self) -> dict[str, Array]:
        """Features of terms and lengths."""
        pages, summaries, queries = self._texts
        count = CountVectorizer(analyzer=terms, binary=True)
        page_terms = csr_matrix(count.fit_transform(pages), dtype=np.float32)
        summary_terms = csr_matrix(count.transform(summaries), dtype=np.float32)
        query_terms = csr_matrix(count.transform(queries), dtype=np.float32)
        idf = np.log(1 + len(pages) / np.asarray(page_terms.sum(0)).ravel()).astype(np.float32)
        n_terms = np.maximum(np.asarray(query_terms.sum(1)), 1)
        weighted = query_terms.multiply(idf).tocsr()
        shared = (query_terms @ summary_terms.T).toarray()
        union = n_terms + np.asarray(summary_terms.sum(1)).T - shared
        return {
            "term_share": (query_terms @ page_terms.T).toarray() / n_terms,
            "idf_share": (weighted @ page_terms.T).toarray() / np.maximum(np.asarray(weighted.sum(1)), 1e-6),
            "summary_overlap": shared / np.maximum(union, 1),
            "log_length": np.log1p([[len(p.split()) for p in pages]]),
            "log_query_terms": np.log1p(n_terms),
        }

    def _of_kinds(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        page, query = (np.array([kinds[i] for i in ids]) for ids in (self.ids, self.queries))
        return {
            "same_kind": query[:, None] == page[None, :],
            "is_function": page[None, :] == "function",
            "is_class": page[None, :] == "class",
        }

    def vectors(self, encoder: Encoder | None = None) -> Vectors:
        """All text encoded.

        Without an `encoder`, vectors are latent semantic ones fitted on this collection's own pages: no label and
        no other collection is needed for that.
        """
        encode = encoder or TfidfSvd(self._texts[0], LSA_DIM)
        return Vectors(*(encode(texts) for texts in self._texts))

    def columns(self, vectors: Vectors) -> dict[str, Array]:
        """Each feature as (Q, N), unscaled. A value depends on its query, its page and the unlabelled pages only."""
        cosine, summary_cosine = vectors.queries @ vectors.pages.T, vectors.queries @ vectors.summaries.T
        bm25_rank = ranks(np.where(self.allowed, self.bm25, -np.inf))
        dense_rank = ranks(np.where(self.allowed, cosine, -np.inf))
        rrf = 1 / (RRF_K + bm25_rank) + 1 / (RRF_K + dense_rank)
        top = np.argsort(-np.where(self.allowed, rrf, -np.inf), axis=1, kind="stable")[:, :FEEDBACK]
        columns = {
            "bm25": standardise(self.bm25, self.allowed),
            "dense": standardise(cosine, self.allowed),
            "rrf": standardise(rrf, self.allowed),
            "bm25_reciprocal_rank": 1 / bm25_rank,
            "dense_reciprocal_rank": 1 / dense_rank,
            "cosine": cosine,
            "summary_cosine": summary_cosine,
            "dense_summary": standardise(summary_cosine, self.allowed),
            "feedback": vectors.pages[top].mean(1) @ vectors.pages.T,
            **self._static(),
            **(self._of_kinds(self.kinds) if self.kinds else {}),
        }
        shape = (len(self.queries), len(self.ids))
        return {n: np.broadcast_to(np.asarray(columns[n], dtype=np.float32), shape) for n in self.features}

    def ranked(self, columns: Mapping[str, Array]) -> NDArray[np.int64]:
        """Pages of each query, best RRF first, then in the order of pages; the excluded page is last. (Q, N)."""
        return np.argsort(-np.where(self.allowed, columns["rrf"], -np.inf), axis=1, kind="stable")

    def candidates(self, columns: Mapping[str, Array], pool: int) -> list[NDArray[np.int64]]:
        """Per query the union of the `pool` best pages by BM25 and by cosine, in the order of `ranked`."""
        inside = in_pool(columns["bm25_reciprocal_rank"], columns["dense_reciprocal_rank"], pool) & self.allowed
        return [row[keep[row]] for row, keep in zip(self.ranked(columns), inside, strict=True)]

    def rows(self, columns: Mapping[str, Array], query: int, pages: Sequence[int]) -> Array:
        """Features of one query with some pages: (len(pages), len(self.features))."""
        return np.stack([columns[name][query, pages] for name in self.features], axis=-1)


def in_pool(bm25_reciprocal_rank: Array, dense_reciprocal_rank: Array, pool: int) -> NDArray[np.bool_]:
    """Whether a page is among the `pool` best by either rank."""
    limit = 1 / pool - 1e-6
    return (bm25_reciprocal_rank >= limit) | (dense_reciprocal_rank >= limit)
