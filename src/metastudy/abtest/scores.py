"""From tidy scores to comparisons: what is paired with what, and the study table."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from metastudy.abtest.paired import MIN_CLUSTERS, Comparison, paired_test, t_interval
from metastudy.abtest.seeds import seed_aware
from metastudy.errors import DataError
from metastudy.tables import TABLE


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
    scores: pd.DataFrame,
    a: str,
    b: str,
    metric: str,
    shots: int,
    lower_is_better: bool = False,
    clustered: bool = True,
    seeds: Literal["random", "fixed"] = "fixed",
) -> Comparison:
    """Paired comparison of two methods of one study; the difference is oriented so that more is better for a.

    `clustered` takes families (domains, collections) as clusters. `seeds` fixed: these trained models, averaged over
    their seeds (`paired_test`); random: the methods, so that differences between seeds count (`seed_aware`). A method
    with one seed in a study of several is deterministic (`evaluate` runs such methods once). Raises DataError as these
    do, and where seeds are random and no method has two.
    """
    pairs = paired_scores(scores, a, b, metric, shots)
    sign = -1 if lower_is_better else 1
    cluster = pairs["family"] if clustered else None
    if seeds == "fixed":
        return paired_test(sign * pairs["a"].to_numpy(), sign * pairs["b"].to_numpy(), cluster)
    if scores.groupby("method")["seed"].nunique().max() < 2:
        raise DataError("every method has one seed; where seeds are random two or more are needed: raise `seeds`")
    one, other = (sign * by_seed(scores, method, metric, shots, pairs) for method in (a, b))
    found = seed_aware(one, other, cluster, deterministic=(one.shape[1] == 1, other.shape[1] == 1))
    if clustered and found.n < MIN_CLUSTERS:
        raise DataError(f"{found.n} clusters; {MIN_CLUSTERS} or more are needed for a test at the 5% level")
    return Comparison(found.difference, found.low, found.high, found.p, len(pairs), found.n if clustered else 0)


def by_seed(scores: pd.DataFrame, method: str, metric: str, shots: int, pairs: pd.DataFrame) -> np.ndarray:
    """(tasks, seeds) of one method, tasks in the order of `pairs`. Raises DataError where a seed lacks a task."""
    chosen = scores[(scores["metric"] == metric) & (scores["shots"] == shots) & (scores["method"] == method)]
    table = chosen.pivot(index=["family", "task"], columns="seed", values="value")
    table = table.loc[list(zip(pairs["family"], pairs["task"], strict=True))]
    if table.isna().any().any():
        seed = table.columns[table.isna().any()][0]
        raise DataError(f"{method} with seed {seed} was not scored on every task; run its notebook again")
    return table.to_numpy()


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
