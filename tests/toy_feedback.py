"""Toy collections in place of the registered ones, indexed once, for all that goes through `SearchFeedback`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from metastudy import cache
from metastudy.families import candidates
from metastudy.families.candidates import Candidates, of_arrays, to_search
from metastudy.feedback import index, surroundings
from metastudy.feedback.surroundings import Surroundings, of_collection
from metastudy.loaders.collections import SearchCollection


@dataclass(frozen=True, eq=False)
class ToyCollections:
    """By name: candidates of each query, and what feedback looks at around them."""

    found: Mapping[str, Candidates]
    around: Mapping[str, Surroundings]

    @classmethod
    def of(cls, sources: Mapping[str, SearchCollection]) -> ToyCollections:
        found = {name: of_arrays(name, candidates.build(source)) for name, source in sources.items()}
        return cls(found, {name: of_collection(to_search(source)) for name, source in sources.items()})

    def in_place(self, patch: pytest.MonkeyPatch, folder: Path | None = None) -> None:
        """Loaded in place of the registered ones as long as `patch` lasts; what is kept goes to `folder`."""
        patch.setattr(candidates, "load", lambda name, encoder=None: self.found[name])
        patch.setattr(index, "load", lambda name, encoder=None: self.around[name].index)
        patch.setattr(surroundings, "load", lambda name, encoder=None: self.around[name])
        if folder is not None:
            patch.setattr(cache, "folder", lambda: folder)
