"""A plan is complete or refused, and its verdicts are those of the tests and adjustments it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastudy import plan
from metastudy.errors import DataError, ParameterError
from metastudy.plan import StudyPlan
from metastudy.tables import VERDICTS, tidy

ENTRY = {"metric": "accuracy", "shots": 5, "test": "paired by task", "seeds": "fixed", "alpha": 0.05}
ENTRY |= {"margin": 0.05, "minimum_effect": 0.2, "primary": "ridge"}


def study_plan(**changed: object) -> StudyPlan:
    if "clustered" in changed:
        changed["test"] = "paired by family" if changed.pop("clustered") else "paired by task"
    return StudyPlan(**(ENTRY | changed))


def scores(study: str, values: dict[str, list[float]], families: int = 1, step: float = 0.0) -> pd.DataFrame:
    """Scores of methods on tasks of families f0, f1, .. in turn, at 5 shots; seeds 3 and 4 are `step` apart."""
    rows = [
        (study, f"f{i % families}", f"t{i}", method, 5, seed, "accuracy", v + step * (seed - 3))
        for method, column in values.items()
        for i, v in enumerate(column)
        for seed in (4, 3)
    ]
    return pd.DataFrame(rows, columns=["study", "family", "task", "method", "shots", "seed", "metric", "value"])


def rows(p: list[float], study: str = "s", difference: float = 0.2) -> pd.DataFrame:
    """Comparisons that await their verdict."""
    one = {"study": study, "a": "g", "shots": 5, "metric": "accuracy", "difference": difference}
    one |= {"low": difference - 0.3, "high": difference + 0.3, "n_tasks": 9, "n_clusters": 0, "verdict": "undecided"}
    frame = pd.DataFrame([one | {"b": f"b{i}", "p": x, "p_adjusted": x} for i, x in enumerate(p)])
    return frame[list(VERDICTS)]


def test_a_plan_is_read_by_study(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "common: {alpha: 0.1, seeds: random, minimum_effect: 1, test: paired by task}\n"
        "studies:\n"
        "  one: {metric: mse, lower_is_better: true, shots: 5, margin: 0.1, primary: ridge}\n"
        "  two: {metric: rouge1, shots: 0, margin: 1, test: paired by family, primary: lead, exploratory: [a, b]}\n"
    )
    found = plan.load(path)
    assert list(found) == ["one", "two"] and found["one"].lower_is_better and not found["two"].lower_is_better
    assert found["one"].exploratory == () and found["two"].exploratory == ("a", "b")
    assert (found["two"].clustered, found["two"].margin, found["two"].shots) == (True, 1.0, 0)
    assert not found["one"].clustered and {(p.alpha, p.seeds, p.minimum_effect) for p in found.values()} == {
        (0.1, "random", 1.0)
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("margin: 0.1, test: paired by task, shots: 5, margn: 2", "margn"),
        ("test: paired by task, shots: 5", "margin"),
        ("margin: 0, test: paired by task, shots: 5", "greater than 0"),
        ("margin: 1, test: paired by task, shots: -1", "greater than or equal"),
        ("margin: 1, test: maybe, shots: 5", "test"),
        ("margin: 1, test: paired by family, shots: 5, exploratory: r", "exploratory"),
        ("margin: 3, test: paired by task, shots: 5", "minimum_effect 2.0 is below margin 3.0"),
        ("margin: 1, test: paired by task, shots: 5, alpha: 0.7", "alpha"),
        ("margin: 1, test: paired by task, shots: 5, seeds: some", "seeds"),
        (
            "margin: 1, test: paired by task, shots: 5}\n  t: {margin: 1, test: paired by task, shots: 5, alpha: .1",
            "one",
        ),
        ("studies:\n  s: [metric]", "no valid plan"),
        ("studys: {}", "studies"),
        ("", "no valid plan"),
    ],
)
def test_an_invalid_plan_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    if content.startswith(("margin", "test")):
        common = "common: {alpha: 0.05, seeds: fixed, metric: m, primary: r, minimum_effect: 2}\n"
        content = f"{common}studies:\n  s: {{{content}}}"
    path.write_text(content)
    with pytest.raises(ParameterError, match=rf"(?s)plan\.yaml is no valid plan.*{message}|{message}.*StudyPlan"):
        plan.load(path)


@pytest.mark.parametrize("content", ["studies:", "studies: [s]", "studies: {s: {metric: m", "studies: {s: null}"])
def test_a_plan_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(content)
    with pytest.raises(ParameterError, match=r"plan\.yaml is no valid plan"):
        plan.load(path)


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        study_plan().margin = 1.0


def test_judging_by_hand() -> None:
    waiting = rows([0.01, 0.04, 0.03])
    by_holm = plan.judge(waiting, {"s": study_plan()})
    # sorted: 3 · .01, 2 · .03, 1 · .04 (never below the one before)
    assert by_holm["p_adjusted"].tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert by_holm["verdict"].tolist() == ["better", "undecided", "undecided"]
    screened = plan.judge(waiting, {"s": study_plan()}, adjust=plan.benjamini_hochberg)
    # sorted: 3/1 · .01, 3/2 · .03, 3/3 · .04 (never above the one after)
    assert screened["p_adjusted"].tolist() == pytest.approx([0.03, 0.04, 0.04])
    assert screened["verdict"].tolist() == ["better"] * 3
    assert plan.judge(waiting, {"s": study_plan(alpha=0.02)})["verdict"].tolist() == ["undecided"] * 3
    assert waiting["verdict"].tolist() == ["undecided"] * 3, "the rows given stay as they were"


def test_each_study_is_judged_by_its_own_margin() -> None:
    both = pd.concat([rows([0.9], "narrow", difference=0.0), rows([0.9], "wide", difference=0.0)], ignore_index=True)
    found = plan.judge(both, {"narrow": study_plan(margin=0.1), "wide": study_plan(margin=0.5, minimum_effect=0.5)})
    assert found["verdict"].tolist() == ["undecided", "equivalent"]


def test_primary_claims_are_adjusted_over_all_studies() -> None:
    plans = {name: study_plan() for name in ("first", "second", "third")}
    up = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1]
    frames = {
        "second": scores("second", {"g": up, "ridge": [0.0] * 7, "other": up}),
        "first": scores("first", {"g": [0.0] * 7, "ridge": up, "other": up}),
    }
    found = plan.primary(plans, frames)
    assert list(found.columns) == list(VERDICTS) and found["study"].tolist() == ["second", "first"]
    assert set(found["a"]) == {"g"} and set(found["b"]) == {"ridge"}
    assert found["difference"].tolist() == pytest.approx([np.mean(up), -np.mean(up)])
    assert found["p"].tolist() == [2 / 2**7] * 2 and found["p_adjusted"].tolist() == [4 / 2**7] * 2
    assert found["verdict"].tolist() == ["better", "worse"]
    strict = {name: study_plan(alpha=4 / 2**7) for name in plans}
    assert plan.primary(strict, frames)["verdict"].tolist() == ["undecided", "undecided"]
    assert len(tidy(found, "verdicts", "toy")) == 2


def test_a_lower_value_is_better_where_the_plan_says_so() -> None:
    frames = {"s": scores("s", {"g": [0.1] * 7, "ridge": [0.3, 0.4, 0.5, 0.3, 0.4, 0.5, 0.3]})}
    higher = plan.primary({"s": study_plan()}, frames).iloc[0]
    lower = plan.primary({"s": study_plan(lower_is_better=True)}, frames).iloc[0]
    assert (higher["verdict"], lower["verdict"]) == ("worse", "better")
    assert lower["difference"] == pytest.approx(-higher["difference"]) and lower["difference"] > 0
    assert (lower["low"], lower["high"]) == pytest.approx((-higher["high"], -higher["low"]))


def test_the_screen_is_adjusted_within_one_study() -> None:
    plans = {"s": study_plan(exploratory=("b", "c", "d"))}
    g = np.arange(1.0, 8.0)
    # signs of g - method: all seven up; the smallest one down; the largest two down
    values = {"g": g, "ridge": g - g, "b": g - g, "c": g - g * ([-1] + [1] * 6), "d": g + g * ([-1] * 5 + [1] * 2)}
    frame = scores("s", {k: list(v) for k, v in values.items()})
    found = plan.exploratory(plans, "s", frame)
    assert found["b"].tolist() == ["b", "c", "d"], "the primary comparison is not part of the screen"
    p = found["p"].to_numpy()
    assert p[:2].tolist() == [2 / 2**7, 4 / 2**7] and p[2] > 0.5
    assert found["p_adjusted"].tolist() == pytest.approx([3 * p[0], 1.5 * p[1], p[2]])
    everything = plan.all_of_study(plans, "s", frame)
    assert everything["b"].tolist() == ["ridge", "b", "c", "d"]
    # sorted: p[0] twice, then p[1], p[2]: 4/2 · p[0], 4/3 · p[1], p[2]
    assert everything["p_adjusted"].tolist() == pytest.approx([2 * p[0], 2 * p[0], 4 / 3 * p[1], p[2]])


@pytest.mark.filterwarnings("error")
def test_a_study_without_a_screen_adds_nothing() -> None:
    up = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1]
    frame = scores("s", {"g": up, "ridge": [0.0] * 7})
    plans = {"s": study_plan(), "t": study_plan(primary="lead", exploratory=("ridge",))}
    none, some = plan.exploratory(plans, "s", frame), plan.exploratory(plans, "t", frame)
    assert len(none) == 0 and list(none.columns) == list(VERDICTS)
    both = plan.together({"s": none, "t": some})
    assert both["study"].tolist() == ["t"] and both["p_adjusted"].tolist() == [2 / 2**7]


def test_together_leaves_every_adjustment_as_it_was() -> None:
    parts = {"s": plan.judge(rows([0.01, 0.04]), {"s": study_plan()}), "t": rows([0.02], "t")}
    both = plan.together(parts)
    assert both.index.tolist() == [0, 1, 2] and both["study"].tolist() == ["s", "s", "t"]
    assert both["p_adjusted"].tolist() == pytest.approx([0.02, 0.04, 0.02])


def test_families_are_the_units_where_the_plan_says_so() -> None:
    g = np.random.default_rng(0).normal(1, 0.1, 14)
    frames = {"s": scores("s", {"g": list(g), "ridge": [0.0] * 14}, families=7)}
    clustered, tasks = (plan.primary({"s": study_plan(clustered=c)}, frames).iloc[0] for c in (True, False))
    assert (clustered["n_clusters"], clustered["n_tasks"], tasks["n_clusters"]) == (7, 14, 0)
    assert clustered["p"] == 2 / 2**7 and tasks["p"] < clustered["p"]


def test_where_seeds_are_random_their_spread_widens_the_interval() -> None:
    up = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2]
    steady = scores("s", {"g": up, "ridge": [0.0] * 8})
    shaky = scores("s", {"g": up, "ridge": [0.0] * 8}, step=0.3)
    fixed, random = study_plan(), study_plan(seeds="random")
    widths = {}
    for name, frame, p in (("steady", steady, random), ("shaky", shaky, random), ("these models", shaky, fixed)):
        row = plan.primary({"s": p}, {"s": frame}).iloc[0]
        assert row["difference"] == pytest.approx(np.mean(up))
        widths[name] = row["high"] - row["low"]
    assert widths["shaky"] > 3 * widths["steady"] and widths["shaky"] > 3 * widths["these models"]
    alone = pd.concat([steady[steady["method"] == "g"], steady[(steady["method"] != "g") & (steady["seed"] == 3)]])
    assert plan.primary({"s": random}, {"s": alone})["difference"].item() == pytest.approx(np.mean(up)), "run once"
    with pytest.raises(DataError, match="every method has one seed"):
        plan.primary({"s": random}, {"s": steady[steady["seed"] == 3]})


def test_a_a_with_random_seeds_sets_two_halves_against_each_other() -> None:
    g = np.linspace(0, 1, 12).tolist()
    frames = [scores("s", {"g": g, "ridge": g}, step=0.01)]
    frames.append(frames[0].assign(seed=frames[0]["seed"] + 2))
    frame = pd.concat(frames)
    found = plan.same_method({"s": study_plan(seeds="random")}, {"s": frame})
    assert found[["a", "b"]].to_numpy().tolist() == [["g, seeds 3 4", "g, seeds 5 6"]]
    assert found["difference"].item() == pytest.approx(0) and found["verdict"].item() == "equivalent"
    with pytest.raises(DataError, match="s has 2 seeds of g; A/A needs 4"):
        plan.same_method({"s": study_plan(seeds="random")}, {"s": frames[0]})


def test_the_same_method_is_compared_seed_against_seed() -> None:
    g = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    frame = scores("s", {"g": g, "ridge": [0.0] * 7}, step=0.5)
    third = frame[frame["seed"] == 3].assign(seed=9, value=99.0)  # without a partner: left out
    found = plan.same_method({"s": study_plan()}, {"s": pd.concat([third, frame])})
    assert found[["a", "b"]].to_numpy().tolist() == [["g, seeds 3", "g, seeds 4"]]
    assert found["difference"].item() == pytest.approx(-0.5) and found["verdict"].item() == "worse"
    better = plan.same_method({"s": study_plan(lower_is_better=True)}, {"s": frame})
    assert better["difference"].item() == pytest.approx(0.5) and better["verdict"].item() == "better"
    equal = plan.same_method({"s": study_plan()}, {"s": scores("s", {"g": g})})
    assert (equal["p"].item(), equal["verdict"].item()) == (1.0, "equivalent")


def test_one_seed_cannot_be_compared_with_itself() -> None:
    frame = scores("s", {"g": [0.1, 0.2], "ridge": [0.0, 0.0]})
    frame = frame[(frame["seed"] == 3) | (frame["method"] == "ridge")]
    with pytest.raises(DataError, match="s has 1 seeds of g; A/A needs 2: raise `primary_seeds`"):
        plan.same_method({"s": study_plan()}, {"s": frame})


def test_a_comparison_in_one_sentence() -> None:
    found = rows([0.012345], difference=0.2).assign(verdict="better")
    expected = "g against b0, 5 examples: better (+0.200 [-0.100, +0.500] accuracy, p = 0.012)"
    assert plan.say(found) == [expected]
    assert plan.say(found.iloc[:0]) == []


def test_only_rows_far_from_every_threshold_are_clear() -> None:
    rows = pd.DataFrame(
        [
            ("far above", 0.2, 0.15, 0.25, 0.001, "better"),
            ("far below", -0.2, -0.25, -0.15, 0.001, "worse"),
            ("near zero", 0.2, 0.01, 0.39, 0.001, "better"),
            ("p too large", 0.2, 0.15, 0.25, 0.03, "undecided"),
            ("inside the margin", 0.2, 0.15, 0.25, 0.001, "equivalent"),
        ],
        columns=["b", "difference", "low", "high", "p_adjusted", "verdict"],
    )
    assert plan.clear(rows)["b"].tolist() == ["far above", "far below"]
