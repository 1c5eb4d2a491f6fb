"""Several looks at a task: its drawings and warped copies, answered one by one and averaged; and models averaged."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from metastudy.adapt import CosinePrototypes, RidgeHead
from metastudy.classic import views
from metastudy.classic.views import over_views, seen, together
from metastudy.errors import ParameterError
from metastudy.families.warps import Warp
from metastudy.methods import Fitted, in_chunks
from metastudy.mixture import MetaLearner
from metastudy.model import Conv4
from metastudy.tasks import Task

SIDE, WAYS = 16, 3
LOOK = Warp(rotation=0.2, shear=0.2, log_scale=0.1, shift=0.1, elastic=0.05)
LEARNER = MetaLearner(Conv4(side=SIDE, channels=4), (CosinePrototypes(), RidgeHead()))


def drawings(name: str = "3-way/0001", shots: int = 2, n_query: int = 7, seed: int = 0) -> Task:
    """A task of grey noise, in 256 shades as drawings are."""
    generator = torch.Generator().manual_seed(seed)
    n = WAYS * shots
    x = torch.randint(0, 256, (n + n_query, 1, SIDE, SIDE), generator=generator).float() / 255
    labels = torch.arange(n + n_query) % WAYS
    ids = tuple(f"row{i}" for i in range(n_query))
    return Task(name, "toy", "classification", x[:n], labels[:n], x[n:], labels[n:], n_classes=WAYS, query_ids=ids)


def queries(task: Task, rows: list[int]) -> Task:
    """The same task, asked about these rows alone."""
    ids = tuple(task.query_ids[row] for row in rows)
    return dataclasses.replace(task, query_x=task.query_x[rows], query_y=task.query_y[rows], query_ids=ids)


def model(seed: int = 0) -> Fitted:
    """A mixture of heads on a network with random weights."""
    params = LEARNER.init(torch.Generator().manual_seed(seed))
    return Fitted(in_chunks(lambda batch, _: LEARNER.predict(params, batch)), LEARNER)


def answer(fitted: Fitted, task: Task) -> Tensor:
    (found,) = fitted.predict([task], 2)
    return found


def test_one_view_is_the_plain_prediction() -> None:
    plain, task = model(), drawings()
    assert torch.equal(answer(over_views(plain, LOOK, 1), task), answer(plain, task))
    alone = seen(task, LOOK, 1)
    assert torch.equal(alone.support_x, task.support_x) and torch.equal(alone.query_x, task.query_x)
    assert alone.query_ids == task.query_ids and torch.equal(alone.support_y, task.support_y)


def test_the_first_look_is_the_drawing_and_the_others_are_warped_copies_of_it() -> None:
    task = drawings()
    found = seen(task, LOOK, 3)
    for part in ("support", "query"):
        plain, plain_y = getattr(task, f"{part}_x"), getattr(task, f"{part}_y")
        x, y = getattr(found, f"{part}_x").split(len(plain)), getattr(found, f"{part}_y").split(len(plain))
        assert len(x) == len(y) == 3 and torch.equal(x[0], plain)
        assert all(torch.equal(labels, plain_y) for labels in y)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert (x[a] != x[b]).flatten(1).any(1).all(), "every drawing is another in every look"
        shades = torch.cat(x) * 255
        assert shades.dtype == torch.float32 and torch.allclose(shades, shades.round(), atol=1e-4)
        assert float(shades.min()) >= 0 and float(shades.max()) <= 255.001
    assert found.query_ids == task.query_ids * 3 and found.id == task.id


def test_a_look_that_warps_nothing_shows_the_drawing_again() -> None:
    task = drawings()
    found = seen(task, Warp(), 3)
    torch.testing.assert_close(found.query_x, task.query_x.repeat(3, 1, 1, 1), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.support_x, task.support_x.repeat(3, 1, 1, 1), rtol=0, atol=1e-6)


def test_looks_at_a_task_repeat() -> None:
    first, again = seen(drawings(), LOOK, 3), seen(drawings(), LOOK, 3)
    assert torch.equal(first.query_x, again.query_x) and torch.equal(first.support_x, again.support_x)


@pytest.mark.parametrize("n", [2, 5])
def test_an_answer_is_the_mean_of_what_is_said_to_each_look(n: int) -> None:
    plain, task = model(), drawings()
    many = answer(plain, seen(task, LOOK, n))
    n_query = len(task.query_y)
    expected = torch.stack([sum(many[look * n_query + q] for look in range(n)) / n for q in range(n_query)])
    found = answer(over_views(plain, LOOK, n), task)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found.shape == (n_query, WAYS)
    torch.testing.assert_close(found.sum(1), torch.ones(n_query), rtol=0, atol=1e-5)
    assert not torch.allclose(found, answer(plain, task), atol=1e-3), "looks differ"


def test_a_query_is_answered_whatever_the_others_show() -> None:
    fitted, task = over_views(model(), LOOK, 4), drawings()
    expected = answer(fitted, task)
    for kept in range(len(task.query_y)):
        x = drawings(seed=1).query_x
        x[kept] = task.query_x[kept]
        found = answer(fitted, dataclasses.replace(task, query_x=x))
        torch.testing.assert_close(found[kept], expected[kept], rtol=0, atol=1e-5)
        others = [q for q in range(len(x)) if q != kept]
        assert not torch.allclose(found[others], expected[others], atol=1e-3)


@pytest.mark.parametrize("rows", [[0], [6], [2, 3], [5, 0, 4]])
def test_dropping_other_queries_changes_nothing(rows: list[int]) -> None:
    fitted, task = over_views(model(), LOOK, 3), drawings()
    torch.testing.assert_close(answer(fitted, queries(task, rows)), answer(fitted, task)[rows], rtol=0, atol=1e-5)


def maps_of(task, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """All linear maps that looks at a task are warped by."""
    found, original = [], views.warped
    with monkeypatch.context() as patch:
        patch.setattr(
            views, "warped", lambda p, matrices, fields: found.append(matrices) or original(p, matrices, fields)
        )
        views.seen(task, LOOK, 2)
    return torch.cat(found)


@pytest.mark.parametrize(
    ("one", "other"), [("5-way/0001", "5-way/0002"), ("5-way/0001", "20-way/0001"), ("run01", "run02")]
)
def test_other_tasks_are_looked_at_in_other_ways(one: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [maps_of(drawings(name, seed=i), monkeypatch) for i, name in enumerate((one, other))]
    assert found[0].shape == found[1].shape and not torch.isclose(found[0], found[1]).any(0).all()
    assert not torch.equal(found[0], found[1])


def test_tasks_may_stream_and_are_answered_one_by_one() -> None:
    fitted = over_views(model(), LOOK, 3)
    tasks = [drawings("t/0001", n_query=7), drawings("t/0002", n_query=4, seed=1)]
    found = fitted.predict((task for task in tasks), 2)
    assert [len(p) for p in found] == [7, 4]
    assert all(torch.equal(p, answer(fitted, task)) for p, task in zip(found, tasks, strict=True))


def test_what_was_learned_stays_known() -> None:
    plain = model()
    assert over_views(plain, LOOK, 3).learner is plain.learner is LEARNER


@pytest.mark.parametrize("n", [0, -1])
def test_no_view_is_refused(n: int) -> None:
    with pytest.raises(ParameterError, match=f"{n} views; expected at least 1, the drawing as it is"):
        over_views(model(), LOOK, n)


def test_models_together_say_the_mean() -> None:
    models, tasks = [model(seed) for seed in range(3)], [drawings(), drawings("t/0002", n_query=4, seed=1)]
    found = together(models).predict((task for task in tasks), 2)
    for task, own in zip(tasks, found, strict=True):
        each = [answer(one, task) for one in models]
        torch.testing.assert_close(own, (each[0] + each[1] + each[2]) / 3, rtol=0, atol=1e-6)
        torch.testing.assert_close(own.sum(1), torch.ones(len(task.query_y)), rtol=0, atol=1e-5)
        assert not torch.allclose(each[0], each[1], atol=1e-3)
    assert together(models[:1]) is models[0]
    with pytest.raises(ParameterError, match="no model to average; expected at least one"):
        together([])


def test_models_together_look_several_times() -> None:
    models, task = [model(0), model(1)], drawings()
    found = answer(over_views(together(models), LOOK, 3), task)
    expected = sum(answer(over_views(one, LOOK, 3), task) for one in models) / 2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
