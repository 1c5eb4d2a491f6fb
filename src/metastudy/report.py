"""Reading results aloud: wide tables and sentences for notebooks and README, always from the tidy tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from metastudy.errors import DataError


def row(table: pd.DataFrame, method: str, shots: int, metric: str, family: str = "all") -> pd.Series:
    """The one row of a study table that is asked for; DataError where there is none."""
    found = table[
        (table["method"] == method)
        & (table["shots"] == shots)
        & (table["metric"] == metric)
        & (table["family"] == family)
    ]
    if len(found) != 1:
        raise DataError(f"{len(found)} rows for {method!r}, {shots} shots, {metric}, family {family!r}; expected one")
    return found.iloc[0]


def wide(
    table: pd.DataFrame, metric: str, methods: Sequence[str], family: str = "all", digits: int = 3
) -> pd.DataFrame:
    """Methods by shots, each cell "mean [low, high]"."""
    part = table[(table["metric"] == metric) & (table["family"] == family)]
    cells = {
        (r.method, r.shots): f"{r.mean:.{digits}f} [{r.low:.{digits}f}, {r.high:.{digits}f}]" for r in part.itertuples()
    }
    shots = sorted(part["shots"].unique())
    if missing := [(m, k) for m in methods for k in shots if (m, k) not in cells] or (not shots and [metric]):
        raise DataError(f"no {metric} for {missing[:3]} in family {family!r}; found {sorted(set(part['method']))}")
    frame = pd.DataFrame([[cells[m, k] for k in shots] for m in methods], index=list(methods), columns=shots)
    return frame.rename_axis(index="method", columns=f"{metric} at k examples")
