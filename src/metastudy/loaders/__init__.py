"""From registered files to typed, checked data: one module per kind of data, one entry point.

`load("cranfield")` finds and verifies the files, reads them, and compares what it counts with the registry.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from metastudy import registry
from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.registry import Source

__all__ = ["Files", "Loaded", "available", "check_counts", "load"]


class Loaded(Protocol):
    """What every loader returns."""

    @property
    def counts(self) -> dict[str, int]:
        """What it holds, in the words of the registry's `counts`: taken from the files, before any repair."""


def check_counts(source: Source, found: dict[str, int]) -> None:
    """Raises DataError, listing every difference, where data is not as large as the registry says."""
    names = sorted({*source.counts, *found})
    wrong = [
        f"{name} {found.get(name, 'not counted')}, expected {source.counts.get(name, 'no such count')}"
        for name in names
        if found.get(name) != source.counts.get(name)
    ]
    if wrong:
        raise DataError(
            f"source {source.name!r}: found {'; '.join(wrong)} (data/registry.yaml). The file or its loader changed"
        )


def available(name: str) -> bool:
    """Whether all files of a source can be had without a download."""
    return Files.of(registry.load()[name], offline=True).available


def load(name: str, offline: bool = False) -> Loaded:
    """A source by its name in the registry, verified and checked.

    Raises ParameterError for an unknown name, DataError where a file or what it holds is not as registered.
    """
    source = registry.load()[name]
    module, _, function = source.loader.rpartition(".")
    loaded = getattr(import_module(module), function)(Files.of(source, offline))
    check_counts(source, loaded.counts)
    return loaded
