"""Figures of the public domains of summarization."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from metastudy.figures import G_COLOUR, VERDICT_COLOURS, label, style


def by_domain(table: pd.DataFrame, margin: float, metric: str = "rouge1") -> Figure:
    """g minus the best plain method of each domain, with its 95% interval, the best for g on top; the band is the
    margin (`summaries_study.against_plain`)."""
    style()
    ordered = table.sort_values("difference")
    y = np.arange(len(ordered))
    figure, ax = plt.subplots(figsize=(8.6, 0.9 + 0.42 * len(ordered)))
    ax.axvspan(-margin, margin, color="0.9", zorder=0)
    ax.axvline(0, color="0.35", linewidth=1.2)
    for at, r in zip(y, ordered.itertuples(), strict=True):
        colour = VERDICT_COLOURS[r.verdict]
        ax.plot([r.low, r.high], [at, at], color=colour, linewidth=2)
        ax.plot(r.difference, at, "o", color=colour, markersize=7)
    ax.set_yticks(y, [f"{r.family}, over {r.b} ({r.rival:.1f})" for r in ordered.itertuples()])
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=f"{label(metric)}: g minus the best plain method", ylim=(-0.6, len(ordered) - 0.4))
    shown = [word for word in VERDICT_COLOURS if word in set(ordered["verdict"])]
    handles = [plt.Line2D([], [], color=VERDICT_COLOURS[word], marker="o", label=word) for word in shown]
    figure.legend(
        handles=handles,
        loc="outside right upper",
        frameon=False,
        title="adjusted over domains;\nin brackets: its score",
    )
    return figure


def gap(table: pd.DataFrame, method: str = "g") -> Figure:
    """From the first sentences to the oracle, and where a method stands between, in each domain; the most of the gap
    closed on top (`summaries_study.gap_closed`)."""
    style()
    ordered = table[table["family"] != "all"].sort_values("closed")
    y = np.arange(len(ordered))
    figure, ax = plt.subplots(figsize=(8.6, 0.9 + 0.42 * len(ordered)))
    ax.hlines(y, ordered["lead"], ordered["oracle"], color="0.75", linewidth=2, zorder=1)
    ax.plot(ordered["lead"], y, "|", color="0.35", markersize=13, markeredgewidth=2, label="lead")
    ax.plot(ordered["oracle"], y, "d", color="0.35", markersize=7, label="oracle (a bound)")
    ax.plot(ordered[method], y, "o", color=G_COLOUR, markersize=8, label=method)
    ax.set_yticks(y, [f"{r.family} ({r.closed:.0%})" for r in ordered.itertuples()])
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=label("rouge1"), ylim=(-0.6, len(ordered) - 0.4))
    figure.legend(loc="outside right upper", frameon=False, title="share of the gap closed\nin brackets")
    return figure
