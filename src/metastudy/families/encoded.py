"""A medical table written out as columns of numbers, by its schema alone: which categories there are, and where
values are missing. Nothing here looks at a diagnosis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metastudy.loaders.medical import MedicalTable

SAYS_YES = ("yes", "t", "present")
"""Of two categories, the one that is written as 1 where it is listed first; otherwise the second one is."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A table as numbers. Shapes: x (N, P) with NaN where missing, columns (P,) names, diagnosis (N,) 0 or 1,
    patients (N,) equal in rows of one person."""

    name: str
    columns: tuple[str, ...]
    x: np.ndarray
    diagnosis: np.ndarray
    patients: np.ndarray


def _of_column(name: str, values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """A number or an ordered category as one column, two categories as one of 0 and 1, more as one each."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        yield name, values.to_numpy(float)
        return
    codes = np.where(values.cat.codes < 0, np.nan, values.cat.codes)
    listed = list(values.cat.categories)
    if values.cat.ordered:
        yield name, codes
    elif len(listed) == 2:
        one = 0 if listed[0] in SAYS_YES else 1
        yield f"{name}={listed[one]}", np.where(np.isnan(codes), np.nan, codes == one)
    else:
        for i, category in enumerate(listed):
            yield f"{name}={category}", np.where(np.isnan(codes), np.nan, codes == i)


def _missing(table: MedicalTable) -> Iterator[tuple[str, np.ndarray]]:
    for name in table.values:
        yield f"{name} missing", table.values[name].isna().to_numpy(float)


def encode(table: MedicalTable, flags: bool = True) -> Encoded:
    """Write a table out as columns of numbers; with `flags`, one more for each column that has missing values.

    Columns that hold one value say nothing and are left out. So are those of 0 and 1 that equal an earlier one or
    its complement: values that are missing together, or a column that itself says what was measured.
    """
    kept: dict[str, np.ndarray] = {}
    seen: set[bytes] = set()
    written = [pair for name in table.values for pair in _of_column(name, table.values[name])]
    for name, column in [*written, *(_missing(table) if flags else ())]:
        held = np.unique(column[~np.isnan(column)])
        if len(held) < 2 or column.tobytes() in seen:
            continue
        if set(held) == {0.0, 1.0}:
            seen |= {column.tobytes(), (1 - column).tobytes()}
        kept[name] = column
    x = np.stack(list(kept.values()), 1)
    return Encoded(table.name, tuple(kept), x, table.diagnosis, table.patients)


def content_hash(tables: Iterable[Encoded]) -> str:
    """sha256 over names, columns, values, diagnoses and patients."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(json.dumps([table.name, table.columns]).encode())
        x = np.where(np.isnan(table.x), np.nan, table.x)  # every NaN as the same bytes
        for values in (x.astype("<f8"), table.diagnosis.astype("<i8"), table.patients.astype("<i8")):
            digest.update(values.tobytes())
    return digest.hexdigest()
