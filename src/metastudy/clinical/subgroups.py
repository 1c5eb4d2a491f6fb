"""Is it as good for women as for men? Measures by subgroup, and their difference, with a bootstrap over patients.

A patient is a row of a table and takes part with all draws that asked about her, so that intervals are over patients,
for the supports that were drawn. They are wide where a subgroup is small, and a difference inside them is no proof of
equal treatment.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import numpy as np
import pandas as pd

from metastudy.clinical.averages import TABLES
from metastudy.clinical.predictions import check_predictions
from metastudy.errors import DataError, ParameterError

METRICS = ("auroc", "brier", "in_the_large", "sensitivity")
COLUMNS = [*TABLES, "subgroup", "n_patients", "n_sick", "metric", "value", "low", "high"]
DIFFERENCES = [*TABLES, "a", "b", "n_a", "n_b", "metric", "difference", "low", "high"]
MOST_UNDEFINED = 0.1
"""Share of resamples without a value (one class drawn) above which an interval is missing."""


def _with_subgroups(predictions: pd.DataFrame, subgroups: pd.DataFrame) -> pd.DataFrame:
    """Predictions with their `subgroup`; patients without one are left out. Raises DataError as `by_subgroup`."""
    predictions = check_predictions(predictions)
    missing = [column for column in ("table", "row", "subgroup") if column not in subgroups]
    if missing:
        raise DataError(f"subgroups lack columns {missing}; expected table, row, subgroup")
    known = subgroups.loc[subgroups["subgroup"].notna(), ["table", "row", "subgroup"]]
    if (twice := known[["table", "row"]].duplicated()).any():
        bad = known[twice].iloc[0]
        raise DataError(f"row {bad['row']} of table {bad['table']!r} is in two subgroups; expected one at most")
    same = pd.api.types.is_numeric_dtype(known["row"]) == pd.api.types.is_numeric_dtype(predictions["row"])
    joined = predictions.merge(known, on=["table", "row"]) if same else predictions.iloc[:0]
    if joined.empty:
        there = "none"
        if len(subgroups):
            there = f"row {subgroups['row'].iloc[0]} ({subgroups['row'].dtype}) of {subgroups['table'].iloc[0]}"
        raise DataError(
            f"no prediction is of a patient with a subgroup; the first are row "
            f"{predictions['row'].iloc[0]} ({predictions['row'].dtype}) of {predictions['table'].iloc[0]} here and "
            f"{there} there: expected the same table and row names"
        )
    truths = joined[["table", "row", "truth"]].drop_duplicates()
    if (torn := truths[["table", "row"]].duplicated()).any():
        bad = truths[torn].iloc[0]
        raise DataError(f"row {bad['row']} of table {bad['table']!r} is sick in one prediction, healthy in another")
    return joined


def weighted_auroc(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) AUROCs of (n,) patients who count (B, n) times; missing (nan) where a class has no weight."""
    order = np.argsort(probability)
    starts = np.flatnonzero(np.diff(probability[order], prepend=-1.0))  # of equal probabilities
    w, sick = weights[:, order], truth[order].astype(bool)
    ill = np.add.reduceat(w * sick, starts, axis=1)  # (B, distinct)
    well = np.add.reduceat(w * ~sick, starts, axis=1)
    won = (ill * (np.cumsum(well, axis=1) - well / 2)).sum(1)
    return _ratio(won, ill.sum(1) * well.sum(1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)


def _values(part: pd.DataFrame, place: np.ndarray, weights: np.ndarray, threshold: float) -> np.ndarray:
    """(B, 4) `METRICS` of one method on one subgroup; `place` (n,) says which of the (B, P) weights a row has."""
    sick, p = part["truth"].to_numpy().astype(bool), part["probability"].to_numpy(dtype=float)
    facts = (np.ones(len(p)), (p - sick) ** 2, p - sick, sick, sick & (p >= threshold))
    sums = weights @ np.stack([np.bincount(place, fact, weights.shape[1]) for fact in facts], axis=1)  # (B, 5)
    total, defined = np.zeros((2, len(weights)))
    for rows in part.groupby("task", sort=False, observed=True).indices.values():
        auroc = weighted_auroc(sick[rows], p[rows], weights[:, place[rows]])
        total += np.nan_to_num(auroc)
        defined += ~np.isnan(auroc)
    return np.stack(
        [
            _ratio(total, defined), _ratio(sums[:, 1], sums[:, 0]), _ratio(sums[:, 2], sums[:, 0]),
            _ratio(sums[:, 4], sums[:, 3]),
        ],
        axis=1,
    )  # fmt: skip


def _interval(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high, (4,) each, of (B, 4) resamples: percentiles."""
    low, high = np.full((2, resampled.shape[1]), np.nan)
    if len(resampled):
        enough = np.isnan(resampled).mean(0) <= MOST_UNDEFINED
        low[enough], high[enough] = np.nanpercentile(resampled[:, enough], [2.5, 97.5], axis=0)
    return low, high


def _measured(
    joined: pd.DataFrame, threshold: float, resamples: int, seed: int
) -> Iterator[tuple[tuple, str, int, int, np.ndarray]]:
    """Key of `TABLES`, subgroup, patients (of any method), sick ones, (1 + resamples, 4) values: real, then resampled.

    Every method and shots sees the same resamples of a table's subgroup, which depend on nothing but their names and
    the seed.
    """
    for (table, subgroup), here in joined.groupby(["table", "subgroup"], sort=True, observed=True):
        place, patients = pd.factorize(here["row"], sort=True)
        sick = int(here["truth"].to_numpy()[np.unique(place, return_index=True)[1]].sum())
        n = len(patients)
        rng = np.random.default_rng([seed, crc32(f"{table}/{subgroup}".encode())])
        weights = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=resamples)])
        for key, rows in here.groupby(TABLES, sort=True, observed=True).indices.items():
            yield key, subgroup, n, sick, _values(here.iloc[rows], place[rows], weights, threshold)


def _check(threshold: float, resamples: int) -> None:
    if not 0 <= threshold <= 1 or resamples < 0:
        raise ParameterError(
            f"threshold {threshold} and {resamples} resamples; expected a probability and 0 or more resamples"
        )


def by_subgroup(
    predictions: pd.DataFrame, subgroups: pd.DataFrame, threshold: float = 0.5, resamples: int = 0, seed: int = 0
) -> pd.DataFrame:
    """`METRICS` of every method, shots, table and subgroup; `COLUMNS` says with what.

    `subgroups` has columns table, row, subgroup: the patient's (missing: left out). AUROC is within a draw, then the
    mean over draws with both classes; Brier score, `in_the_large` (mean probability minus share of sick) and
    sensitivity (share of the sick with `threshold` or more) pool draws. AUROC is missing (nan) in a subgroup of one
    class, sensitivity in one without sick patients. With `resamples`, low and high are a 95% percentile interval.
    Raises DataError for subgroups that lack a column, name a patient twice or fit no prediction, and for a patient
    who is both sick and healthy; ParameterError for a threshold that is no probability.
    """
    _check(threshold, resamples)
    rows = []
    for key, subgroup, n, sick, values in _measured(
        _with_subgroups(predictions, subgroups), threshold, resamples, seed
    ):
        low, high = _interval(values[1:])
        rows += [(*key, subgroup, n, sick, *of) for of in zip(METRICS, values[0], low, high, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values([*TABLES, "subgroup"], kind="stable", ignore_index=True)


def subgroup_differences(
    predictions: pd.DataFrame,
    subgroups: pd.DataFrame,
    a: str,
    b: str,
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure in subgroup a minus the one in b, in every table that has both; `DIFFERENCES` says with what.

    The 95% percentile interval resamples the patients of a and of b apart, so that their numbers stay. A difference
    is missing (nan) where either measure is, an interval also where too many resamples are (`MOST_UNDEFINED`).
    Raises as `by_subgroup`, and DataError if no table has both.
    """
    _check(threshold, resamples)
    joined = _with_subgroups(predictions, subgroups)
    joined = joined[joined["subgroup"].isin([a, b])]
    found: dict[tuple, dict[str, tuple[int, np.ndarray]]] = {}
    for key, subgroup, n, _, values in _measured(joined, threshold, resamples, seed):
        found.setdefault(key, {})[subgroup] = n, values
    rows = []
    for key in sorted(key for key, both in found.items() if len(both) == 2):
        (n_a, of_a), (n_b, of_b) = found[key][a], found[key][b]
        values = of_a - of_b
        low, high = _interval(values[1:])
        rows += [(*key, a, b, n_a, n_b, *of) for of in zip(METRICS, values[0], low, high, strict=True)]
    if not rows:
        there = sorted(set(map(str, subgroups["subgroup"].dropna())))
        raise DataError(f"no table has patients in both {a!r} and {b!r}; subgroups are {', '.join(there)}")
    return pd.DataFrame(rows, columns=DIFFERENCES)
