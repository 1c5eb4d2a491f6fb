"""Search in library documentation: learn from a few judged queries how to rank a new collection.

A package is a collection, and a task. Queries are summary lines, and relevant is what See Also names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch

from metastudy import corpus
from metastudy.corpus import Entry
from metastudy.encoders import Encoder
from metastudy.families.base import FieldBaseline, Fold
from metastudy.families.collection import FEATURES, Collection
from metastudy.families.draws import rotate
from metastudy.families.search_base import BASELINES, Grades, JudgedQuery, Search
from metastudy.masking import MASK, mask_names, names_of

COLLECTIONS = (  # torch and seaborn have too few See Also links; neighbours are tested together
    "numpy", "matplotlib", "scipy", "networkx", "pandas", "sympy", "sklearn", "statsmodels",
)  # fmt: skip


def without_mask(text: str) -> str:
    """Text as it is scored: two masked names are not a match."""
    return text.replace(MASK, " ")


def documentation(package: str, entries: Sequence[Entry]) -> Collection:
    """One package's entries as pages, by id, with the names of documented objects masked.

    A query is an entry's summary line. Pages are the summary lines and bodies of all *other* entries of the package;
    the entry itself is never a result. Relevant are the entries its See Also section names: grade 2 where the link goes
    both ways, else 1.
    """
    entries = sorted(entries, key=lambda e: e.id)
    ids = [e.id for e in entries]
    names = names_of(ids)
    summaries = {e.id: mask_names(e.summary, names) for e in entries}
    bodies = [mask_names(" ".join(e.body), names) for e in entries]
    links = {e.id: {t for t in e.see_also if t in summaries and t != e.id} for e in entries}
    relevant = {
        source: {t: 2 if source in links[t] else 1 for t in sorted(targets)}
        for source, targets in links.items()
        if targets
    }
    return Collection(
        package, ids, list(summaries.values()), bodies, {i: summaries[i] for i in relevant}, relevant,
        excluded={i: i for i in relevant}, kinds={e.id: e.kind for e in entries}, clean=without_mask,
    )  # fmt: skip


class DocumentationSearch(Search):
    """Tasks from the library documentation corpus; candidates are the `pool` best of BM25 and of cosine, united."""

    embedded = True
    study = "search_collections"
    clustered = True
    max_shots = 10
    field_baselines = tuple(FieldBaseline(name, FEATURES.index(name)) for name in BASELINES)
    n_features = len(FEATURES)

    def __init__(
        self,
        pool: int = 30,
        draws: int = 3,
        queries: int = 40,
        encoder: Encoder | None = None,
        shots: tuple[int, ...] = (1, 5, 10),
    ):
        super().__init__(pool, draws, queries, encoder, shots)

    @cached_property
    def collections(self) -> dict[str, Collection]:
        """The collections by package."""
        packages = corpus.load().by_package()
        return {name: documentation(name, packages[name]) for name in COLLECTIONS}

    def collection(self, name: str) -> Collection:
        return self.collections[name]

    def relevant(self, name: str) -> Grades:
        return self.collections[name].relevant

    def ids(self, name: str) -> Sequence[str]:
        return self.collections[name].queries

    def folds(self) -> tuple[Fold, ...]:
        """Four rounds: two collections to test, the next two to validate, four to train."""
        return rotate(COLLECTIONS, 2)

    @cached_property
    def _unscaled(self) -> dict[str, dict[str, JudgedQuery]]:
        return {name: judged_queries(c, self.encoder, self.pool) for name, c in self.collections.items()}

    def unscaled(self) -> Mapping[str, Mapping[str, JudgedQuery]]:
        return self._unscaled

    def content_hash(self) -> str:
        rows = [[c.name, c.ids, c.pages, c.relevant] for c in self.collections.values()]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def judged_queries(collection: Collection, encoder: Encoder | None, pool: int) -> dict[str, JudgedQuery]:
    """Rows of every query of a collection, unscaled."""
    columns = collection.columns(collection.vectors(encoder))
    found = {}
    for q, (query, candidates) in enumerate(zip(collection.queries, collection.candidates(columns, pool), strict=True)):
        grades = collection.relevant[query]
        pages = [collection.ids[j] for j in candidates]
        pages += [page for page in grades if page not in set(pages)]
        x = torch.from_numpy(collection.rows(columns, q, [collection.position[page] for page in pages]))
        y = torch.tensor([float(grades.get(page, 0)) for page in pages])
        found[query] = JudgedQuery(tuple(pages), x, y, len(candidates))
    return found
