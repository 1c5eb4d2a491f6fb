"""SciFact and NFCorpus: tables with one document or query a line."""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Iterator
from typing import Literal

from metastudy.errors import DataError, ParameterError
from metastudy.loaders.collections.beir import joined, read_qrels, read_queries
from metastudy.loaders.collections.schema import (
    AGAIN,
    Document,
    SearchCollection,
    columns,
    integer,
    judgements,
    member,
    one_line,
    unique,
)
from metastudy.loaders.files import Files, decode

QUOTED = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
Wording = Literal["titles", "nontopic-titles", "vid-desc"]
WORDINGS: tuple[Wording, ...] = ("titles", "nontopic-titles", "vid-desc")


def printed_sentences(text: str, where: str) -> list[str]:
    """Sentences of a list as numpy prints it: quoted strings, without commas, inside brackets.

    Nothing is evaluated but single string literals. Raises DataError where anything else stands between them.
    """
    inside = text.strip()
    if not (inside.startswith("[") and inside.endswith("]")):
        raise DataError(f"{where}: abstract {text[:40]!r}, expected a list of sentences in brackets; {AGAIN}")
    inside, position, found = inside[1:-1].rstrip(), 0, []
    while position < len(inside):
        literal = QUOTED.match(inside, position)
        if literal is None:
            raise DataError(f"{where}: {inside[position : position + 40]!r} in an abstract is no quoted text; {AGAIN}")
        quoted = literal[1]
        try:
            found.append(ast.literal_eval(quoted.replace("\n", " ")) if "\\" in quoted else quoted[1:-1])
        except (ValueError, SyntaxError):
            raise DataError(f"{where}: {quoted[:40]!r} in an abstract is no string literal; {AGAIN}") from None
        position = literal.end()
    return found


def _csv(text: str, name: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Where each row ends, and its values of the wanted columns."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        head = next(reader, [])
        if missing := [column for column in wanted if column not in head]:
            raise DataError(f"{name}: no column {missing[0]!r}; it has {', '.join(head) or 'none'}: {AGAIN}")
        at = [head.index(column) for column in wanted]
        for row in reader:
            where = f"{name} line {reader.line_num}"
            if len(row) != len(head):
                raise DataError(f"{where}: {len(row)} columns, expected {len(head)}; {AGAIN}")
            yield where, [row[i] for i in at]
    except csv.Error as error:
        raise DataError(f"{name} line {reader.line_num} is no CSV ({error}); {AGAIN}") from None


def scifact(files: Files) -> SearchCollection:
    """SciFact (Wadden et al. 2020): 5183 abstracts, 1109 claims with the paper that backs or refutes each.

    Abstracts come from the corpus_train.csv of the original data, claims and judgements from BEIR, in the parts train
    (809 claims) and test (300).
    """
    name = "corpus_train.csv"
    text = decode(member(files, "ir/scifact/scifact.zip", name), name)
    documents = unique(
        (
            (i, Document(one_line(title), one_line(" ".join(printed_sentences(abstract, where)))))
            for where, (i, title, abstract) in _csv(text, name, ("doc_id", "title", "abstract"))
        ),
        "document",
        name,
    )
    queries = read_queries(files.text("ir/scifact/beir_queries.jsonl"), "beir_queries.jsonl")
    parts = {
        p: read_qrels(files.text(f"ir/scifact/beir_qrels_{p}.tsv"), f"beir_qrels_{p}.tsv") for p in ("train", "test")
    }
    qrels, division = joined(parts, "beir_qrels")
    noted = {f"{part}_judgements": sum(map(len, found.values())) for part, found in parts.items()}
    return SearchCollection(
        "scifact", documents, queries, qrels, division, noted | {"test_queries": len(parts["test"])}
    )


def _tabs(files: Files, name: str, n: int) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(files.text(f"ir/nfcorpus/{name}").split("\n"), start=1):
        if line.strip():
            where = f"{name} line {number}"
            yield where, columns(line, n, where, "\t")


def nfcorpus(files: Files, wording: Wording = "titles") -> SearchCollection:
    """NFCorpus (Boteva et al. 2016), the original test part: 3162 medical abstracts, 325 queries of laypeople.

    Text is already processed (lower case, no stop words, no punctuation; numbers are the word "num"), without separate
    titles. This is not BEIR's version of the corpus, and no number on it compares with BEIR's. Grade 2: the page asked
    about links to the paper; 1: it does so through another page.

    `wording` says what stands for a query: the title of its page ("titles"), the same without topic pages
    ("nontopic-titles", 144 of them), or the description of its video ("vid-desc", 102).
    """
    if wording not in WORDINGS:
        raise ParameterError(f"wording {wording!r}; expected one of {', '.join(WORDINGS)}")
    documents = unique(
        ((i, Document("", text)) for _, (i, text) in _tabs(files, "test.docs", 2)), "document", "test.docs"
    )
    worded = {}
    for kind in WORDINGS:
        name = f"test.{kind}.queries"
        worded[kind] = unique(((i, text) for _, (i, text) in _tabs(files, name, 2)), "query", name)
        if lost := [i for i in worded[kind] if i not in worded["titles"]]:
            raise DataError(
                f"{name}: query {lost[0]!r} is not in test.titles.queries; expected other wordings of those"
            )
    name = "test.2-1-0.qrel"
    rows = _tabs(files, name, 4)  # query, 0, document, grade
    every = judgements(((q, d, integer(grade, at)) for at, (q, _, d, grade) in rows), name)
    queries = worded[wording]
    # another wording has fewer queries, but no judgement may name a query that has no title
    qrels = {q: grades for q, grades in every.items() if q in queries or q not in worded["titles"]}
    grades = [g for found in qrels.values() for g in found.values()]
    noted = {"grade_2": grades.count(2), "grade_1": grades.count(1)}
    return SearchCollection("nfcorpus", documents, queries, qrels, noted=noted)
