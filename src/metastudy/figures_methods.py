"""Many ways of adapting in one figure: a panel for each kind of method, g in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metastudy.errors import DataError
from metastudy.figures import MARKERS, colours, label, shots_panel, style

Groups = Mapping[str, Sequence[str]]


def _panels(groups: Groups, present: set[str], height: float) -> tuple[Figure, dict[Axes, list[str]]]:
    """One panel for each group that has a method, with the methods to draw there: its own, then g."""
    shown = {title: [m for m in names if m in present] for title, names in groups.items()}
    shown = {title: names for title, names in shown.items() if names}
    if missing := present - {m for names in shown.values() for m in names} - {"g"}:
        raise DataError(f"methods {sorted(missing)} are in no group; expected each in one of {', '.join(groups)}")
    style()
    figure, axes = plt.subplots(1, len(shown), figsize=(3.9 * len(shown), height), sharey=True, squeeze=False)
    drawn = {}
    for ax, (title, names) in zip(axes[0], shown.items(), strict=True):
        ax.set_title(title)
        drawn[ax] = [*names, *(["g"] if "g" in present else [])]
    return figure, drawn


def _legend(ax: Axes) -> None:
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9)


def shots_by_group(
    table: pd.DataFrame, metric: str, groups: Groups, xlabel: str, family: str = "all", log: bool = False
) -> Figure:
    """Score against the number of labelled examples, one panel a group, with 95% intervals.

    Raises DataError for a method that no group names.
    """
    rows = table[(table["metric"] == metric) & (table["family"] == family)]
    figure, drawn = _panels(groups, set(rows["method"]), height=5.4)
    for i, (ax, methods) in enumerate(drawn.items()):
        shots_panel(ax, rows, methods, colours(methods))
        ax.set(xlabel=xlabel, ylabel="" if i else label(metric), yscale="log" if log else "linear")
        _legend(ax)
    return figure


def learning_by_group(history: pd.DataFrame, groups: Groups, ylabel: str, log: bool = False) -> Figure:
    """Validation loss on unseen tasks during meta-training: mean over folds and seeds, band from lowest to highest.

    A fit that stopped early is drawn as far as all of its method's fits went. Raises DataError as `shots_by_group`.
    """
    figure, drawn = _panels(groups, set(history["method"]), height=5.0)
    for i, (ax, methods) in enumerate(drawn.items()):
        palette = colours(methods)
        for j, method in enumerate(methods):
            by_step = history[history["method"] == method].groupby("step")["validation_loss"]
            rows = by_step.agg(["mean", "min", "max", "size"])
            rows = rows[rows["size"] == rows["size"].max()]
            wide = 2.6 if method == "g" else 1.4
            ax.plot(rows.index, rows["mean"], label=method, color=palette[method], marker=MARKERS[j], ms=4, lw=wide)
            ax.fill_between(rows.index, rows["min"], rows["max"], color=palette[method], alpha=0.12, linewidth=0)
        ax.set(xlabel="meta-training step", ylabel="" if i else ylabel, yscale="log" if log else "linear")
        _legend(ax)
    return figure
