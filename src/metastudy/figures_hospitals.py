"""Figures of diagnosis at a new hospital."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metastudy.figures import VERDICT_COLOURS, colours, label, shots_panel, style

NAMES = {"cleveland": "Cleveland", "hungarian": "Hungary", "switzerland": "Switzerland", "va": "Long Beach"}
SUPPORTS = {"random": "2k patients as they come", "balanced": "k healthy, k sick"}


def by_support(table: pd.DataFrame, metric: str, methods: Sequence[str]) -> Figure:
    """A metric against k at each hospital, a row for each kind of support (`hospitals_study.both_supports`)."""
    style()
    supports = [s for s in SUPPORTS if s in set(table["support"])]
    hospitals = [h for h in NAMES if h in set(table["family"])]
    size = (2.4 + 2.9 * len(hospitals), 0.9 + 2.7 * len(supports))
    figure, axes = plt.subplots(
        len(supports), len(hospitals), figsize=size, squeeze=False, sharex=True, sharey="col"
    )  # fmt: skip
    palette, chosen = colours(methods), table[table["metric"] == metric]
    for i, support in enumerate(supports):
        for j, (ax, hospital) in enumerate(zip(axes[i], hospitals, strict=True)):
            part = chosen[(chosen["support"] == support) & (chosen["family"] == hospital)]
            shots_panel(ax, part, methods, palette)
            ax.set_title("" if i else NAMES[hospital], fontsize=11)
            ax.set_ylabel("" if j else f"{SUPPORTS[support]}\n{label(metric)}", fontsize=10)
            ax.set_xlabel("k (of 2k labelled patients)" if i == len(supports) - 1 else "", fontsize=10)
    handles = {n: h for ax in axes.flat for h, n in zip(*ax.get_legend_handles_labels(), strict=True)}
    shown = [m for m in methods if m in handles]
    figure.legend(
        [handles[m] for m in shown], shown, loc="outside right upper", frameon=False, title="method (95%\nover draws)"
    )
    return figure


def changes(claims: pd.DataFrame, margin: float, against: str, titles: Mapping[str, str] | None = None) -> Figure:
    """Difference of g and another method at each hospital and over them, one panel a metric, with 95% intervals over
    patients and draws; the band is the margin (`hospitals_study.claim`)."""
    style()
    metrics = list(dict.fromkeys(claims["metric"]))
    order = [*[h for h in NAMES if h in set(claims["hospital"])], "all"][::-1]
    size = (2.6 + 3.7 * len(metrics), 1.4 + 0.45 * len(order))
    figure, axes = plt.subplots(1, len(metrics), figsize=size, squeeze=False, sharey=True)
    for ax, metric in zip(axes[0], metrics, strict=True):
        rows = claims[claims["metric"] == metric].set_index("hospital").loc[order]
        ax.axvspan(-margin, margin, color="0.9", zorder=0)
        ax.axvline(0, color="0.35", linewidth=1.2)
        for y, r in enumerate(rows.itertuples()):
            colour = VERDICT_COLOURS[r.verdict]
            ax.plot([r.low, r.high], [y, y], color=colour, linewidth=3 if r.Index == "all" else 2)
            ax.plot(r.difference, y, "D" if r.Index == "all" else "o", color=colour, markersize=7)
        ax.set_yticks(np.arange(len(order)), [NAMES.get(name, "mean of the four") for name in order])
        ax.set_ylim(-0.6, len(order) - 0.4)
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_xlabel((titles or {}).get(metric, f"gain of g in {label(metric)}"), fontsize=10)
    figure.suptitle(f"g against {against}; right of 0: g is better", fontsize=10, x=0.01, ha="left")
    shown = [word for word in VERDICT_COLOURS if word in set(claims["verdict"])]
    handles = [plt.Line2D([], [], color=VERDICT_COLOURS[word], marker="o", label=word) for word in shown]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title="verdict")
    return figure
