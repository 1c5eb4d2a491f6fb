"""The three kinds of CSV that everything evaluated ends in: their columns, their order, their bytes."""

from __future__ import annotations

import gzip
from typing import Literal

import numpy as np
import pandas as pd

from metastudy.errors import DataError

Kind = Literal["scores", "table", "verdicts", "free"]

SCORES = ("study", "family", "task", "method", "shots", "seed", "metric", "value")
TABLE = (
    "study",
    "family",
    "method",
    "shots",
    "metric",
    "mean",
    "low",
    "high",
    "n_tasks",
    "n_seeds",
    "published",
    "source",
)
VERDICTS = (
    "study",
    "a",
    "b",
    "shots",
    "metric",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "n_tasks",
    "n_clusters",
    "verdict",
)
COLUMNS: dict[Kind, tuple[str, ...]] = {"scores": SCORES, "table": TABLE, "verdicts": VERDICTS}
KEYS: dict[Kind, list[str]] = {
    "scores": list(SCORES[:-1]),
    "table": ["study", "family", "method", "shots", "metric"],
    "verdicts": ["study", "a", "b", "shots", "metric"],
}
"""Columns that name a row: no two rows agree on them, and rows are sorted by them."""
VERDICT_WORDS = ("better", "worse", "equivalent", "undecided")
COMPRESS_ABOVE = 1_500_000
FLOAT_FORMAT = "%.6g"


def tidy(frame: pd.DataFrame, kind: Kind, name: str) -> pd.DataFrame:
    """The frame in its kind's column and row order. A free-form table keeps its own.

    Raises DataError for missing or extra columns, a repeated row, or a score that is not a number.
    """
    if frame.empty:
        raise DataError(f"{kind} {name!r} has no rows; expected at least one")
    if kind == "free":
        return frame.reset_index(drop=True)
    columns, key = COLUMNS[kind], KEYS[kind]
    missing = [column for column in columns if column not in frame]
    extra = [str(column) for column in frame if column not in columns]
    if missing or extra:
        raise DataError(
            f"{kind} {name!r}: missing columns {missing}, unexpected columns {extra}; "
            f"expected exactly {', '.join(columns)}" + ("; a table of another form needs free=True" * (kind == "table"))
        )
    repeated = frame[frame.duplicated(key)]
    if len(repeated):
        row = ", ".join(f"{c}={v}" for c, v in repeated.iloc[0][key].items())
        raise DataError(f"{kind} {name!r}: {len(repeated)} repeated rows, first {row}; expected one row each")
    if kind == "scores":
        bad = frame[~np.isfinite(pd.to_numeric(frame["value"], errors="coerce"))]
        if len(bad):
            row = ", ".join(f"{c}={v}" for c, v in bad.iloc[0].items())
            raise DataError(f"scores {name!r}: {len(bad)} values are no finite number, first {row}")
    if kind == "verdicts" and not set(frame["verdict"]) <= set(VERDICT_WORDS):
        odd = sorted(set(map(str, frame["verdict"])) - set(VERDICT_WORDS))
        raise DataError(f"verdicts {name!r}: found {odd}; expected one of {', '.join(VERDICT_WORDS)}")
    return frame[list(columns)].sort_values(key, kind="stable").reset_index(drop=True)


def to_bytes(frame: pd.DataFrame) -> bytes:
    """CSV with six significant digits and no minus zero; the same frame gives the same bytes everywhere."""
    floats = frame.select_dtypes("floating").columns
    clean = frame.assign(**{column: frame[column] + 0.0 for column in floats})
    return clean.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n").encode("utf-8")


def compress(content: bytes) -> bytes:
    """gzip without a time or a name inside."""
    return gzip.compress(content, mtime=0)
