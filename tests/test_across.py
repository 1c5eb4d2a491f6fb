"""What the plan makes of all methods over families, checked on scores with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metastudy import across
from metastudy.abtest.margins import equivalence
from metastudy.abtest.power import sample_size
from metastudy.plan import StudyPlan


def study_plan(**changed: object) -> StudyPlan:
    entry = {"metric": "accuracy", "shots": 5, "test": "paired by family", "seeds": "fixed", "alpha": 0.05}
    entry |= {"margin": 0.05, "minimum_effect": 0.2, "primary": "ridge", "exploratory": ("maml",)}
    return StudyPlan(**(entry | changed))


@pytest.fixture
def scores() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for f in range(7):
        for t in range(4):
            base = rng.normal()
            for method, shift in (("g", 0.3), ("ridge", 0.0), ("maml", -0.3), ("unplanned", 9.0)):
                for seed in (0, 1):
                    rows.append(
                        ("s", f"f{f}", f"t{t}", method, 5, seed, "accuracy", base + shift + 0.05 * rng.normal())
                    )
    return pd.DataFrame(rows, columns=["study", "family", "task", "method", "shots", "seed", "metric", "value"])


def test_units_are_families_or_tasks_and_oriented(scores) -> None:
    means = scores.groupby(["family", "method"])["value"].mean().unstack()
    expected = (means["g"] - means["ridge"]).to_numpy()
    assert across.units(study_plan(), scores, "ridge").to_numpy() == pytest.approx(expected)
    assert across.units(study_plan(lower_is_better=True), scores, "ridge").to_numpy() == pytest.approx(-expected)
    assert len(across.units(study_plan(test="paired by task"), scores, "ridge")) == 28


def test_planned_methods_are_ranked_where_families_are_enough(scores) -> None:
    found = across.ranked(study_plan(), scores)
    assert found.ranks.to_dict() == {"g": 1.0, "ridge": 2.0, "maml": 3.0} and found.n_families == 7
    assert across.ranked(study_plan(lower_is_better=True), scores).ranks.to_dict() == {
        "maml": 1.0,
        "ridge": 2.0,
        "g": 3.0,
    }
    assert across.ranked(study_plan(), scores[scores["family"] < "f5"]) is None


def test_margins_are_those_of_the_tests(scores) -> None:
    row = across.margins({"s": study_plan()}, {"s": scores}).iloc[0]
    units = across.units(study_plan(), scores, "ridge")
    assert row["equivalent_p"] == pytest.approx(equivalence(units, 0.05).p) and row["units"] == 7
    assert row["non_inferior_p"] < 0.001 < 0.9 < row["equivalent_p"]
    assert row["better"] > 0.99 and row[["better", "equivalent", "worse"]].sum() == pytest.approx(1)
    by_task = across.margins({"s": study_plan(test="paired by task")}, {"s": scores}).iloc[0]
    assert by_task["units"] == 28 and np.isnan(by_task["better"])


def test_power_is_about_the_planned_effect(scores) -> None:
    row = across.power({"s": study_plan()}, {"s": scores}).iloc[0]
    sd = across.units(study_plan(), scores, "ridge").std(ddof=1)
    assert row["needed"] == sample_size(sd, 0.2) and (row["unit"], row["units"]) == ("families", 7)
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert row["detectable"] > z * sd / np.sqrt(7), "t needs more than the normal approximation"
    same = scores.assign(value=0.5)
    flat = across.power({"s": study_plan()}, {"s": same}).iloc[0]
    assert (flat["detectable"], flat["needed"]) == (0, 2)
