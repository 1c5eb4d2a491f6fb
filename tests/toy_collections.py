"""Small search collections of made-up words, for families of public search."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tarfile import TarInfo
from tarfile import open as open_tar

import numpy as np

from metastudy.loaders.collections import Document, SearchCollection

SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu")


def word(number: int) -> str:
    """A made-up word for each number below 1000; no two have the same stem."""
    return "".join(SYLLABLES[int(digit)] for digit in f"{number:03d}") + "q"


def toy(name: str, seed: int, queries: int = 32, documents: int = 130, topics: int = 8) -> SearchCollection:
    """Documents of `topics` topics, each with ten words of its own among common ones; a query's relevant documents are
    those of its topic: the first with grade 2, the others with 1. Without titles where the seed is odd. The last
    document is judged and not relevant in every query, and words like all of them.
    """
    rng = np.random.default_rng(seed)

    def text(topic: int, own: int, common: int) -> str:
        numbers = [*(10 * topic + rng.integers(10, size=own)), *(500 + rng.integers(80, size=common))]
        return " ".join(word(int(i)) for i in rng.permutation(numbers))

    found = {
        str(i): Document("" if seed % 2 else text(i % topics, 2, 3), text(i % topics, 3, 17))
        for i in range(documents - 1)
    }
    asked = {str(i): text(i % topics, 2, 2) for i in range(queries)}
    found[str(documents - 1)] = Document("", " ".join(asked.values()))
    qrels = {
        q: {d: 1 + (d == q) for d in found if int(d) % topics == int(q) % topics and d != str(documents - 1)}
        | {str(documents - 1): 0}
        for q in asked
    }
    return SearchCollection(name, found, asked, qrels)


def tar(path: Path, members: Mapping[str, str | bytes]) -> None:
    """Write a .tar.gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_tar(path, "w:gz") as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def zipped(path: Path, members: Mapping[str, str | bytes]) -> None:
    """Write a .zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write plain files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
