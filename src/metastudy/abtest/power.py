"""How large a difference could have been seen, and how many units it takes: by statsmodels, and for clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize, stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from metastudy.abtest.estimate import Vector, check_share, checked, checked_labels
from metastudy.errors import DataError, ParameterError


def _test(arms: int) -> TTestPower | TTestIndPower:
    if arms not in (1, 2):
        raise ParameterError(f"arms is {arms}; expected 1 for paired differences, 2 for two arms of equal size")
    return TTestPower() if arms == 1 else TTestIndPower()


def _effect(sd: float, delta: float) -> float:
    if not (sd > 0 and delta != 0 and math.isfinite(delta / sd)):
        raise ParameterError(f"sd {sd} and delta {delta}; expected a spread above 0 and a difference other than 0")
    return abs(delta) / sd


def power_of(sd: float, delta: float, n: int, alpha: float = 0.05, arms: int = 1) -> float:
    """Chance that a two-sided t-test with n pairs (or n a side) finds a true difference delta; `sd` is of one."""
    check_share(alpha, "alpha")
    if n < 2:
        raise ParameterError(f"n is {n}; a t-test needs 2 or more")
    found = float(_test(arms).power(_effect(sd, delta), n, alpha))
    if not math.isnan(found):
        return found
    # statsmodels' noncentral t is nan far out, also where power is small (n = 2, effect 8: .63); its square, F, is not
    df, effect = (n - 1, _effect(sd, delta) ** 2 * n) if arms == 1 else (2 * n - 2, _effect(sd, delta) ** 2 * n / 2)
    return float(stats.ncf.sf(stats.f.isf(alpha, 1, df), 1, df, effect))


def sample_size(sd: float, delta: float, alpha: float = 0.05, power: float = 0.8, arms: int = 1) -> int:
    """The smallest n (pairs, or units a side) with at least that power."""
    check_share(alpha, "alpha")
    check_share(power, "power")
    effect = _effect(sd, delta)
    low, high = 1, 2  # power at low is too small (or low is no size at all), at high it is enough
    while power_of(1, effect, high, alpha, arms) < power:  # statsmodels' own solver fails for large effects
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(1, effect, middle, alpha, arms) >= power else (middle, high)
    return high


def detectable(sd: float, n: int, alpha: float = 0.05, power: float = 0.8, arms: int = 1) -> float:
    """The smallest true difference that n units find with that power."""
    check_share(alpha, "alpha")
    check_share(power, "power")
    if n < 2 or not sd >= 0:
        raise ParameterError(f"n is {n} and sd {sd}; expected 2 or more units and a spread of 0 or more")
    if power <= alpha:
        raise ParameterError(f"power is {power} at alpha {alpha}; expected more: no difference at all reaches alpha")
    high = 1.0
    while power_of(1, high, n, alpha, arms) < power:  # statsmodels' own solver fails for small n or alpha
        high *= 2
    return sd * float(optimize.brentq(lambda e: power_of(1, e, n, alpha, arms) - power, 1e-9, high)) if sd else 0.0


def minimum_detectable(differences: Vector, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean difference that such pairs detect, by the normal approximation z * standard error."""
    check_share(alpha, "alpha")
    check_share(power, "power")
    values = checked(differences, "differences")
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    return float(z * stats.sem(values))


def intra_cluster_correlation(values: Vector, cluster: Sequence[str]) -> float:
    """Share of variance between clusters: one-way analysis of variance, unequal sizes (Donner 1986), at least 0."""
    found = checked(values, "values")
    groups = [g.to_numpy() for _, g in pd.Series(found).groupby(checked_labels(cluster, len(found)))]
    k, n = len(groups), len(found)
    if k < 2 or n == k:
        raise DataError(f"{n} values in {k} clusters; expected two or more clusters, some with two or more values")
    sizes = np.array([len(g) for g in groups])
    between = sum(len(g) * (g.mean() - found.mean()) ** 2 for g in groups) / (k - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (n - k)
    typical = (n - (sizes**2).sum() / n) / (k - 1)
    total = between + (typical - 1) * within
    return float(max(0.0, (between - within) / total)) if total > 0 else 0.0


def design_effect(size: float, icc: float) -> float:
    """How many times as many units clusters of that (mean) size cost: 1 + (size - 1) icc (Kish 1965)."""
    if size < 1 or not 0 <= icc <= 1:
        raise ParameterError(f"cluster size {size} and icc {icc}; expected 1 or more, and a share from 0 to 1")
    return 1 + (size - 1) * icc


def clusters_needed(sd: float, delta: float, size: float, icc: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Clusters of `size` paired differences needed to find a mean difference delta, cluster means as units.

    The variance of a cluster's mean is sd² design_effect / size.
    """
    spread = sd * math.sqrt(design_effect(size, icc) / size)
    return sample_size(spread, delta, alpha, power)


def simulated_power(
    sizes: Sequence[int], sd: float, delta: float, icc: float, alpha: float = 0.05, seed: int = 0, studies: int = 4000
) -> float:
    """Share of simulated studies in which a t-test over cluster means finds delta; unequal `sizes`, (k,), allowed.

    Cluster j's mean is drawn from N(delta, sd² (icc + (1 - icc) / sizes[j])), that of normal differences. Where sizes
    are equal it is `power_of` the same spread, up to a standard error of sqrt(p (1 - p) / studies).
    Raises ParameterError for fewer than two clusters, sizes below 1, or icc outside [0, 1].
    """
    check_share(alpha, "alpha")
    spread = sd * np.sqrt([design_effect(m, icc) / m for m in sizes])
    if len(sizes) < 2 or studies < 1 or not sd > 0:
        raise ParameterError(
            f"{len(sizes)} clusters, {studies} studies, sd {sd}; expected 2 or more, 1 or more, above 0"
        )
    means = delta + spread * np.random.default_rng(seed).normal(size=(studies, len(sizes)))
    return float((stats.ttest_1samp(means, 0, axis=1).pvalue < alpha).mean())
