"""People's own collections in BEIR's layout (Thakur et al. 2021): corpus.jsonl, queries.jsonl and qrels/<part>.tsv.

Whatever cannot be read is one DataError that names file and line and says what to mend. Files are read line by line;
what is kept of 100,000 pages is their text. What the study itself downloads is read by `loaders.collections.beir`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Iterator
from pathlib import Path
from typing import Any

from metastudy.errors import DataError
from metastudy.parameters import nearest

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
HEADER = ("query-id", "corpus-id", "score")
LOOKED_THROUGH = 20_000  # ids, for one that is like an unknown one
Qrels = dict[str, dict[str, int]]
"""Query id -> page id -> grade; above 0 is relevant, the higher the more, 0 or below is judged and not relevant."""


def read_corpus(folder: Path | str) -> dict[str, tuple[str, str]]:
    """Title and text of each page by id, in the order of corpus.jsonl; without a title, or with null, it is empty.

    Raises DataError, with the line, for what is no JSON object with strings `_id` and `text` (and perhaps `title`) in
    UTF-8, and for an id that comes twice; also where the file is missing or holds no page.
    """
    found: dict[str, tuple[str, str]] = {}
    lines: dict[str, int] = {}
    for number, row in _objects(Path(folder), CORPUS):
        where = f"{CORPUS} line {number}"
        id_ = _new(_string(row, "_id", where), number, lines, where)
        title = "" if row.get("title") is None else _string(row, "title", where)
        found[id_] = (title, _string(row, "text", where))
    return _some(found, CORPUS, "page")


def read_queries(folder: Path | str) -> dict[str, str]:
    """Text of each query by id, in the order of queries.jsonl. Errors as in `read_corpus`; also for an empty text."""
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, row in _objects(Path(folder), QUERIES):
        where = f"{QUERIES} line {number}"
        id_ = _new(_string(row, "_id", where), number, lines, where)
        found[id_] = _string(row, "text", where)
        if not found[id_].strip():
            raise DataError(f"{where}: query {id_!r} has no text; expected some: leave the query out")
    return _some(found, QUERIES, "query")


def read_qrels(
    folder: Path | str,
    part: str = "test",
    queries: Container[str] | None = None,
    pages: Container[str] | None = None,
) -> Qrels:
    """Judgements of qrels/<part>.tsv: a header, then query, page and grade (a whole number), with tabs between.

    Where `queries` or `pages` are given (what the functions above read will do), every judgement must name one of them.
    Raises DataError, with the line, for other rows, a pair that is judged twice and an unknown id; also for an absent
    part, which names those that there are, and for a file without judgements.
    """
    name = f"{QRELS}/{part}.tsv"
    parts = sorted(path.stem for path in (Path(folder) / QRELS).glob("*.tsv"))
    if part not in parts:
        there = (
            f"name one of {', '.join(parts)} as part{nearest(part, parts)}"
            if parts
            else f"expected judgements, such as {QRELS}/test.tsv"
        )
        raise DataError(f"{Path(folder).name} has no {name}; {there}")
    found: Qrels = {}
    for number, line in _lines(Path(folder), name):
        where, row = f"{name} line {number}", line.split("\t")
        if number == 1:
            if tuple(row) != HEADER:
                raise DataError(f"{where}: {line[:60]!r}; expected the header {', '.join(HEADER)}, with tabs between")
        elif line.strip():
            query, page, grade = _judgement(row, line, where)
            for what, id_, known in (("query", query, queries), ("page", page, pages)):
                if known is not None and id_ not in known:
                    raise DataError(
                        f"{where}: {what} {id_!r} is unknown; is it of this collection, in this column?"
                        f"{_similar(id_, known)}"
                    )
            if page in found.setdefault(query, {}):
                raise DataError(f"{where}: query {query!r} and page {page!r} are judged twice; expected once")
            found[query][page] = grade
    return _some(found, name, "judgement")


def read_query_ids(path: Path, queries: Container[str]) -> list[str]:
    """Ids of some of the queries: `_id` of each line of a *.jsonl, or else each line of a file; in order, each once.

    Raises DataError, with the line, for one that is none of `queries`, and as `read_queries`.
    """
    if path.suffix == ".jsonl":
        ids = [
            (number, _string(row, "_id", f"{path.name} line {number}"))
            for number, row in _objects(path.parent, path.name)
        ]
    else:
        ids = [(number, line.strip()) for number, line in _lines(path.parent, path.name) if line.strip()]
    for number, id_ in ids:
        if id_ not in queries:
            raise DataError(
                f"{path.name} line {number}: query {id_[:60]!r} is none of queries.jsonl; expected their ids"
                f"{_similar(id_, queries)}"
            )
    return list(_some(dict.fromkeys(id_ for _, id_ in ids), path.name, "query"))


def _similar(id_: str, known: Container[str]) -> str:
    """A hint at a known id that differs in little, where few enough are known to look through."""
    some = list(known) if isinstance(known, Collection) and len(known) <= LOOKED_THROUGH else []
    return nearest(id_, some)


def _judgement(row: list[str], line: str, where: str) -> tuple[str, str, int]:
    if len(row) != len(HEADER):
        raise DataError(f"{where}: {len(row)} columns in {line[:60]!r}, expected {len(HEADER)} with tabs between")
    try:
        return row[0], row[1], int(row[2])
    except ValueError:
        raise DataError(f"{where}: grade {row[2]!r}, expected a whole number") from None


def _lines(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, without their ends and without a byte order mark."""
    path = folder / name
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) if folder.is_dir() else "no such folder"
        raise DataError(f"{folder.name} has no {name} (found: {there or 'nothing'}); expected BEIR's layout")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                byte = f"byte {error.start + 1} (0x{error.object[error.start]:02x})"
                raise DataError(f"{name} line {number}: {byte} is no UTF-8; save the file as UTF-8") from None


def _objects(folder: Path, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered lines as JSON objects; blank lines are skipped."""
    for number, line in _lines(folder, name):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{name} line {number} is no JSON ({error}); expected one object a line") from None
        if not isinstance(row, dict):
            raise DataError(f"{name} line {number} is JSON, but a {type(row).__name__}; expected an object a line")
        yield number, row


def _string(row: dict[str, Any], key: str, where: str) -> str:
    if key not in row:
        there = ", ".join(map(repr, list(row)[:5])) or "nothing"
        raise DataError(f"{where} has no {key!r}, only {there}; expected a string under it{nearest(key, list(row))}")
    if not isinstance(row[key], str):
        kind = type(row[key]).__name__
        raise DataError(f"{where}: {key!r} is a {kind} ({str(row[key])[:40]}); expected a string, in quotes")
    try:
        row[key].encode()
    except UnicodeEncodeError as error:
        escape = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(f"{where}: {key!r} holds {escape}, half of a character; write both halves, or none") from None
    return row[key]


def _new(id_: str, number: int, lines: dict[str, int], where: str) -> str:
    """An id that is new; its line is noted."""
    if id_ in lines:
        raise DataError(f"{where}: id {id_!r} stands on line {lines[id_]} too; expected each id once")
    lines[id_] = number
    return id_


def _some(found: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    if not found:
        raise DataError(f"{name} holds no {what}; expected at least one")
    return found
