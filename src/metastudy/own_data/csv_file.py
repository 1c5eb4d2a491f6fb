"""Reading somebody's CSV: with commas, semicolons or tabs, in UTF-8; or one line that says where it cannot be read."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from metastudy.errors import DataError, ParameterError
from metastudy.own_data.kind import the_column

SEPARATORS = ",;\t|"
MOST_BYTES = 500_000_000  # about five times as much memory is needed to read them


def read_csv(path: Path) -> pd.DataFrame:
    """Rows as a DataFrame, values that are empty or NA missing; index: the line of the file, from 2.

    The separator is the one that the header has most of. With semicolons a comma in a number is its decimal point.
    Raises DataError for a file that is missing, empty, too large, not UTF-8 (with line and byte), with two columns of
    one name, or with a row of more values than the header has names.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path.name} {what}; expected a CSV file with a header")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise DataError(f"{path.name} has {size / 1e6:,.0f} MB; up to {MOST_BYTES / 1e6:,.0f} are read: give a sample")
    text = decoded(path)
    header_line = text.split("\n", 1)[0]
    if not header_line.strip():
        raise DataError(f"{path.name}: the first line is empty; expected the names of the columns")
    separator = max(SEPARATORS, key=header_line.count)
    header = next(csv.reader([header_line], delimiter=separator))
    names = [name.strip() for name in header]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise DataError(f"{path.name}: two columns are called {twice[0]!r}; expected each name once")
    decimal = "," if separator == ";" and re.search(r"(^|;)-?\d+,\d+(;|\r?$)", text, re.MULTILINE) else "."
    try:
        frame = pd.read_csv(
            StringIO(text), sep=separator, decimal=decimal, names=names, header=0, skipinitialspace=True,
            index_col=False, low_memory=False, on_bad_lines="error",
        )  # fmt: skip
    except pd.errors.ParserError as error:
        raise DataError(f"{path.name} cannot be read: {str(error).strip()}; is {separator!r} the separator?") from None
    if not len(frame):
        raise DataError(f"{path.name} holds no row below its header")
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    return frame


def decoded(path: Path) -> str:
    """The text of a file. Raises DataError, with line and byte, where it is not UTF-8, and where it is binary."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path.name} line {line}: byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8"
        ) from None
    if "\x00" in text:
        raise DataError(f"{path.name} line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a zero byte; "
                        "expected a text file: save it as CSV in UTF-8")  # fmt: skip
    return text


def without(frame: pd.DataFrame, drop: Sequence[str]) -> pd.DataFrame:
    """The frame without some columns. Raises ParameterError for one that there is not."""
    return frame.drop(columns=[the_column(name, list(frame.columns), "--drop") for name in drop])


def with_columns_of(frame: pd.DataFrame, wanted: Sequence[str], name: str) -> pd.DataFrame:
    """The columns that a method has learned from, in their order. Raises DataError where one is missing."""
    if missing := [c for c in wanted if c not in frame.columns]:
        some = ", ".join(map(repr, list(frame.columns)[:8]))
        raise DataError(f"{name} has no column {missing[0]!r}, which the labelled data have; found {some}")
    return frame[list(wanted)]


def two_values(values: pd.Series, what: str, first: str | None) -> tuple[str, str]:
    """The two texts in a column, the positive one last: `first` where it is named, else the larger.

    Raises DataError for one value, and for more than two unless one is named (then all others are the other one);
    ParameterError where the named one does not occur.
    """
    counts = values.dropna().map(as_text).value_counts()
    found = sorted(counts.index, key=_order)
    some = ", ".join(f"{v!r} ({counts[v]}x)" for v in found[:8]) + (", ..." if len(found) > 8 else "")
    if len(found) < 2:
        raise DataError(f"{what} holds only {some or 'empty values'}; expected two values to tell apart")
    if first is not None and first not in found:
        raise ParameterError(f"--positive {first!r} is no value of {what}; found {some}")
    if len(found) > 2 and first is None:
        raise DataError(f"{what} holds {len(found)} values: {some}; expected two, or --positive VALUE against the rest")
    if first is None:
        return found[0], found[1]
    return ("not " + first if len(found) > 2 else next(v for v in found if v != first)), first


def as_text(value: object) -> str:
    """A value as it stands in the file: 1.0, which a column with an empty cell has, is 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _order(value: str) -> tuple[int, float, str]:
    """Numbers by size, then texts."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
