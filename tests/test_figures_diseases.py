"""Figures of the diseases show what their tables say."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from metastudy.figures_diseases import by_table, reversed_labels

TABLES = pd.DataFrame(
    {"table": ["a", "b"], "g": [0.8, 0.7], "over x": [0.03, -0.01], "over y": [0.01, 0.02], "family": ["a", "b"]}
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_every_table_has_a_dot_for_each_rival() -> None:
    ax = by_table(TABLES, ["x", "y"], worst=-0.03).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines["x"].get_xdata()) == [-0.01, 0.03] and list(lines["y"].get_xdata()) == [0.02, 0.01]
    assert list(lines["the worst allowed"].get_xdata()) == [-0.03, -0.03]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b (0.70)", "a (0.80)"]


def test_both_ways_of_coding_are_drawn() -> None:
    rows = [(m, k, 0.7 + k / 100, 0.6 + k / 100) for m in ("g", "x") for k in (10, 1)]
    table = pd.DataFrame(rows, columns=["method", "shots", "as coded", "reversed"])
    ax = reversed_labels(table, ["g", "x"]).axes[0]
    assert [line.get_label() for line in ax.lines] == ["g, as coded", "g, reversed", "x, as coded", "x, reversed"]
    assert list(ax.lines[1].get_xdata()) == [1, 10] and list(ax.lines[1].get_ydata()) == pytest.approx([0.61, 0.7])
