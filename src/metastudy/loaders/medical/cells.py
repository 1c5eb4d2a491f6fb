"""From a file's text to a table of its cells, as text: one row a patient, every row as long as the header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.io import arff

from metastudy.errors import DataError
from metastudy.loaders.files import Files


@dataclass(frozen=True)
class Cells:
    """`table` (N, columns) of text without surrounding blanks, `lines` (N,) the line of each row in `file`, and the
    categories that a header lists for nominal columns."""

    file: str
    table: pd.DataFrame
    lines: np.ndarray
    categories: Mapping[str, tuple[str, ...]]

    def where(self, row: int, column: str) -> str:
        """A cell in words, for an error."""
        return f"{self.file}, line {self.lines[row]}, column {column!r}"


def _rows(lines: Sequence[str], quote: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Line number in the file and cells of every row; blank lines and ARFF comments are none."""
    reader = csv.reader(lines, quotechar=quote, skipinitialspace=True)
    for cells in reader:
        if cells and not (quote == "'" and cells[0].startswith("%")):
            yield first + reader.line_num - 1, [cell.strip() for cell in cells]


def _table(
    file: str, rows: Sequence[tuple[int, list[str]]], names: Sequence[str], categories: Mapping[str, tuple[str, ...]]
) -> Cells:
    if repeated := sorted({n for n in names if list(names).count(n) > 1}):
        raise DataError(f"{file}: column {repeated[0]!r} occurs twice in the header; expected each name once")
    if not rows:
        raise DataError(f"{file} has no row below its header; it is cut short: fetch it again")
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"{file}, line {line} has {len(cells)} cells, expected {len(names)} ({names[0]} to {names[-1]}); the "
                "row is cut short or the file is another one: fetch it again"
            )
    table = pd.DataFrame([cells for _, cells in rows], columns=list(names), dtype=object)
    return Cells(file, table, np.array([line for line, _ in rows]), categories)


def _csv(file: str, text: str, columns: Sequence[str]) -> Cells:
    rows = list(_rows(text.split("\n"), '"', 1))
    if columns:
        return _table(file, rows, columns, {})
    if not rows:
        raise DataError(f"{file} is empty; expected a header line and rows: fetch it again")
    return _table(file, rows[1:], rows[0][1], {})


def _arff(file: str, text: str) -> Cells:
    """The header through scipy; the cells not, because scipy stops without saying where a cell does not fit."""
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if start is None:
        raise DataError(f"{file} has no line @data; it is cut short or no ARFF file: fetch it again")
    try:
        _, header = arff.loadarff(io.StringIO("\n".join(lines[: start + 1]) + "\n"))
    except (arff.ArffError, ValueError, NotImplementedError, StopIteration) as error:
        raise DataError(f"{file}: its ARFF header cannot be read ({error}); fetch it again") from None
    names = header.names()
    categories = {n: tuple(header[n][1]) for n in names if header[n][0] == "nominal"}
    return _table(file, list(_rows(lines[start + 1 :], "'", start + 2)), names, categories)


def read(files: Files, path: str, columns: Sequence[str] = ()) -> Cells:
    """The cells of a registered CSV or ARFF file; `columns` names them where it has no header line.

    Raises DataError, naming the line, where a row is cut short or the header is none.
    """
    file = path.rsplit("/", 1)[-1]
    text = files.text(path)
    return _arff(file, text) if path.endswith(".arff") else _csv(file, text, columns)
