"""Figures about tests hold the numbers they are given, mark what must be marked, and their labels do not overlap."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from metastudy.abtest.many import friedman
from metastudy.abtest.sequential import confidence_sequence
from metastudy.errors import DataError
from metastudy.figures import G_COLOUR
from metastudy.figures_evidence import CONTROL, calibration, critical_difference, interleaving, sequential_path


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(figure: Figure) -> list[str]:
    """Annotations of the first axes; none may overlap another or leave the figure."""
    figure.canvas.draw()
    found = [t for t in figure.axes[0].texts if t.get_text()]
    boxes = [t.get_window_extent() for t in found]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(b.x0 >= 0 and b.x1 <= figure.bbox.x1 and b.y0 >= 0 and b.y1 <= figure.bbox.y1 for b in boxes)
    return [t.get_text().strip() for t in found]


def ranked(n: int, k: int, shift: float, tied: bool = False):
    values = np.random.default_rng(0).normal(size=(n, k)) - shift * np.arange(k)
    table = pd.DataFrame(values, columns=["g", *(f"method_{i}" for i in range(1, k))])
    if tied:
        table.iloc[:, 2] = table.iloc[:, 3]
    return friedman(table)


@pytest.mark.parametrize(("n", "k", "shift", "tied"), [(6, 3, 0, False), (12, 10, 0.5, True), (40, 7, 1.5, False)])
def test_critical_difference(n: int, k: int, shift: float, tied: bool) -> None:
    result = ranked(n, k, shift, tied)
    figure = critical_difference(result)
    shown = texts(figure)
    for method, rank in result.ranks.items():
        assert f"{method}  {rank:.2f}" in shown or f"{rank:.2f}  {method}" in shown
    assert any(f"critical difference {result.cd:.2f} at level 0.05, {n} families" in t for t in shown)
    stems = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert [line.get_xdata()[0] for line in stems] == pytest.approx(result.ranks.tolist())
    assert stems[list(result.ranks.index).index("g")].get_color() == G_COLOUR
    scale = next(line for line in figure.axes[0].lines if line.get_marker() == "|")
    assert np.ptp(scale.get_xdata()) == pytest.approx(result.cd)


def test_bars_join_what_may_be_equal() -> None:
    separate, together = ranked(40, 4, 100), ranked(6, 4, 0)
    bars = [
        [line for line in critical_difference(r).axes[0].lines if line.get_linewidth() == 4.5]
        for r in (separate, together)
    ]
    assert len(bars[0]) == 0 and len(bars[1]) == 1
    low, high = bars[1][0].get_xdata()
    assert low < together.ranks.min() and together.ranks.max() < high


def test_a_critical_difference_longer_than_the_axis_is_said() -> None:
    result = ranked(6, 3, 0)
    longer = type(result)(**{**vars(result), "cd": 2.5})
    assert "critical difference 2.50 (more than the axis) at level 0.05, 6 families" in texts(
        critical_difference(longer)
    )


def test_sequential_path() -> None:
    found = confidence_sequence(np.random.default_rng(0).normal(0.5, 1, 200))
    assert found.stop is not None
    figure = sequential_path(found.frame(), found.stop, "difference", truth=0.5)
    figure.canvas.draw()
    ax = figure.axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["estimate so far"].get_ydata() == pytest.approx(found.estimate[29:])
    marked = lines[f"stop at n = {found.stop}"]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (found.stop, found.estimate[found.stop - 1])
    assert lines["true difference"].get_ydata()[0] == 0.5
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(found.low[29:].min()) and band[:, 0].min() == 30
    low, high = ax.get_ylim()
    assert low < found.low[40:].min() and high > found.high[40:].max()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("units seen (n)", "difference")


def test_a_path_without_a_stop_says_so_and_one_without_an_interval_is_refused() -> None:
    found = confidence_sequence(np.tile([1.0, -1.0], 50))
    labels = [line.get_label() for line in sequential_path(found.frame(), found.stop, "d").axes[0].lines]
    assert "no stop: undecided" in labels and not any("stop at" in x for x in labels)
    with pytest.raises(DataError, match="none of 20 steps has a bounded interval"):
        sequential_path(confidence_sequence(np.arange(20.0)).frame(), None, "d")


def test_interleaving() -> None:
    rows = [
        ("perfect", 51, 13, 16, 0.8, 0.68, 0.88),
        ("random", 24, 35, 21, 0.41, 0.29, 0.53),
        ("idle", 0, 0, 80, np.nan, 0, 1),
    ]
    table = pd.DataFrame(rows, columns=["user", "wins", "losses", "ties", "share", "low", "high"])
    figure = interleaving(table, "g", "BM25")
    assert texts(figure) == [
        "51 : 13 queries, 16 ties",
        "24 : 35 queries, 21 ties",
        "nothing decided",
        "0 : 0 queries, 80 ties",
    ]
    ax = figure.axes[0]
    assert [(p.get_x(), p.get_width()) for p in ax.patches] == [(0.5, pytest.approx(0.3)), (0.5, pytest.approx(-0.09))]
    assert ax.lines[0].get_xdata().tolist() == [0.68, 0.88]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["perfect", "random\n(negative control)", "idle"]
    assert ax.patches[1].get_hatch() and not ax.patches[0].get_hatch()
    assert "won by g against BM25" in ax.get_xlabel()


def rates(shapes: int = 3) -> pd.DataFrame:
    rows = [
        (test, f"shape {s}", rate + s / 1000, rate - 0.01, rate + 0.02, rate > 0.2)
        for test, rate in (("paired t", 0.05), ("always-valid", 0.02), ("peeking", 0.24))
        for s in range(shapes)
    ]
    return pd.DataFrame(rows, columns=["test", "shape", "rate", "low", "high", "control"])


def test_calibration() -> None:
    figure = calibration(rates(), (0.037, 0.063))
    figure.canvas.draw()
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["paired t", "always-valid", "peeking\n(negative control)"]
    points = [line for line in ax.lines if line.get_marker() not in ("None", None) and len(line.get_xdata()) == 1]
    assert [p.get_xdata()[0] for p in points] == pytest.approx(rates()["rate"].tolist())
    assert [p.get_markerfacecolor() == "white" for p in points] == rates()["control"].tolist()
    assert len({p.get_ydata()[0] for p in points}) == 9  # no marker hides another
    assert (np.round([p.get_ydata()[0] for p in points]) == [0, 0, 0, 1, 1, 1, 2, 2, 2]).all()
    band = ax.patches[0].get_bbox()
    assert (band.x0, band.x1) == pytest.approx((0.037, 0.063))
    assert any(p.get_facecolor()[:3] == pytest.approx(plt.matplotlib.colors.to_rgb(CONTROL)) for p in ax.patches[1:])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["shape 0", "shape 1", "shape 2"]
    labels = [t.get_window_extent() for t in ax.get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(labels))
    assert [t.get_text() for t in ax.get_xticklabels()][:4] == ["0", "1%", "2.5%", "5%"]


def test_more_shapes_than_colours_are_refused() -> None:
    with pytest.raises(DataError, match="12 shapes of data and no colour"):
        calibration(rates(12), (0.037, 0.063))
