"""Sketch and g meet the same earlier tasks, and are measured at the same moments on the same new ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor

from metastudy import sketch_study
from metastudy.families.base import Fold, Score, TaskSpec
from metastudy.sketch_study import CONTINUED, FRESH
from metastudy.tasks import Task

torch.set_num_threads(1)  # on sums this small more threads only wait for each other


def ranking_task(seed: int = 0, columns: int = 12, n_query: int = 6, name: str = "t") -> Task:
    """Rows in two groups; the first column says which are relevant."""
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(n, columns, generator=generator) for n in (8, n_query)]
    y = [(rows[:, 0] > 0).float() for rows in x]
    groups = [torch.arange(len(rows)) % 2 for rows in x]
    return Task(name, "f", "ranking", x[0], y[0], x[1], y[1], 1, *groups)


@pytest.mark.parametrize(
    ("n", "expected"),
    [(0, [0]), (1, [0, 1]), (3, [0, 1, 3]), (30, [0, 1, 3, 10, 30]), (31, [0, 1, 3, 10, 30, 31])],
)
def test_marks_begin_at_none_and_end_at_all(n: int, expected: list[int]) -> None:
    assert sketch_study.marks(n) == expected


def test_labels_become_two_columns() -> None:
    found = sketch_study.two_columns(torch.tensor([0.0, 1.0, 2.0, 0.0]))
    assert found.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]] and found.dtype == torch.float32
    assert sketch_study.two_columns(torch.zeros(3)).tolist() == [[1, 0]] * 3


def test_a_narrow_task_is_the_same_task_with_ten_columns() -> None:
    task = ranking_task()
    found = sketch_study.narrow(task)
    assert found.support_x.shape == (8, 10) and found.query_x.shape == (6, 10)
    assert torch.equal(found.query_x, task.query_x[:, :10]) and torch.equal(found.support_x, task.support_x[:, :10])
    assert found.support_y is task.support_y and found.id == task.id and found.query_group is task.query_group


def test_a_fresh_sketch_has_the_proposed_sizes_and_repeats() -> None:
    first, again, other = (sketch_study.fresh_sketch(seed) for seed in (0, 0, 1))
    assert first.base_model.dense.weight.shape == (5, 10) and first.mapping.weight.shape == (2, 5)
    assert torch.equal(first.mapping.weight, again.mapping.weight)
    assert not torch.equal(first.mapping.weight, other.mapping.weight)


def test_the_sketch_itself_is_not_changed_by_new_tasks() -> None:
    learner = sketch_study.fresh_sketch(0)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    tasks = [sketch_study.narrow(ranking_task(seed, n_query=n)) for seed, n in ((0, 6), (1, 9))]
    found = sketch_study.sketch_predictions(learner, tasks)
    assert [p.shape for p in found] == [(6,), (9,)] and not any(p.requires_grad for p in found)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert torch.equal(sketch_study.sketch_predictions(learner, tasks[1:])[0], found[1]), "the order changes nothing"
    relevant = tasks[1].query_y > 0
    assert found[1][relevant].mean() > found[1][~relevant].mean()


@pytest.mark.parametrize("n_earlier", [0, 2])
def test_g_predicts_a_value_for_every_query_row(n_earlier: int) -> None:
    tasks = [sketch_study.narrow(ranking_task(seed, n_query=n)) for seed, n in ((0, 6), (1, 9))]
    earlier = [sketch_study.narrow(ranking_task(seed)) for seed in range(10, 10 + n_earlier)]
    first, again, other = (sketch_study.g_predictions(earlier, tasks, 2, seed) for seed in (0, 0, 1))
    assert [p.shape for p in first] == [(6,), (9,)]
    assert all(torch.isfinite(p).all() and not p.requires_grad for p in first)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_without_earlier_tasks_the_number_of_steps_is_nothing() -> None:
    tasks = [sketch_study.narrow(ranking_task())]
    short, long = (sketch_study.g_predictions([], tasks, steps, 0)[0] for steps in (1, 50))
    assert torch.equal(short, long)


class ToySearch:
    """Two collections; each is the new one once. A prediction's score is its agreement with the first column."""

    shots = (2, 4)

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int, int]] = []

    def folds(self) -> tuple[Fold, ...]:
        return Fold("one", ("a",), (), ("b",)), Fold("two", ("b",), (), ("a",))

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        assert spec.fold == fold.name
        return ranking_task(spec.support[0][0], name=spec.id)

    def sample(self, fold: Fold, part: str, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        self.asked.append((fold.name, part, shots, n_tasks))
        return [ranking_task(int(rng.integers(1000))) for _ in range(n_tasks)]

    def score(self, task: Task, prediction: Tensor) -> list[Score]:
        value = float(np.corrcoef(prediction, task.query_y)[0, 1])
        return [Score(task.id, "ndcg@10", value), Score(task.id, "mrr", 99.0)]


SPECS = [TaskSpec(f"{f}/{i}", f, f, ((i,),), ()) for f in ("one", "two") for i in range(2)]


def test_progress_measures_all_three_on_the_same_new_tasks() -> None:
    family = ToySearch()
    found = sketch_study.progress(family, SPECS, n_tasks=2, steps=2, seed=0, jobs=1)
    assert list(found.columns) == ["method", "seen", "family", "task", "value"]
    assert family.asked == [("one", "train", 2, 2), ("two", "train", 2, 2)]
    assert len(found) == 3 * 3 * 4 and not found.duplicated(["method", "seen", "task"]).any()
    assert set(found["seen"]) == {0, 1, 2} and set(found["method"]) == {FRESH, CONTINUED, "g"}
    assert found["value"].max() <= 1, "other metrics are left out"
    by_method = {m: part.pivot(index="task", columns="seen", values="value") for m, part in found.groupby("method")}
    assert (by_method[FRESH][0] == by_method[FRESH][2]).all(), "earlier tasks change nothing for it"
    assert (by_method[CONTINUED][0] == by_method[FRESH][0]).all(), "before any task, both are the same"
    assert not np.allclose(by_method[CONTINUED][2], by_method[FRESH][2])
    again = sketch_study.progress(ToySearch(), SPECS, n_tasks=2, steps=2, seed=0, jobs=1)
    pd.testing.assert_frame_equal(found, again)


def test_summary_by_hand() -> None:
    rows = [
        ("g", 0, "a", "t0", 1.0), ("g", 0, "a", "t1", 3.0), ("g", 0, "b", "t2", 4.0), ("g", 0, "c", "t3", 6.0),
        ("g", 1, "a", "t0", 5.0), ("g", 1, "a", "t1", 5.0), ("g", 1, "b", "t2", 5.0), ("g", 1, "c", "t3", 5.0),
        (FRESH, 0, "a", "t0", 0.0), (FRESH, 0, "b", "t2", 1.0),
    ]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["method", "seen", "family", "task", "value"])
    found = sketch_study.summary(scores)
    assert list(found.columns) == ["method", "seen", "mean", "low", "high", "n_collections"]
    assert found[["method", "seen", "n_collections"]].to_numpy().tolist() == [["g", 0, 3], ["g", 1, 3], [FRESH, 0, 2]]
    assert found["mean"].tolist() == pytest.approx([4.0, 5.0, 0.5])  # collection a counts once
    expected = stats.t.interval(0.95, 2, 4, stats.sem([2, 4, 6]))
    assert tuple(found.loc[0, ["low", "high"]]) == pytest.approx(expected)
    assert tuple(found.loc[1, ["low", "high"]]) == (5.0, 5.0)
