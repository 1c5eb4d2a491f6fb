"""Figures of what a clinician would ask, drawn from the tables of `metastudy.clinical`."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from metastudy.clinical.thresholds import TREAT_ALL, TREAT_NONE
from metastudy.errors import DataError
from metastudy.figures import MARKERS, colours, label, style

LABELS = {
    "brier": "Brier score",
    "in_the_large": "mean probability minus share of sick",
    "sensitivity": "sensitivity (share of the sick found)",
}
SICKER, HEALTHIER = "#882255", "#0072B2"  # what speaks for and against the disease


def _drawn(table: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """Methods that the table has, in the order asked for. Raises DataError if it has none of them."""
    found = set(table["method"])
    drawn = [m for m in methods if m in found]
    if not drawn:
        raise DataError(f"the table has none of the methods {list(methods)}; found {sorted(found)}")
    return drawn


def _width(method: str) -> float:
    return 2.6 if method == "g" else 1.4


def _panels(table: pd.DataFrame, height: float, rows: int = 1, ratios: Sequence[float] = (1,)) -> tuple[Figure, dict]:
    """A column of axes for each number of shots."""
    style()
    shots = sorted(table["shots"].unique())
    figure, axes = plt.subplots(
        rows, len(shots), figsize=(2 + 4 * len(shots), height), squeeze=False, sharex=True, sharey="row",
        height_ratios=ratios,
    )  # fmt: skip
    for ax, k in zip(axes[0], shots, strict=True):
        ax.set_title(f"{k} labelled patient{'' if k == 1 else 's'} per class")
    return figure, {k: axes[:, i] for i, k in enumerate(shots)}


def _legend(figure: Figure, title: str) -> None:
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, title=title)


def _curves(
    ax: Axes, part: pd.DataFrame, x: str, methods: Sequence[str], palette: dict[str, str], banded: Sequence[str]
) -> None:
    """Mean against x, one line a method, and for those in `banded` a band from low to high."""
    for method in methods:
        rows = part[part["method"] == method].sort_values(x)
        front = 3 if method == "g" else 2
        ax.plot(rows[x], rows["mean"], color=palette[method], label=method, linewidth=_width(method), zorder=front)
        if method in banded:
            ax.fill_between(rows[x], rows["low"], rows["high"], color=palette[method], alpha=0.1, linewidth=0)


def reliability(table: pd.DataFrame, methods: Sequence[str], units: str = "diseases") -> Figure:
    """Share of sick against predicted probability, one panel for each number of shots, a histogram below.

    `table` is `calibration.reliability_table`. On the diagonal probabilities mean what they say; below it too many
    patients are feared to be sick. Points are moved sideways a little. Raises DataError if no method is in the table.
    """
    drawn, palette = _drawn(table, methods), colours(methods)
    figure, axes = _panels(table, 5.4, rows=2, ratios=(3.2, 1))
    edges = np.linspace(0, 1, int(table["bin"].max()) + 2)
    for shots, (ax, below) in axes.items():
        ax.plot([0, 1], [0, 1], color="0.5", linewidth=1, linestyle="--", zorder=1)
        for i, method in enumerate(drawn):
            rows = table[(table["method"] == method) & (table["shots"] == shots)].sort_values("bin")
            below.stairs(rows["share"], edges, color=palette[method], linewidth=_width(method))
            rows = rows.dropna(subset=["mean"])
            y = rows["mean"]
            ax.errorbar(
                rows["probability"] + 0.008 * (i - (len(drawn) - 1) / 2), y,
                yerr=np.clip([y - rows["low"], rows["high"] - y], 0, None), label=method, color=palette[method],
                marker=MARKERS[i % len(MARKERS)], markersize=5, linewidth=_width(method), elinewidth=1,
                zorder=3 if method == "g" else 2,
            )  # fmt: skip
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        below.set(xlabel="predicted probability of being sick", ylim=(0, None))
    first = next(iter(axes.values()))
    first[0].set_ylabel("share of sick patients")
    first[1].set_ylabel("share of\npredictions")
    _legend(figure, f"method (95% interval\nover {units})")
    return figure


def decision_curves(table: pd.DataFrame, methods: Sequence[str], units: str = "diseases") -> Figure:
    """Net benefit against the threshold probability, with treat-all and treat-none; one panel for each number of shots.

    `table` is `thresholds.decision_curves`. The axis ends a little below 0, where treat-all has long been worse than
    nothing. Only g (without it, the last method) has a band: prevalence makes all of them wide, and they would hide
    each other. Raises DataError if no method is in the table.
    """
    drawn, palette = _drawn(table, methods), colours(methods)
    banded = ["g"] if "g" in drawn else drawn[-1:]
    figure, axes = _panels(table, 4.6)
    for shots, (ax,) in axes.items():
        part = table[table["shots"] == shots]
        for reference, line in ((TREAT_ALL, "--"), (TREAT_NONE, ":")):
            rows = part[part["method"] == reference].sort_values("threshold")
            ax.plot(rows["threshold"], rows["mean"], color="0.35", linestyle=line, linewidth=1.5, label=reference)
        _curves(ax, part, "threshold", drawn, palette, banded)
        ax.set_xlabel("threshold probability to treat")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    first = figure.axes[0]
    first.set_ylabel("net benefit (sick found per patient,\nless treated healthy ones, weighed)")
    top = table.loc[table["method"].isin([*drawn, TREAT_ALL]), "mean"].max()
    first.set_ylim(-0.15 * top, 1.25 * top)
    _legend(figure, f"method (95% interval\nover {units})")
    return figure


def coverage_error(table: pd.DataFrame, methods: Sequence[str], units: str = "diseases") -> Figure:
    """Error among the patients a method is surest about against their share; one panel for each number of shots.

    `table` is `abstention.coverage_curves`. Raises DataError if no method is in the table.
    """
    drawn, palette = _drawn(table, methods), colours(methods)
    figure, axes = _panels(table, 4.4)
    for shots, (ax,) in axes.items():
        _curves(ax, table[table["shots"] == shots], "coverage", drawn, palette, drawn)
        ax.set_xlabel("share of patients diagnosed,\nthe surest first")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.axes[0].set(ylabel="wrong diagnoses among them", ylim=(0, None))
    _legend(figure, f"method (95% interval\nover {units})")
    return figure


def subgroup_dots(table: pd.DataFrame, metric: str, methods: Sequence[str]) -> Figure:
    """One metric by table and subgroup, one dot a method, with intervals where there are any; counts in brackets.

    `table` is `subgroups.by_subgroup` of one number of shots. A subgroup where the metric is missing says so. Raises
    DataError for several numbers of shots, or if no method or not the metric is in the table.
    """
    rows = table[(table["metric"] == metric) & table["method"].isin(methods)]
    drawn, palette = _drawn(table, methods), colours(methods)
    if rows.empty or rows["shots"].nunique() > 1:
        raise DataError(
            f"the table has {metric!r} at shots {sorted(rows['shots'].unique())}; expected one number: select it before"
        )
    style()
    places = list(dict.fromkeys(zip(rows["table"], rows["subgroup"], strict=True)))
    figure, ax = plt.subplots(figsize=(8.6, 1.1 + (0.24 + 0.13 * len(drawn)) * len(places)))
    if metric == "in_the_large":
        ax.axvline(0, color="0.35", linewidth=1.2)
    names = []
    for y, (name, subgroup) in enumerate(places):
        here = rows[(rows["table"] == name) & (rows["subgroup"] == subgroup)]
        names.append(f"{name}: {subgroup} ({here['n_sick'].iloc[0]} of {here['n_patients'].iloc[0]} sick)")
        if here["value"].isna().all():
            ax.annotate(
                "not defined here", (0.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=9, color="0.4"
            )
        for r in here.dropna(subset=["value"]).itertuples():
            i = drawn.index(r.method)
            at = y + 0.6 * ((i + 0.5) / len(drawn) - 0.5)
            ax.plot([r.low, r.high], [at, at], color=palette[r.method], linewidth=1.4)
            ax.plot(r.value, at, MARKERS[i % len(MARKERS)], color=palette[r.method], markersize=6)
    ax.set_yticks(range(len(places)), names)
    ax.set(ylim=(len(places) - 0.5, -0.5), xlabel=LABELS.get(metric, label(metric)))
    ax.set_yticks(np.arange(len(places) - 1) + 0.5, minor=True)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="y", which="minor", color="0.85", linewidth=0.8)
    handles = [
        plt.Line2D([], [], color=palette[m], marker=MARKERS[i % len(MARKERS)], label=m) for i, m in enumerate(drawn)
    ]
    figure.legend(
        handles=handles, loc="outside right upper", frameon=False, title="method (95% interval\nover patients)"
    )
    return figure


def drivers(
    contributions: pd.DataFrame, top: int = 10, xlabel: str = "contribution to the log odds of being sick"
) -> Figure:
    """Which columns drove it: signed bars, the largest on top; the others add up in one grey bar at the bottom.

    Columns column, contribution. Raises DataError for no rows, a repeated column or a contribution that is not finite.
    """
    frame = contributions.reset_index(drop=True)
    if frame.empty or frame["column"].duplicated().any() or not np.isfinite(frame["contribution"]).all():
        raise DataError("contributions are empty, repeat a column or are not finite; expected one number a column")
    frame = frame.iloc[np.argsort(-frame["contribution"].abs(), kind="stable")]
    shown, rest = frame[:top], frame[top:]
    names, values = [str(c) for c in shown["column"]], shown["contribution"].tolist()
    bars = [SICKER if v > 0 else HEALTHIER for v in values]
    if len(rest):
        names.append(f"{len(rest)} other column{'s' if len(rest) > 1 else ''}")
        values.append(rest["contribution"].sum())
        bars.append("0.6")
    style()
    figure, ax = plt.subplots(figsize=(7.4, 1.3 + 0.34 * len(names)))
    ax.barh(range(len(names)), values, color=bars, height=0.7)
    ax.axvline(0, color="0.35", linewidth=1.2)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(xlabel)
    handles = [plt.Rectangle((0, 0), 1, 1, color=c, label=t) for c, t in ((SICKER, "sicker"), (HEALTHIER, "healthier"))]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title="speaks for")
    return figure
