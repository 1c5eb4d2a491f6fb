"""From scores to what a person reads: a table with intervals, and one sentence for each number of labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metastudy.abtest import compare, holm, paired_scores, summarise
from metastudy.abtest.paired import Comparison
from metastudy.abtest.power import sample_size
from metastudy.own_data.kind import Prepared

ALPHA = 0.05
TOO_FAR = 50  # times as many labels: then a difference, if there is one, hardly matters
COLUMNS = ("shots", "method", "metric", "mean", "low", "high", "gain", "gain_low", "gain_high", "p", "p_adjusted",
           "verdict")  # fmt: skip


@dataclass(frozen=True)
class Advice:
    """What to use with so many labels. `rivals` are the methods that are not told apart from `best`, the one with the
    best mean; `use` is best, or the best classical rival where there is one. `needed`: labelled examples with which
    best and use would be told apart, if they differ as they seem to; None where they are the same, or too many."""

    shots: int
    best: str
    use: str
    rivals: tuple[str, ...]
    needed: int | None
    sentence: str


def table(prepared: Prepared, scores: pd.DataFrame) -> pd.DataFrame:
    """Every method at every number of shots: mean with its interval, and the gain over the reference, oriented so that
    above 0 is better, with interval, p and p adjusted over the methods of that number of shots (Holm).

    Intervals (95%) of gains are paired, over blocks of the data, or queries, that share no example.
    """
    summary = summarise(scores, prepared.family.clustered)
    pooled = summary[(summary["metric"] == prepared.metric)]
    if summary["family"].nunique() > 1:
        pooled = pooled[pooled["family"] == "all"]
    rows = []
    for shots in prepared.family.shots:
        rivals = [m.name for m in prepared.methods if m.name != prepared.reference]
        found = {m: _compare(prepared, scores, m, prepared.reference, shots) for m in rivals}
        adjusted = dict(zip(found, holm([c.p for c in found.values()]).tolist(), strict=True))
        for method in (m.name for m in prepared.methods):
            own = pooled[(pooled["method"] == method) & (pooled["shots"] == shots)].iloc[0]
            same = (shots, method, prepared.metric, own["mean"], own["low"], own["high"])
            c = found.get(method)
            if c is None:
                rows.append((*same, 0.0, math.nan, math.nan, math.nan, math.nan, "reference"))
                continue
            word = ("better" if c.difference > 0 else "worse") if adjusted[method] < ALPHA else "undecided"
            rows.append((*same, c.difference, c.low, c.high, c.p, adjusted[method], word))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def too_few(prepared: Prepared, scores: pd.DataFrame) -> tuple[str, ...]:
    """A note, where so few units can never show a difference between so many methods, however large."""
    n = scores["family"].nunique() if prepared.family.clustered else scores["task"].nunique()
    rivals = len(prepared.methods) - 1
    if 2 * rivals / 2**n < ALPHA:
        return ()
    return (
        f"{n} parts of the data are too few to tell {rivals + 1} methods apart by a test, however different they are: "
        "look at the means and their intervals, and label more examples.",
    )


def advice(prepared: Prepared, scores: pd.DataFrame) -> list[Advice]:
    """One for each number of shots.

    The method with the best mean is compared with every other one (Holm over these). It is recommended unless a
    classical method, which needs no earlier task, is not told apart from it: then the best of these is, as it is
    simpler. To test against whichever came out best is a little too kind to it; a fresh set of labels is not.
    """
    return [_advice(prepared, scores, shots) for shots in prepared.family.shots]


def _advice(prepared: Prepared, scores: pd.DataFrame, shots: int) -> Advice:
    own = scores[(scores["metric"] == prepared.metric) & (scores["shots"] == shots)]
    keys = ["family", "method"] if prepared.family.clustered else ["method"]
    means = own.groupby([*keys, "task"])["value"].mean().groupby(keys).mean().groupby("method").mean()
    means = means[[m.name for m in prepared.methods]] * (-1 if prepared.lower_is_better else 1)
    best = str(means.idxmax())
    others = [m for m in means.index if m != best]
    found = {m: _compare(prepared, scores, best, m, shots) for m in others}
    adjusted = dict(zip(found, holm([c.p for c in found.values()]).tolist(), strict=True))
    rivals = tuple(m for m in means[others].sort_values(ascending=False, kind="stable").index if adjusted[m] >= ALPHA)
    simple = [m for m in rivals if m in prepared.classical]
    with_ = f"With {shots} {prepared.unit if shots > 1 else _one(prepared.unit)}"
    if best in prepared.classical or not simple:
        also = f" (not told apart from it: {_some(rivals)})" if rivals else " (shown to be better than all others)"
        return Advice(shots, best, best, rivals, None, f'{with_}: use "{best}"{also}.')
    use = simple[0]
    needed = _needed(prepared, scores, best, use, shots)
    c = found[use]
    seems = f"{c.difference:+.3g} [{c.low:+.3g}, {c.high:+.3g}] {prepared.metric}"
    if needed is None:
        more = f"they seem to be so alike ({seems}) that more labels would hardly help"
    else:
        more = (
            f"if the difference is what it seems ({seems}), about {needed:,} {prepared.counted} would decide, and "
            f"there are {prepared.labelled:,}"
        )
    return Advice(
        shots, best, use, rivals, needed,
        f'{with_}: the data cannot decide between "{best}" and "{use}", which is simpler: use "{use}"; {more}.',
    )  # fmt: skip


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _one(unit: str) -> str:
    """The unit, where there is one of them: "labelled patients" -> "labelled patient"."""
    head, of, tail = unit.partition(" of ")
    return (head[:-3] + "y" if head.endswith("ies") else head.removesuffix("s")) + of + tail


def _compare(prepared: Prepared, scores: pd.DataFrame, a: str, b: str, shots: int) -> Comparison:
    return compare(scores, a, b, prepared.metric, shots, prepared.lower_is_better, prepared.family.clustered)


def _needed(prepared: Prepared, scores: pd.DataFrame, a: str, b: str, shots: int) -> int | None:
    """Labelled examples that tell a from b with power .8 at level .05, if the mean difference is the one found."""
    pairs = paired_scores(scores, a, b, prepared.metric, shots)
    differences = pairs["a"] - pairs["b"]
    units = differences.groupby(pairs["family"]).mean() if prepared.family.clustered else differences
    spread, mean = float(np.std(units, ddof=1)), float(units.mean())
    if not spread or abs(mean) * math.sqrt(TOO_FAR * len(units)) < 2 * spread:
        return None
    factor = max(1.0, sample_size(spread, mean, ALPHA) / len(units))
    needed = prepared.labelled * factor
    digits = max(0, len(str(int(needed))) - 2)
    return math.ceil(needed / 10**digits) * 10**digits
