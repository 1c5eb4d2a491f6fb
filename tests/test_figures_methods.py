"""Panels by kind of method hold the numbers of their table, and g stands in each."""

from __future__ import annotations

import pandas as pd
import pytest

from metastudy.errors import DataError
from metastudy.figures import G_COLOUR
from metastudy.figures_methods import learning_by_group, shots_by_group

GROUPS = {"steps": ["maml", "anil"], "closed": ["ridge"], "absent": ["film"]}
METHODS = ["maml", "anil", "ridge", "g"]


def table() -> pd.DataFrame:
    rows = [
        ("s", family, m, k, metric, i + k / 10, i + k / 10 - 0.1, i + k / 10 + 0.2)
        for i, m in enumerate(METHODS)
        for k in (1, 5)
        for metric in ("mse", "other")
        for family in ("all", "f")
    ]
    return pd.DataFrame(rows, columns=["study", "family", "method", "shots", "metric", "mean", "low", "high"])


def test_shots_by_group() -> None:
    figure = shots_by_group(table(), "mse", GROUPS, "points", log=True)
    figure.canvas.draw()
    steps, closed = figure.axes
    assert (steps.get_title(), closed.get_title()) == ("steps", "closed")
    assert steps.get_ylabel() and not closed.get_ylabel() and steps.get_yscale() == closed.get_yscale() == "log"
    for ax, methods in ((steps, ["maml", "anil", "g"]), (closed, ["ridge", "g"])):
        assert [t.get_text() for t in ax.get_legend().get_texts()] == methods
        for container, method in zip(ax.containers, methods, strict=True):
            i = METHODS.index(method)
            assert container[0].get_ydata().tolist() == pytest.approx([i + 0.1, i + 0.5])
            low, high = container[2][0].get_segments()[0][:, 1]
            assert (low, high) == pytest.approx((i, i + 0.3))
        assert ax.containers[-1][0].get_color() == G_COLOUR


def test_learning_by_group_holds_mean_and_range_as_far_as_all_fits_went() -> None:
    rows = [(f, m, s, t, 1.0 + s + t / 10) for f in "ab" for m in METHODS for s in (0, 1) for t in (0, 10)]
    rows += [("a", "maml", 0, 20, 9.0)]  # the others had stopped
    history = pd.DataFrame(rows, columns=["fold", "method", "seed", "step", "validation_loss"])
    figure = learning_by_group(history, GROUPS, "loss (nats)")
    figure.canvas.draw()
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("meta-training step", "loss (nats)", "linear")
    assert [line.get_label() for line in ax.lines] == ["maml", "anil", "g"]
    assert ax.lines[0].get_xdata().tolist() == [0, 10] and ax.lines[0].get_ydata().tolist() == [1.5, 2.5]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1.0, 3.0)


def test_a_method_in_no_group_is_refused() -> None:
    with pytest.raises(DataError, match=r"\['ridge'\] are in no group; expected each in one of steps"):
        shots_by_group(table(), "mse", {"steps": ["maml", "anil"]}, "points")
