"""A CSV file of labelled rows, read as text first: so that whatever is wrong can be named by column and line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from metastudy.errors import DataError
from metastudy.own_data.csv_file import SEPARATORS, decoded
from metastudy.own_data.kind import the_column

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""What stands for a value that is not there, in any case of letters."""
MAX_ROWS, MAX_COLUMNS, MAX_CATEGORIES = 50_000, 2_000, 20


def read_table(path: Path) -> pd.DataFrame:
    """Every field as text without blanks around it; the index holds line numbers of the file.

    The delimiter is that of `SEPARATORS` which the first line has most of. Unlike `csv_file.read_csv` nothing is taken
    for a number here: a class may be "007" or "1.0". Raises DataError for a file that is not there, not UTF-8, empty
    or longer than MAX_ROWS, for a column without a name or named twice, and for a row with another number of fields,
    naming its line.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; expected a CSV file with a line of column names")
    text = decoded(path)
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        names = [name.strip() for name in next(reader, [])]
        if not any(names):
            raise DataError(f"{path.name} is empty; expected a line of column names, then a row an example")
        start = reader.line_num + 1
        for fields in reader:
            if any(field.strip() for field in fields):  # a blank line is no row
                if len(fields) != len(names):
                    raise DataError(
                        f"{path.name}, line {start}: {len(fields)} fields, but there are {len(names)} columns; quote "
                        "fields that hold the delimiter or a line break"
                    )
                rows.append([field.strip() for field in fields])
                lines.append(start)
            if len(rows) > MAX_ROWS:
                raise DataError(
                    f"{path.name} has more than {MAX_ROWS:,} rows, which is the most that is read into memory; few "
                    "labels are the question here: give a random part of them"
                )
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f'{path.name}, line {reader.line_num}: {error}; expected a CSV file, quoted with "') from None
    if twice := [name for name, n in Counter(names).items() if n > 1 or not name]:
        found = f"column {twice[0]!r} comes {names.count(twice[0])} times" if twice[0] else "a column has no name"
        raise DataError(f"{path.name}: {found}; expected a name of its own for each column in the first line")
    if not rows:
        raise DataError(f"{path.name} has column names but no row; expected a row an example")
    return pd.DataFrame(rows, columns=names, index=lines, dtype=object)


def missing(values: pd.Series) -> np.ndarray:
    """(N,) which fields are empty or stand for a value that is not there."""
    return values.str.lower().isin(MISSING).to_numpy()


@dataclass(frozen=True, eq=False)
class Numbers:
    """How columns become numbers, read off all rows of the labelled file without looking at a label.

    A column is numbers (`categories` None) or up to MAX_CATEGORIES categories, each a column of 0 and 1 (of two, one).
    Missing numbers become the median, a missing or new category all zeros; then columns have mean 0 and deviation 1.
    """

    names: tuple[str, ...]
    categories: tuple[tuple[str, ...] | None, ...]
    medians: np.ndarray  # of the columns as written out (P,)
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Numbers:
        """From the input columns. Raises DataError for none, for too many, for one that looks like a text, and where
        no column varies."""
        names = tuple(frame.columns)
        if not names:
            raise DataError("no column is left to learn from; expected numbers beside the target, or --text COLUMN")
        categories = tuple(_categories(name, frame[name]) for name in names)
        blank = cls(names, categories, np.zeros(0), np.zeros(0), np.zeros(0))
        written = blank._written(frame)
        if written.shape[1] > MAX_COLUMNS:
            raise DataError(
                f"the columns make {written.shape[1]:,} numbers a row, and {MAX_COLUMNS:,} is the most that is read "
                "into memory; leave some out (--drop)"
            )
        empty = np.isnan(written).all(0)
        medians = np.zeros(written.shape[1])
        medians[~empty] = np.nanmedian(written[:, ~empty], axis=0)
        x = np.where(np.isnan(written), medians, written)
        mean, scale = x.mean(0), x.std(0)
        varies = scale > 1e-9 * (1 + np.abs(mean))
        if not varies.any():
            raise DataError(f"every input column ({', '.join(names[:5])}) is constant; expected some that vary")
        return cls(names, categories, medians, mean, np.where(varies, scale, np.inf))

    @property
    def dim(self) -> int:
        """P, how many numbers a row has: columns that are constant in the labelled file are left out."""
        return int(np.isfinite(self.scale).sum())

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """(N, P) in float32; a row depends on no other one of its frame. Raises DataError where a number is none."""
        written = self._written(frame)
        z = (np.where(np.isnan(written), self.medians, written) - self.mean) / self.scale
        return np.ascontiguousarray(z[:, np.isfinite(self.scale)], dtype=np.float32)

    def _written(self, frame: pd.DataFrame) -> np.ndarray:
        columns = []
        for name, listed in zip(self.names, self.categories, strict=True):
            values = frame[name]
            if listed is None:
                columns.append(_numbers(name, values))
            else:
                columns += [(values == one).to_numpy(float) for one in (listed[1:] if len(listed) == 2 else listed)]
        return np.stack(columns, 1) if columns else np.zeros((len(frame), 0))


def _categories(name: str, values: pd.Series) -> tuple[str, ...] | None:
    """None for numbers. Raises DataError for more than MAX_CATEGORIES words, naming one of them."""
    there = values[~missing(values)]
    numbers = pd.to_numeric(there, errors="coerce")
    if numbers.notna().all():
        return None
    listed = tuple(sorted(set(there)))
    if len(listed) <= MAX_CATEGORIES:
        return listed
    words = there[numbers.isna()]
    raise DataError(
        f"column {name!r} holds {len(listed):,} different values that are not all numbers (line {words.index[0]}: "
        f"{words.iloc[0][:40]!r}); expected numbers, or up to {MAX_CATEGORIES} categories. Leave it out (--drop "
        f"{name!r}); if it is what to learn from, --text {name!r} reads it as a text"
    )


def _numbers(name: str, values: pd.Series) -> np.ndarray:
    """(N,) with NaN where missing. Raises DataError, naming the line, for words and for infinity."""
    found = pd.to_numeric(values.mask(missing(values)), errors="coerce").to_numpy(float)
    wrong = (np.isnan(found) & ~missing(values)) | np.isinf(found) | (np.abs(found) > 1e30)
    if wrong.any():
        line, value = values.index[wrong][0], values[wrong].iloc[0]
        raise DataError(
            f"column {name!r}, line {line}: {value[:40]!r} is no finite number below 1e30, as all others are; mend it, "
            "or leave it empty where nothing is known"
        )
    return found


def check_columns(frame: pd.DataFrame, asked: Sequence[tuple[str, str | None]]) -> None:
    """Raises ParameterError where one of (what, column) is no column, naming the nearest; None asks for nothing."""
    for what, name in asked:
        if name is not None:
            the_column(name, list(frame.columns), what)
