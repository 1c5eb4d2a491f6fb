"""Files of people's own documents, each a JSON object a line: read line by line, and refused by line.

What a text may be, `own_texts` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metastudy.errors import DataError
from metastudy.parameters import nearest

KEYS = ("document", "summary", "domain", "group", "id")
LIMIT = 500  # MB of a file: more would not fit beside what is made of it


@dataclass(frozen=True)
class Row:
    """One document as it is written: a text, or its sentences. `group` is "" where it names none."""

    where: str  # "own.jsonl line 3"
    id: str
    document: str | tuple[str, ...]
    summaries: tuple[str, ...] = ()
    domain: str = ""
    group: str = ""
    lines: int = 1  # on which it stands

    @property
    def characters(self) -> int:
        return len(self.document) if isinstance(self.document, str) else sum(map(len, self.document))


def read_labelled(path: Path) -> list[Row]:
    """Documents with summaries; equal ones become one with the summaries of all, in the place of the first.

    Raises DataError, with the line, for what is no JSON object in UTF-8 with texts under `document` and `summary`, for
    an id that comes twice, and for a domain that some lines name and others do not.
    """
    rows = [_row(found, where, labelled=True) for where, found in _objects(path)]
    _check(rows, path)
    if (named := [r for r in rows if r.domain]) and len(named) < len(rows):
        without = next(r for r in rows if not r.domain)
        raise DataError(
            f"{without.where} has no 'domain', and {named[0].where} has one; expected one on every line, or on none"
        )
    merged: dict[str, Row] = {}
    for row in rows:
        key = " ".join(row.document.split()) if isinstance(row.document, str) else json.dumps(row.document)
        if same := merged.get(key):
            every = tuple(dict.fromkeys((*same.summaries, *row.summaries)))
            row = replace(same, summaries=every, lines=same.lines + 1)
        merged[key] = row
    return list(merged.values())


def read_asked(path: Path) -> list[Row]:
    """Documents to summarise, as in `read_labelled` but without summaries; another file than *.jsonl or *.json is one
    text, called as the file is."""
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        rows = [_row(found, where, labelled=False) for where, found in _objects(path)]
        _check(rows, path)
        return rows
    lines = [line for _, line in _lines(path)]
    return [Row(path.name, path.stem.replace("|", "¦"), "\n".join(lines))]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, without their ends and without a byte order mark."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no file"
        raise DataError(f"{path} {what}; expected a file with a JSON object a line, such as own.jsonl")
    if (size := path.stat().st_size) > LIMIT * 1e6:
        raise DataError(f"{path.name} has {size / 1e6:,.0f} MB; at most {LIMIT} can be read: take some of its lines")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                byte = f"byte {error.start + 1} (0x{error.object[error.start]:02x})"
                raise DataError(f"{path.name} line {number}: {byte} is no UTF-8; save the file as UTF-8") from None


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where it stands, and what each line holds; blank lines are skipped."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        where = f"{path.name} line {number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"{error.msg}, character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
            hint = ", without brackets and commas around them" if line.lstrip().startswith("[") else ""
            raise DataError(f"{where} is no JSON ({problem}); expected one whole object a line{hint}") from None
        if not isinstance(found, dict):
            raise DataError(f"{where} is JSON, but a {type(found).__name__}; expected an object a line")
        yield where, found


def _row(found: Mapping[str, Any], where: str, labelled: bool) -> Row:
    document = _texts(found, "document", where, "a text, or a list of its sentences")
    summary = _texts(found, "summary", where, "a text, or a list of summaries") if labelled else ()
    names = {key: _name(found, key, where) for key in ("domain", "group", "id")}
    # a bar would end the id where the length of a summary follows it
    names["id"] = names["id"].replace("|", "¦") or f"line {where.rpartition(' ')[2]}"
    return Row(where, document=document, summaries=(summary,) if isinstance(summary, str) else summary, **names)


def _texts(found: Mapping[str, Any], key: str, where: str, expected: str) -> str | tuple[str, ...]:
    if key not in found:
        there = ", ".join(map(repr, list(found)[:6])) or "nothing"
        raise DataError(f"{where} has no {key!r}{nearest(key, list(found))}; found {there}; expected {expected}")
    value = found[key]
    parts: Sequence[Any] = value if isinstance(value, list) else [value]
    for part in parts:
        if not isinstance(part, str):
            held = "holds" if isinstance(value, list) else "is"
            raise DataError(f"{where}: {key!r} {held} a {type(part).__name__} ({str(part)[:40]}); expected {expected}")
        _check_whole(part, key, where)
    if not any(part.strip() for part in parts):
        raise DataError(f"{where}: {key!r} is empty; expected {expected}: leave the line out")
    return tuple(value) if isinstance(value, list) else value


def _name(found: Mapping[str, Any], key: str, where: str) -> str:
    value = found.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{where}: {key!r} is a {type(value).__name__} ({str(value)[:40]}); expected a name, or none")
    name = str(value).strip()
    _check_whole(name, key, where)
    if key == "domain" and name == "all":
        raise DataError(f"{where}: domain 'all' would be taken for all domains together; expected another name")
    return name


def _check_whole(value: str, key: str, where: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        escape = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(f"{where}: {key!r} holds {escape}, half of a character; write both halves, or none") from None


def _check(rows: Sequence[Row], path: Path) -> None:
    if not rows:
        raise DataError(f"{path.name} holds no document; expected one object a line")
    first: dict[str, str] = {}
    for row in rows:
        if row.id in first:
            raise DataError(f"{row.where}: id {row.id!r} stands on {first[row.id]} too; expected each id once")
        first[row.id] = row.where
