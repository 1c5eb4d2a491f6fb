"""Figures of feedback hold the numbers of their tables, and no label leaves the figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from metastudy.figures import G_COLOUR
from metastudy.figures_search import LOST, NAMES, WON, against_k, gains_forest, won_and_lost
from metastudy.search_study import ALL, MEAN

pytestmark = pytest.mark.filterwarnings("error")
SIX = ("cranfield", "cisi", "medline", "cystic_fibrosis", "npl", "nfcorpus")
METHODS = ("none", "F+L", "g")
TABLE = pd.DataFrame(
    [
        (family, method, k, metric, start + 0.01 * f + 0.02 * m + 0.03 * k, 0.2, 0.9)
        for f, family in enumerate((ALL, *SIX))
        for m, method in enumerate((*METHODS, "not drawn"))
        for k in (8, 1, 2)
        for metric, start in (("ndcg@10", 0.3), ("mrr", 0.5))
    ],
    columns=["family", "method", "shots", "metric", "mean", "low", "high"],
)
GAINS = pd.DataFrame(
    [
        (b, k, family, gain + f, gain - 2, gain + 2, *((gain - 5, gain + 5) if family == ALL else (np.nan, np.nan)))
        for b, gain in (("none", 20.0), ("F+L", -1.0))
        for k in (1, 2, MEAN)
        for f, family in enumerate((*SIX[:3], ALL))
    ],
    columns=["b", "shots", "family", "gain", "low", "high", "t_low", "t_high"],
)
DIFFERENCES = pd.DataFrame(
    [("cranfield", d) for d in (-0.2, 0.5, 0.0, 0.1)] + [("a_new_one", d) for d in (0.3, -0.1, -0.2)],
    columns=["family", "difference"],
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def check_inside(figure: Figure) -> None:
    """Draw it: no text may leave the figure, and the legend may not cover a panel."""
    figure.canvas.draw()
    texts = [text for ax in figure.axes for text in (ax.xaxis.label, ax.yaxis.label, ax.title)]
    for ax in figure.axes:  # ticks beyond the limits are not drawn
        low, high = ax.get_ylim()
        texts += [t for t in ax.get_yticklabels() if low <= t.get_position()[1] <= high]
    for text in (*texts, *figure.legends[0].get_texts(), figure.legends[0].get_title()):
        if text.get_text():
            box = text.get_window_extent()
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
            assert inside, text.get_text()
    for ax in figure.axes:
        assert not figure.legends[0].get_window_extent().overlaps(ax.get_window_extent())


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_panel_a_collection_and_their_mean_last() -> None:
    figure = against_k(TABLE, [*METHODS, "absent"])
    check_inside(figure)
    assert [ax.get_title() for ax in figure.axes] == [NAMES[f] for f in (*sorted(SIX), ALL)]
    assert legend(figure) == list(METHODS)
    for ax, family in zip(figure.axes, (*sorted(SIX), ALL), strict=True):
        assert [c.get_label() for c in ax.containers] == list(METHODS)
        for container, method in zip(ax.containers, METHODS, strict=True):
            own = TABLE[(TABLE["family"] == family) & (TABLE["method"] == method) & (TABLE["metric"] == "ndcg@10")]
            line, _, (segments,) = container.lines
            assert line.get_ydata().tolist() == own.sort_values("shots")["mean"].tolist()
            assert [sorted(s[:, 1]) for s in segments.get_segments()] == [pytest.approx([0.2, 0.9])] * 3
        assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "8"]
    assert to_hex(figure.axes[0].containers[2][0].get_color()).upper() == G_COLOUR
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes]
    k, y = "judged pages (k)", "nDCG@10"
    assert labels == [("", y), ("", ""), ("", ""), (k, ""), (k, y), (k, ""), (k, "")]


def test_collections_without_their_mean() -> None:
    figure = against_k(TABLE[TABLE["family"] == "npl"], METHODS, "mrr")
    check_inside(figure)
    assert [ax.get_title() for ax in figure.axes] == ["NPL"] and figure.axes[0].get_ylabel() == "mrr"


def test_what_is_judged_where_collections_are_tasks() -> None:
    figure = against_k(TABLE, METHODS, judged="judged queries")
    check_inside(figure)
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", "", *["judged queries (k)"] * 4]


def test_gains_stand_with_both_intervals_and_their_collections() -> None:
    figure = gains_forest(GAINS, [2, MEAN], bars={"F+L": -2.0})
    check_inside(figure)
    assert [ax.get_title() for ax in figure.axes] == ["k = 2", "mean over k"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["over F+L", "over none"]
    assert legend(figure) == ["mean; over queries", "over collections", "a collection", "to be above"]
    for ax in figure.axes:
        for y, gain in enumerate((-1.0, 20.0)):
            flat = {line.get_linewidth(): line for line in ax.lines if list(line.get_ydata()) == [y, y]}
            assert list(flat[1.1].get_xdata()) == [gain - 5, gain + 5], "thin: over collections"
            assert list(flat[4.0].get_xdata()) == [gain - 2, gain + 2], "thick: over queries"
            dots = {tuple(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"}
            assert {(gain + 3,), (gain, gain + 1, gain + 2)} <= dots
        dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
        assert [list(line.get_xdata()) for line in dotted] == [[-2.0, -2.0]]
    assert legend(gains_forest(GAINS, [1]))[-1] == "a collection"
    assert gains_forest(GAINS, [1], a="F").axes[0].get_xlabel() == "gain of F in percent"


def test_queries_won_and_lost() -> None:
    figure = won_and_lost(DIFFERENCES, "g", "F+L", 2)
    check_inside(figure)
    assert [ax.get_title() for ax in figure.axes] == [
        "Cranfield\n2 won, 1 tied, 1 lost", "a_new_one\n1 won, 0 tied, 2 lost",
    ]  # fmt: skip
    for ax, expected in zip(figure.axes, ([0.5, 0.1, 0, -0.2], [0.3, -0.1, -0.2]), strict=True):
        bars = {round(bar.get_x() + bar.get_width() / 2): bar for bar in ax.patches}
        heights = [bars[i + 1].get_height() if i + 1 in bars else 0 for i in range(len(expected))]
        assert heights == expected
        assert all(to_hex(b.get_facecolor()).upper() == (WON if b.get_height() > 0 else LOST) for b in bars.values())
        mean = next(line for line in ax.lines if line.get_linestyle() == "--")
        assert list(mean.get_ydata()) == pytest.approx([np.mean(expected)] * 2)
    assert legend(figure) == ["g is better", "F+L is better", "mean"]
    assert figure.axes[0].get_ylabel() == "nDCG@10: g minus F+L" and figure.legends[0].get_title().get_text() == "k = 2"
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
