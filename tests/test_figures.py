"""Figures show what the tables hold: every interval, every method in its colour, every axis with its label."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from helpers import ToyFamily
from metastudy import figures
from metastudy.adapt import MAML, RidgeHead
from metastudy.evaluate import mean_weights
from metastudy.methods import mixture_and_members
from metastudy.tasks import Task
from metastudy.train import TrainConfig

mpl.use("Agg")
pytestmark = pytest.mark.filterwarnings("error")
METHODS = ["lead", "ridge", "g"]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    with mpl.rc_context():
        yield
    plt.close("all")


def study_table(families: tuple[str, ...] = ("all", "f0"), metric: str = "mse") -> pd.DataFrame:
    """Means with uneven intervals for three methods at 1, 5 and 10 shots, rows in no order."""
    cells = itertools.product(families, METHODS, (10, 1, 5))
    rows = [(f, m, k, metric, 1 + i / 10, 0.8 + i / 10, 1.4 + i / 10) for i, (f, m, k) in enumerate(cells)]
    frame = pd.DataFrame(rows, columns=["family", "method", "shots", "metric", "mean", "low", "high"])
    return pd.concat([frame, frame.assign(metric="other", mean=99.0)])


def drawn(figure: Figure) -> Figure:
    """Draw it, so that whatever is wrong with it warns."""
    figure.canvas.draw()
    return figure


def labelled(figure: Figure) -> bool:
    """Every panel has an x label and the first of each row a y label."""
    return all(ax.get_xlabel() for ax in figure.axes) and bool(figure.axes[0].get_ylabel())


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def bars(ax: plt.Axes) -> dict[str, tuple[str, list[list[float]]]]:
    """Error bars by label: colour, and [middle, low, high] of each point."""
    found = {}
    for container in ax.containers:
        line, _, (segments,) = container.lines
        ends = [sorted(s[:, 1]) for s in segments.get_segments()]
        points = [[y, *end] for y, end in zip(line.get_ydata(), ends, strict=True)]
        found[container.get_label()] = to_hex(line.get_color()).upper(), points
    return found


def expected(table: pd.DataFrame, by: str, **chosen: object) -> list:
    for column, value in chosen.items():
        table = table[table[column] == value]
    return table.sort_values(by)[["mean", "low", "high"]].to_numpy()


@pytest.mark.parametrize("n", [1, 2, 11])
@pytest.mark.parametrize("place", [0, -1])
def test_g_has_its_colour_and_no_two_methods_share_one(n: int, place: int) -> None:
    others = [f"m{i}" for i in range(n - 1)]
    methods = ["g", *others] if place == 0 else [*others, "g"]
    found = figures.colours(methods)
    assert found["g"] == figures.G_COLOUR and set(found) == set(methods)
    assert len(set(found.values())) == n
    assert found == figures.colours(others) | {"g": figures.G_COLOUR}, "the same wherever g stands"


def test_more_methods_than_colours_are_no_error() -> None:
    assert len(figures.colours([f"m{i}" for i in range(15)])) == 16  # g has its colour even where it is not drawn


def test_metrics_have_names() -> None:
    assert figures.label("rouge1") == "ROUGE-1 F1 (x 100)" and figures.label("unknown") == "unknown"


@pytest.mark.parametrize("log", [False, True])
def test_shots_curves(log: bool) -> None:
    table = study_table()
    figure = drawn(figures.shots_curves(table, "mse", METHODS, "points", ("all", "f0"), ["together", "f 0"], log))
    assert labelled(figure) and legend(figure) == METHODS
    assert [ax.get_title() for ax in figure.axes] == ["together", "f 0"]
    for ax, family in zip(figure.axes, ("all", "f0"), strict=True):
        found = bars(ax)
        assert list(found) == METHODS and ax.get_yscale() == ("log" if log else "linear")
        assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "5", "10"]
        for method, (colour, points) in found.items():
            assert colour == figures.colours(METHODS)[method]
            assert points == pytest.approx(expected(table, "shots", family=family, method=method, metric="mse"))


def test_a_method_keeps_its_colour_where_others_are_missing() -> None:
    table = study_table()
    full, part = (figures.shots_curves(t, "mse", METHODS, "k") for t in (table, table[table["method"] != "lead"]))
    assert bars(part.axes[0])["ridge"][0] == bars(full.axes[0])["ridge"][0] and "lead" not in bars(part.axes[0])
    assert not full.axes[0].get_title()


def test_intervals_that_are_missing_or_rounded_are_drawn() -> None:
    table = study_table(("all",)).query("metric == 'mse'")
    drawn(figures.shots_curves(table.assign(low=np.nan, high=np.nan), "mse", METHODS, "k"))
    drawn(figures.shots_curves(table.assign(low=table["mean"] + 1e-9, high=table["mean"]), "mse", METHODS, "k"))


def test_gain_curves() -> None:
    gains = study_table(("all",)).query("metric == 'mse' and method != 'lead'")
    figure = drawn(figures.gain_curves(gains, "mse", "lead", METHODS, "points"))
    (ax,) = figure.axes
    assert ax.get_xlabel() == "points" and ax.get_ylabel() == "mean squared error: gain over lead"
    found = bars(ax)
    assert list(found) == ["ridge", "g"] and found["g"][0] == figures.G_COLOUR
    assert found["g"][1] == pytest.approx(expected(gains, "shots", method="g"))
    assert set(legend(figure)) == {"ridge", "g"}
    assert any(np.all(np.asarray(line.get_ydata()) == 0) for line in ax.lines), "the reference is the zero line"


def verdicts() -> pd.DataFrame:
    rows = [
        ("one", "g", "ridge", 5, "accuracy", 0.2, 0.1, 0.3, "better"),
        ("one", "g", "lead", 5, "accuracy", -0.2, -0.4, -0.1, "worse"),
        ("one", "g", "pooled", 5, "accuracy", 0.0, -0.01, 0.01, "equivalent"),
        ("two", "g", "ridge", 10, "mse", 0.1, -0.5, 0.9, "undecided"),
    ]
    return pd.DataFrame(rows, columns=["study", "a", "b", "shots", "metric", "difference", "low", "high", "verdict"])


def test_the_forest_shows_each_interval_in_the_colour_of_its_verdict() -> None:
    figure = drawn(figures.forest(verdicts().replace({"study": {"one": "digits"}}), {"digits": 0.05, "two": 0.2}))
    first, second = figure.axes
    assert (
        first.get_title("left") == "digits: new classes, 5 examples" and second.get_title("left") == "two, 10 examples"
    )
    assert "accuracy" in first.get_xlabel() and "mean squared error" in second.get_xlabel()
    names = [t.get_text() for t in first.get_yticklabels()]
    assert names == ["g against pooled", "g against lead", "g against ridge"], "the first row is on top"
    drawn_intervals = [
        (line.get_xdata()[0], line.get_xdata()[1], line.get_ydata()[0], line.get_color())
        for line in first.lines
        if len(line.get_xdata()) == 2 and line.get_linewidth() > 2
    ]
    c = figures.VERDICT_COLOURS
    assert drawn_intervals == [
        (-0.01, 0.01, 0, c["equivalent"]), (-0.4, -0.1, 1, c["worse"]), (0.1, 0.3, 2, c["better"]),
    ]  # fmt: skip
    assert [list(line.get_xdata()) for line in first.lines if line.get_marker() == "o"] == [[0.0], [-0.2], [0.2]]
    for ax, margin in ((first, 0.05), (second, 0.2)):
        band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
        assert (band.x0, band.x1) == pytest.approx((-margin, margin))
    assert "undecided  +0.1 [-0.5, +0.9]" in [t.get_text() for t in second.texts]


def test_mixture_weights_stack_to_one() -> None:
    family = ToyFamily("regression", shots=(1, 3), n_test=2)
    fold, g = family.folds()[0], mixture_and_members(MAML(1), RidgeHead())[-1]
    specs = [s for s in family.freeze(np.random.default_rng(0)) if s.fold == fold.name]
    fitted = g.fit(family, fold, TrainConfig(steps=2, tasks_per_step=2, validate_every=1), 0)
    weights = mean_weights(family, fold, specs, fitted, 7)
    assert list(weights.columns) == ["fold", "seed", "shots", "mapping", "beta"] and len(weights) == 2 * 2
    assert weights["shots"].tolist() == [1, 1, 3, 3] and weights["mapping"].tolist() == ["maml", "ridge"] * 2
    assert set(weights["fold"]) == {"one"} and set(weights["seed"]) == {7} and weights["beta"].between(0, 1).all()
    other = pd.DataFrame({"shots": [1, 1], "mapping": ["ridge", "attention"], "beta": [0.25, 0.75]})
    figure = drawn(figures.mixture_weights({"toy": weights, "other": other}))
    assert labelled(figure) and legend(figure) == ["maml", "ridge", "attention"]
    first, second = figure.axes
    assert first.get_title() == "toy" and [t.get_text() for t in first.get_xticklabels()] == ["1", "3"]
    tops = [max(c.patches[0].get_y() + c.patches[0].get_height() for c in ax.containers) for ax in figure.axes]
    assert tops == pytest.approx([1, 1], abs=1e-6)
    colour = {c.get_label(): c.patches[0].get_facecolor() for ax in (first, second) for c in ax.containers}
    assert len(set(colour.values())) == 3
    ridge = [c.patches[0].get_facecolor() for ax in (first, second) for c in ax.containers if c.get_label() == "ridge"]
    assert ridge[0] == ridge[1], "a mapping has one colour in all panels"


def test_base_models() -> None:
    cells = itertools.product([("images", "accuracy", ["net", "linear"]), ("people", "auroc", ["linear"])], (100, 30))
    rows = [(d, m, n, metric, 0.9, 0.8, 1.05) for (d, metric, names), n in cells for m in names]
    table = pd.DataFrame(rows, columns=["data", "model", "rows", "metric", "mean", "low", "high"])
    figure = drawn(figures.base_models(table, ["net", "linear"]))
    first, second = figure.axes
    assert labelled(figure) and legend(figure) == ["net", "linear"]
    assert (first.get_ylabel(), second.get_ylabel()) == ("accuracy (share correct)", "AUROC")
    assert (first.get_title(), second.get_title()) == ("images", "people") and second.get_ylim()[1] == 1.0
    assert [t.get_text() for t in first.get_xticklabels()] == ["30", "100"]
    assert list(bars(first)) == ["net", "linear"] and list(bars(second)) == ["linear"]
    assert bars(second)["linear"][0] == bars(first)["linear"][0] != bars(first)["net"][0]
    assert bars(first)["net"][1] == pytest.approx(expected(table, "rows", data="images", model="net"))


def test_sinusoid_fit() -> None:
    x = np.linspace(-5, 5, 20)
    curves = pd.concat([pd.DataFrame({"method": m, "x": x, "y": x * i}) for i, m in enumerate(["ridge", "g", "truth"])])
    support = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 2.0]})
    figure = drawn(figures.sinusoid_fit(curves, support))
    assert labelled(figure) and [ax.get_title() for ax in figure.axes] == ["ridge", "g"]
    assert legend(figure) == ["truth", "prediction", "labelled examples"]
    truth, prediction, points = figure.axes[1].lines
    assert prediction.get_color() == figures.G_COLOUR and prediction.get_ydata() == pytest.approx(x)
    assert truth.get_ydata() == pytest.approx(2 * x) and points.get_ydata().tolist() == [0, 2]


def test_image_task_shows_every_image_by_class() -> None:
    ways, shots, n_query = 3, 2, 1
    support_y, query_y = torch.arange(ways).repeat_interleave(shots), torch.arange(ways)
    support, query = (y[:, None, None, None] / 4 + torch.zeros(len(y), 1, 4, 4) for y in (support_y, query_y))
    task = Task("t", "f", "classification", support, support_y, query, query_y, ways)
    figure = drawn(figures.image_task(task, "a task"))
    assert figure.get_suptitle() == "a task" and len(figure.axes) == ways * (shots + 1 + n_query)
    rows = np.array(figure.axes).reshape(ways, -1)
    for label, row in enumerate(rows):
        assert row[0].get_title("left") == f"class {label}" and not row[shots].images, "a gap before the queries"
        images = [ax.images[0].get_array() for ax in row if ax.images]
        assert len(images) == shots + n_query and all((image == label / 4).all() for image in images)


def test_sketch_progress() -> None:
    names = ["sketch, started afresh", "sketch, carried on", "g"]
    rows = [(m, n, 0.5 + i / 10, 0.4 + i / 10, 0.7 + i / 10) for i, m in enumerate(names) for n in (0, 1, 30)]
    table = pd.DataFrame(rows, columns=["method", "seen", "mean", "low", "high"])
    figure = drawn(figures.sketch_progress(table))
    (ax,) = figure.axes
    assert labelled(figure) and legend(figure) == names
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "30"]
    found = bars(ax)
    assert found["g"][0] == figures.G_COLOUR and len({colour for colour, _ in found.values()}) == 3
    for method, (_, points) in found.items():
        assert points == pytest.approx(expected(table, "seen", method=method))


def test_corpus_sizes() -> None:
    table = pd.DataFrame({"package": ["numpy", "scipy"], "entries": [30, 20], "queries": [10, 5]})
    figure = drawn(figures.corpus_sizes(table))
    (ax,) = figure.axes
    assert labelled(figure) and [t.get_text() for t in ax.get_yticklabels()] == ["numpy", "scipy"]
    assert [[p.get_width() for p in c.patches] for c in ax.containers] == [[30, 20], [10, 5]]
    assert ax.yaxis_inverted() and len(legend(figure)) == 2
