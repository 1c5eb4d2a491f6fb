"""Omniglot: 20 drawings of each of 1,623 handwritten characters as packed bits (ink is 1); the minimal backgrounds.

Source: Lake, Salakhutdinov and Tenenbaum 2015. Letters in shapes: N = 20 drawings of every character, s side of a
picture after resizing. The runs of the one-shot challenge are in `omniglot_runs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np

from metastudy import cache, staleness
from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.loaders.omniglot_runs import load_challenge
from metastudy.loaders.pictures import content_hash, packed, resize

__all__ = ["DRAWERS", "Character", "Characters", "load", "load_challenge", "load_minimal"]

DRAWERS = 20  # people who drew each character
MEMBER = re.compile(r"(?:.*/)?images_([a-z0-9_]+)/([^/]+)/character(\d\d)/(\d{4})_(\d\d)\.png")


class Character(NamedTuple):
    """One character: `part` is background, evaluation, small1 or small2; `number` counts from 1 in its alphabet."""

    part: str
    alphabet: str
    number: int

    @property
    def name(self) -> str:
        """As in the class lists of prototypical-networks, for instance "Greek/character01"."""
        return f"{self.alphabet}/character{self.number:02d}"


@dataclass(frozen=True, eq=False)
class Characters:
    """Drawings in the order part, alphabet, number, drawer: rows 20 c to 20 c + 19 of `bits` are of character c.

    Shapes: bits (N, 105, 14) uint8, see `pictures.packed`. Drawer j is the same person all through an alphabet.
    `key` stands for the files; without it nothing is cached.
    """

    source: str
    characters: tuple[Character, ...]
    bits: np.ndarray
    key: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Images, alphabets (once per part), characters, and images of each part; repeated pictures count."""
        found = {"images": len(self.bits), "alphabets": len({c[:2] for c in self.characters})}
        found["characters"] = len(self.characters)
        for c in self.characters:
            found[f"{c.part}_images"] = found.get(f"{c.part}_images", 0) + DRAWERS
        return found

    @cached_property
    def repeats(self) -> frozenset[int]:
        """Rows that show the same picture as an earlier row, which families never draw: support and query would share
        it. One in Omniglot; in both minimal sets together, the characters that small2 has in common with small1."""
        whole = self.bits.reshape(len(self.bits), -1)
        _, first = np.unique(whole.view(f"V{whole.shape[1]}")[:, 0], return_index=True)
        return frozenset(set(range(len(whole))) - set(first.tolist()))

    def distinct(self, c: int) -> np.ndarray:
        """Rows of character c, without repeats."""
        rows = range(c * DRAWERS, (c + 1) * DRAWERS)
        return np.array([row for row in rows if row not in self.repeats])

    def part(self, name: str) -> Characters:
        """The characters of one part, and nothing of the others. Raises DataError for an unknown part."""
        chosen = [i for i, c in enumerate(self.characters) if c.part == name]
        if not chosen:
            raise DataError(f"no part {name!r} in {self.source}; it has {sorted({c.part for c in self.characters})}")
        rows = np.concatenate([np.arange(i * DRAWERS, (i + 1) * DRAWERS) for i in chosen])
        kept = tuple(self.characters[i] for i in chosen)
        return Characters(f"{self.source}_{name}", kept, self.bits[rows], self.key)

    def resized(self, side: int) -> np.ndarray:
        """(N, s, s) uint8, ink 255: see `pictures.resize`; cached."""
        if self.key is None:
            return resize(self.bits, side)
        key = cache.key(self.key, side)
        return cache.arrays(f"{self.source}_side{side}", key, lambda: {"images": resize(self.bits, side)})["images"]

    def content_hash(self) -> str:
        """sha256 of names and pixels."""
        return content_hash(self.characters, self.bits)


def _problem(found: Mapping[Character, Mapping[int, str]]) -> str | None:
    """What is wrong with the structure, if anything: all drawers, one id a character, alphabets without a gap."""
    if not found:
        return "no picture at all"
    for c, names in found.items():
        if sorted(names) != list(range(1, DRAWERS + 1)):
            return f"{c.part} {c.name} has {len(names)} drawings, by {sorted(names)}; expected 1 to {DRAWERS}"
        if len(ids := {name.rsplit("/", 1)[-1][:4] for name in names.values()}) > 1:
            return f"{c.part} {c.name} holds drawings of characters {sorted(ids)}; expected one id"
    for (part, alphabet), characters in groupby(sorted(found), key=lambda c: c[:2]):
        if (numbers := [c.number for c in characters]) != list(range(1, len(numbers) + 1)):
            return f"{part} {alphabet} has characters {numbers}; expected 1 to {len(numbers)} without a gap"
    return None


def _read(source: str, members: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    found: dict[Character, dict[int, str]] = {}
    for name in members:
        if not (m := MEMBER.fullmatch(name)):
            raise DataError(
                f"{source} holds {name!r}; expected only images_PART/ALPHABET/characterNN/NNNN_DRAWER.png: this is "
                "another packing of the data"
            )
        c = Character(m[1].removeprefix("background_"), m[2], int(m[3]))
        if (earlier := found.setdefault(c, {}).setdefault(int(m[5]), name)) != name:
            raise DataError(f"{source} holds both {earlier!r} and {name!r}; expected one drawing of each drawer")
    if problem := _problem(found):
        raise DataError(f"{source}: {problem}. The archive is incomplete or mixed up: fetch it again")
    order = sorted(found)
    bits = packed({name: members[name] for c in order for _, name in sorted(found[c].items())})
    return {"names": np.array(["/".join(map(str, c)) for c in order]), "bits": bits}


def _load(source: str, files: Files, paths: Sequence[str]) -> Characters:
    def build() -> dict[str, np.ndarray]:
        return _read(source, {name: png for path in paths for name, png in files.members(path).items()})

    if files.registered is None:
        key, found = None, build()
    else:
        key = cache.key([files.registered[p].sha256 for p in paths], staleness.code_hash("metastudy.loaders.omniglot"))
        found = cache.arrays(f"{source}_bits", key, build)
    parts = [name.split("/") for name in found["names"].tolist()]
    return Characters(source, tuple(Character(p, a, int(n)) for p, a, n in parts), found["bits"], key)


def load(files: Files) -> Characters:
    """All 50 alphabets: parts background (30) and evaluation (20). Raises DataError where the archive differs from
    20 drawings of 105 x 105 pixels of every character."""
    return _load("omniglot", files, ["omniglot/omniglot_full_png.tar.xz"])


def load_minimal(files: Files) -> Characters:
    """Parts small1 and small2, of 5 alphabets each; Greek and Latin are in both. Raises DataError as `load` does."""
    return _load("omniglot_minimal", files, [f"omniglot/images_background_{part}.zip" for part in ("small1", "small2")])
