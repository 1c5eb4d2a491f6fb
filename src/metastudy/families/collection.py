"""A documentation collection to search: pages with names masked, queries, judgements, and what scores a match.

A query is an entry's summary line. Pages are the summary lines and bodies of all *other* entries of the package;
the entry itself is never a result. Relevant are the entries its See Also section names: grade 2 where the link goes
both ways, else 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import bm25s
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from metastudy.corpus import Entry
from metastudy.encoders import Encoder, TfidfSvd, terms
from metastudy.errors import DataError
from metastudy.masking import MASK, mask_names, names_of

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


def without_mask(text: str) -> str:
    """Text as it is scored: two masked names are not a match."""
    return text.replace(MASK, " ")


def bm25_index(pages: Sequence[Sequence[str]]) -> bm25s.BM25:
    """Lucene's BM25 over pages given as terms."""
    index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy", auto_compile=False)
    index.index([list(p) for p in pages], show_progress=False)
    return index


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
    """One package's entries as pages; rows of all arrays are the queries, columns the pages (both by id)."""

    def __init__(self, package: str, entries: Sequence[Entry]):
        if len(entries) < 2:
            raise DataError(f"collection {package!r}: {len(entries)} entries; searching needs at least 2")
        self.package = package
        self.entries = sorted(entries, key=lambda e: e.id)
        self.ids = [e.id for e in self.entries]
        self.position = {id_: i for i, id_ in enumerate(self.ids)}
        names = names_of(self.ids)
        self.summaries = [mask_names(e.summary, names) for e in self.entries]
        self.bodies = [mask_names(" ".join(e.body), names) for e in self.entries]
        self.pages = [f"{s} {b}" for s, b in zip(self.summaries, self.bodies, strict=True)]
        links = {e.id: {t for t in e.see_also if t in self.position and t != e.id} for e in self.entries}
        self.relevant: dict[str, dict[str, int]] = {
            source: {t: 2 if source in links[t] else 1 for t in sorted(targets)}
            for source, targets in links.items()
            if targets
        }
        self.queries = [i for i in self.ids if i in self.relevant]

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        return np.array([self.position[q] for q in self.queries])

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """(Q, N): False where a page is the query's own entry."""
        return self._rows[:, None] != np.arange(len(self.ids))[None, :]

    @cached_property
    def bm25(self) -> Array:
        """(Q, N) BM25 of each query with each page."""
        index = bm25_index([terms(without_mask(p)) for p in self.pages])
        known = index.vocab_dict
        scores = []
        for row in self._rows:
            query = [t for t in terms(without_mask(self.summaries[row])) if t in known]
            scores.append(index.get_scores(query) if query else np.zeros(len(self.ids)))
        return np.stack(scores).astype(np.float32)

    @cached_property
    def _static(self) -> dict[str, Array]:
        """Features of terms, lengths and kinds."""
        pages, summaries = [without_mask(p) for p in self.pages], [without_mask(s) for s in self.summaries]
        count = CountVectorizer(analyzer=terms, binary=True)
        page_terms = csr_matrix(count.fit_transform(pages), dtype=np.float32)
        summary_terms = csr_matrix(count.transform(summaries), dtype=np.float32)
        query_terms = summary_terms[self._rows]
        idf = np.log(1 + len(pages) / np.asarray(page_terms.sum(0)).ravel()).astype(np.float32)
        n_terms = np.maximum(np.asarray(query_terms.sum(1)), 1)
        weighted = query_terms.multiply(idf).tocsr()
        shared = (query_terms @ summary_terms.T).toarray()
        union = n_terms + np.asarray(summary_terms.sum(1)).T - shared
        kinds = np.array([e.kind for e in self.entries])
        shape = (len(self.queries), len(self.ids))
        every = {
            "term_share": (query_terms @ page_terms.T).toarray() / n_terms,
            "idf_share": (weighted @ page_terms.T).toarray() / np.maximum(np.asarray(weighted.sum(1)), 1e-6),
            "summary_overlap": shared / np.maximum(union, 1),
            "log_length": np.log1p([[len(p.split()) for p in pages]]),
            "same_kind": kinds[self._rows][:, None] == kinds[None, :],
            "is_function": kinds[None, :] == "function",
            "is_class": kinds[None, :] == "class",
            "log_query_terms": np.log1p(n_terms),
        }
        return {name: np.broadcast_to(np.asarray(v, dtype=np.float32), shape) for name, v in every.items()}

    def features(self, encoder: Encoder | None = None) -> Array:
        """(Q, N, len(FEATURES)), unscaled. A row depends on its query, its page and the unlabelled pages only.

        Without an `encoder`, vectors are latent semantic ones fitted on this collection's own pages: no label and
        no other collection is needed for that.
        """
        texts, titles = [without_mask(p) for p in self.pages], [without_mask(s) for s in self.summaries]
        encode = encoder or TfidfSvd(texts, LSA_DIM)
        pages, summaries = encode(texts), encode(titles)
        queries = summaries[self._rows]
        cosine, summary_cosine = queries @ pages.T, queries @ summaries.T
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
            "feedback": pages[top].mean(1) @ pages.T,
            **self._static,
        }
        return np.stack([columns[name].astype(np.float32) for name in FEATURES], axis=-1)

    def candidates(self, features: Array, pool: int) -> list[NDArray[np.int64]]:
        """Per query the union of the `pool` best pages by BM25 and by cosine, best RRF first, then by id."""
        column = {name: features[..., j] for j, name in enumerate(FEATURES)}
        rrf = np.where(self.allowed, column["rrf"], -np.inf)
        limit = 1 / pool - 1e-6
        inside = (column["bm25_reciprocal_rank"] >= limit) | (column["dense_reciprocal_rank"] >= limit)
        order = np.argsort(-rrf, axis=1, kind="stable")
        return [row[keep[row]] for row, keep in zip(order, inside & self.allowed, strict=True)]
