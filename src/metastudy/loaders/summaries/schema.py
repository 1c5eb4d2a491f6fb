"""The one shape of all summarization data, what every source is checked for, and its cache."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.metadata import version
from typing import Literal

from metastudy import cache, staleness
from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.text import words

Split = Literal["train", "validation", "test", "all"]
SPLITS: tuple[Split, ...] = ("test", "validation", "train", "all")
"""Of two equal documents the one in the earlier of these stays, so that no test set loses any."""


@dataclass(frozen=True)
class SourceDocument:
    """A text to choose from and what people wrote as its summary.

    `units` are what a summary is made of: sentences, or turns of a dialogue with their speaker (`form`). `references`
    are human summaries. Documents of one `group` are not independent (queries about one meeting, topics of one
    product); "" is a group of its own. `split` is the makers', "all" where they have none.
    """

    id: str
    domain: str
    units: tuple[str, ...]
    form: Literal["sentences", "turns"]
    references: tuple[str, ...]
    split: Split = "all"
    query: str = ""
    group: str = ""


@dataclass(frozen=True)
class Summaries:
    """What a source holds. `counts` are taken before any repair; `repairs` maps each kind of repair to the ids or
    files that it changed or removed."""

    documents: tuple[SourceDocument, ...]
    counts: dict[str, int]
    repairs: dict[str, tuple[str, ...]]


def _content(document: SourceDocument) -> tuple[str, str]:
    return " ".join(words(" ".join(document.units))), document.query


def checked(
    documents: Sequence[SourceDocument], counts: Mapping[str, int], repairs: Mapping[str, Sequence[str]]
) -> Summaries:
    """Documents that are complete and distinct; equal ones (whatever their summaries) are kept once, as a repair.

    Raises DataError for an id that occurs twice, a document without a sentence, a reference without a word, or none.
    """
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise DataError(f"document {document.id!r} occurs twice; expected each id once")
        seen.add(document.id)
        if not document.units:
            raise DataError(f"document {document.id!r} is empty; expected at least one sentence or turn with a word")
        if not document.references or not all(words(text) for text in document.references):
            raise DataError(
                f"document {document.id!r} has {len(document.references)} summaries, and not all hold a word; expected "
                "at least one, none of them empty"
            )
    first: dict[tuple[str, str], str] = {}
    for document in sorted(documents, key=lambda d: SPLITS.index(d.split)):  # stable: else the earlier one stays
        first.setdefault(_content(document), document.id)
    twice = {d.id for d in documents if first[_content(d)] != d.id}
    found = {kind: tuple(changed) for kind, changed in repairs.items() if changed}
    if twice:
        found["duplicate"] = tuple(d.id for d in documents if d.id in twice)
    return Summaries(tuple(d for d in documents if d.id not in twice), dict(counts), found)


def _to_plain(found: Summaries) -> dict:
    return {
        "documents": [astuple(d) for d in found.documents],
        "counts": found.counts,
        "repairs": found.repairs,
    }


def _from_plain(plain: Mapping) -> Summaries:
    names = [f.name for f in fields(SourceDocument)]
    documents = []
    for values in plain["documents"]:
        row = dict(zip(names, values, strict=True))
        row["units"], row["references"] = tuple(row["units"]), tuple(row["references"])
        documents.append(SourceDocument(**row))
    return Summaries(tuple(documents), plain["counts"], {k: tuple(v) for k, v in plain["repairs"].items()})


def cached(load: Callable[[Files], Summaries]) -> Callable[[Files], Summaries]:
    """A loader whose result is kept under the checksums of its files, its code and the version of the splitter.

    Splitting all sentences takes half a minute. Files that are not registered are read each time.
    """

    @functools.wraps(load)
    def loader(files: Files) -> Summaries:
        if files.registered is None:
            return load(files)
        hashes = sorted(file.sha256 for file in files.registered.values())
        key = cache.key(hashes, staleness.code_hash("metastudy.loaders.summaries"), version("pysbd"))
        return _from_plain(cache.plain(f"summaries_{load.__name__}", key, lambda: _to_plain(load(files))))

    return loader
