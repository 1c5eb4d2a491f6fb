"""The table that every clinical measure starts from: one row a patient diagnosed by one method from one support."""

from __future__ import annotations

import pandas as pd

from metastudy.errors import DataError

PREDICTIONS = ("method", "family", "table", "task", "shots", "row", "truth", "probability")
"""Method; disease or hospital; its table; draw of the support; labelled patients per class; patient (row of the
table); 1 for sick, 0 for healthy; probability of being sick."""


def check_predictions(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame's prediction columns, in their order; further columns are left out.

    Raises DataError for no rows, a missing column, a missing value, a truth other than 0 and 1, or a probability
    outside 0 to 1.
    """
    missing = [column for column in PREDICTIONS if column not in frame]
    if missing:
        raise DataError(f"predictions lack columns {missing}; expected {', '.join(PREDICTIONS)}")
    if frame.empty:
        raise DataError("predictions have no rows; expected at least one diagnosed patient")
    frame = frame[list(PREDICTIONS)]
    holes = frame.isna().sum()
    if holes.any():
        raise DataError(f"predictions hold {holes.max()} missing values in {holes.idxmax()!r}; mend or drop these rows")
    for column, good, expected in (
        ("truth", frame["truth"].isin([0, 1]), "0 (healthy) or 1 (sick)"),
        ("probability", frame["probability"].between(0, 1), "probabilities from 0 to 1; round or clip before"),
    ):
        if not good.all():
            bad = frame[~good].iloc[0]
            raise DataError(
                f"{(~good).sum()} values of {column!r} are out of range, the first {bad[column]} ({bad['method']}, "
                f"table {bad['table']!r}, task {bad['task']!r}, row {bad['row']}); expected {expected}"
            )
    return frame
