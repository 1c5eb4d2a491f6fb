"""Figures of the public domains hold the numbers they are given, in their order, and no label leaves the figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from metastudy.figures import G_COLOUR, VERDICT_COLOURS
from metastudy.figures_summaries import by_domain, gap

PLAIN = pd.DataFrame(
    [
        ("bbc", "lead", 51.0, 50.0, 1.0, 0.4, 1.6, 0.001, 0.002, "better"),
        ("a_domain_with_a_long_name", "lexrank", 28.0, 30.0, -2.0, -3.5, -0.5, 0.01, 0.02, "worse"),
        ("scitldr", "centroid", 35.1, 35.0, 0.1, -0.3, 0.4, 0.5, 0.5, "equivalent"),
    ],
    columns=["family", "b", "g", "rival", "difference", "low", "high", "p", "p_adjusted", "verdict"],
)
GAP = pd.DataFrame(
    [("bbc", 40.0, 50.0, 60.0, 0.5), ("meqsum", 30.0, 29.0, 50.0, -0.05), ("all", 35.0, 39.5, 55.0, 0.225)],
    columns=["family", "lead", "g", "oracle", "closed"],
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def rows(figure: Figure) -> list[str]:
    """Labels of the rows from below; nothing may leave the figure, and the legend may not cover the axes."""
    figure.canvas.draw()
    ax = figure.axes[0]
    for text in (*ax.get_yticklabels(), ax.xaxis.label, *figure.legends[0].get_texts()):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text.get_text()
    assert not figure.legends[0].get_window_extent().overlaps(ax.get_window_extent())
    return [text.get_text() for text in ax.get_yticklabels()]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_differences_stand_in_their_order_with_interval_and_verdict() -> None:
    figure = by_domain(PLAIN, 0.5)
    assert rows(figure) == [
        "a_domain_with_a_long_name, over lexrank (30.0)", "scitldr, over centroid (35.0)", "bbc, over lead (50.0)",
    ]  # fmt: skip
    ax = figure.axes[0]
    points = {tuple(line.get_ydata()): line for line in ax.lines if line.get_marker() == "o"}
    intervals = {line.get_ydata()[0]: line for line in ax.lines if line.get_marker() == "None"}
    for y, r in enumerate(PLAIN.sort_values("difference").itertuples()):
        assert points[(y,)].get_xdata()[0] == r.difference
        assert list(intervals[y].get_xdata()) == [r.low, r.high]
        assert points[(y,)].get_color() == intervals[y].get_color() == VERDICT_COLOURS[r.verdict]
    band = ax.patches[0]
    assert (band.get_x(), band.get_width()) == (-0.5, 1.0)
    assert legend(figure) == ["better", "worse", "equivalent"], "words that occur, and no other"
    assert ax.get_xlabel() == "ROUGE-1 F1 (x 100): g minus the best plain method"


def test_the_legend_names_what_occurs() -> None:
    assert legend(by_domain(PLAIN[PLAIN["verdict"] == "worse"], 0.5)) == ["worse"]


def test_the_gap_runs_from_lead_to_oracle_without_the_mean() -> None:
    figure = gap(GAP)
    assert rows(figure) == ["meqsum (-5%)", "bbc (50%)"]
    ax = figure.axes[0]
    drawn = {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in ax.lines}
    assert drawn == {
        "lead": [(30.0, 0), (40.0, 1)],
        "oracle (a bound)": [(50.0, 0), (60.0, 1)],
        "g": [(29.0, 0), (50.0, 1)],
    }
    spans = [[tuple(point) for point in segment] for segment in ax.collections[0].get_segments()]
    assert spans == [[(30.0, 0.0), (50.0, 0.0)], [(40.0, 1.0), (60.0, 1.0)]]
    assert legend(figure) == ["lead", "oracle (a bound)", "g"]
    assert next(line for line in ax.lines if line.get_label() == "g").get_color() == G_COLOUR


def test_the_gap_of_another_method() -> None:
    assert legend(gap(GAP.rename(columns={"g": "pooled"}), "pooled"))[2] == "pooled"
