"""Every figure of the study, drawn from tidy tables: one function a figure, nothing computed but positions."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colour-blind safe palette; g always has the same strong colour, baselines are grey
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#B0A000")
G_COLOUR = "#D55E00"
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<")
NAMES = {
    "accuracy": "accuracy (share of queries)",
    "auroc": "AUROC",
    "log_loss": "log loss (nats)",
    "mse": "mean squared error",
    "rouge1": "ROUGE-1 F1 (x 100)",
    "ndcg@10": "nDCG@10",
}


def style() -> None:
    """The look shared by all figures; called by each of them, so that a notebook need not."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.95)
    plt.rcParams.update({"figure.constrained_layout.use": True, "axes.spines.top": False, "axes.spines.right": False})


def label(metric: str) -> str:
    """A metric's axis label, with its unit."""
    return NAMES.get(metric, metric)


def colours(methods: Sequence[str]) -> dict[str, str]:
    """One colour a method, the same in every figure that is given the same methods in the same order."""
    rest = [c for c in PALETTE if c != G_COLOUR]
    others = [m for m in methods if m != "g"]
    return {m: rest[i % len(rest)] for i, m in enumerate(others)} | {"g": G_COLOUR}


def _shots_panel(ax: Axes, part: pd.DataFrame, methods: Sequence[str], palette: dict[str, str]) -> None:
    """Curves over shots; points are moved sideways a little, so that intervals do not hide each other."""
    shots = sorted(part["shots"].unique())
    position = {k: i for i, k in enumerate(shots)}
    drawn = [m for m in methods if m in set(part["method"])]
    for i, method in enumerate(drawn):
        rows = part[part["method"] == method].sort_values("shots")
        x = np.array([position[k] for k in rows["shots"]]) + 0.06 * (i - (len(drawn) - 1) / 2)
        y = rows["mean"].to_numpy()
        error = np.clip([y - rows["low"], rows["high"] - y], 0, None)
        ax.errorbar(
            x, y, yerr=error, label=method, color=palette[method], marker=MARKERS[i % len(MARKERS)],
            linewidth=2.6 if method == "g" else 1.4, markersize=6 if method == "g" else 5, capsize=0,
            elinewidth=1.1, zorder=3 if method == "g" else 2,
        )  # fmt: skip
    ax.set_xticks(range(len(shots)), [str(k) for k in shots])


def shots_curves(
    table: pd.DataFrame, metric: str, methods: Sequence[str], xlabel: str, families: Sequence[str] = ("all",),
    titles: Sequence[str] | None = None, log: bool = False,
) -> Figure:  # fmt: skip
    """Score against the number of labelled examples, one panel a family, with 95% intervals."""
    style()
    figure, axes = plt.subplots(1, len(families), figsize=(1.8 + 4.2 * len(families), 4.4), squeeze=False)
    palette = colours(methods)
    chosen = table[table["metric"] == metric]
    for ax, family, title in zip(axes[0], families, titles or families, strict=True):
        _shots_panel(ax, chosen[chosen["family"] == family], methods, palette)
        ax.set(xlabel=xlabel, ylabel=label(metric) if ax is axes[0][0] else "", title=title if titles else "")
        if log:
            ax.set_yscale("log")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, title="method (95% interval)")
    return figure
