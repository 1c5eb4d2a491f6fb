"""Is A better than B? Paired comparison on shared tasks: interval, p-value, multiplicity, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from metastudy.errors import DataError
from metastudy.tables import TABLE

Verdict = Literal["better", "worse", "equivalent", "undecided"]
MIN_CLUSTERS = 6  # fewer cannot reach p < .05 by sign flips: 2 / 2**5 = .0625
MIN_BOOTSTRAP = 30  # below, the t interval covers better (percentile bootstrap at n = 15: 90% instead of 95%)
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
    """Confidence interval of a mean: BCa bootstrap from 30 values on, Student's t below; (nan, nan) for one value."""
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


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment, by statsmodels."""
    return multipletests(list(p_values), method="holm")[1] if len(p_values) else np.array([])


def benjamini_hochberg(p_values: Sequence[float]) -> np.ndarray:
    """Benjamini and Hochberg's adjustment for the rate of false discoveries, by statsmodels: for screens."""
    return multipletests(list(p_values), method="fdr_bh")[1] if len(p_values) else np.array([])


def verdict(
    difference: float, low: float, high: float, p_adjusted: float, margin: float, alpha: float = 0.05
) -> Verdict:
    """equivalent: the interval lies within ± margin, however small p. better / worse: otherwise, if p < alpha.

    `difference` must already be oriented so that more is better for a.
    """
    if -margin < low and high < margin:
        return "equivalent"
    if p_adjusted < alpha and difference != 0:
        return "better" if difference > 0 else "worse"
    return "undecided"


def paired_scores(scores: pd.DataFrame, a: str, b: str, metric: str, shots: int) -> pd.DataFrame:
    """One row per task with columns family, task, a, b: each method's mean over its seeds.

    Raises DataError where a method is missing, a score is not finite, or the two were not scored on exactly the
    same tasks.
    """
    chosen = scores[(scores["metric"] == metric) & (scores["shots"] == shots)]
    missing = [m for m in (a, b) if m not in set(chosen["method"])]
    if missing:
        raise DataError(f"no {metric} at {shots} shots for {missing}; found {sorted(set(chosen['method']))}")
    chosen = chosen[chosen["method"].isin([a, b])]
    if not np.isfinite(chosen["value"]).all():
        bad = chosen[~np.isfinite(chosen["value"])].iloc[0]
        raise DataError(
            f"{metric} of {bad['method']} on task {bad['task']!r}, seed {bad['seed']}, is {bad['value']}, which is not "
            "finite: a mean over the other seeds would hide it; mend the score or drop the task for both methods"
        )
    means = chosen.groupby(["family", "task", "method"])["value"].mean().unstack()
    if means.isna().any().any():
        lost = means[means.isna().any(axis=1)].index[0]
        raise DataError(
            f"{a} and {b} were not scored on the same tasks (for example {lost[1]!r}); only methods evaluated on one "
            "frozen task list can be compared"
        )
    return means[[a, b]].rename(columns={a: "a", b: "b"}).reset_index()


def compare(
    scores: pd.DataFrame, a: str, b: str, metric: str, shots: int, lower_is_better: bool = False, clustered: bool = True
) -> Comparison:
    """Paired comparison of two methods of one study; the difference is oriented so that more is better for a.

    `clustered` takes families (domains, collections) as clusters.
    """
    pairs = paired_scores(scores, a, b, metric, shots)
    sign = -1 if lower_is_better else 1
    cluster = pairs["family"] if clustered else None
    return paired_test(sign * pairs["a"].to_numpy(), sign * pairs["b"].to_numpy(), cluster)


def summarise(scores: pd.DataFrame, clustered: bool) -> pd.DataFrame:
    """The study table: mean with 95% t interval per family and pooled (`all`), over tasks of seed-averaged scores.

    Pooled rows of a clustered study are means over families with an interval over families. These intervals only
    describe; methods are compared by `compare`, in pairs.
    """
    keys = ["study", "family", "method", "shots", "metric"]
    per_task = scores.groupby([*keys, "task"], sort=True)["value"].mean().reset_index()
    seeds = scores.groupby(["study", "method"])["seed"].nunique()
    rows = []

    def add(key: tuple[object, ...], values: np.ndarray, n_tasks: int) -> None:
        low, high = t_interval(values)
        rows.append((*key, values.mean(), low, high, n_tasks, int(seeds[key[0], key[2]]), "", "this study"))

    for key, group in per_task.groupby(keys, sort=True):
        add(key, group["value"].to_numpy(), len(group))
    for (study, method, shots, metric), group in per_task.groupby(["study", "method", "shots", "metric"], sort=True):
        if group["family"].nunique() > 1:
            values = group.groupby("family")["value"].mean() if clustered else group["value"]
            add((study, "all", method, shots, metric), values.to_numpy(), len(group))
    return pd.DataFrame(rows, columns=list(TABLE))


def gains(scores: pd.DataFrame, metric: str, reference: str, clustered: bool) -> pd.DataFrame:
    """Columns method, shots, mean, low, high: paired difference to a reference method, with its interval.

    What tasks or families have in common cancels out, so that these intervals show differences between methods.
    """
    rows = []
    for shots in sorted(scores["shots"].unique()):
        for method in [m for m in dict.fromkeys(scores["method"]) if m != reference]:
            pairs = paired_scores(scores, method, reference, metric, int(shots))
            differences = pairs["a"] - pairs["b"]
            units = differences.groupby(pairs["family"]).mean() if clustered else differences
            rows.append((method, shots, units.mean(), *t_interval(units.to_numpy())))
    return pd.DataFrame(rows, columns=["method", "shots", "mean", "low", "high"])


def minimum_detectable(differences: np.ndarray, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean difference that n such pairs detect with the given power (normal approximation)."""
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    return float(z * stats.sem(differences))
