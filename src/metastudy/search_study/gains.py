"""How many percent one method is better than others, and in which queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metastudy.abtest import paired_scores, sign_flip_p, t_interval
from metastudy.errors import DataError
from metastudy.hospitals.bootstrap import equal_weights

METRIC = "ndcg@10"
ALL = "all"  # collections together
MEAN = "mean"  # over all numbers of judged pages, inside each query
RESAMPLES = 4000
ALPHA = 0.05
EQUAL = 1e-9  # differences below it are none


def _by_query(scores: pd.DataFrame, methods: Sequence[str], metric: str, shots: Sequence[int]) -> pd.DataFrame:
    """Means over seeds, a row a query (family, task), a column a method and k. Errors as `abtest.paired_scores`."""
    a, *others = methods
    columns = {}
    for k in shots:
        for b in others:
            pairs = paired_scores(scores, a, b, metric, k).set_index(["family", "task"])
            columns |= {(a, k): pairs["a"], (b, k): pairs["b"]}
    table = pd.DataFrame(columns)
    if table.isna().any().any():
        lost = table.index[table.isna().any(axis=1)][0]
        raise DataError(f"query {lost[1]!r} was not scored at every k of {list(shots)}; evaluate them on one task list")
    return table


def _percent(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Relative gain in percent of the first method over the others, under weights of queries (B, n); NaN where the
    other has nothing. values (n, methods, k) -> (B, methods - 1, k)."""
    totals = np.tensordot(weights, values, axes=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(totals[:, 1:] > 0, 100 * (totals[:, :1] / totals[:, 1:] - 1), np.nan)


def relative_gains(
    scores: pd.DataFrame, a: str, others: Sequence[str], metric: str = METRIC, n: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """How many percent `a` is better than each of `others`, at each k and at their mean, in each collection and over
    them.

    Columns: b, the other; shots, k or "mean" (each query's mean over all k first); family, a collection or "all";
    queries; mean_a and mean_b; gain, 100 (mean_a / mean_b - 1), and in rows "all" the mean over collections of that.
    Two 95% intervals: `low` to `high` is a percentile bootstrap of queries within collections, paired, the same
    samples for all methods and k: these collections, other queries. `t_low` to `t_high` is Student's t over
    collections, and `p` flips the signs of their gains (exact up to 13; with six never below .031): other collections.
    Rows of a single collection have NaN there. Seeds are averaged inside a query first, so they have no part in the
    intervals. A sample in which b finds nothing is left out.

    Raises DataError as `abtest.paired_scores`, where queries differ between k, and where b finds nothing at all.
    """
    shots = sorted(int(k) for k in scores["shots"].unique())
    table = _by_query(scores, (a, *others), metric, shots)
    at: list[int | str] = [*shots, *([MEAN] if len(shots) > 1 else [])]
    means, samples, queries = {}, {}, {}
    for number, (family, own) in enumerate(table.groupby("family", sort=True)):
        values = np.stack([own[[(m, k) for k in shots]].to_numpy() for m in (a, *others)], axis=1)
        if len(shots) > 1:
            values = np.concatenate([values, values.mean(2, keepdims=True)], axis=2)  # (n, methods, k and their mean)
        queries[family], means[family] = len(own), values.mean(0)
        if not (means[family][1:] > 0).all():
            silent = others[int(np.argwhere(means[family][1:] <= 0)[0][0])]
            raise DataError(f"{metric} of {silent} is 0 in {family!r}: nothing to be relative to; report differences")
        drawn = equal_weights(len(own), n, np.random.default_rng([seed, number]))
        samples[family] = _percent(np.vstack([np.ones(len(own)), drawn]), values)  # the first sample is the data itself
    units = np.stack([s[0] for s in samples.values()])  # (collections, others, k)
    queries[ALL], means[ALL] = len(table), np.mean(list(means.values()), axis=0)
    samples[ALL] = np.mean(list(samples.values()), axis=0)
    rows = []
    for i, b in enumerate(others):
        for j, k in enumerate(at):
            for family, found in samples.items():
                low, high = np.nanquantile(found[1:, i, j], [ALPHA / 2, 1 - ALPHA / 2])
                over = (np.nan,) * 3
                if family == ALL and len(units) > 1:
                    over = (*t_interval(units[:, i, j]), sign_flip_p(units[:, i, j]))
                both = means[family][0, j], means[family][i + 1, j]
                rows.append((b, k, family, queries[family], *both, found[0, i, j], low, high, *over))
    columns = ["b", "shots", "family", "queries", "mean_a", "mean_b", "gain", "low", "high", "t_low", "t_high", "p"]
    return pd.DataFrame(rows, columns=columns)


def query_differences(scores: pd.DataFrame, a: str, b: str, shots: int, metric: str = METRIC) -> pd.DataFrame:
    """Columns family, task, a, b (means over seeds) and difference: a row a query, within a collection the largest gain
    of a first. Differences below 1e-9 are 0. Errors as `abtest.paired_scores`."""
    pairs = paired_scores(scores, a, b, metric, shots)
    difference = pairs["a"] - pairs["b"]
    pairs["difference"] = difference.where(difference.abs() > EQUAL, 0.0)
    return pairs.sort_values(["family", "difference"], ascending=[True, False], kind="stable", ignore_index=True)


def wins(scores: pd.DataFrame, a: str, b: str, shots: int, metric: str = METRIC) -> pd.DataFrame:
    """In how many queries a is better than b, by collection and in all: family, queries, won, tied, lost, difference
    (mean), and the queries with the largest gain and loss: best, best_by, worst, worst_by."""
    found = query_differences(scores, a, b, shots, metric)
    rows = []
    for family, own in [*found.groupby("family"), (ALL, found)]:
        d = own["difference"]
        ends = (own["task"][d.idxmax()], d.max(), own["task"][d.idxmin()], d.min())
        rows.append((family, len(d), int((d > 0).sum()), int((d == 0).sum()), int((d < 0).sum()), d.mean(), *ends))
    columns = ["family", "queries", "won", "tied", "lost", "difference", "best", "best_by", "worst", "worst_by"]
    return pd.DataFrame(rows, columns=columns)
