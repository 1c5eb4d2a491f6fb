"""Is A better than B on shared tasks? Interval and p-value of a mean paired difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from metastudy.errors import DataError

MIN_CLUSTERS = 6  # fewer cannot reach p < .05 by sign flips: 2 / 2**5 = .0625
MIN_BOOTSTRAP = 400  # below, t covers better: 95 against 91% (BCa) of 50 differences of which most are zero
RESAMPLES = 9999


@dataclass(frozen=True)
class Comparison:
    """Mean paired difference a - b with its interval and two-sided p.

    `n_tasks` pairs in `n_clusters` independent clusters; n_clusters is 0 where tasks themselves are the unit.
    """

    difference: float
    low: float
    high: float
    p: float
    n_tasks: int
    n_clusters: int


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean; (nan, nan) for a single value."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def interval(values: np.ndarray, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Confidence interval of a mean: BCa bootstrap from 400 values on, Student's t below; (nan, nan) for one value."""
    values = np.asarray(values, dtype=float)
    if len(values) < MIN_BOOTSTRAP or np.ptp(values) == 0:
        return t_interval(values, confidence)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=confidence, method="BCa",
        rng=np.random.default_rng(seed), batch=1000,
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def sign_flip_p(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided permutation p of mean = 0, flipping signs; exact up to 13 values, 9,999 random flips beyond."""
    if not np.any(differences):
        return 1.0
    found = stats.permutation_test(
        (differences,), lambda d, axis: np.mean(d, axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=RESAMPLES, rng=np.random.default_rng(seed), batch=1000,
    )  # fmt: skip
    return float(found.pvalue)


def paired_test(a: np.ndarray, b: np.ndarray, cluster: Sequence[str] | None = None, seed: int = 0) -> Comparison:
    """Compare paired scores a and b, (n,) each, in the same order of tasks.

    With `cluster` (n labels) whole clusters are the unit: the mean of the cluster means is compared. Raises
    DataError for unequal lengths, values that are not finite, fewer than two pairs, or 2 to 5 clusters, which
    cannot decide anything at the 5% level.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"paired scores have shapes {a.shape} and {b.shape}; expected two equally long vectors")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("paired scores hold values that are not finite; drop the task for both methods or mend it")
    if len(a) < 2:
        raise DataError(f"{len(a)} pair; a paired comparison needs at least two tasks")
    differences = a - b
    if cluster is not None and (len(cluster) != len(a) or pd.isna(np.asarray(cluster, dtype=object)).any()):
        raise DataError(f"{len(cluster)} cluster labels for {len(a)} pairs; expected one label, not missing, a pair")
    if cluster is None:
        low, high = interval(differences, seed=seed)
        return Comparison(float(differences.mean()), low, high, sign_flip_p(differences, seed), len(a), 0)
    means = pd.Series(differences).groupby(np.asarray(cluster), sort=True).mean().to_numpy()
    if len(means) < MIN_CLUSTERS:
        raise DataError(
            f"{len(means)} clusters; {MIN_CLUSTERS} or more are needed for a test at the 5% level. Compare tasks "
            "instead (cluster=None) and say that the result is conditional on these clusters"
        )
    low, high = interval(means, seed=seed)
    return Comparison(float(means.mean()), low, high, sign_flip_p(means, seed), len(a), len(means))
