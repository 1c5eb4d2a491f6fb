"""Figures of the diseases: gains table by table, and what declaring the wrong class costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metastudy.figures import MARKERS, colours, label, style


def by_table(tables: pd.DataFrame, rivals: Sequence[str], worst: float | None = None) -> Figure:
    """g minus each rival in every table, the largest gain over the first rival on top (`diseases_study.by_table`).

    `worst` marks the loss that no table may pass. A dot is a mean over draws and seeds.
    """
    style()
    ordered = tables.sort_values(f"over {rivals[0]}")
    y = np.arange(len(ordered))
    palette = colours(rivals)
    figure, ax = plt.subplots(figsize=(8.6, 1.0 + 0.27 * len(ordered)))
    ax.axvline(0, color="0.35", linewidth=1.2)
    if worst is not None:
        ax.axvline(worst, color="0.35", linewidth=1.2, linestyle="--", label="the worst allowed")
    for i, rival in enumerate(rivals):
        ax.plot(ordered[f"over {rival}"], y, MARKERS[i % len(MARKERS)], color=palette[rival], label=rival, markersize=6)
    ax.set_yticks(y, [f"{r.table} ({r.g:.2f})" for r in ordered.itertuples()], fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=f"{label('auroc')}: g minus another method", ylim=(-0.7, len(ordered) - 0.3))
    figure.legend(loc="outside right upper", frameon=False, title="g minus\n(in brackets: g)")
    return figure


def reversed_labels(table: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """AUROC by patients per class, as coded and, dashed, with labels turned round (`diseases_study.reversal`)."""
    style()
    palette = colours(methods)
    figure, ax = plt.subplots(figsize=(8.4, 4.4))
    for i, method in enumerate(methods):
        own = table[table["method"] == method].sort_values("shots")
        for column, line in (("as coded", "-"), ("reversed", "--")):
            ax.plot(
                own["shots"], own[column], line, color=palette[method], marker=MARKERS[i % len(MARKERS)],
                label=f"{method}, {column}",
            )  # fmt: skip
    ticks = sorted(table["shots"].unique())
    ax.set(xscale="log", xlabel="labelled patients per class (k)", ylabel=label("auroc"))
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    figure.legend(loc="outside right upper", frameon=False)
    return figure
