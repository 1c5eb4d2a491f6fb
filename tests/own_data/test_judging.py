"""The table and the sentences, on scores whose answer is known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastudy.abtest import compare, holm
from metastudy.own_data import judging
from metastudy.own_data.drawing import draw, drawn_methods
from metastudy.own_data.kind import Prepared
from own_data.toy_kind import ToyKind, ToyOptions


def _prepared(lower_is_better: bool = True) -> Prepared:
    prepared = ToyKind().prepare(ToyOptions(path=Path("x"), target="x", shots=(5,)))
    return replace(prepared, lower_is_better=lower_is_better)


def _scores(values: dict[str, tuple[float, float]], seed: int = 0, blocks: int = 12) -> pd.DataFrame:
    """Method -> mean and spread of its own; blocks have a level that all methods share."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=blocks)
    rows = [
        ("toy_own", f"b{b}", f"b{b}/{i}", method, 5, 0, "mse", level[b] + mean + spread * rng.normal())
        for method, (mean, spread) in values.items()
        for b in range(blocks)
        for i in range(2)
    ]
    return pd.DataFrame(rows, columns=["study", "family", "task", "method", "shots", "seed", "metric", "value"])


CLEAR = {"mean": (5.0, 0.1), "near": (5.0, 0.1), "bad": (8.0, 0.1), "g": (3.0, 0.1)}


def test_the_table_has_paired_gains_adjusted_within_a_number_of_shots() -> None:
    prepared, scores = _prepared(), _scores(CLEAR)
    table = judging.table(prepared, scores).set_index("method")
    assert list(table.columns) == [c for c in judging.COLUMNS if c != "method"]
    rivals = ["near", "bad", "g"]
    ps = [compare(scores, m, "mean", "mse", 5, lower_is_better=True).p for m in rivals]
    assert np.allclose(table.loc[rivals, "p_adjusted"].astype(float), holm(ps))
    assert table.loc["g", "verdict"] == "better" and table.loc["bad", "verdict"] == "worse"
    assert table.loc["near", "verdict"] == "undecided" and table.loc["mean", "verdict"] == "reference"
    assert table.loc["g", "gain"] == pytest.approx(2.0, abs=0.15)  # lower is better, so a gain is above 0


def test_a_clear_winner_is_recommended() -> None:
    (advice,) = judging.advice(_prepared(), _scores(CLEAR))
    assert (advice.use, advice.rivals, advice.needed) == ("g", (), None)
    assert advice.sentence == 'With 5 labelled numbers: use "g" (shown to be better than all others).'
    (other,) = judging.advice(_prepared(lower_is_better=False), _scores(CLEAR))
    assert other.use == "bad"


def test_a_classical_method_is_preferred_where_nothing_is_shown_to_be_better() -> None:
    (advice,) = judging.advice(_prepared(), _scores({**CLEAR, "g": (4.9, 0.3)}))
    assert (advice.best, advice.use) == ("g", "mean")
    assert 'cannot decide between "g" and "mean"' in advice.sentence
    assert "there are 100" in advice.sentence


def test_how_many_more_labels_would_decide() -> None:
    """Data with so many more labels, that is blocks, do decide in about the promised 80% of cases."""
    values = {"mean": (5.0, 0.3), "near": (6.0, 0.1), "bad": (8.0, 0.1), "g": (4.85, 0.3)}
    prepared = _prepared()
    seed = next(s for s in range(50) if judging.advice(prepared, _scores(values, s))[0].needed)
    advice = judging.advice(prepared, _scores(values, seed))[0]
    assert advice.needed > 100
    found = re.search(r"about ([\d,]+) numbers would decide", advice.sentence)
    assert int(found[1].replace(",", "")) == advice.needed
    scores = _scores(values, seed)
    seen = compare(scores, "g", "mean", "mse", 5, lower_is_better=True)
    larger = round(12 * advice.needed / 100)
    shifted = {**values, "g": (5.0 - seen.difference, 0.3)}
    decided = [compare(_scores(shifted, 100 + s, larger), "g", "mean", "mse", 5, True).p < 0.05 for s in range(40)]
    assert np.mean(decided) > 0.6


def test_methods_that_are_the_same_need_no_more_labels() -> None:
    scores = _scores(CLEAR)
    same = pd.concat(
        [scores[scores["method"] != "g"], scores[scores["method"] == "mean"].assign(method="g")], ignore_index=True
    )
    (advice,) = judging.advice(_prepared(), same)
    assert advice.use == "mean" and advice.needed is None


def test_too_few_units_are_told() -> None:
    prepared = _prepared()
    assert judging.too_few(prepared, _scores(CLEAR, blocks=12)) == ()
    (note,) = judging.too_few(prepared, _scores(CLEAR, blocks=6))
    assert note.startswith("6 parts of the data are too few to tell 4 methods apart")
    table = judging.table(prepared, _scores(CLEAR, blocks=6))  # and it is true: the clearest difference is undecided
    assert set(table["verdict"]) == {"reference", "undecided"}
    assert set(judging.table(prepared, _scores(CLEAR, blocks=7))["verdict"]) >= {"better", "worse"}
    assert judging.too_few(prepared, _scores(CLEAR, blocks=7)) == ()


@pytest.mark.parametrize(
    ("unit", "one"),
    [
        ("labelled patients of each class", "labelled patient of each class"),
        ("judged pages", "judged page"),
        ("judged queries", "judged query"),
    ],
)
def test_one_of_a_unit(unit: str, one: str) -> None:
    assert judging._one(unit) == one


def test_the_figure_shows_the_reference_g_and_the_best() -> None:
    prepared, scores = _prepared(), _scores(CLEAR)
    table = judging.table(prepared, scores)
    assert drawn_methods(prepared, table) == ["mean", "near", "bad", "g"]
    figure = draw(prepared, table)
    assert [len(ax.lines) > 0 for ax in figure.axes] == [True, True]
    assert figure.axes[1].get_title() == "above 0: lower, so better, than mean"
