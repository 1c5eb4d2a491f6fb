"""NPL and Cystic Fibrosis: plain text records, ended by a slash or begun by a two-letter code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metastudy.errors import DataError
from metastudy.loaders.collections.schema import (
    AGAIN,
    Document,
    SearchCollection,
    integer,
    judgements,
    one_line,
    unique,
)
from metastudy.loaders.files import Files

YEARS = range(74, 80)
CODES = ("PN", "RN", "AN", "AU", "TI", "SO", "MJ", "MN", "AB", "EX", "RF", "CT")
QUERY_CODES = ("QN", "QU", "NR", "RD")
GRADES = re.compile(r"[012]{4}")
PADDING = "\x1a \n"


def slashed(text: str, name: str) -> Iterator[tuple[int, str, str]]:
    """Line, id and body of records that are a line with an id, lines of text, and a line with a slash.

    Raises DataError, with the line number, where an id is no number or the last record has no slash.
    """
    start, lines = 0, []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() == "/":
            if not lines:
                raise DataError(f"{name} line {number}: a slash with no record before it; {AGAIN}")
            integer(lines[0].strip(), f"{name} line {start}")
            yield start, lines[0].strip(), one_line(" ".join(lines[1:]))
            lines = []
        elif line.strip():
            start = start if lines else number
            lines.append(line)
    if lines:
        raise DataError(f"{name} line {start}: the record that begins here has no slash at its end; {AGAIN}")


def npl(files: Files) -> SearchCollection:
    """NPL (Vaswani and Cameron 1970): 11426 short abstracts on electronics, 93 queries, relevant documents named.

    Text has no titles of its own, no numbers and almost no punctuation.
    """

    def read(name: str) -> list[tuple[int, str, str]]:
        return list(slashed(files.text(f"ir/npl/{name}"), name))

    documents = unique(((i, Document("", body)) for _, i, body in read("doc-text")), "document", "doc-text")
    queries = unique(((i, body) for _, i, body in read("query-text")), "query", "query-text")
    named = unique(((i, body.split()) for _, i, body in read("rlv-ass")), "query", "rlv-ass")
    qrels = judgements(((query, d, 1) for query, ids in named.items() for d in ids), "rlv-ass")
    return SearchCollection("npl", documents, queries, qrels)


def coded(text: str, name: str, first: str, codes: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and fields of records whose lines begin with a code of two letters, or go on with the field before.

    A record begins with the code `first`. Continuations are indented, except four lines of cf79 that lost it, so
    whatever begins with no code goes on. 0x1A, with which the files are padded, is cut off at the end.
    Raises DataError, with the line number, for text before the first record and for a code that comes twice in one.
    """
    start, fields, field = 0, {}, ""
    for number, line in enumerate(text.rstrip(PADDING).split("\n"), start=1):
        code, rest = line[:2], line[3:]
        if code in codes and line[2:3] in ("", " "):
            if code == first:
                if fields:
                    yield start, fields
                start, fields = number, {}
            if not fields and code != first or code in fields:
                raise DataError(
                    f"{name} line {number}: {code} comes twice in the record of line {start}, or before the first "
                    f"{first}; expected records that begin with {first}: {AGAIN}"
                )
            field = code
            fields[field] = rest
        elif line.strip():
            if not fields:
                raise DataError(f"{name} line {number}: {line[:40]!r} belongs to no record ({first}); {AGAIN}")
            fields[field] += f"\n{line}"
    if fields:
        yield start, fields


def _needed(fields: dict[str, str], codes: tuple[str, ...], where: str) -> list[str]:
    if missing := [code for code in codes if code not in fields]:
        raise DataError(f"{where}: the record that begins here has no {missing[0]}; it is cut short: {AGAIN}")
    return [one_line(fields[code]) for code in codes]


def _papers(files: Files, name: str) -> Iterator[tuple[str, Document]]:
    for line, fields in coded(files.text(f"ir/cf/{name}"), name, "PN", CODES):
        where = f"{name} line {line}"
        number, title = _needed(fields, ("RN", "TI"), where)
        yield str(integer(number, where)), Document(title, one_line(fields.get("AB", fields.get("EX", ""))))


def cystic_fibrosis(files: Files) -> SearchCollection:
    """Cystic Fibrosis (Shaw et al. 1991): 1239 papers of 1974 to 1979, 100 queries, each judged by four raters.

    A paper's text is its abstract (AB) or, where it has none, an extract (EX); subject headings are left out, since no
    other collection has them. Papers are named by RN. A judgement is four digits from 0 to 2, one a rater; the grade is
    their sum, 1 to 8. A query's NR must be the number of its judgements.
    """
    papers = unique((p for year in YEARS for p in _papers(files, f"cf{year}")), "paper (RN)", "cf74 to cf79")
    queries: list[tuple[str, str]] = []
    triples: list[tuple[str, str, int]] = []
    for line, fields in coded(files.text("ir/cf/cfquery"), "cfquery", "QN", QUERY_CODES):
        where = f"cfquery line {line}"
        number, text, expected, pairs = _needed(fields, QUERY_CODES, where)
        query = str(integer(number, where))
        values = pairs.split()
        ids, grades = values[::2], values[1::2]
        if len(values) != 2 * integer(expected, where):
            raise DataError(
                f"{where}: {len(values) / 2:g} judgements, NR says {int(expected)}; it is cut short: {AGAIN}"
            )
        if wrong := [g for g in grades if not GRADES.fullmatch(g)]:
            raise DataError(f"{where}: judgement {wrong[0]!r}, expected four digits from 0 to 2; {AGAIN}")
        queries.append((query, text))
        triples += [(query, str(integer(i, where)), sum(map(int, g))) for i, g in zip(ids, grades, strict=True)]
    return SearchCollection(
        "cystic_fibrosis", papers, unique(queries, "query (QN)", "cfquery"), judgements(triples, "cfquery")
    )
