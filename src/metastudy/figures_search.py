"""Figures of relevance feedback: quality against k, gains in percent, and single queries won and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metastudy.figures import G_COLOUR, VERDICT_COLOURS, colours, label, shots_panel, style
from metastudy.search_study import ALL, MEAN, METRIC

NAMES = {
    "cranfield": "Cranfield", "cisi": "CISI", "medline": "MEDLINE", "cystic_fibrosis": "cystic fibrosis", "npl": "NPL",
    "scifact": "SciFact", "nfcorpus": "NFCorpus", ALL: "mean of all",
}  # fmt: skip
COLUMNS = 4  # panels side by side
WON, LOST = VERDICT_COLOURS["better"], VERDICT_COLOURS["worse"]


def _panels(families: Sequence[str], height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A panel a collection, four side by side, and axes that are not needed gone."""
    style()
    rows, columns = ceil(len(families) / COLUMNS), min(COLUMNS, len(families))
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.4 + 2.9 * columns, 0.5 + height * rows), squeeze=False, sharey=sharey
    )
    for ax in axes.flat[len(families) :]:
        ax.remove()
    for ax, family in zip(axes.flat, families, strict=False):
        ax.set_title(NAMES.get(family, family), fontsize=11)
    return figure, list(axes.flat[: len(families)])


def _below(axes: Sequence[Axes], xlabel: str, ylabel: str) -> None:
    """Labels on the left of each row, and below the last panel of each column."""
    for i, ax in enumerate(axes):
        ax.set_xlabel(xlabel if i + COLUMNS >= len(axes) else "", fontsize=10)
        ax.set_ylabel("" if i % COLUMNS else ylabel, fontsize=10)


def against_k(
    table: pd.DataFrame, methods: Sequence[str], metric: str = METRIC, judged: str = "judged pages"
) -> Figure:
    """A metric against k, the number of what is `judged`: a panel a collection and one for their mean (a study table).

    95% intervals: over queries in a collection, over collections in the last panel.
    """
    chosen = table[(table["metric"] == metric) & table["method"].isin(methods)]
    families = [f for f in sorted(set(chosen["family"])) if f != ALL] + [ALL] * (ALL in set(chosen["family"]))
    figure, axes = _panels(families, 2.7)
    palette = colours(methods)
    for ax, family in zip(axes, families, strict=True):
        shots_panel(ax, chosen[chosen["family"] == family], methods, palette)
        ax.yaxis.set_major_locator(MaxNLocator(5))
    _below(axes, f"{judged} (k)", label(metric))
    handles = {n: h for ax in axes for h, n in zip(*ax.get_legend_handles_labels(), strict=True)}
    shown = [m for m in methods if m in handles]
    figure.legend(
        [handles[m] for m in shown], shown, loc="outside right upper", frameon=False, title="method\n(95% interval)"
    )
    return figure


def gains_forest(
    gains: pd.DataFrame, shots: Sequence[int | str], a: str = "g", bars: Mapping[str, float] | None = None
) -> Figure:
    """Relative gain of a over each other method, a panel a k (`search_study.relative_gains`).

    A dot is the mean over collections; thick its interval over queries, in these collections; thin the one over
    collections; small circles are single collections. `bars`: method -> percent that the interval has to be above.
    """
    style()
    others = list(dict.fromkeys(gains["b"]))[::-1]
    size = (2.6 + 3.7 * len(shots), 1.6 + 0.55 * len(others))
    figure, axes = plt.subplots(1, len(shots), figsize=size, squeeze=False, sharey=True)
    for ax, k in zip(axes[0], shots, strict=True):
        own = gains[gains["shots"] == k]
        ax.axvline(0, color="0.35", linewidth=1.2)
        for y, b in enumerate(others):
            rows = own[own["b"] == b].set_index("family")
            r = rows.loc[ALL]
            ax.plot([r["t_low"], r["t_high"]], [y, y], color=G_COLOUR, linewidth=1.1, zorder=2)
            ax.plot([r["low"], r["high"]], [y, y], color=G_COLOUR, linewidth=4, solid_capstyle="butt", zorder=3)
            ax.plot(r["gain"], y, "o", color=G_COLOUR, markersize=8, zorder=4)
            single = rows.drop(index=ALL)["gain"]
            ax.plot(single, np.full(len(single), y - 0.25), "o", color="0.35", markersize=4, fillstyle="none", zorder=2)
            if b in (bars or {}):
                ax.plot([bars[b]] * 2, [y - 0.36, y + 0.36], color="0.35", linewidth=1.6, linestyle=":", zorder=1)
        ax.set_yticks(range(len(others)), [f"over {b}" for b in others])
        ax.set_ylim(-0.6, len(others) - 0.4)
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_title("mean over k" if k == MEAN else f"k = {k}", fontsize=11)
        ax.set_xlabel(f"gain of {a} in percent", fontsize=10)
    handles = [
        plt.Line2D([], [], color=G_COLOUR, marker="o", linewidth=4, label="mean; over queries"),
        plt.Line2D([], [], color=G_COLOUR, linewidth=1.1, label="over collections"),
        plt.Line2D([], [], color="0.35", marker="o", fillstyle="none", markersize=4, linewidth=0, label="a collection"),
        *([plt.Line2D([], [], color="0.35", linestyle=":", label="to be above")] if bars else []),
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title="95% intervals")
    return figure


def won_and_lost(differences: pd.DataFrame, a: str, b: str, shots: int, metric: str = METRIC) -> Figure:
    """Difference of a and b in every query, the largest gain first, a panel a collection; in the titles how many
    queries were won, tied and lost (`search_study.query_differences`)."""
    families = list(dict.fromkeys(differences["family"]))
    figure, axes = _panels(families, 2.5, sharey=True)
    for ax, family in zip(axes, families, strict=True):
        d = np.sort(differences.loc[differences["family"] == family, "difference"].to_numpy())[::-1]
        x = np.arange(1, len(d) + 1)
        for sign, colour in ((1, WON), (-1, LOST)):
            own = sign * d > 0
            ax.bar(x[own], d[own], width=1.0, color=colour, linewidth=0)
        ax.axhline(0, color="0.35", linewidth=1.2)
        ax.axhline(d.mean(), color=G_COLOUR, linewidth=1.6, linestyle="--")
        ax.set_xlim(0.5, len(d) + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        counts = f"{(d > 0).sum()} won, {(d == 0).sum()} tied, {(d < 0).sum()} lost"
        ax.set_title(f"{NAMES.get(family, family)}\n{counts}", fontsize=10)
        ax.grid(axis="x", visible=False)
    _below(axes, "queries, best first", f"{label(metric)}: {a} minus {b}")
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=WON, label=f"{a} is better"),
        plt.Rectangle((0, 0), 1, 1, color=LOST, label=f"{b} is better"),
        plt.Line2D([], [], color=G_COLOUR, linestyle="--", label="mean"),
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title=f"k = {shots}")
    return figure
