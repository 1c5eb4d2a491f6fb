"""Candidate rows of the public collections, kept in data/cache: what both families of public search draw from.

Text is read, indexed and encoded once; afterwards a collection is a few arrays that load in a fraction of a second.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from metastudy import cache, loaders, registry
from metastudy.encoders import Encoder
from metastudy.families.collection import Array, Collection
from metastudy.loaders.collections import SearchCollection
from metastudy.staleness import code_hash

NAMES = ("cranfield", "cisi", "medline", "cystic_fibrosis", "npl", "scifact", "nfcorpus")
PARTS = {"scifact": "test"}
"""Of SciFact BEIR's 300 test claims alone, so that what is measured is measured on what others measure on."""
SET_ASIDE = ("cranfield",)
"""Where a page of grade 0 is left out of its query's ranking. Cranfield's code -1 stands once in each query and its
readme does not explain it; commonly it is read as not relevant, but BM25 has that page first or second in half of the
queries. Its meaning is in doubt, so ranking it high should neither win nor lose anything."""
LEAD = 12  # words that stand for the title where a source has none: the median title has about as many
DEPTH = 200  # candidates of a query by reciprocal rank fusion
POOL = 100  # by BM25 and by cosine, each
MADE_WITH = ("numpy", "scipy", "scikit-learn", "bm25s", "nltk")


def summary_and_body(title: str, text: str) -> tuple[str, str]:
    """A page's line and the rest of it; without a title the first words are the line."""
    if title:
        return title, text
    words = text.split()
    return " ".join(words[:LEAD]), " ".join(words[LEAD:])


def to_search(found: SearchCollection, part: str | None = None) -> Collection:
    """A public collection as pages, with its queries that have a relevant page (of one part, where it is named).

    A query is text of its own and no page, so that nothing matches itself, whatever ids say.
    """
    relevant = found.relevant(part)
    split = [summary_and_body(d.title, d.text) for d in found.documents.values()]
    summaries, bodies = zip(*split, strict=True)
    aside: dict[str, str] = {}
    if found.name in SET_ASIDE:
        aside = {q: page for q in relevant for page, grade in found.qrels[q].items() if grade == 0}
    queries = {q: found.queries[q] for q in relevant}
    return Collection(found.name, list(found.documents), summaries, bodies, queries, relevant, excluded=aside)


@dataclass(frozen=True)
class Candidates:
    """A collection as arrays.

    Shapes: N pages, Q queries, R rows. x (R, len(TEXT_FEATURES)), unscaled; page (R,) says which page a row is;
    query q has the rows offset[q] to offset[q + 1], best RRF first: the `DEPTH` best by RRF, the `POOL` best by BM25
    and by cosine, and all relevant pages. vectors (N, d) are of length one. judgements (J, 3): query, page, grade.
    """

    name: str
    queries: NDArray[np.str_]
    pages: NDArray[np.str_]
    offset: NDArray[np.int64]
    page: NDArray[np.int32]
    x: Array
    vectors: Array
    judgements: NDArray[np.int32]
    content_hash: str

    @cached_property
    def relevant(self) -> Mapping[str, Mapping[str, int]]:
        """Query id -> page id -> grade above 0."""
        found: dict[str, dict[str, int]] = {str(q): {} for q in self.queries}
        for q, page, grade in self.judgements.tolist():
            found[str(self.queries[q])][str(self.pages[page])] = grade
        return found

    def rows(self, q: int) -> tuple[NDArray[np.int32], Array]:
        """Pages (n,) and features (n, F) of one query's rows."""
        some = slice(int(self.offset[q]), int(self.offset[q + 1]))
        return self.page[some], self.x[some]


def build(found: SearchCollection, part: str | None = None, encoder: Encoder | None = None) -> dict[str, np.ndarray]:
    """The arrays of `Candidates`. Holds some twenty (Q, N) arrays for a moment, 6 MB each in the largest collection."""
    collection = to_search(found, part)
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        vectors = collection.vectors(encoder)
        columns = collection.columns(vectors)
    fused = collection.ranked(columns)
    rows, x = [], []
    for q, pooled in enumerate(collection.candidates(columns, POOL)):
        wanted = np.zeros(len(collection.ids), dtype=bool)
        wanted[fused[q, :DEPTH]] = wanted[pooled] = True
        wanted[[collection.position[page] for page in collection.relevant[collection.queries[q]]]] = True
        wanted &= collection.allowed[q]
        rows.append(fused[q][wanted[fused[q]]].astype(np.int32))
        x.append(collection.rows(columns, q, rows[-1]))
    judgements = [
        (q, collection.position[page], grade)
        for q, query in enumerate(collection.queries)
        for page, grade in collection.relevant[query].items()
    ]
    return {
        "queries": np.array(collection.queries),
        "pages": np.array(collection.ids),
        "offset": np.cumsum([0, *map(len, rows)]),
        "page": np.concatenate(rows),
        "x": np.concatenate(x),
        "vectors": vectors.pages,
        "judgements": np.array(judgements, dtype=np.int32),
        "content_hash": np.array(found.content_hash()),
    }


def of_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Candidates:
    """What `build` made, by name."""
    return Candidates(name, **{**arrays, "content_hash": str(arrays["content_hash"])})


def load(name: str, encoder: Encoder | None = None) -> Candidates:
    """A registered collection from data/cache, or built and kept there.

    Without an encoder, vectors are fitted on the collection's own pages. Errors as in `loaders.load`.
    """
    source = registry.load()[name]
    key = cache.key(
        [file.sha256 for file in source.files],
        code_hash(__name__, source.loader.rpartition(".")[0]),
        encoder.fingerprint if encoder else "own pages",
        [importlib.metadata.version(package) for package in MADE_WITH],
    )
    # a file of its own for each encoder: the cache drops files of the same name and another key
    kept = f"candidates_{name}_{encoder.name}" if encoder else f"candidates_{name}"
    return of_arrays(name, cache.arrays(kept, key, lambda: build(loaders.load(name), PARTS.get(name), encoder)))
