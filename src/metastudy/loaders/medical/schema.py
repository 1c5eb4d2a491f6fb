"""What is declared about a medical table before it is read, and what reading gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

MISSING = ("?", "")
"""Cells that mean missing in every table."""


@dataclass(frozen=True)
class TableSpec:
    """How the files of one table are to be read.

    What an ARFF header says (names, categories) is taken from there; a CSV says only what is declared here.
    """

    files: tuple[str, ...]
    target: str
    sick: tuple[str, ...] = ()  # labels that are class 1
    well: tuple[str, ...] = ()  # class 0; in an ARFF file none means all others that its header lists
    sick_above: float | None = None  # a numeric target instead: class 1 above it
    rows_dropped: Mapping[str, str] = field(default_factory=dict)  # label -> why its rows are left out
    columns: tuple[str, ...] = ()  # names, where a file has no header line
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of nominal columns of a CSV
    ordered: tuple[str, ...] = ()  # nominal columns whose categories are listed from low to high
    wrong_types: bool = False  # the header's types do not fit the cells: every column is read as numbers
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # column -> further codes for missing
    mistakes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # column -> impossible cells: missing here
    dropped: Mapping[str, str] = field(default_factory=dict)  # column -> why it is no input
    patient: str = ""  # column with an id of the patient
    patient_runs: tuple[str, float] | None = None  # without ids: neighbours within this of each other in a column
    repeats: str = ""  # why identical rows are one record, of which the first is kept; empty: all are kept
    sites: tuple[str, ...] = ()  # one name a file, where files are hospitals
    age: str = ""  # a numeric column
    sex: tuple[str, str, str] | None = None  # column, code of a woman, code of a man


@dataclass(frozen=True, eq=False)
class MedicalTable:
    """One table, typed and repaired; N patients' rows, P columns.

    Shapes: values (N, P), float64 columns and pandas categoricals, NaN where missing; diagnosis (N,) 0 or 1;
    classes (N,) labels as in the file; patients (N,), equal in rows that belong to one person, as far as the table
    tells; sites (N,) names of hospitals, or None; age (N,) years and sex (N,) "female", "male" or None, where known.

    `counts` is taken from the files: `rows`, feature `columns`, `negative` and `positive` rows (rows of dropped
    classes are neither), `missing` feature cells, `duplicates` (rows equal in every column to an earlier one), rows
    by site. Repairs come after: `rows_removed` and `cells_repaired` say why and how many.
    """

    name: str
    values: pd.DataFrame
    diagnosis: np.ndarray
    classes: np.ndarray
    patients: np.ndarray
    sites: np.ndarray | None
    age: np.ndarray | None
    sex: np.ndarray | None
    counts: dict[str, int]
    rows_removed: dict[str, int]
    cells_repaired: dict[str, int]

    def __len__(self) -> int:
        return len(self.diagnosis)

    def take(self, rows: np.ndarray, name: str) -> MedicalTable:
        """Some rows (positions, or a mask) as a table of their own; `counts` and repairs stay those of the files."""
        rows = np.arange(len(self))[rows]
        parts = ("diagnosis", "classes", "patients", "sites", "age", "sex")
        kept = {part: None if (held := getattr(self, part)) is None else held[rows] for part in parts}
        return replace(self, name=name, values=self.values.iloc[rows].reset_index(drop=True), **kept)
