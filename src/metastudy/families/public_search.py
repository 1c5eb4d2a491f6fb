"""Search in public collections: learn from a few judged queries of a new collection how to rank it.

Seven collections; each is tested once, with another to validate and five to train. Relevance is graded in cranfield
(1 to 4), cystic_fibrosis (1 to 8) and nfcorpus (1, 2) and binary in the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch

from metastudy import loaders
from metastudy.encoders import Encoder
from metastudy.errors import ParameterError
from metastudy.families import candidates
from metastudy.families.base import FieldBaseline, Fold
from metastudy.families.candidates import NAMES, PARTS, POOL, Candidates, to_search
from metastudy.families.collection import TEXT_FEATURES, Collection, in_pool
from metastudy.families.draws import rotate
from metastudy.families.search_base import BASELINES, Grades, JudgedQuery, Search


class PublicSearch(Search):
    """Candidates are the `pool` best of BM25 and of cosine, united: at most twice `pool` rows a query.

    Without an `encoder`, vectors are fitted on each collection's own pages. Of SciFact only BEIR's 300 test claims are
    asked, so that its numbers can be set beside published ones; support is drawn from the same, and never from what a
    task is scored on. Raises ParameterError for a pool that the cached candidates do not cover.
    """

    study = "search_collections"
    clustered = True
    max_shots = 20
    field_baselines = tuple(FieldBaseline(name, TEXT_FEATURES.index(name)) for name in BASELINES)
    n_features = len(TEXT_FEATURES)

    def __init__(
        self,
        pool: int = 50,
        draws: int = 5,
        queries: int = 40,
        encoder: Encoder | None = None,
        shots: tuple[int, ...] = (5, 10, 20),
    ):
        if not 1 <= pool <= POOL:
            raise ParameterError(f"pool {pool}; expected 1 to {POOL}, which is how deep candidates are kept")
        super().__init__(pool, draws, queries, encoder, shots)

    @cached_property
    def found(self) -> dict[str, Candidates]:
        """The collections' arrays by name."""
        return {name: candidates.load(name, self.encoder) for name in NAMES}

    def ids(self, name: str) -> Sequence[str]:
        return self.found[name].queries.tolist()

    def folds(self) -> tuple[Fold, ...]:
        """Seven rounds: one collection to test, the next to validate, five to train."""
        return rotate(NAMES, 1)

    def relevant(self, name: str) -> Grades:
        return self.found[name].relevant

    @cached_property
    def _unscaled(self) -> dict[str, dict[str, JudgedQuery]]:
        return {name: judged_queries(found, self.pool) for name, found in self.found.items()}

    def unscaled(self) -> Mapping[str, Mapping[str, JudgedQuery]]:
        return self._unscaled

    def collection(self, name: str) -> Collection:
        return to_search(loaders.load(name), PARTS.get(name))

    def content_hash(self) -> str:
        return hashlib.sha256(json.dumps([[n, f.content_hash] for n, f in self.found.items()]).encode()).hexdigest()


def judged_queries(found: Candidates, pool: int) -> dict[str, JudgedQuery]:
    """Rows of every query, unscaled: candidates, best RRF first, then relevant pages that are none."""
    bm25, dense = (TEXT_FEATURES.index(f"{name}_reciprocal_rank") for name in ("bm25", "dense"))
    judged = {}
    for q, query in enumerate(map(str, found.queries)):
        grades = found.relevant[query]
        pages, x = found.rows(q)
        ids = found.pages[pages].tolist()
        inside = in_pool(x[:, bm25], x[:, dense], pool)
        order = [*inside.nonzero()[0], *(i for i, page in enumerate(ids) if page in grades and not inside[i])]
        kept = tuple(ids[i] for i in order)
        y = torch.tensor([float(grades.get(page, 0)) for page in kept])
        judged[query] = JudgedQuery(kept, torch.from_numpy(x[order]), y, int(inside.sum()))
    return judged
