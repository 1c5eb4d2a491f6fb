"""Figures of a new hospital hold the numbers they are given, and no label leaves them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from metastudy.figures import G_COLOUR, VERDICT_COLOURS
from metastudy.figures_hospitals import NAMES, by_support, changes

CURVES = pd.DataFrame(
    [
        (support, hospital, method, k, metric, mean, mean - 0.02, mean + 0.02)
        for i, support in enumerate(("random", "balanced"))
        for j, hospital in enumerate(NAMES)
        for method, start in (("source only", 0.5), ("g", 0.4))
        for k in (0, 1, 5)
        for metric, mean in (("log_loss", start + 0.1 * i + 0.01 * j - 0.02 * k), ("auroc", 0.9))
    ],
    columns=["support", "family", "method", "shots", "metric", "mean", "low", "high"],
)
CLAIMS = pd.DataFrame(
    [
        ("log_loss", "cleveland", 0.01, -0.01, 0.03, "undecided"),
        ("log_loss", "switzerland", 0.3, 0.2, 0.4, "better"),
        ("log_loss", "all", 0.155, 0.1, 0.2, "better"),
        ("auroc", "cleveland", 0.001, -0.002, 0.004, "equivalent"),
        ("auroc", "switzerland", -0.03, -0.05, -0.01, "worse"),
        ("auroc", "all", -0.0145, -0.03, 0.0, "undecided"),
    ],
    columns=["metric", "hospital", "difference", "low", "high", "verdict"],
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def check_inside(figure: Figure) -> None:
    figure.canvas.draw()
    texts = [text for ax in figure.axes for text in (ax.xaxis.label, ax.yaxis.label, ax.title)]
    for ax in figure.axes:  # ticks beyond the limits are not drawn
        low, high = ax.get_ylim()
        texts += [t for t in ax.get_yticklabels() if low <= t.get_position()[1] <= high]
    for text in (*texts, *figure.legends[0].get_texts()):
        if text.get_text():
            box = text.get_window_extent()
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
            assert inside, text.get_text()
    for ax in figure.axes:
        assert not figure.legends[0].get_window_extent().overlaps(ax.get_window_extent())


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_by_support_and_hospital() -> None:
    figure = by_support(CURVES, "log_loss", ("source only", "g", "absent"))
    check_inside(figure)
    assert len(figure.axes) == 8 and legend(figure) == ["source only", "g"]
    assert [ax.get_title() for ax in figure.axes[:4]] == list(NAMES.values())
    assert figure.axes[0].get_ylabel() == "2k patients as they come\nlog loss (nats)"
    assert figure.axes[4].get_ylabel() == "k healthy, k sick\nlog loss (nats)"
    for i, support in enumerate(("random", "balanced")):
        for j, hospital in enumerate(NAMES):
            ax = figure.axes[4 * i + j]
            drawn = {c.get_label(): c[0].get_ydata().tolist() for c in ax.containers}
            own = CURVES[(CURVES["support"] == support) & (CURVES["family"] == hospital)]
            for method in ("source only", "g"):
                rows = own[(own["method"] == method) & (own["metric"] == "log_loss")].sort_values("shots")
                assert drawn[method] == rows["mean"].tolist()
    assert figure.axes[0].containers[1][0].get_color() == G_COLOUR
    assert [t.get_text() for t in figure.axes[4].get_xticklabels()] == ["0", "1", "5"]


def test_one_support_is_one_row() -> None:
    figure = by_support(CURVES[CURVES["support"] == "random"], "auroc", ("g",))
    check_inside(figure)
    assert len(figure.axes) == 4 and figure.axes[0].get_xlabel() == "k (of 2k labelled patients)"


def test_changes_stand_beside_their_margin() -> None:
    figure = changes(CLAIMS, 0.01, "source only")
    check_inside(figure)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["mean of the four", "Switzerland", "Cleveland"]
    assert legend(figure) == ["better", "worse", "equivalent", "undecided"]
    for ax, metric in zip(figure.axes, ("log_loss", "auroc"), strict=True):
        band = ax.patches[0]
        assert (band.get_x(), band.get_width()) == (-0.01, 0.02)
        own = CLAIMS[CLAIMS["metric"] == metric].iloc[::-1].reset_index(drop=True)
        points = {line.get_ydata()[0]: line for line in ax.lines if line.get_marker() in ("o", "D")}
        lines = [line for line in ax.lines if line.get_marker() == "None"][1:]  # without the one at 0
        spans = {line.get_ydata()[0]: line for line in lines}
        for y, r in own.iterrows():
            assert points[y].get_xdata()[0] == r["difference"]
            assert list(spans[y].get_xdata()) == [r["low"], r["high"]]
            assert points[y].get_color() == VERDICT_COLOURS[r["verdict"]]
    assert figure.axes[0].get_xlabel() == "gain of g in log loss (nats)"
    titled = changes(CLAIMS, 0.01, "source only", {"auroc": "ranking"})
    assert titled.axes[1].get_xlabel() == "ranking"
