"""Cranfield, CISI and MEDLINE: the SMART format, in which a line such as .W says what the next lines are.

.I 12 begins record 12; .T title, .A author, .B source, .W text, .K keywords, .C categories, .X citations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from metastudy.errors import DataError
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

START = re.compile(r"\.I\s+(\d+)\s*")
MARK = re.compile(r"\.([A-Z])\s*")
CRANFIELD_GRADES = {1: 4, 2: 3, 3: 2, 4: 1, -1: 0}
"""Cleverdon's codes run from 1 (a complete answer) to 4 (of minimum interest); here a higher grade is better. The code
-1, one in each query, is not among those that he defines; it is kept as judged and not relevant."""


@dataclass(frozen=True)
class Record:
    """The number that a record prints, and the lines under each mark."""

    number: int
    fields: dict[str, list[str]]

    def text(self, mark: str) -> str:
        """What stands under a mark, on one line; empty where there is none."""
        return one_line(" ".join(self.fields.get(mark, [])))


def records(content: bytes, name: str, text_to_end: bool = False) -> list[Record]:
    """All records of a file, in its order.

    `text_to_end` takes everything after .W as text, dropping marks: three of Cranfield's abstracts have a stray mark
    inside. Raises DataError, with the line number, for text before the first record and for a record without .W.
    """
    found: list[Record] = []
    mark = ""
    lines = decode(content, name).split("\n")
    starts: list[int] = []
    for number, line in enumerate(lines, start=1):
        if start := START.fullmatch(line):
            found.append(Record(int(start[1]), {}))
            starts.append(number)
            mark = ""
        elif (named := MARK.fullmatch(line)) and found:
            mark = mark if text_to_end and mark == "W" else named[1]
            found[-1].fields.setdefault(mark, [])
        elif line.strip():
            if not mark:
                raise DataError(f"{name} line {number}: {line[:40]!r} belongs to no record (.I, then .W); {AGAIN}")
            found[-1].fields[mark].append(line)
    for start, record in zip(starts, found, strict=True):
        if "W" not in record.fields:
            raise DataError(
                f"{name} line {start}: record {record.number} has no .W; it is cut short, or no SMART file: {AGAIN}"
            )
    return found


def _documents(found: list[Record], name: str) -> dict[str, Document]:
    return unique(((str(r.number), Document(r.text("T"), r.text("W"))) for r in found), "document", name)


def _queries(found: list[Record], name: str) -> dict[str, str]:
    """Title, where there is one, and text."""
    return unique(((str(r.number), f"{r.text('T')} {r.text('W')}".strip()) for r in found), "query", name)


def _rows(content: bytes, name: str, n: int) -> Iterator[tuple[str, list[str]]]:
    """Where a line stands, and its `n` columns."""
    for number, line in enumerate(decode(content, name).split("\n"), start=1):
        if line.strip():
            where = f"{name} line {number}"
            yield where, columns(line, n, where)


def cranfield(files: Files) -> SearchCollection:
    """Cranfield 1400 (Cleverdon 1967): 1400 abstracts on aerodynamics, 225 queries, judged in full.

    Judgements name a query by its place in the file, 1 to 225, and so do the ids here; the numbers that the query file
    prints run to 365. Grades are 5 minus Cleverdon's code (`CRANFIELD_GRADES`). Repairs: an abstract begins with its
    title again, which is dropped once; stray marks in the text of 240, 576 and 578 are dropped, their text kept.
    471 and 995 are empty.
    """
    archive, qrels_name = "ir/cran/cran.tar.gz", "cranqrel"
    name = "cran.all.1400"
    documents = {}
    for i, d in _documents(records(member(files, archive, name), name, text_to_end=True), name).items():
        documents[i] = Document(d.title, d.text.removeprefix(d.title).lstrip())
    asked = records(member(files, archive, "cran.qry"), "cran.qry")
    printed = unique(((str(r.number), r.text("W")) for r in asked), "query", "cran.qry")
    queries = {str(place): text for place, text in enumerate(printed.values(), start=1)}

    def triples() -> Iterator[tuple[str, str, int]]:
        for where, (query, document, code) in _rows(member(files, archive, qrels_name), qrels_name, 3):
            if (value := integer(code, where)) not in CRANFIELD_GRADES:
                raise DataError(f"{where}: code {value}, expected one of {sorted(CRANFIELD_GRADES)}; {AGAIN}")
            yield query, document, CRANFIELD_GRADES[value]

    qrels = judgements(triples(), qrels_name)
    noted = {
        "not_relevant": sum(g == 0 for grades in qrels.values() for g in grades.values()),
        "documents_without_text": sum(not d.whole for d in documents.values()),
    }
    return SearchCollection("cranfield", documents, queries, qrels, noted=noted)


def cisi(files: Files) -> SearchCollection:
    """CISI: 1460 abstracts on library science, 112 queries, 76 of them judged (relevant or not named at all).

    From the 58th on, a query is a paper's title and abstract, both of which are its text here.
    """
    archive = "ir/cisi/cisi.tar.gz"
    documents = _documents(records(member(files, archive, "CISI.ALL"), "CISI.ALL"), "CISI.ALL")
    queries = _queries(records(member(files, archive, "CISI.QRY"), "CISI.QRY"), "CISI.QRY")
    # two more columns are 0 in all rows
    rows = _rows(member(files, archive, "CISI.REL"), "CISI.REL", 4)
    qrels = judgements(((query, document, 1) for _, (query, document, *_) in rows), "CISI.REL")
    return SearchCollection("cisi", documents, queries, qrels)


def medline(files: Files) -> SearchCollection:
    """MEDLINE (MED): 1033 abstracts without separate titles, 30 queries, relevant documents named."""
    archive = "ir/med/med.tar.gz"
    documents = _documents(records(member(files, archive, "MED.ALL"), "MED.ALL"), "MED.ALL")
    queries = _queries(records(member(files, archive, "MED.QRY"), "MED.QRY"), "MED.QRY")
    rows = _rows(member(files, archive, "MED.REL"), "MED.REL", 4)  # query, 0, document, grade
    qrels = judgements(((query, doc, integer(grade, at)) for at, (query, _, doc, grade) in rows), "MED.REL")
    return SearchCollection("medline", documents, queries, qrels)
