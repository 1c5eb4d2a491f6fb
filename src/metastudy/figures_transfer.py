"""Figures of transfer between families: who helps whom, what the learned similarity says, how β follows the domain."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

from metastudy.figures import G_COLOUR, label, style

DIVERGING, SEQUENTIAL = "PuOr_r", "viridis"  # both safe for the colour-blind: orange gains, purple losses


def clusters(matrix: pd.DataFrame) -> np.ndarray:
    """Average linkage of names by their rows (what they give) and columns (what they take), less the means of both.

    Distance is one minus the correlation of profiles; neighbouring leaves are made as alike as the tree allows.
    """
    values = matrix.to_numpy(float)
    values = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    return hierarchy.linkage(np.hstack([values, values.T]), "average", metric="correlation", optimal_ordering=True)


def _heat(ax: Axes, matrix: pd.DataFrame, digits: int, bar: str, **colours: object) -> None:
    rounded = matrix.round(digits) + 0.0  # no "-0.0"
    sns.heatmap(
        rounded, ax=ax, square=True, annot=True, fmt=f".{digits}f", annot_kws={"size": 8.5}, linewidths=0.6,
        cbar_kws={"label": bar, "shrink": 0.6, "pad": 0.02, "location": "bottom"}, **colours,
    )  # fmt: skip
    ax.set_yticklabels(ax.get_yticklabels(), rotation=0)
    ax.set_xticklabels(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    for i in range(len(matrix)):  # a library and itself
        ax.add_patch(plt.Rectangle((i, i), 1, 1, fill=False, edgecolor="black", linewidth=1.6))


def transfer_map(gains: pd.DataFrame, shares: pd.DataFrame, metric: str, subject: str = "library") -> Figure:
    """Measured gains (learned on, tested on) as a clustered heat map, beside the learned similarity in its order.

    `gains` and `shares` are square, with the same names; the palette of gains is centred at zero, that of shares
    begins at zero. A box marks each name and itself.
    """
    style()
    tree = clusters(gains)
    order = [gains.index[i] for i in hierarchy.leaves_list(tree)]
    figure, (side, left, right) = plt.subplots(1, 3, figsize=(13.4, 7.2), width_ratios=(0.9, 10, 10))
    with plt.rc_context({"lines.linewidth": 1.2}):
        hierarchy.dendrogram(
            tree, orientation="left", ax=side, no_labels=True, color_threshold=0, above_threshold_color="0.4"
        )
    side.invert_yaxis()
    side.axis("off")
    limit = float(np.abs(gains.to_numpy()).max())
    bar = f"gain over no meta-training, {label(metric)}"
    _heat(left, gains.loc[order, order], 1, bar, cmap=DIVERGING, center=0, vmin=-limit, vmax=limit)
    percent = 100 * shares.loc[order, order]
    _heat(right, percent, 0, "share of the similarity of a new task (% of its column)", cmap=SEQUENTIAL, vmin=0)
    left.set(title="measured transfer", xlabel=f"tested on ({subject})", ylabel=f"learned on ({subject})")
    right.set(title="learned similarity", xlabel=f"new task of ({subject})", ylabel=f"remembered task of ({subject})")
    return figure


def weights_by_domain(weights: pd.DataFrame, mappings: Sequence[str] | None = None) -> Figure:
    """β against shots, one panel a mapping: a thin line for each domain, the mean over domains thick."""
    style()
    names = list(mappings or dict.fromkeys(weights["mapping"]))
    shots = sorted(weights["shots"].unique())
    top = weights.groupby(["mapping", "shots", "family"])["beta"].mean().max()
    figure, axes = plt.subplots(1, len(names), figsize=(1.2 + 2.5 * len(names), 3.8), sharey=True, squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        own = weights[weights["mapping"] == name]
        table = own.groupby(["shots", "family"])["beta"].mean().unstack()
        x = range(len(shots))
        for family in table:
            ax.plot(x, table[family], color="0.55", linewidth=0.9, alpha=0.8)
        ax.plot(x, table.mean(axis=1), color=G_COLOUR, linewidth=2.6, marker="o")
        ends = table.iloc[-1].sort_values()
        ax.set_xticks(x, [str(k) for k in shots])
        ax.set(title=name, xlabel="labelled examples", ylabel="mean weight β" if ax is axes[0][0] else "")
        high = table.to_numpy().mean() > top / 2  # then there is room below, else above
        ax.annotate(f"range over domains\nat {shots[-1]}: {ends.iloc[0]:.2f} to {ends.iloc[-1]:.2f}",
                    (0.05, 0.04 if high else 0.96), xycoords="axes fraction", va="bottom" if high else "top",
                    fontsize=8, color="0.35")  # fmt: skip
    axes[0][0].set_ylim(0, None)
    lines = [axes[0][0].lines[0], axes[0][0].lines[-1]]
    figure.legend(lines, ["one domain", "mean over domains"], loc="outside lower center", ncols=2, frameon=False)
    return figure
