"""Figures about the tests themselves: ranks over families, evidence over time, clicks, and error rates."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from metastudy.abtest.many import Friedman, cliques
from metastudy.errors import DataError
from metastudy.figures import G_COLOUR, MARKERS, PALETTE, style

INK = "0.25"
CONTROL = "#CC79A7"  # negative controls: a test that must fail, or a user who sees nothing


def critical_difference(result: Friedman) -> Figure:
    """Mean ranks of methods on one line, best on the left; a thick bar joins those that may be equal (Demsar 2006).

    Names stand in rows below the line, the better half on the left, so that equal ranks do not hide each other.
    """
    style()
    ranks, k = result.ranks, len(result.ranks)
    groups = cliques(ranks, result.cd)
    left = -(-k // 2)
    first = 0.45 + 0.22 * len(groups)  # of the rows of names, below the bars
    figure, ax = plt.subplots(figsize=(8.4, 1.5 + 0.3 * (first + left)))
    ax.plot([1, k], [0, 0], color=INK, linewidth=1.4)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, -0.14], color=INK, linewidth=1.2)
        ax.annotate(str(tick), (tick, -0.18), ha="center", va="bottom", fontsize=9)
    reach = 0.06 * (k - 1)
    for i, (method, rank) in enumerate(ranks.items()):
        on_left = i < left
        y = first + 0.42 * (i if on_left else k - 1 - i)
        end, side = (1 - reach, "right") if on_left else (k + reach, "left")
        strong = method == "g"
        colour = G_COLOUR if strong else INK
        ax.plot([rank, rank, end], [0, y, y], color=colour, linewidth=2 if strong else 1.1, zorder=3 if strong else 2)
        name = f"{method}  {rank:.2f} " if on_left else f" {rank:.2f}  {method}"
        ax.annotate(name, (end, y), ha=side, va="center", fontsize=10, color=colour)
    for i, group in enumerate(groups):
        ends = [ranks[group[0]] - 0.012 * (k - 1), ranks[group[-1]] + 0.012 * (k - 1)]
        ax.plot(ends, [0.2 + 0.22 * i] * 2, color="#0072B2", linewidth=4.5, solid_capstyle="round", zorder=4)
    shown = min(result.cd, k - 1)  # a difference that no two ranks can reach is drawn as long as the axis
    ax.plot([1, 1 + shown], [-0.85, -0.85], color=INK, linewidth=2, marker="|", markersize=9)
    more = "" if shown == result.cd else " (more than the axis)"
    text = f"critical difference {result.cd:.2f}{more} at level {result.alpha:g}, {result.n_families} families"
    ax.annotate(text, (1, -1.0), ha="left", va="bottom", fontsize=9)
    ax.set(xlim=(1 - 0.4 * (k - 1), k + 0.4 * (k - 1)), ylim=(first + 0.42 * (left - 1) + 0.25, -1.5))
    ax.axis("off")
    ax.set_title("mean rank (1 is best); a bar joins methods that may be equal", fontsize=10, loc="center")
    return figure


def sequential_path(path: pd.DataFrame, stop: int | None, ylabel: str, truth: float | None = None) -> Figure:
    """Estimate and interval over time, safe and naive; the step at which the always-valid test stops is marked.

    `path` has the columns of `ConfidenceSequence.frame` (n, estimate, low, high, naive_low, naive_high); `stop` is its
    `stop`, and `truth` a known difference of a simulation.
    """
    style()
    figure, ax = plt.subplots(figsize=(8.6, 4.6))
    safe = np.isfinite(path["low"])
    sure = path[safe]
    if sure.empty:
        raise DataError(f"none of {len(path)} steps has a bounded interval; collect more data than the burn-in")
    ax.fill_between(sure["n"], sure["low"], sure["high"], color="#56B4E9", alpha=0.45, linewidth=0,
                    label="confidence sequence: valid at every look")  # fmt: skip
    for column in ("naive_low", "naive_high"):
        ax.plot(sure["n"], sure[column], color=PALETTE[1], linewidth=1.3, linestyle="--",
                label="naive interval: valid at one look" if column == "naive_low" else "_")  # fmt: skip
    ax.plot(sure["n"], sure["estimate"], color="#0072B2", linewidth=1.8, label="estimate so far")
    ax.axhline(0, color=INK, linewidth=1)
    if truth is not None:
        ax.axhline(truth, color="#009E73", linewidth=1.4, linestyle=":", label="true difference")
    if stop is not None:
        at = path.loc[path["n"] == stop, "estimate"].iloc[0]
        ax.axvline(stop, color=G_COLOUR, linewidth=1.2)
        ax.plot(stop, at, "o", color=G_COLOUR, markersize=8, zorder=5, label=f"stop at n = {stop:,}")
    else:
        ax.plot([], [], " ", label="no stop: undecided")
    # the first intervals are so wide that they would flatten all others
    span = sure.iloc[len(sure) // 20 :]
    low, high = span[["low", "naive_low"]].min(axis=None), span[["high", "naive_high"]].max(axis=None)
    ax.set_ylim(min(low, 0) - 0.04 * (high - low), max(high, 0) + 0.04 * (high - low))
    ax.set(xlabel="units seen (n)", ylabel=ylabel, xlim=(0, path["n"].max()))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def interleaving(table: pd.DataFrame, a: str, b: str, controls: Sequence[str] = ("random",)) -> Figure:
    """Share of decided queries that preferred ranker a, one bar from 1/2 a simulated user, with its interval.

    Columns: user, wins, losses, ties, share, low, high (shares); nan, where nothing was decided, has no bar. `controls`
    are users who must prefer neither.
    """
    style()
    figure, ax = plt.subplots(figsize=(8.6, 1.4 + 0.55 * len(table)))
    for i, r in enumerate(table.itertuples()):
        control = r.user in controls
        colour = CONTROL if control else "#0072B2"
        if np.isfinite(r.share):
            ax.barh(i, r.share - 0.5, left=0.5, height=0.56, color=colour, alpha=0.55, hatch="//" if control else None,
                    edgecolor=colour)  # fmt: skip
            ax.plot([r.low, r.high], [i, i], color=INK, linewidth=2.2, solid_capstyle="round")
            ax.plot(r.share, i, "o", color=INK, markersize=5)
        else:
            ax.annotate("nothing decided", (0.5, i), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
        text = f"{r.wins} : {r.losses} queries, {r.ties} ties"
        ax.annotate(text, (1.02, i), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.axvline(0.5, color=INK, linewidth=1.2)
    names = [f"{u}\n(negative control)" if u in controls else u for u in table["user"]]
    ax.set_yticks(range(len(table)), names)
    ax.set(xlim=(0, 1), ylim=(len(table) - 0.5, -0.5), ylabel="simulated user")
    ax.set_xlabel(f"share of decided queries won by {a} against {b} (95% interval)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0%}"))
    ax.grid(axis="y", visible=False)
    return figure


RATES = (0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)


def calibration(table: pd.DataFrame, band: tuple[float, float], level: float = 0.05) -> Figure:
    """How often each test rejects where there is no difference: one row a test, one marker a shape of data.

    Columns: test, shape, rate, low, high (95% binomial interval, shares) and control (bool: a test that must fail).
    `band` is where an exact test at `level` lies; squeezed (square root) scale, because the controls are far out.
    """
    style()
    tests, shapes = list(dict.fromkeys(table["test"])), list(dict.fromkeys(table["shape"]))
    palette = dict(zip(shapes, [c for c in PALETTE if c not in (CONTROL, G_COLOUR)], strict=False))
    if missing := set(shapes) - set(palette):
        raise DataError(f"{len(shapes)} shapes of data and no colour for {sorted(missing)}; draw fewer at once")
    height = 0.26 + 0.11 * len(shapes)
    figure, ax = plt.subplots(figsize=(9, 1.6 + height * len(tests)))
    ax.axvspan(*band, color="0.86", zorder=0)
    ax.axvline(level, color=INK, linewidth=1)
    for r in table.itertuples():
        y = tests.index(r.test) + (0.7 / len(shapes)) * (shapes.index(r.shape) - (len(shapes) - 1) / 2)
        ax.plot([r.low, r.high], [y, y], color=palette[r.shape], linewidth=1.8, zorder=2)
        ax.plot(r.rate, y, MARKERS[shapes.index(r.shape)], color=palette[r.shape], markersize=6, zorder=3,
                markerfacecolor="white" if r.control else palette[r.shape])  # fmt: skip
    _name_tests(ax, tests, set(table.loc[table["control"], "test"]))
    top = min(1.0, 1.15 * max(table["high"].max(), band[1]))
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.clip(x, 0, None)), np.square))
    ax.set(xlim=(0, top), ylim=(len(tests) - 0.5, -0.5))
    ax.xaxis.set_major_locator(FixedLocator([x for x in RATES if x <= top]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}" if x in (0, 1) else f"{100 * x:g}%"))
    ax.set_xlabel(f"share of A/A runs that reject (squeezed scale); grey: where an exact test at {100 * level:g}% lies")
    ax.grid(axis="y", visible=False)
    for shape in shapes:
        ax.plot([], [], MARKERS[shapes.index(shape)], color=palette[shape], label=shape, linestyle="-")
    figure.legend(loc="outside right upper", frameon=False, title="shape of the data\n(95% interval)")
    return figure


def _name_tests(ax: Axes, tests: Sequence[str], controls: set[str]) -> None:
    """Rows by name; a negative control says so and has a tinted background."""
    ax.set_yticks(range(len(tests)), [f"{t}\n(negative control)" if t in controls else t for t in tests])
    for i, test in enumerate(tests):
        if test in controls:
            ax.axhspan(i - 0.5, i + 0.5, color=CONTROL, alpha=0.13, zorder=0, linewidth=0)
            ax.get_yticklabels()[i].set_color("#8A3A68")
