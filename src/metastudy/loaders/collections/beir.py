"""BEIR's layout (Thakur et al. 2021), read and written: corpus.jsonl, queries.jsonl and qrels/<part>.tsv."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from metastudy.errors import DataError
from metastudy.loaders.collections.schema import (
    AGAIN,
    Document,
    Qrels,
    SearchCollection,
    columns,
    integer,
    judgements,
    unique,
)
from metastudy.loaders.files import Files
from metastudy.project import write_atomic

HEADER = ("query-id", "corpus-id", "score")


def json_lines(text: str, name: str, keys: Sequence[str]) -> Iterator[list[str]]:
    """The texts under `keys` of each line. Raises DataError, with the line number, for no JSON or an absent key."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{name} line {number} is no JSON ({error}); {AGAIN}") from None
        missing = [key for key in keys if not isinstance(row, dict) or not isinstance(row.get(key), str)]
        if missing:
            raise DataError(f"{name} line {number} has no text under {missing[0]!r}; {AGAIN}")
        yield [row[key] for key in keys]


def read_queries(text: str, name: str) -> dict[str, str]:
    """Text by id of a queries.jsonl."""
    return unique(((i, query) for i, query in json_lines(text, name, ("_id", "text"))), "query", name)


def read_qrels(text: str, name: str) -> Qrels:
    """A qrels file: a header, then query, document and grade a line."""
    head, *rows = text.split("\n")
    if tuple(head.split("\t")) != HEADER:
        raise DataError(f"{name} line 1: {head[:60]!r}, expected the columns {', '.join(HEADER)}; {AGAIN}")

    def triples() -> Iterator[tuple[str, str, int]]:
        for number, line in enumerate(rows, start=2):
            if line.strip():
                where = f"{name} line {number}"
                query, document, grade = columns(line, len(HEADER), where, "\t")
                yield query, document, integer(grade, where)

    return judgements(triples(), name)


def joined(parts: dict[str, Qrels], name: str) -> tuple[Qrels, dict[str, tuple[str, ...]]]:
    """The qrels of all parts as one, and which queries each had. Raises DataError where a query is in two parts."""
    qrels = unique((pair for part in parts.values() for pair in part.items()), "query of two parts", name)
    return qrels, {part: tuple(found) for part, found in parts.items()}


def write_beir(collection: SearchCollection, folder: Path) -> None:
    """Write a collection in BEIR's layout, for use with other tools; the same collection gives the same bytes."""

    def lines(rows: Iterator[dict[str, str]]) -> bytes:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()

    documents = ({"_id": i, "title": d.title, "text": d.text} for i, d in collection.documents.items())
    write_atomic(folder / "corpus.jsonl", lines(documents))
    write_atomic(folder / "queries.jsonl", lines({"_id": i, "text": q} for i, q in collection.queries.items()))
    for part, queries in collection.parts.items():
        rows = [HEADER, *((q, d, str(g)) for q in queries for d, g in collection.qrels[q].items())]
        write_atomic(folder / "qrels" / f"{part}.tsv", "".join("\t".join(row) + "\n" for row in rows).encode())


def read_beir(folder: Path, name: str) -> SearchCollection:
    """A collection in BEIR's layout: one's own data, or what `write_beir` wrote.

    Raises DataError, naming file and line, for whatever is missing, malformed or joins nothing.
    """
    files = Files.in_folder(folder, name)
    corpus = json_lines(files.text("corpus.jsonl"), "corpus.jsonl", ("_id", "title", "text"))
    documents = unique(((i, Document(title, text)) for i, title, text in corpus), "document", "corpus.jsonl")
    queries = read_queries(files.text("queries.jsonl"), "queries.jsonl")
    paths = [p for p in files.paths if p.startswith("qrels/") and p.endswith(".tsv")]
    if not paths:
        raise DataError(f"collection {name!r} has no qrels/*.tsv; expected judgements, such as qrels/test.tsv")
    qrels, parts = joined({PurePosixPath(p).stem: read_qrels(files.text(p), p) for p in paths}, name)
    return SearchCollection(name, documents, queries, qrels, parts)
