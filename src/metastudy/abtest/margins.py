"""Is a difference too small to matter? Equivalence and non-inferiority with a margin fixed beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from metastudy.abtest.estimate import Estimate, Vector, check_share, checked, checked_labels, moments
from metastudy.errors import ParameterError


def _units(differences: Vector, cluster: Sequence[str] | None) -> np.ndarray:
    values = checked(differences, "differences")
    if cluster is None:
        return values
    labels = checked_labels(cluster, len(values))
    return checked(pd.Series(values).groupby(labels).mean().to_numpy(), "cluster means")


def _mean_and_error(units: np.ndarray) -> tuple[float, float]:
    mean, variance = moments(units)
    return mean, (variance / len(units)) ** 0.5


def _p_above(units: np.ndarray, bound: float) -> float:
    """One-sided t-test of mean > bound."""
    mean, error = _mean_and_error(units)
    if error == 0:
        return float(mean <= bound)
    return float(stats.t.sf((mean - bound) / error, len(units) - 1))


def _estimate(units: np.ndarray, p: float, alpha: float, method: str, kind: Literal["both", "low"]) -> Estimate:
    mean, error = _mean_and_error(units)
    half = float(stats.t.ppf(1 - alpha, len(units) - 1) * error)
    return Estimate(mean, mean - half, mean + half if kind == "both" else np.inf, p, len(units), method)


def equivalence(
    differences: Vector, margin: float, cluster: Sequence[str] | None = None, alpha: float = 0.05
) -> Estimate:
    """Two one-sided tests (Schuirmann 1987): p < alpha says that the mean lies inside ± margin.

    The interval is the one at level 1 - 2 alpha that decides the same: inside the margin where p < alpha. With
    `cluster`, cluster means are the units. Differences that are all zero are equivalent, with p = 0.
    Raises ParameterError for a margin <= 0, DataError as `estimate.checked`.
    """
    check_share(alpha, "alpha")
    if not margin > 0:
        raise ParameterError(f"margin is {margin}; expected the largest difference that does not matter, above 0")
    units = _units(differences, cluster)
    p = max(_p_above(units, -margin), _p_above(-units, -margin))
    return _estimate(units, p, alpha, "equivalence", "both")


def non_inferiority(
    differences: Vector, margin: float, cluster: Sequence[str] | None = None, alpha: float = 0.05
) -> Estimate:
    """One-sided: p < alpha says that the mean is above -margin. The interval is one-sided too; errors as above."""
    check_share(alpha, "alpha")
    if not margin > 0:
        raise ParameterError(f"margin is {margin}; expected the largest loss that is accepted, above 0")
    units = _units(differences, cluster)
    return _estimate(units, _p_above(units, -margin), alpha, "non-inferiority", "low")
