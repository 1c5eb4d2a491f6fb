"""The figure of a comparison: how good each method is, and what it gains over the reference."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from metastudy.figures import colours, label, shots_panel, style
from metastudy.own_data.kind import Prepared

MOST = 7  # curves that can be told apart


def drawn_methods(prepared: Prepared, table: pd.DataFrame) -> list[str]:
    """At most `MOST` in the line-up's order: the reference, g, and those that are best at some number of shots."""
    sign = 1 if prepared.lower_is_better else -1
    ranks = table.assign(rank=(sign * table["mean"]).groupby(table["shots"]).rank()).groupby("method")["rank"].min()
    names = [m.name for m in prepared.methods]
    always = [m for m in (prepared.reference, "g") if m in names]
    by_rank = sorted((m for m in names if m not in always), key=lambda m: (ranks[m], names.index(m)))
    kept = {*always, *by_rank[: MOST - len(always)]}
    return [m for m in names if m in kept]


def draw(prepared: Prepared, table: pd.DataFrame) -> Figure:
    """Two panels over the number of labels: the metric, and the paired gain over the reference, with 95% intervals."""
    style()
    methods = drawn_methods(prepared, table)
    palette = colours(methods)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.6, 4.6))
    shots_panel(left, table, methods, palette)
    left.set(xlabel=f"{prepared.unit} (k)", ylabel=label(prepared.metric))
    gains = table.assign(mean=table["gain"], low=table["gain_low"].fillna(0), high=table["gain_high"].fillna(0))
    shots_panel(right, gains, methods, palette)
    right.set(xlabel=f"{prepared.unit} (k)", ylabel=f"gain in {label(prepared.metric)}")
    higher = "lower, so better," if prepared.lower_is_better else "better"
    right.set_title(f"above 0: {higher} than {prepared.reference}", fontsize=10)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, title="method (95% interval)")
    plt.close(figure)
    return figure
