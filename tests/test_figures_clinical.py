"""Clinical figures hold the numbers they are given, each method in its colour, and no label leaves the figure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from metastudy import figures_clinical
from metastudy.clinical.thresholds import TREAT_ALL, TREAT_NONE
from metastudy.errors import DataError
from metastudy.figures import G_COLOUR, colours
from metastudy.figures_clinical import HEALTHIER, SICKER, drivers, subgroup_dots

mpl.use("Agg")
pytestmark = pytest.mark.filterwarnings("error")
METHODS = ["logistic", "forest", "g"]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    with mpl.rc_context():
        yield
    plt.close("all")


def checked(figure: Figure) -> Figure:
    """Drawn, with everything inside the figure and the legend beside the axes."""
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(ax.get_window_extent()) for ax in figure.axes)
    return figure


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def curve_table(x: str, places: list[float], methods: list[str] = METHODS) -> pd.DataFrame:
    cells = list(itertools.product([5, 1], methods, places[::-1]))
    rows = [(m, k, p, 0.1 + 0.01 * i, 0.05 + 0.01 * i, 0.2 + 0.01 * i) for i, (k, m, p) in enumerate(cells)]
    return pd.DataFrame(rows, columns=["method", "shots", x, "mean", "low", "high"])


def lines(ax: plt.Axes) -> dict[str, tuple[str, list, list]]:
    return {
        line.get_label(): (to_hex(line.get_color()).upper(), list(line.get_xdata()), list(line.get_ydata()))
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def bands(ax: plt.Axes) -> dict[str, np.ndarray]:
    """(n, 2) lower and upper ends of each band by colour."""
    found = {}
    for band in ax.collections:
        corners = band.get_paths()[0].vertices
        xs = np.unique(corners[:, 0])
        ends = [[f(corners[corners[:, 0] == x, 1]) for f in (np.min, np.max)] for x in xs]
        found[to_hex(band.get_facecolor()[0]).upper()] = np.array(ends)
    return found


@pytest.mark.parametrize(
    ("name", "x", "banded"), [("coverage_error", "coverage", METHODS), ("decision_curves", "threshold", ["g"])]
)
def test_curves_hold_the_table(name: str, x: str, banded: list[str]) -> None:
    extra = [TREAT_ALL, TREAT_NONE] if x == "threshold" else []
    table = curve_table(x, [0.2, 0.5, 0.8], [*METHODS, *extra])
    figure = checked(getattr(figures_clinical, name)(table, METHODS, "hospitals"))
    assert [ax.get_title() for ax in figure.axes] == ["1 labelled patient per class", "5 labelled patients per class"]
    assert set(legend(figure)) == {*METHODS, *extra} and all(ax.get_xlabel() for ax in figure.axes)
    assert "hospitals" in figure.legends[0].get_title().get_text() and figure.axes[0].get_ylabel()
    for ax, shots in zip(figure.axes, (1, 5), strict=True):
        found = lines(ax)
        assert set(found) == {*METHODS, *extra}
        for method, (colour, xs, ys) in found.items():
            rows = table[(table["method"] == method) & (table["shots"] == shots)].sort_values(x)
            assert (xs, ys) == (rows[x].tolist(), rows["mean"].tolist()), method
            assert method in extra or colour == colours(METHODS)[method]
        ends = bands(ax)
        assert set(ends) == {colours(METHODS)[m] for m in banded}
        rows = table[(table["method"] == "g") & (table["shots"] == shots)].sort_values(x)
        assert ends[G_COLOUR] == pytest.approx(rows[["low", "high"]].to_numpy())


def test_without_g_the_last_method_has_the_band() -> None:
    table = curve_table("threshold", [0.2, 0.5], ["logistic", "forest", TREAT_ALL, TREAT_NONE])
    figure = checked(figures_clinical.decision_curves(table, METHODS))
    assert set(bands(figure.axes[0])) == {colours(METHODS)["forest"]}
    low, high = figure.axes[0].get_ylim()
    assert low < 0 < table["mean"].max() < high


def test_the_reliability_diagram() -> None:
    rows = [
        (m, 5, b, 0.25 * b + 0.1, 0.2 * b + 0.05 * i, 0.2 * b, 0.2 * b + 0.3, 0.1 * (b + 1))
        for i, m in enumerate(METHODS)
        for b in range(4)
    ]
    table = pd.DataFrame(rows, columns=["method", "shots", "bin", "probability", "mean", "low", "high", "share"])
    empty = (table["method"] == "g") & (table["bin"] == 2)
    table.loc[empty, ["probability", "mean", "low", "high"]] = np.nan
    table.loc[(table["method"] == "g") & (table["bin"] == 3), ["low", "high"]] = np.nan  # one family
    figure = checked(figures_clinical.reliability(table, METHODS))
    ax, below = figure.axes
    assert legend(figure) == METHODS and below.get_xlabel() and below.get_ylabel() and ax.get_ylabel()
    found = {c.get_label(): c.lines for c in ax.containers}
    for method in METHODS:
        part = table[(table["method"] == method) & table["mean"].notna()]
        line, _, (segments,) = found[method]
        assert to_hex(line.get_color()).upper() == colours(METHODS)[method]
        assert line.get_ydata() == pytest.approx(part["mean"])
        assert line.get_xdata() == pytest.approx(part["probability"], abs=0.03)
        whole = part["low"].notna()
        ends = np.array([s[:, 1] for s, known in zip(segments.get_segments(), whole, strict=True) if known])
        assert ends == pytest.approx(part.loc[whole, ["low", "high"]].to_numpy())
    steps = [patch.get_data() for patch in below.patches]
    assert [s.values.tolist() for s in steps] == [pytest.approx([0.1, 0.2, 0.3, 0.4])] * 3
    assert steps[0].edges == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_several_shots_share_their_axes() -> None:
    cells = itertools.product(["g", "forest"], [1, 5, 10], [0, 1])
    table = pd.DataFrame([(m, k, b, 0.3 + 0.4 * b, 0.2, 0.1, 0.4, 0.5) for m, k, b in cells])
    table.columns = ["method", "shots", "bin", "probability", "mean", "low", "high", "share"]
    figure = checked(figures_clinical.reliability(table, METHODS))
    assert len(figure.axes) == 6 and legend(figure) == ["forest", "g"]
    assert sum(bool(ax.get_ylabel()) for ax in figure.axes) == 2


def subgroup_table() -> pd.DataFrame:
    cells = itertools.product(
        ["forest", "g"], ["va", "ilpd_of_a_long_name"], ["men", "women"], ["auroc", "in_the_large"]
    )
    rows = [(m, 5, t, t, s, 40 + len(s), 12, metric, 0.6 + 0.02 * i) for i, (m, t, s, metric) in enumerate(cells)]
    names = ["method", "shots", "family", "table", "subgroup", "n_patients", "n_sick", "metric", "value"]
    table = pd.DataFrame(rows, columns=names)
    table = table.assign(low=table["value"] - 0.05, high=table["value"] + 0.1)
    gone = (table["table"] == "va") & (table["subgroup"] == "women") & (table["metric"] == "auroc")
    table.loc[gone, ["value", "low", "high"]] = np.nan
    return table


def test_subgroups_have_a_dot_a_method_and_say_when_there_is_none() -> None:
    table = subgroup_table()
    figure = checked(subgroup_dots(table, "auroc", METHODS))
    (ax,) = figure.axes
    places = ["va: men", "va: women", "ilpd_of_a_long_name: men", "ilpd_of_a_long_name: women"]
    counts = [43, 45, 43, 45]
    expected = [f"{p} (12 of {n} sick)" for p, n in zip(places, counts, strict=True)]
    assert [t.get_text() for t in ax.get_yticklabels()] == expected and legend(figure) == ["forest", "g"]
    assert ax.get_xlabel() == "AUROC" and [t.get_text() for t in ax.texts] == ["not defined here"]
    assert ax.texts[0].xy[1] == 1
    dots = [line for line in ax.lines if len(line.get_xdata()) == 1]
    spans = {line.get_ydata()[0]: list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2}
    rows = table[(table["metric"] == "auroc") & table["value"].notna()]
    assert len(dots) == len(spans) == len(rows) == 6
    for dot in dots:
        y = dot.get_ydata()[0]
        method = {c: m for m, c in colours(METHODS).items()}[to_hex(dot.get_color()).upper()]
        name, subgroup = places[round(y)].split(": ")
        row = rows[(rows["method"] == method) & (rows["table"] == name) & (rows["subgroup"] == subgroup)].iloc[0]
        assert dot.get_xdata()[0] == row["value"] and spans[y] == [row["low"], row["high"]]
    figure = checked(subgroup_dots(table, "in_the_large", METHODS))
    assert figure.axes[0].get_xlabel() == "mean probability minus share of sick" and not figure.axes[0].texts


def test_subgroups_without_intervals_or_of_several_shots() -> None:
    table = subgroup_table()
    checked(subgroup_dots(table.assign(low=np.nan, high=np.nan), "auroc", ["g"]))
    both = pd.concat([table, table.assign(shots=1)])
    for bad, metric in ((both, "auroc"), (table, "brier")):
        with pytest.raises(DataError, match="expected one number"):
            subgroup_dots(bad, metric, METHODS)


def test_drivers_are_the_largest_and_the_others_add_up() -> None:
    values = {"age": 0.5, "sex": -2.0, "a column with quite a long name": 1.0, "bmi": -0.25, "weight": 0.125}
    frame = pd.DataFrame({"column": list(values), "contribution": list(values.values())})
    (ax,) = checked(drivers(frame, top=3)).axes
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == ["sex", "a column with quite a long name", "age", "2 other columns"]
    bars = [(bar.get_width(), to_hex(bar.get_facecolor()).upper()) for bar in ax.patches]
    assert bars[:3] == [(-2.0, HEALTHIER), (1.0, SICKER), (0.5, SICKER)] and bars[3][0] == -0.125
    assert sum(width for width, _ in bars) == pytest.approx(sum(values.values())), "nothing is lost"
    assert ax.yaxis_inverted() and ax.get_xlabel() == "contribution to the log odds of being sick"
    (ax,) = checked(drivers(frame, xlabel="change of the probability")).axes
    assert len(ax.patches) == 5 and ax.get_xlabel() == "change of the probability"
    assert [t.get_text() for t in drivers(frame, top=4).axes[0].get_yticklabels()][-1] == "1 other column"
    for bad in (frame.iloc[:0], pd.concat([frame, frame]), frame.assign(contribution=np.nan)):
        with pytest.raises(DataError, match="one number a column"):
            drivers(bad)


@pytest.mark.parametrize("name", ["reliability", "decision_curves", "coverage_error"])
def test_unknown_methods_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"none of the methods \['svm'\].*forest"):
        getattr(figures_clinical, name)(pd.DataFrame({"method": ["forest"], "shots": [1]}), ["svm"])
