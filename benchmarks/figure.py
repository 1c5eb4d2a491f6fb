"""The figure of the speed table: one panel a work, one bar an implementation."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from metastudy.figures import G_COLOUR, PALETTE, style
from metastudy.project import write_atomic

OURS = "metastudy"
GREY, TARGET = "#9A9A9A", PALETTE[0]


def number(value: float) -> str:
    """Two digits, as ratios of times deserve."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def duration(ms: float) -> str:
    """Two or three digits with their unit."""
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 99.5 else f"{ms:.1f} ms"


def _panel(ax: Axes, rows: pd.DataFrame, low: float, high: float) -> None:
    rows = rows.sort_values("ratio_to_baseline", kind="stable")
    names, values = list(rows["implementation"]), list(rows["ratio_to_baseline"])
    baseline, target = rows["baseline"].iloc[0], rows["target"].iloc[0]
    # bars of a logarithmic axis start at the baseline: to the right is faster, to the left slower
    colours = [G_COLOUR if name.startswith(OURS) else GREY for name in names]
    ax.barh(range(len(rows)), [v - 1 for v in values], left=1, height=0.66, color=colours)
    for i, (name, value, ms) in enumerate(zip(names, values, rows["ms_per_step"], strict=True)):
        look = {"va": "center", "fontsize": 9, "weight": "bold" if name.startswith(OURS) else "normal", "zorder": 4}
        ax.annotate(
            f"{number(value)}×", (max(value, 1), i), (5, 0), textcoords="offset points",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, **look,
        )  # fmt: skip
        ax.annotate(duration(ms), (1, i), xycoords=ax.get_yaxis_transform(), ha="right", **look)
    if pd.notna(target):
        ax.plot([target] * 2, [-0.6, len(rows) - 0.4], color=TARGET, linewidth=1.3, linestyle=(0, (4, 2)), zorder=3)
        ax.annotate(
            f"target {number(target)}×", (target, len(rows) - 0.4), (0, 2), textcoords="offset points",
            ha="center", fontsize=8, color=TARGET,
        )  # fmt: skip
    ax.axvline(1, color="#333333", linewidth=0.8)
    ax.set_yticks(range(len(rows)), names)
    for tick, name in zip(ax.get_yticklabels(), names, strict=True):
        tick.set_weight("bold" if name.startswith(OURS) else "normal")
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_title(rows["work"].iloc[0], loc="left", fontsize=10.5, weight="bold", pad=16)
    ax.set_xlabel(f"steps per second, {baseline} = 1", fontsize=9)
    ax.grid(False, axis="y")


def speed(table: pd.DataFrame) -> Figure:
    """Speed-up over each work's baseline, on one logarithmic axis; ours stands out, targets are thin dashed marks."""
    style()
    works = list(dict.fromkeys(table["work"]))
    counts = [int((table["work"] == work).sum()) for work in works]
    figure, axes = plt.subplots(
        len(works), 1, figsize=(8.6, sum(0.3 * n + 1.15 for n in counts)), squeeze=False,
        gridspec_kw={"height_ratios": [n + 0.2 for n in counts]},
    )  # fmt: skip
    reach = pd.concat([table["ratio_to_baseline"], table["target"]]).dropna()
    low, high = min(0.5, reach.min() / 1.4), max(2.0, reach.max()) * 4
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low <= t <= high]
    for ax, work in zip(axes[:, 0], works, strict=True):
        _panel(ax, table[table["work"] == work], low, high)
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    return figure


def save(table: pd.DataFrame, path: Path) -> None:
    """Draw and write the whole file or nothing; without the date, so that equal tables give equal files."""
    figure, content = speed(table), io.BytesIO()
    figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)
    write_atomic(path, content.getvalue())
