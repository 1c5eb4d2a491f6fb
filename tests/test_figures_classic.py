"""Figures of the classic benchmarks hold the numbers they are given, also where there is little or nothing to show."""

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

from metastudy import figures, figures_classic
from metastudy.classic import published
from metastudy.errors import DataError

mpl.use("Agg")
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    with mpl.rc_context():
        yield
    plt.close("all")


def drawn(figure: Figure) -> Figure:
    """Draw it, so that whatever is wrong with it warns."""
    figure.canvas.draw()
    return figure


def legend(holder: Figure | plt.Axes) -> list[str]:
    found = holder.legends[0] if isinstance(holder, Figure) else holder.get_legend()
    return [text.get_text() for text in found.get_texts()]


X = np.linspace(-5, 5, 30)
STEPS = {"maml": (0, 1, 10), "g": (0, 1)}


def adaptation() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two tasks, y = a sin(x); after n steps a prediction of a (1 - 1 / (1 + n)) sin(x). Rows in no order."""
    curves, truth, support = [], [], []
    for task, a in {"flat": 1.0, "steep": 4.0}.items():
        truth.append(pd.DataFrame({"task": task, "x": X, "y": a * np.sin(X)}))
        support.append(pd.DataFrame({"task": task, "x": [0.0, 2.0], "y": a * np.sin([0.0, 2.0])}))
        for method, steps in STEPS.items():
            for n in reversed(steps):
                y = a * (1 - 1 / (1 + n)) * np.sin(X)
                curves.append(pd.DataFrame({"method": method, "task": task, "step": n, "x": X, "y": y})[::-1])
    return pd.concat(curves), pd.concat(truth), pd.concat(support)


def test_adaptation_gets_darker_step_by_step() -> None:
    figure = drawn(figures_classic.adaptation_steps(*adaptation()))
    axes = np.array(figure.axes).reshape(2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["maml", "g"]
    assert all(ax.get_xlabel() == "x" for ax in axes[1]) and all(ax.get_ylabel() == "y" for ax in axes[:, 0])
    assert legend(figure) == ["truth", "labelled points", "before adaptation", "1 step", "10 steps"]
    shade = {}
    for (row, a), (column, method) in itertools.product(enumerate((1.0, 4.0)), enumerate(STEPS)):
        truth, *curves, points = axes[row][column].lines
        assert truth.get_linestyle() == "--" and truth.get_ydata() == pytest.approx(a * np.sin(X))
        assert points.get_xdata().tolist() == [0, 2] and points.get_linestyle() == "None"
        assert len(curves) == len(STEPS[method])
        for line, n in zip(curves, STEPS[method], strict=True):
            assert line.get_xdata() == pytest.approx(X) and line.get_ydata() == pytest.approx(
                a * n / (1 + n) * np.sin(X)
            )
            assert shade.setdefault(n, to_hex(line.get_color())) == to_hex(line.get_color()), "a colour a step"
        widths = [line.get_linewidth() for line in curves]
        assert widths[-1] == max(widths) and len(set(widths[:-1])) == 1 and widths[0] < widths[-1]
    darkness = [sum(mpl.colors.to_rgb(shade[n])) for n in (0, 1, 10)]
    assert darkness == sorted(darkness, reverse=True) and len(set(darkness)) == 3


def test_a_prediction_that_runs_away_does_not_flatten_the_truth() -> None:
    curves, truth, support = adaptation()
    figure = drawn(figures_classic.adaptation_steps(curves.assign(y=curves["y"] * 1000), truth, support))
    assert max(figure.axes[0].get_ylim()) < 3 and max(figure.axes[2].get_ylim()) < 10


def test_one_method_and_one_task_without_a_start_are_enough() -> None:
    curves, truth, support = (f[f["task"] == "flat"] for f in adaptation())
    figure = drawn(figures_classic.adaptation_steps(curves.query("method == 'g' and step == 1"), truth, support))
    assert len(figure.axes) == 1 and legend(figure) == ["truth", "labelled points", "1 step"]


def test_incomplete_adaptation_is_refused() -> None:
    curves, truth, support = adaptation()
    with pytest.raises(DataError, match="no curve of maml for task 'steep'"):
        figures_classic.adaptation_steps(curves.query("method == 'g' or task == 'flat'"), truth, support)
    with pytest.raises(DataError, match="task 'flat' has no truth or no support points"):
        figures_classic.adaptation_steps(curves, truth, support[support["task"] == "steep"])
    with pytest.raises(DataError, match="curves lack the columns step; expected method, task, step, x, y"):
        figures_classic.adaptation_steps(curves.drop(columns="step"), truth, support)


def ours(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(published.OURS))


def theirs(benchmark: str, *rows: tuple) -> pd.DataFrame:
    columns = ["setting", "method", "value", "plus_minus", "checked"]
    return pd.DataFrame(rows, columns=columns).astype({"plus_minus": float}).assign(benchmark=benchmark)


def panel(ax: plt.Axes) -> dict[str, tuple[list[float], dict[str, float]]]:
    """By tick label: [low, high] of the line, and the position of each marker there."""
    found: dict[str, tuple[list[float], dict[str, float]]] = {}
    names = [t.get_text() for t in ax.get_yticklabels()]
    for line in ax.lines[: -1 if ax.lines[-1].get_linestyle() == "--" else None]:
        interval, markers = found.setdefault(names[int(line.get_ydata()[0])], ([], {}))
        if len(line.get_xdata()) == 2:
            interval += list(line.get_xdata())
        else:
            markers[line.get_marker()] = line.get_xdata()[0]
    return found


def test_errors_beside_published_ones_sorted_on_a_log_axis() -> None:
    held = theirs(
        "omniglot",
        ("5-way 1-shot", "slow", 98.0, 0.5, "read elsewhere"), ("5-way 1-shot", "quick", 99.0, None, "from memory"),
        ("20-way 1-shot", "slow", 90.0, None, "read elsewhere"), ("20-way 5-shot", "slow", 95, None, "read elsewhere"),
    )  # fmt: skip
    mine = ours(("20-way 1-shot", "g", 95.0, 94.0, 96.0), ("5-way 1-shot", "g", 98.5, 98.0, 99.0))
    figure = drawn(figures_classic.against_published(mine, held, lower_is_better=False))
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["5-way 1-shot", "20-way 1-shot"], "settings of ours, in order"
    assert {ax.get_xlabel() for ax in figure.axes} == {"error in % (100 - accuracy, log scale)"}
    assert all(ax.get_xscale() == "log" for ax in figure.axes)
    assert [t.get_text() for t in first.get_yticklabels()] == ["quick°", "g", "slow"] and first.yaxis_inverted()
    assert [t.get_fontweight() for t in first.get_yticklabels()] == ["normal", "bold", "normal"]
    found = panel(first)
    assert found["g"] == (pytest.approx([1.0, 2.0]), {"o": pytest.approx(1.5)})
    assert found["slow"] == (pytest.approx([1.5, 2.5]), {"D": pytest.approx(2.0)})
    assert np.isnan(found["quick°"][0]).all() and found["quick°"][1] == {"D": pytest.approx(1.0)}
    hollow = {line.get_markerfacecolor() for line in first.lines if line.get_marker() == "D"}
    full = {line.get_markerfacecolor() for line in first.lines if line.get_marker() == "o"}
    assert hollow == {"white"} and full == {figures.G_COLOUR}
    assert first.lines[-1].get_xdata() == pytest.approx([1.0, 1.0]), "the best published"
    assert second.lines[-1].get_xdata() == pytest.approx([10.0, 10.0])
    assert legend(figure)[1] == "published, ± where given (°: from memory)"


def test_what_lies_left_of_a_log_axis_is_an_arrow() -> None:
    held = theirs("omniglot", ("5-way 1-shot", "near", 99.9, 0.2, "read elsewhere"))
    mine = ours(("5-way 1-shot", "g", 100.0, 100.0, 100.0), ("5-way 1-shot", "ridge", 99.6, 99.2, 100.0))
    found = panel(drawn(figures_classic.against_published(mine, held, lower_is_better=False)).axes[0])
    edge = pytest.approx(0.1 / 4)
    assert list(found) == ["g", "near", "ridge"] and found["g"] == ([edge, edge], {"<": edge})
    assert found["near"] == ([edge, pytest.approx(0.3)], {"<": edge, "D": pytest.approx(0.1)})
    assert found["ridge"] == ([edge, pytest.approx(0.8)], {"<": edge, "o": pytest.approx(0.4)})


def test_errors_of_nothing_but_zero_are_drawn() -> None:
    mine = ours(("5 alphabets", "g", 0.0, 0.0, 0.0))
    held = theirs("omniglot_challenge", ("30 alphabets", "people", 4.5, None, "read elsewhere"))
    figure = drawn(figures_classic.against_published(mine, held, lower_is_better=True))
    first = figure.axes[0]
    assert first.get_title() == "5 alphabets" and first.get_xlabel() == "error in % (log scale)"
    assert [line.get_marker() for line in first.lines] == ["None", "<"], "no published result, and so no line of it"


@pytest.mark.parametrize("benchmark", list(published.SETTINGS))
def test_the_real_published_numbers_fit_their_panels(benchmark: str) -> None:
    lower = benchmark not in ("omniglot", "scitldr")
    mine = ours(*((s, m, 2.0 if lower else 98, 1, 99.5) for s in published.SETTINGS[benchmark] for m in ("g", "ridge")))
    figure = drawn(figures_classic.against_published(mine, published.of(benchmark), lower))
    shown = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in shown] == list(published.SETTINGS[benchmark])
    for ax in shown:
        boxes = [t.get_window_extent() for t in ax.get_yticklabels()]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert min(b.x0 for b in boxes) >= 0
        others = [o.get_tightbbox() for o in shown if o is not ax]
        assert not any(ax.get_tightbbox().overlaps(o) for o in others)
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width, "the legend is not cut"
    assert not any(box.overlaps(ax.get_tightbbox()) for ax in shown)


def test_results_that_cannot_be_compared_are_refused() -> None:
    mine = ours(("K=5", "g", 0.1, 0.0, 0.2))
    with pytest.raises(
        DataError, match=r"are of \['sinusoid', 'omniglot', 'omniglot_challenge', 'scitldr'\]; expected one of"
    ):
        figures_classic.against_published(mine, published.read(), lower_is_better=True)
    with pytest.raises(DataError, match="are of no benchmark"):
        figures_classic.against_published(mine, published.read()[:0], lower_is_better=True)
    with pytest.raises(DataError, match="setting 'K=5'; expected one of 5-way 1-shot"):
        figures_classic.against_published(mine, published.of("omniglot"), lower_is_better=False)
    with pytest.raises(DataError, match="above 100; expected accuracies in %"):
        figures_classic.against_published(mine.assign(mean=101), published.of("sinusoid"), lower_is_better=False)


def mistakes(n: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """n mistakes, later ones surer; picture i of every kind holds (i + 1) / 100 of ink plus its kind."""
    names = [(f"run{i + 1:02d}", f"item{i + 1:02d}", "class01", "class02", i / 100, 0.5 - i / 100) for i in range(n)]
    frame = pd.DataFrame(names, columns=["run", "item", "chosen", "right", "p_chosen", "p_right"])
    ink = (np.arange(n)[:, None, None] + 1) / 100 + np.zeros((n, 4, 4))
    return frame, ink, ink + 0.3, ink + 0.6


def test_the_surest_mistakes_are_shown_with_their_pictures() -> None:
    figure = drawn(figures_classic.errors_made(*mistakes(30), trials=400))
    shown = [ax for ax in figure.axes if ax.images]
    assert figure.get_suptitle() == "30 mistakes in 400 trials (7.5%); the 24 that the model was surest of"
    assert len(shown) == 24
    for place, ax in enumerate(shown):
        i = 29 - place
        assert ax.get_title() == f"run{i + 1:02d}, item{i + 1:02d}"
        inks = [image.get_array()[0, 0] for image in ax.images]
        assert inks == pytest.approx([(i + 1) / 100 + kind for kind in (0, 0.3, 0.6)])
        assert [t.get_text() for t in ax.texts] == [f"{i}%", f"{50 - i}%"]
        assert to_hex(ax.patches[1].get_edgecolor()).upper() == figures_classic.WRONG
        assert to_hex(ax.patches[2].get_edgecolor()).upper() == figures_classic.RIGHT
    assert legend(figure) == ["asked", "chosen, wrongly", "right answer"]


@pytest.mark.parametrize(("n", "most", "shown"), [(1, 24, 1), (7, 24, 7), (7, 3, 3)])
def test_few_mistakes_fill_as_many_places(n: int, most: int, shown: int) -> None:
    figure = drawn(figures_classic.errors_made(*mistakes(n), trials=20, most=most))
    assert sum(bool(ax.images) for ax in figure.axes) == shown
    assert figure.get_suptitle().endswith("surest of" if shown < n else "%)")
    assert figure.get_suptitle().startswith("1 mistake in 20" if n == 1 else "7 mistakes in 20")


def test_no_mistake_is_said() -> None:
    figure = drawn(figures_classic.errors_made(*mistakes(0), trials=400))
    assert figure.get_suptitle() == "no mistakes in 400 trials"
    assert not any(ax.images for ax in figure.axes) and not figure.legends
    assert figures_classic.errors_made(*mistakes(0)).get_suptitle() == "no mistakes"


def test_without_the_number_of_trials_no_share_is_claimed() -> None:
    figure = drawn(figures_classic.errors_made(*mistakes(5), most=2))
    assert figure.get_suptitle() == "5 mistakes; the 2 that the model was surest of"


def test_pictures_of_bytes_and_of_shares_look_alike() -> None:
    frame, *pictures = mistakes(2)
    figure = drawn(figures_classic.errors_made(frame, *((255 * p).astype(np.uint8) for p in pictures), trials=9))
    assert {image.get_clim() for ax in figure.axes for image in ax.images} == {(0, 255)}
    shares = drawn(figures_classic.errors_made(frame, *pictures, trials=9))
    assert {image.get_clim() for ax in shares.axes for image in ax.images} == {(0, 1)}


def test_mistakes_that_do_not_match_are_refused() -> None:
    frame, asked, chosen, right = mistakes(3)
    with pytest.raises(DataError, match=r"pictures of shape \(2, 4, 4\) for 3 errors"):
        figures_classic.errors_made(frame, asked, chosen[:2], right, trials=20)
    with pytest.raises(DataError, match="3 of 3 rows chose the right drawing"):
        figures_classic.errors_made(frame.assign(chosen="class02"), asked, chosen, right, trials=20)
    with pytest.raises(DataError, match="3 mistakes in 2 trials"):
        figures_classic.errors_made(frame, asked, chosen, right, trials=2)
    with pytest.raises(DataError, match="errors lack the columns p_right"):
        figures_classic.errors_made(frame.drop(columns="p_right"), asked, chosen, right, trials=20)


def saved() -> tuple[pd.DataFrame, pd.DataFrame]:
    n = np.array([10, 1, 100])
    curves = pd.concat(
        [
            pd.DataFrame(
                {"study": "sinusoid", "n": n, "mean": 5 / n, "low": 4 / n - 0.1, "high": 6 / n, "metric": "mse"}
            ),
            pd.DataFrame(
                {"study": "digits", "n": n, "mean": 1 - 0.5 / n, "low": 0.4, "high": 1.2, "metric": "accuracy"}
            ),
        ]
    )
    levels = [
        ("sinusoid", 1, 0.4, 13, 100), ("sinusoid", 5, 0.01, np.nan, 100), ("digits", 10, 0.98, 25.0, 100),
        ("digits", 5, 0.95, 10.0, 100), ("digits", 1, 0.7, 1.62, 100),
    ]  # fmt: skip
    return curves, pd.DataFrame(levels, columns=["study", "k", "g", "needed", "largest"])


def test_labels_saved_shows_where_scratch_reaches_g() -> None:
    curves, levels = saved()
    figure = drawn(figures_classic.labels_saved(curves, levels))
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["sinusoid regression", "digits: new classes"]
    assert (first.get_yscale(), second.get_yscale()) == ("log", "linear")
    assert all(ax.get_xscale() == "log" and ax.get_xlabel() == "labels per task (log scale)" for ax in figure.axes)
    assert (first.get_ylabel(), second.get_ylabel()) == ("mean squared error", "accuracy (share correct)")
    assert legend(first) == [
        "without earlier tasks (95% band)", "k=1 is worth 13 labels (13x)", "k=5: not reached with 100 labels",
    ]  # fmt: skip
    assert legend(second)[1:] == [
        "k=1 is worth 1.62 labels (1.6x)", "k=5 is worth 10 labels (2.0x)", "k=10 is worth 25 labels (2.5x)",
    ]  # fmt: skip
    keys = [to_hex(h.get_markerfacecolor()) == "#ffffff" for h in first.get_legend().legend_handles]
    assert keys == [False, False, True], "hollow where it is not reached"
    assert second.get_ylim()[1] == pytest.approx(1.01), "an accuracy is at most 1"
    scratch = first.lines[0]
    assert scratch.get_xdata().tolist() == [1, 10, 100] and scratch.get_ydata() == pytest.approx([5, 0.5, 0.05])
    assert first.collections[0].get_paths()[0].vertices[:, 1].min() > 0, "a log axis shows no band below 0"
    points = [line for line in first.lines[1:] if len(line.get_xdata()) == 1]
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [
        (1, 0.4),
        (13, 0.4),
        (5, 0.01),
        (pytest.approx(np.nan, nan_ok=True), 0.01),
    ]
    assert [to_hex(p.get_markerfacecolor()) == "#ffffff" for p in points] == [True, False, True, False]
    levels_drawn = [line.get_ydata()[0] for line in first.lines if list(line.get_xdata()) == [0, 1]]
    assert levels_drawn == [0.4, 0.01]


@pytest.mark.parametrize(
    ("k", "needed", "words"),
    [
        (1, 1.0, "k=1 is worth 1 label (1.0x)"), (5, 3.0, "k=5 is worth 3 labels (0.6x)"),
        (10, 1234.0, "k=10 is worth 1234 labels (123x)"), (5, np.inf, "k=5: not reached with 15 labels"),
    ],
)  # fmt: skip
def test_labels_in_words(k: int, needed: float, words: str) -> None:
    assert figures_classic.worth(k, needed, 15) == words


def test_a_regression_has_labels_per_task_and_ways_are_in_the_title() -> None:
    curves, levels = (f.replace({"study": {"digits": "omniglot 5-way"}}) for f in saved())
    figure = drawn(figures_classic.labels_saved(curves, levels, per="class"))
    assert [ax.get_xlabel() for ax in figure.axes] == ["labels per task (log scale)", "labels per class (log scale)"]
    assert [ax.get_title() for ax in figure.axes] == ["sinusoid regression", "Omniglot: new characters, 5-way"]


def test_labels_per_class_are_named() -> None:
    curves, levels = (f[f["study"] == "digits"] for f in saved())
    figure = drawn(figures_classic.labels_saved(curves, levels.assign(needed=np.nan, largest=15), per="class"))
    assert figure.axes[0].get_xlabel() == "labels per class (log scale)"
    assert [t for t in legend(figure.axes[0]) if "worth" in t] == []
    assert [t for t in legend(figure.axes[0]) if t.endswith("not reached with 15 labels")] == legend(figure.axes[0])[1:]


def test_a_study_without_its_other_half_is_refused() -> None:
    curves, levels = saved()
    with pytest.raises(DataError, match="study 'digits' has a curve or levels of g, but not both"):
        figures_classic.labels_saved(curves, levels[levels["study"] == "sinusoid"])
    with pytest.raises(DataError, match="levels lack the columns needed"):
        figures_classic.labels_saved(curves, levels.drop(columns="needed"))
    with pytest.raises(DataError, match="study 'sinusoid' has k=1 twice; expected one learner"):
        figures_classic.labels_saved(curves, pd.concat([levels, levels[:1]]))
    with pytest.raises(DataError, match="study 'sinusoid' has n=10 twice"):
        figures_classic.labels_saved(pd.concat([curves, curves[:1]]), levels)
