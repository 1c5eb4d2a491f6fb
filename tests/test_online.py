"""The simulated online experiment: assignment, arrival and decisions on scores whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metastudy import online
from metastudy.abtest.assignment import assign
from metastudy.abtest.unpaired import welch
from metastudy.errors import DataError
from metastudy.plan import StudyPlan

PLAN = StudyPlan(
    metric="accuracy", shots=5, test="paired by task", seeds="fixed", alpha=0.05, margin=0.05, minimum_effect=0.2,
    primary="ridge",
)  # fmt: skip


def scores(effect: float, n: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for t in range(n):
        difficulty = rng.normal()
        for method, shift in (("g", effect), ("ridge", 0.0), ("old", -0.1)):
            rows.append(("s", "f", f"t{t}", method, 5, 0, "accuracy", difficulty + shift + 0.3 * rng.normal()))
    return pd.DataFrame(rows, columns=["study", "family", "task", "method", "shots", "seed", "metric", "value"])


def arrived(frame: pd.DataFrame, plan: StudyPlan = PLAN, salt: str = "a") -> online.Stream:
    return online.stream("s", plan, frame, "ridge", "g", "old", salt)


def test_a_task_is_scored_by_the_arm_that_it_was_assigned_to() -> None:
    frame = scores(1.0)
    found = arrived(frame)
    table = frame.pivot(index="task", columns="method", values="value")
    for task, arm, value, before in zip(found.tasks, found.arm, found.value, found.before, strict=True):
        name = task.removeprefix("f/")
        assert online.ARMS[arm] == assign(task, "s", "a", online.ARMS)
        assert value == table.loc[name, "g" if arm else "ridge"] and before == table.loc[name, "old"]
    assert sorted(found.tasks) == sorted(f"f/{t}" for t in table.index)


def test_another_salt_is_another_experiment_and_the_same_one_the_same() -> None:
    frame = scores(0.0)
    one, again, other = arrived(frame), arrived(frame), arrived(frame, salt="b")
    assert one.tasks == again.tasks and (one.arm == again.arm).all()
    assert one.tasks != other.tasks and list(one.tasks) != sorted(one.tasks)


def test_a_lower_metric_is_turned_round() -> None:
    frame = scores(1.0)
    up, down = arrived(frame), arrived(frame, PLAN.model_copy(update={"lower_is_better": True}))
    assert (down.value == -up.value).all() and (down.before == -up.before).all()


def test_a_large_effect_stops_early_and_none_does_not() -> None:
    plans = {"s": PLAN}
    large = online.experiments(plans, {"s": scores(1.0)}, "old", "a").iloc[0]
    assert large["stop"] < 150 and large["low"] > 0.5 and large["welch_p"] < 0.001
    none = online.experiments(plans, {"s": scores(0.0)}, "old", "a").iloc[0]
    assert pd.isna(none["stop"]) and none["low"] < 0 < none["high"]
    found = arrived(scores(0.0))
    assert none["welch_p"] == pytest.approx(welch(found.of(0), found.of(1)).p)
    assert 0.05 < none["variance_kept"] < 0.4, "the earlier system knows which tasks are hard"


def test_peeking_finds_winners_between_a_method_and_itself() -> None:
    found = online.false_alarms({"s": PLAN}, {"s": scores(0.0, 300)}, "old", replays=150, looks=20)
    rate = (found["alarms"] / found["replays"]).set_axis(found["procedure"])
    assert list(rate.index) == ["one look", "20 looks", "always-valid"]
    assert rate["one look"] <= 0.11 and rate["20 looks"] > 0.12 and rate["always-valid"] <= 0.05
    assert rate["20 looks"] > 2 * rate["one look"]


def test_methods_scored_on_other_tasks_are_refused() -> None:
    frame = scores(0.0)
    with pytest.raises(DataError, match="not scored on the same tasks"):
        arrived(frame[(frame["method"] != "ridge") | (frame["task"] != "t3")])
    with pytest.raises(DataError, match=r"no accuracy at 5 shots for \['old'\]"):
        arrived(frame[frame["method"] != "old"])
