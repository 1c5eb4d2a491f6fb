"""What a test says, and checks that all tests share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from metastudy.errors import DataError, ParameterError

Vector = np.ndarray | Sequence[float]


@dataclass(frozen=True)
class Estimate:
    """A difference (more is better for the first), its interval at 1 - alpha, two-sided p, units, and the test."""

    difference: float
    low: float
    high: float
    p: float
    n: int
    method: str


def checked(values: Vector, name: str, at_least: int = 2) -> np.ndarray:
    """A vector of floats. Raises DataError for another shape, too few values or values that are not finite."""
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or len(found) < at_least:
        raise DataError(f"{name} have shape {found.shape}; expected a vector of {at_least} or more numbers")
    if not np.isfinite(found).all():
        first = int(np.flatnonzero(~np.isfinite(found))[0])
        raise DataError(f"{name}[{first}] is {found[first]}; expected finite numbers: mend the score or drop the unit")
    return found


def moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and variance (n - 1 below); of equal values exactly that value and exactly 0, which plain sums may miss."""
    moved = values - values[0]
    return float(values[0] + moved.mean()), float(moved.var(ddof=1))


def checked_labels(cluster: Sequence[str], n: int) -> np.ndarray:
    """(n,) cluster labels. Raises DataError for another number or a missing label (grouping drops it)."""
    found = np.asarray(cluster)
    if found.shape != (n,) or pd.isna(np.asarray(cluster, dtype=object)).any():
        raise DataError(f"{len(cluster)} cluster labels for {n} values; expected one label each, none missing")
    return found


def check_share(value: float, name: str) -> None:
    """Raises ParameterError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise ParameterError(f"{name} is {value}; expected a number between 0 and 1")


def by_t(difference: float, error: float, df: float, n: int, method: str, alpha: float = 0.05) -> Estimate:
    """Student's t. Without any spread p is 1 for a difference of zero and 0 for any other, and the interval a point.

    Raises ParameterError for alpha outside (0, 1).
    """
    check_share(alpha, "alpha")
    if error == 0:
        return Estimate(difference, difference, difference, float(difference == 0), n, method)
    half = stats.t.ppf(1 - alpha / 2, df) * error
    p = 2 * stats.t.sf(abs(difference) / error, df)
    return Estimate(float(difference), float(difference - half), float(difference + half), float(p), n, method)
