"""Somebody's collection of made-up words, and two of them in place of the libraries, which nothing keeps."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import helpers  # noqa: F401  (one thread)
from metastudy.families.candidates import to_search
from metastudy.loaders.collections import write_beir
from metastudy.own_data import searched
from metastudy.own_data.searched import Searched
from toy_collections import toy

LIBRARIES = ("numpy", "scipy")
OWN = toy("mine", 2)


@cache
def _library(name: str) -> Searched:
    return searched.of_arrays(name, searched.build(to_search(toy(name, LIBRARIES.index(name), queries=16))))


def in_place_of_libraries(patch: pytest.MonkeyPatch) -> None:
    """As long as `patch` lasts; data/cache is not written to."""
    patch.setattr(searched, "LIBRARIES", LIBRARIES)
    patch.setattr(searched, "load_library", lambda name, encoder=None: _library(name))
    kept: dict[tuple[str, str], dict] = {}

    def arrays(name, key, build):
        if (name, key) not in kept:
            kept[name, key] = dict(build())
        return kept[name, key]

    patch.setattr("metastudy.cache.arrays", arrays)


def written(folder: Path) -> Path:
    """The collection in BEIR's layout."""
    write_beir(OWN, folder / "mine")
    return folder / "mine"
