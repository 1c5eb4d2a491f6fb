"""A collection that is in no registry, ready for relevance feedback: candidates, word index and surroundings at once.

`families.candidates`, `feedback.index` and `feedback.surroundings` keep these of registered collections. Here the same
arrays are made of any `Collection`: somebody's own pages, which are kept in memory alone, and the documentation of the
pinned packages, whose arrays are kept in data/cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from threadpoolctl import threadpool_limits

from metastudy import cache, corpus
from metastudy.encoders import Encoder, Vectors
from metastudy.families.candidates import DEPTH, POOL, Candidates
from metastudy.families.collection import Collection
from metastudy.families.search import COLLECTIONS, documentation, without_mask
from metastudy.feedback import index as page_index
from metastudy.feedback import surroundings
from metastudy.feedback.surroundings import Surroundings
from metastudy.staleness import code_hash
from metastudy.vector_cache import CachedEncoder

LIBRARIES = COLLECTIONS
"""Earlier collections: documentation of these packages; a page's summary line is a query, See Also its judgements."""
QUERIES = 100  # of a library, the first by hash
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Searched:
    """Candidates of each query, and of its text all that feedback looks at."""

    candidates: Candidates
    around: Surroundings


@dataclass(frozen=True, eq=False)
class Remembering:
    """An encoder that reads each text once: candidates and index ask for the same ones."""

    encoder: Encoder
    seen: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        if new := [t for t in dict.fromkeys(texts) if t not in self.seen]:
            self.seen.update(zip(new, self.encoder(new), strict=True))
        return np.stack([self.seen[t] for t in texts])


def build(
    collection: Collection, encoder: Encoder | None = None, also: Mapping[str, Sequence[str]] | None = None
) -> Arrays:
    """The arrays of a `Searched`. `also` names pages that get a row for a query whether they are candidates or not."""
    once = Remembering(encoder) if encoder else None
    index = page_index.build(collection, once)
    around = surroundings.build(page_index.of_arrays(collection.name, index), collection)
    parts = {"candidates": candidate_arrays(collection, once, also or {}), "index": index, "around": around}
    return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def of_arrays(name: str, arrays: Arrays) -> Searched:
    """What `build` made, by name."""

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(f"{prefix}/"): v for k, v in arrays.items() if k.startswith(f"{prefix}/")}

    found = part("candidates")
    candidates = Candidates(name, **{**found, "content_hash": str(found["content_hash"])})
    return Searched(candidates, surroundings.of_arrays(page_index.of_arrays(name, part("index")), part("around")))


def candidate_arrays(
    collection: Collection, encoder: Encoder | None, also: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """As `families.candidates.build`, of a collection as it is, with rows for `also`."""
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        vectors = collection.vectors(encoder)
        columns = collection.columns(vectors)
    fused = collection.ranked(columns)
    rows, x = [], []
    for q, (query, pooled) in enumerate(zip(collection.queries, collection.candidates(columns, POOL), strict=True)):
        wanted = np.zeros(len(collection.ids), dtype=bool)
        wanted[fused[q, :DEPTH]] = wanted[pooled] = True
        wanted[[collection.position[page] for page in (*collection.relevant[query], *also.get(query, ()))]] = True
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
        "judgements": np.array(judgements, dtype=np.int32).reshape(-1, 3),
        "content_hash": np.array(content_hash(collection, also)),
    }


def content_hash(collection: Collection, also: Mapping[str, Sequence[str]] | None = None) -> str:
    """sha256 of pages, queries and judgements."""
    held = [collection.ids, collection.summaries, collection.bodies, collection.queries, collection.asked]
    held += [collection.relevant, {q: list(pages) for q, pages in (also or {}).items()}]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def first_by_hash(name: str, queries: Sequence[str], n: int) -> list[str]:
    """n of the queries in the order of `SearchFeedback.freeze`."""
    return sorted(queries, key=lambda q: hashlib.sha256(f"{name}/{q}".encode()).digest())[:n]


def collection_of_library(name: str) -> Collection:
    """Documentation of a package with `QUERIES` of its queries; names of documented objects are blank in all text."""
    whole = documentation(name, corpus.load().by_package()[name])
    chosen = first_by_hash(name, whole.queries, QUERIES)
    asked = dict(zip(whole.queries, whole.asked, strict=True))
    summaries, bodies = ([without_mask(t) for t in texts] for texts in (whole.summaries, whole.bodies))
    return Collection(
        name, whole.ids, summaries, bodies, {q: without_mask(asked[q]) for q in chosen},
        {q: whole.relevant[q] for q in chosen}, {q: q for q in chosen},
    )  # fmt: skip


@lru_cache(maxsize=2 * len(LIBRARIES))
def load_library(name: str, encoder: Encoder | None = None) -> Searched:
    """A library from data/cache, or built and kept there: half a second each, with an encoder as long as it reads."""
    cached = CachedEncoder(encoder) if encoder else None
    versions = corpus.versions()
    key = cache.key(
        name, versions, code_hash(__name__), encoder.fingerprint if encoder else "own pages", page_index.versions()
    )
    kept = f"library_{name}_{encoder.name}" if encoder else f"library_{name}"
    return of_arrays(name, cache.arrays(kept, key, lambda: build(collection_of_library(name), cached)))
