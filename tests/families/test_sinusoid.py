"""Sinusoid tasks are the formula, and nothing but the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from helpers import NoTestFold
from metastudy.errors import ParameterError
from metastudy.families.sinusoid import AMPLITUDE, PHASE, Sinusoid

FAMILY = Sinusoid(n_test=20)
(FOLD,) = FAMILY.folds()


def test_values_are_those_of_the_formula() -> None:
    for spec in FAMILY.freeze(np.random.default_rng(0)):
        task = FAMILY.build(spec, 5, FOLD)
        x = torch.cat([task.support_x, task.query_x])[:, 0].double().numpy()
        y = torch.cat([task.support_y, task.query_y]).double().numpy()
        # A sin(x - p) = a sin x + b cos x with a = A cos p, b = -A sin p, found without the family's own draw
        (a, b), *_ = np.linalg.lstsq(np.c_[np.sin(x), np.cos(x)], y, rcond=None)
        amplitude, phase = math.hypot(a, b), math.atan2(-b, a)
        np.testing.assert_allclose(amplitude * np.sin(x - phase), y, rtol=0, atol=1e-5)
        assert AMPLITUDE[0] <= amplitude <= AMPLITUDE[1] and PHASE[0] <= phase <= PHASE[1]
        assert np.abs(x).max() <= 5


def test_frozen_tasks_are_nested_in_shots_and_tested_on_the_same_query() -> None:
    for spec in FAMILY.freeze(np.random.default_rng(0))[:5]:
        five, ten, twenty = (FAMILY.build(spec, k, FOLD) for k in (5, 10, 20))
        assert [len(t.support_x) for t in (five, ten, twenty)] == [5, 10, 20]
        assert torch.equal(five.support_x, twenty.support_x[:5]) and torch.equal(ten.support_y, twenty.support_y[:10])
        assert torch.equal(five.query_x, twenty.query_x) and torch.equal(five.query_y, twenty.query_y)
        assert len(five.query_x) == FAMILY.n_query
        other = Sinusoid(shots=(5,)).build(spec, 5, FOLD)
        assert torch.equal(other.support_x, five.support_x)


def test_frozen_tasks_differ_and_repeat() -> None:
    first, again, other = (FAMILY.freeze(np.random.default_rng(s)) for s in (0, 0, 1))
    assert first == again != other
    assert len({s.id for s in first}) == len({s.support for s in first}) == 20


def test_sampled_tasks_are_new_each_time_and_need_no_test_part() -> None:
    rng = np.random.default_rng(0)
    tasks = [t for part in ("train", "validation") for t in FAMILY.sample(NoTestFold(FOLD), part, 10, 5, rng)]
    assert len(tasks) == 10 and {len(t.support_x) for t in tasks} == {10}
    assert len({float(t.query_y[0]) for t in tasks}) == 10


def test_the_truth_behind_a_frozen_task() -> None:
    specs = FAMILY.freeze(np.random.default_rng(0))
    task = FAMILY.build(specs[3], 5, FOLD)
    found = FAMILY.truth(specs[3].id, specs, task.query_x[:, 0])
    torch.testing.assert_close(found, task.query_y, rtol=0, atol=1e-5)


def test_score_by_hand() -> None:
    task = FAMILY.build(FAMILY.freeze(np.random.default_rng(0))[0], 5, FOLD)
    (score,) = FAMILY.score(task, task.query_y + 0.5)
    assert (score.task, score.metric, score.value) == (task.id, "mse", pytest.approx(0.25, abs=1e-5))


def test_shots_beyond_the_frozen_ones_are_refused() -> None:
    with pytest.raises(ParameterError, match="expected numbers from 1 to 20"):
        Sinusoid(shots=(5, 21))


def test_the_hash_tells_other_queries() -> None:
    assert Sinusoid(shots=(5,)).content_hash() == FAMILY.content_hash() != Sinusoid(n_query=51).content_hash()
