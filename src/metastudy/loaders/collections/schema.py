"""One form for every search collection, as in BEIR (Thakur et al. 2021): documents, queries and graded judgements."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from metastudy.errors import DataError
from metastudy.loaders.files import Files

AGAIN = "delete the file and fetch it again with `make data PROFILE=full`"
ID = re.compile(r"[^\s|]+")  # ids stand in tab-separated files, and two of them joined by | name a pair

Value = TypeVar("Value")
Qrels = dict[str, dict[str, int]]
"""Query id -> document id -> grade; a higher grade is better, 0 is judged and not relevant."""


@dataclass(frozen=True)
class Document:
    """What is searched. Either part may be empty: some sources have no titles, some documents no text at all."""

    title: str
    text: str

    @property
    def whole(self) -> str:
        """Title and text as one, which is what BEIR's baselines index."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True)
class SearchCollection:
    """Documents and queries by id, and judgements that join both.

    `parts` names groups of judged queries (a source's own train and test part); without it all are "test".
    `noted` is what else its files hold, for `counts`: numbers before any repair.
    Raises DataError for a judgement that joins nothing, a query without text, an id with a space or a | in it, a
    negative grade, or parts that are not a division of the judged queries.
    """

    name: str
    documents: Mapping[str, Document]
    queries: Mapping[str, str]
    qrels: Qrels
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    noted: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.parts:
            object.__setattr__(self, "parts", {"test": tuple(self.qrels)})
        if not self.documents or not self.queries or not any(self.qrels.values()):
            found = f"{len(self.documents)} documents, {len(self.queries)} queries, {len(self.qrels)} judged ones"
            raise DataError(f"collection {self.name!r}: {found}; expected some of each: {AGAIN}")
        for what, ids in (("document", self.documents), ("query", self.queries)):
            if wrong := [i for i in ids if not ID.fullmatch(i)]:
                raise DataError(f"collection {self.name!r}: {what} id {wrong[0]!r}; expected no space and no | in it")
        if silent := [q for q, text in self.queries.items() if not text.strip()]:
            raise DataError(f"collection {self.name!r}: query {silent[0]!r} has no text; expected some: {AGAIN}")
        self._check_judgements()

    def _check_judgements(self) -> None:
        for query, grades in self.qrels.items():
            if query not in self.queries:
                raise DataError(
                    f"collection {self.name!r}: judgements of query {query!r}, which is not among the "
                    f"{len(self.queries)} queries ({', '.join(list(self.queries)[:3])}, ...); is it joined by the "
                    "right column?"
                )
            if lost := [d for d in grades if d not in self.documents]:
                raise DataError(
                    f"collection {self.name!r}: query {query!r} has a judgement of document {lost[0]!r}, which is not "
                    f"among the {len(self.documents)} documents; is it joined by the right column?"
                )
            if wrong := [d for d, grade in grades.items() if grade < 0]:
                raise DataError(
                    f"collection {self.name!r}: query {query!r}, document {wrong[0]!r} has grade {grades[wrong[0]]}; "
                    "expected 0 (not relevant) or more: translate the source's own codes first"
                )
        divided = [q for ids in self.parts.values() for q in ids]
        if sorted(divided) != sorted(self.qrels):
            raise DataError(
                f"collection {self.name!r}: parts {', '.join(self.parts)} hold {len(divided)} queries, expected each "
                f"of the {len(self.qrels)} judged ones once"
            )

    @property
    def without_text(self) -> tuple[str, ...]:
        """Documents that have neither title nor text: kept, because judgements may name them; never found."""
        return tuple(i for i, document in self.documents.items() if not document.whole)

    def relevant(self, part: str | None = None) -> Qrels:
        """Judgements above grade 0, of the queries that have one; of one part only where it is named."""
        chosen = self.qrels if part is None else self.parts[part]
        found = {q: {d: g for d, g in self.qrels[q].items() if g > 0} for q in chosen}
        return {q: grades for q, grades in found.items() if grades}

    @property
    def counts(self) -> dict[str, int]:
        """Documents, queries, queries with a judgement, judgements of any grade, and what the loader noted."""
        return {
            "documents": len(self.documents),
            "queries": len(self.queries),
            "judged_queries": len(self.qrels),
            "judgements": sum(map(len, self.qrels.values())),
            **self.noted,
        }

    def content_hash(self) -> str:
        """sha256 of documents, queries, judgements and parts."""
        documents = [[i, d.title, d.text] for i, d in self.documents.items()]
        rows = [documents, list(self.queries.items()), self.qrels, {k: list(v) for k, v in self.parts.items()}]
        return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def unique(pairs: Iterable[tuple[str, Value]], what: str, where: str) -> dict[str, Value]:
    """A dict of (id, value) pairs. Raises DataError, naming id and file, where an id comes twice."""
    found: dict[str, Value] = {}
    for key, value in pairs:
        if key in found:
            raise DataError(f"{where}: {what} {key!r} occurs twice; expected each id once: {AGAIN}")
        found[key] = value
    return found


def judgements(triples: Iterable[tuple[str, str, int]], where: str) -> Qrels:
    """(query, document, grade) as qrels. Raises DataError where a pair is judged twice."""
    found: Qrels = {}
    for query, document, grade in triples:
        grades = found.setdefault(query, {})
        if document in grades:
            raise DataError(f"{where}: query {query!r} and document {document!r} are judged twice; expected once")
        grades[document] = grade
    return found


def member(files: Files, archive: str, name: str) -> bytes:
    """One member of an archive. Raises DataError, naming what there is, where it is absent."""
    held = files.members(archive)
    if name not in held:
        raise DataError(f"{archive} has no member {name!r}; it holds {', '.join(sorted(held)) or 'nothing'}: {AGAIN}")
    return held[name]


def columns(line: str, n: int, where: str, separator: str | None = None) -> list[str]:
    """A line's `n` columns (split at blanks by default). Raises DataError, naming file and line, for another number."""
    found = line.split(separator)
    if len(found) != n:
        raise DataError(f"{where}: {len(found)} columns in {line[:60]!r}, expected {n}; {AGAIN}")
    return found


def integer(value: str, where: str) -> int:
    """A whole number. Raises DataError, naming file and line, where it is none."""
    try:
        return int(value)
    except ValueError:
        raise DataError(f"{where}: {value!r}, expected a whole number; {AGAIN}") from None


def one_line(text: str) -> str:
    """Text with every run of blanks and line ends as one space."""
    return " ".join(text.split())
