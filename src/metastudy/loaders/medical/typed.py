"""From cells to a typed table: numbers, categories, diagnosis, patients; what does not fit is named with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from metastudy.errors import DataError
from metastudy.loaders.medical.cells import Cells
from metastudy.loaders.medical.schema import MISSING, MedicalTable, TableSpec
from metastudy.parameters import nearest

DECLARED = "metastudy/loaders/medical/tables.py"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """A number in its shortest form (one file writes 1, another 1.0), other text as it is."""
    return text if (number := _number(text)) is None else f"{number:g}"


def _means(cells: pd.Series, values: pd.Series, codes: Sequence[str]) -> pd.Series:
    """Where a cell is one of the codes, as text or as a number: "0" is also "0.0"."""
    found = cells.isin(codes)
    for code in codes:
        if (number := _number(code)) is not None:
            found |= values == number
    return found


def _numbers(cells: Cells, column: str, codes: Sequence[str], mistakes: Sequence[str]) -> tuple[pd.Series, int]:
    """float64 with NaN where missing, and how many cells were mistakes.

    Raises DataError for a cell that is neither a number nor a code for missing.
    """
    text = cells.table[column]
    values = pd.to_numeric(text, errors="coerce").astype(float)
    missing = text.isin(MISSING) | _means(text, values, codes)
    mistaken = _means(text, values, mistakes)
    wrong = np.flatnonzero(~missing & ~mistaken & ~np.isfinite(values))
    if len(wrong):
        raise DataError(
            f"{cells.where(wrong[0], column)} reads {text.iloc[wrong[0]]!r}, expected a number or one of "
            f"{', '.join(map(repr, ('?', *codes)))}; if it means missing, say so in {DECLARED}"
        )
    return values.mask(missing | mistaken), int(mistaken.sum())


def _known(cells: Cells, column: str, text: pd.Series, allowed: Sequence[str], what: str) -> None:
    """Raises DataError for the first cell that is neither allowed nor missing (None)."""
    wrong = np.flatnonzero(text.notna() & ~text.isin(allowed))
    if len(wrong):
        found = str(text.iloc[wrong[0]])
        raise DataError(
            f"{cells.where(wrong[0], column)}: unknown {what} {found!r}{nearest(found, list(allowed))}; expected "
            f"{', '.join(map(repr, allowed)) or 'a number'}: the file is another version, or {DECLARED} is wrong"
        )


def _nominal(cells: Cells, column: str, allowed: Sequence[str], codes: Sequence[str], spec: TableSpec) -> pd.Series:
    """A categorical, NaN where missing; where all categories are numbers and the file lists them, the numbers."""
    text = cells.table[column].map(_plain) if column in spec.categories else cells.table[column]
    text = text.mask(text.isin((*MISSING, *codes)))
    _known(cells, column, text, allowed, "category")
    if column not in spec.categories and all(_number(category) is not None for category in allowed):
        return text.astype(float)
    return pd.Series(pd.Categorical(text, categories=list(allowed), ordered=column in spec.ordered))


def _check_columns(cells: Cells, spec: TableSpec) -> None:
    """Raises DataError where a column that the spec speaks of is not there."""
    named = (spec.target, *spec.categories, *spec.ordered, *spec.missing, *spec.mistakes, *spec.dropped)
    named += (spec.patient, spec.age, *(spec.sex or ())[:1], *(spec.patient_runs or ())[:1])
    there = list(cells.table.columns)
    if absent := [name for name in named if name and name not in there]:
        raise DataError(
            f"{cells.file} has no column {absent[0]!r}{nearest(absent[0], there)}; it has {len(there)}: "
            f"{', '.join(there[:40])}. The file is another version than the registered one: fetch it again"
        )


def _features(cells: Cells, spec: TableSpec) -> tuple[pd.DataFrame, dict[str, int]]:
    columns: dict[str, pd.Series] = {}
    repaired: dict[str, int] = {}
    listed = spec.categories or cells.categories
    for column in cells.table.columns:
        if column in (spec.target, spec.patient) or column in spec.dropped:
            continue
        codes, mistakes = spec.missing.get(column, ()), spec.mistakes.get(column, ())
        if column in listed and not spec.wrong_types:
            columns[column] = _nominal(cells, column, listed[column], codes, spec)
        else:
            columns[column], n = _numbers(cells, column, codes, mistakes)
            if n:
                repaired[f"{column}: {', '.join(mistakes)}"] = n
    return pd.DataFrame(columns), repaired


def _labels(cells: Cells, spec: TableSpec) -> tuple[np.ndarray, np.ndarray]:
    """Label of each row as in the file, and 1 for sick, 0 for well, -1 for classes that are left out."""
    text = cells.table[spec.target]
    if spec.sick_above is not None:
        values, _ = _numbers(cells, spec.target, (), ())
        _known(cells, spec.target, text.where(values.isna()), (), "label")
        return text.to_numpy(str), (values > spec.sick_above).to_numpy(int)
    listed = cells.categories.get(spec.target, ())
    well = spec.well or tuple(label for label in listed if label not in (*spec.sick, *spec.rows_dropped))
    _known(cells, spec.target, text, (*well, *spec.sick, *spec.rows_dropped), "label")
    return text.to_numpy(str), np.where(text.isin(spec.sick), 1, np.where(text.isin(well), 0, -1))


def _patients(table: pd.DataFrame, values: pd.DataFrame, spec: TableSpec) -> np.ndarray:
    if spec.patient:
        return pd.factorize(table[spec.patient])[0]
    if spec.patient_runs:
        column, within = spec.patient_runs
        return (values[column].diff().abs() > within).to_numpy().cumsum()
    return np.arange(len(table))


def _sex(table: pd.DataFrame, spec: TableSpec) -> np.ndarray | None:
    if spec.sex is None:
        return None
    column, woman, man = spec.sex
    codes = {woman: "female", man: "male"}
    return np.array([codes.get(_plain(cell)) for cell in table[column]], dtype=object)


def _kept(
    spec: TableSpec,
    values: pd.DataFrame,
    classes: np.ndarray,
    diagnosis: np.ndarray,
    patients: np.ndarray,
    sites: np.ndarray,
) -> tuple[np.ndarray, dict[str, int]]:
    """Mask of rows that stay, and why how many do not."""
    removed = {f"{label}: {why}": int((classes == label).sum()) for label, why in spec.rows_dropped.items()}
    kept = diagnosis >= 0
    if spec.repeats:
        known = {"class of the row": classes, "site of the row": sites}
        repeated = values.assign(**known, **({"patient of the row": patients} if spec.patient else {})).duplicated()
        removed[f"repeated: {spec.repeats}"] = int((kept & repeated).sum())
        kept &= ~repeated.to_numpy()
    return kept, removed


def build(name: str, spec: TableSpec, parts: Sequence[Cells]) -> MedicalTable:
    """The typed table of one source from the cells of its files, one under the other.

    Raises DataError, naming file, line and column, for a missing column, a cell that is no number, an unknown
    category or label; and where the files of one table differ in their columns.
    """
    for cells in parts:
        _check_columns(cells, spec)
        if list(cells.table.columns) != list(parts[0].table.columns):
            differing = sorted(set(cells.table.columns) ^ set(parts[0].table.columns)) or ["their order"]
            raise DataError(f"{cells.file} and {parts[0].file} differ in {differing[0]!r}; expected the same columns")
    features = [_features(cells, spec) for cells in parts]
    labels = [_labels(cells, spec) for cells in parts]
    raw = pd.concat([cells.table for cells in parts], ignore_index=True)
    values = pd.concat([frame for frame, _ in features], ignore_index=True)
    classes, diagnosis = (np.concatenate(part) for part in zip(*labels, strict=True))
    sites = np.repeat(spec.sites or [""] * len(parts), [len(cells.table) for cells in parts])
    repaired: Mapping[str, int] = {why: n for _, found in features for why, n in found.items()}
    counts = {
        "rows": len(raw),
        "columns": values.shape[1],
        "negative": int((diagnosis == 0).sum()),
        "positive": int((diagnosis == 1).sum()),
        "missing": int(values.isna().to_numpy().sum()) - sum(repaired.values()),
        "duplicates": int(raw.duplicated().sum()),
    } | {site: int((sites == site).sum()) for site in spec.sites}
    patients = _patients(raw, values, spec)
    kept, removed = _kept(spec, values, classes, diagnosis, patients, sites)
    sex = _sex(raw, spec)
    return MedicalTable(
        name=name,
        values=values[kept].reset_index(drop=True),
        diagnosis=diagnosis[kept],
        classes=classes[kept],
        patients=patients[kept],
        sites=sites[kept] if spec.sites else None,
        age=values[spec.age].to_numpy()[kept] if spec.age else None,
        sex=None if sex is None else sex[kept],
        counts=counts,
        rows_removed=removed,
        cells_repaired=dict(repaired),
    )
