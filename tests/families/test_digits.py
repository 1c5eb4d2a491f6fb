"""Digits: classes are split, views turn no digit into another, and frozen tasks are nested in shots."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from helpers import NoTestFold
from metastudy.errors import ParameterError, TaskError
from metastudy.families import digits
from metastudy.families.digits import GROUPS, VIEWS, Digits
from metastudy.tasks import Task

FAMILY = Digits(n_test=3)
LABELS = load_digits().target


def digits_of(family_part: tuple[str, ...]) -> set[int]:
    return {int(d) for name in family_part for d in GROUPS.get(name, (name,))}


def rows_of(images: torch.Tensor) -> list[int]:
    """Row numbers of upright images."""
    every = FAMILY.images(np.arange(len(LABELS))).flatten(1)
    return [int((every == image).all(1).nonzero()[0]) for image in images.flatten(1)]


def test_folds_split_the_digits() -> None:
    tested = []
    for fold in FAMILY.folds():
        parts = [digits_of(p) for p in (fold.train, fold.validation, fold.test)]
        assert sorted(d for part in parts for d in part) == list(range(10))  # together all, and none twice
        assert [len(p) for p in parts] == [4, 3, 3]
        tested += parts[2]
    assert len(set(tested)) == len(tested) == 9


def test_views_are_not_upside_down_and_not_upright_mirror_images() -> None:
    image = torch.arange(64.0).reshape(1, 8, 8)
    seen = [torch.rot90(image, turns, dims=(1, 2)) for turns, mirrored in VIEWS if not mirrored]
    seen += [torch.rot90(image, turns, dims=(1, 2)).flip(2) for turns, mirrored in VIEWS if mirrored]
    forbidden = {"half turn": image.flip((1, 2)), "left-right": image.flip(2), "top-bottom": image.flip(1)}
    for name, other in forbidden.items():
        assert not any(torch.equal(view, other) for view in seen), name
    assert len({tuple(view.flatten().tolist()) for view in seen}) == len(VIEWS) == 5


def test_views_turn_images_as_they_say() -> None:
    upright = FAMILY.images(np.array([7]))[0, 0]
    for turns, mirrored in VIEWS:
        expected = np.rot90(upright.numpy(), turns)
        expected = np.fliplr(expected) if mirrored else expected
        np.testing.assert_array_equal(FAMILY.images(np.array([7]), (turns, mirrored))[0, 0].numpy(), expected)
    np.testing.assert_allclose(upright.numpy(), load_digits().images[7] / 16)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_sampled_tasks_hold_classes_of_their_part_only(part) -> None:
    for fold in FAMILY.folds():
        tasks = FAMILY.sample(NoTestFold(fold), part, 2, 40, np.random.default_rng(0))
        assert len(tasks) == 40
        assert {task.n_classes for task in tasks} == {2, 3, 4} - ({4} if part == "validation" else set())
        for task in tasks:
            assert task.support_y.bincount().tolist() == [2] * task.n_classes
            assert task.query_y.bincount().tolist() == [digits.N_TRAIN_QUERY] * task.n_classes
            assert len(set(task.class_names)) == task.n_classes
            labels = LABELS[[int(i) for i in task.query_ids]]
            named = [int(name.split("/")[0]) for name in task.class_names]
            assert [named[c] for c in task.query_y.tolist()] == labels.tolist()
            assert set(named) <= digits_of(getattr(fold, part)) - digits_of(fold.test)
            assert len({name.split("/")[1] for name in task.class_names}) == 1  # one view in a task


def test_support_and_query_are_different_images() -> None:
    for task in FAMILY.sample(FAMILY.folds()[0], "train", 3, 5, np.random.default_rng(0)):
        pairs = (task.support_x[:, None] == task.query_x[None]).flatten(2).all(2)
        assert not pairs.any()


def test_frozen_tasks_are_nested_in_shots_and_tested_on_the_same_query() -> None:
    for fold in FAMILY.folds():
        specs = [s for s in FAMILY.freeze(np.random.default_rng(1)) if s.fold == fold.name]
        assert len(specs) == 3
        for spec in specs:
            one, five, twenty = (FAMILY.build(spec, k, fold) for k in (1, 5, 20))
            assert one.n_classes == 3
            for c in range(3):
                first = [t.support_x[t.support_y == c] for t in (one, five, twenty)]
                assert [len(x) for x in first] == [1, 5, 20]
                assert torch.equal(first[1], first[2][:5]) and torch.equal(first[0], first[2][:1])
            assert torch.equal(one.query_x, twenty.query_x) and torch.equal(one.query_y, twenty.query_y)
            assert rows_of(one.query_x) == list(spec.query) and len(set(spec.query)) == 3 * FAMILY.n_query
            assert not set(spec.query) & {i for ids in spec.support for i in ids}
            for rows, y in ((rows_of(twenty.support_x), twenty.support_y), (spec.query, twenty.query_y)):
                pairs = set(zip(LABELS[list(rows)].tolist(), y.tolist(), strict=True))
                assert len(pairs) == 3 and {d for d, _ in pairs} == digits_of(fold.test)


def test_freezing_repeats_and_depends_on_the_stream() -> None:
    first, again, other = (FAMILY.freeze(np.random.default_rng(s)) for s in (1, 1, 2))
    assert first == again != other


def test_two_ways() -> None:
    family = Digits(n_test=1, ways=2)
    spec = family.freeze(np.random.default_rng(0))[0]
    assert family.build(spec, 1, family.folds()[0]).n_classes == 2
    drawn = family.sample(family.folds()[0], "train", 1, 30, np.random.default_rng(0))
    assert {task.n_classes for task in drawn} == {2, 3, 4}, "what is trained on does not depend on it"


def test_scores_by_hand() -> None:
    x, y = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    task = Task("t", "f", "classification", x, y, torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]), n_classes=2)
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.0, 1.0]])
    accuracy, log_loss = FAMILY.score(task, p)
    assert (accuracy.metric, accuracy.value, accuracy.task) == ("accuracy", 0.75, "t")
    assert log_loss.value == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.8) + 0) / 4)
    certain = FAMILY.score(task, torch.tensor([[0.0, 1.0]] * 4))[1]
    assert certain.value == pytest.approx(-math.log(1e-12) / 2, rel=1e-5)  # wrong and certain: large, but finite


def test_what_cannot_be_served_is_refused() -> None:
    for shots in ((), (0,), (1, 21)):
        with pytest.raises(ParameterError, match="expected numbers from 1 to 20"):
            Digits(shots=shots)
    for ways in (1, 4):
        with pytest.raises(TaskError, match=f"ways is {ways}"):
            Digits(ways=ways)


def test_the_hash_is_of_the_data_and_not_of_the_settings() -> None:
    assert FAMILY.content_hash() == dataclasses.replace(FAMILY, shots=(1,)).content_hash()
    changed = Digits()
    changed.__dict__["_data"] = (FAMILY._data[0] + 1 / 16, FAMILY._data[1])
    assert changed.content_hash() != FAMILY.content_hash()
