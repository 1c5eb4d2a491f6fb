"""Rows, fields and sentences of the files, each problem named with its file and place."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from metastudy.errors import DataError
from metastudy.loaders.files import Files, decode
from metastudy.parameters import nearest
from metastudy.text import split_sentences, words

T = TypeVar("T")
RESTORE = "restore the file with `make data PROFILE=full`"


def one_line(text: str) -> str:
    """A text whose line breaks and runs of spaces mean nothing."""
    return " ".join(text.split())


def sentences(text: str) -> tuple[str, ...]:
    """Sentences of a text whose line breaks mean nothing; those without a letter or digit are dropped."""
    return with_words(split_sentences(one_line(text)))


def with_words(lines: Iterator[str] | list[str]) -> tuple[str, ...]:
    """Lines without outer spaces; those without a letter or digit are dropped."""
    return tuple(line.strip() for line in lines if words(line))


def json_rows(files: Files, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where it stands ("dev.jsonl line 3") and the object of each line. Raises DataError for a line that is none."""
    for number, line in enumerate(files.text(path).rstrip("\n").split("\n"), 1):
        where = f"{Path(path).name} line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where} is no JSON ({error}); expected one object a line: {RESTORE}") from None
        if not isinstance(row, dict):
            raise DataError(f"{where} holds a {type(row).__name__}; expected one object a line: {RESTORE}")
        yield where, row


def field(row: Mapping[str, Any], name: str, kind: type[T], where: str) -> T:
    """The value of a field. Raises DataError, with the nearest name, where it is missing or of another type."""
    if name not in row:
        raise DataError(f"{where} has no field {name!r}{nearest(name, list(row))}; it has {', '.join(row) or 'none'}")
    value = row[name]
    if not isinstance(value, kind):
        raise DataError(f"{where}: {name!r} is a {type(value).__name__}; expected a {kind.__name__}")
    return value


def texts(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    """A field that is a list of texts. Raises DataError where it is not."""
    found = field(row, name, list, where)
    if wrong := [value for value in found if not isinstance(value, str)]:
        raise DataError(f"{where}: {name!r} holds {wrong[0]!r}; expected texts only")
    return found


def table(files: Files, path: str, columns: tuple[str, ...], separator: str = ",") -> list[dict[str, str]]:
    """Rows of a table with a header, everything as text. Raises DataError where a column is missing."""
    name = Path(path).name
    try:
        frame = pd.read_csv(io.StringIO(files.text(path)), sep=separator, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{name} is no table ({error}); {RESTORE}") from None
    found = [str(c) for c in frame.columns]
    if missing := [c for c in columns if c not in found]:
        raise DataError(
            f"{name} has no column {missing[0]!r}{nearest(missing[0], found)}; it has {', '.join(found)[:200]}, "
            f"expected {separator!r} between them"
        )
    return frame.to_dict("records")


def decode_old(content: bytes, name: str) -> tuple[str, bool]:
    """Text in UTF-8, else in Windows-1252 (latin-1 with quotes, dashes and the euro), and whether it was the latter.

    Raises DataError where it is neither.
    """
    try:
        return decode(content, name), False
    except DataError:
        return decode(content, name, "cp1252"), True
