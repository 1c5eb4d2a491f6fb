"""One contract for every family of both profiles: splits, frozen lists, tasks and scores."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from metastudy import loaders, registry, task_lists
from metastudy.errors import DataError, ParameterError, TaskError
from metastudy.families import catalogue
from metastudy.families.base import Family, TaskSpec
from metastudy.project import find_root
from metastudy.tasks import collate

PUBLIC = all(loaders.available(s.name) for s in registry.load().sources)
ABSENT = "the public data is not in data/raw or METASTUDY_DATA_MIRROR"
SLOW = os.environ.get("METASTUDY_SLOW_TESTS") == "1"
SUMMED = {"auroc", "rouge1", "rouge2", "rougeL", "ndcg@10", "mrr", "recall@10", "accuracy"}


@cache
def held(profile: str) -> tuple[Family, ...]:
    return catalogue.families(profile)


def every_family() -> list:
    cases = []
    for profile in catalogue.PROFILES:
        for family in held(profile):
            name = task_lists.file_name(family).removesuffix(".json")
            slow = profile == "full" and family.study == "summarization" and not SLOW
            marks = [
                pytest.mark.skipif(profile == "full" and not PUBLIC, reason=ABSENT),
                pytest.mark.skipif(slow, reason="splits sentences for a minute; `make check-data` runs it"),
            ]
            cases.append(pytest.param((profile, family), id=f"{profile}-{name}", marks=marks))
    return cases


@pytest.fixture(params=every_family())
def case(request) -> tuple[str, Family]:
    return request.param


@pytest.fixture
def family(case) -> Family:
    return case[1]


@cache
def listed(profile: str, name: str) -> list[TaskSpec]:
    family = next(f for f in held(profile) if task_lists.file_name(f) == name)
    return task_lists.read(family, find_root() / "data" / "tasks" / profile)


@pytest.fixture
def specs(case) -> list[TaskSpec]:
    profile, family = case
    return listed(profile, task_lists.file_name(family))


def first_of_each_fold(family: Family, specs: list[TaskSpec]):
    for fold in family.folds()[:2]:
        yield fold, next(spec for spec in specs if spec.fold == fold.name)


def test_the_committed_list_is_what_is_drawn_today(case, specs) -> None:
    profile, family = case
    path = find_root() / "data" / "tasks" / profile / task_lists.file_name(family)
    assert json.loads(path.read_text(encoding="utf-8")) == task_lists.freeze(family)
    assert path.stat().st_size < 900_000


def test_what_is_tested_is_never_trained_or_tuned_on(family) -> None:
    if family.study == "sinusoid":
        return  # one distribution of curves: its tasks differ by their seeds
    folds = family.folds()
    for fold in folds:
        parts = [set(fold.train), set(fold.validation), set(fold.test)]
        if family.study == "diagnosis_diseases" and parts[0] == parts[1]:
            parts = parts[1:]  # quick: two diseases, so the other one's patients are split into train and validation
        assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)), fold.name
    tested = [name for fold in folds for name in fold.test]
    assert len(tested) == len(set(tested))


def test_tasks_are_frozen_in_their_own_fold_and_named_once(family, specs) -> None:
    tests = {fold.name: set(fold.test) for fold in family.folds()}
    assert len({spec.id for spec in specs}) == len(specs) and {spec.fold for spec in specs} == set(tests)
    assert all(set(ids).isdisjoint(spec.query) for spec in specs for ids in spec.support if spec.query)


def test_the_list_does_not_depend_on_the_shots_of_a_run(family) -> None:
    assert max(family.shots) <= family.max_shots
    again = pickle.loads(pickle.dumps(family))
    assert repr(again) == repr(family) and again.content_hash() == family.content_hash()


def test_supports_are_nested_and_queries_are_the_same(family, specs) -> None:
    for fold, spec in first_of_each_fold(family, specs):
        tasks = [family.build(spec, shots, fold) for shots in sorted(family.shots)]
        for fewer, more in zip(tasks, tasks[1:], strict=False):
            assert len(fewer.support_y) < len(more.support_y)
            if family.study != "search_feedback":  # there, what is judged is removed from what is ranked
                named = ([i.partition("|")[0] for i in task.query_ids] for task in (fewer, more))
                assert torch.equal(fewer.query_y, more.query_y) and len({tuple(ids) for ids in named}) == 1
            rows = {tuple(row.flatten().tolist()) for row in more.support_x}
            if family.kind in ("classification", "regression"):
                assert all(tuple(row.flatten().tolist()) in rows for row in fewer.support_x)


def test_building_twice_gives_the_same_task(family, specs) -> None:
    for fold, spec in first_of_each_fold(family, specs):
        one, two = (family.build(spec, family.shots[0], fold) for _ in range(2))
        assert torch.equal(one.support_x, two.support_x) and torch.equal(one.query_y, two.query_y)


def test_a_list_of_other_data_is_refused(family, specs) -> None:
    if family.study == "sinusoid":
        return  # a seed is any number
    fold, spec = next(first_of_each_fold(family, specs))
    ids = (spec.support[0][0],)
    unknown = "no such id" if isinstance(ids[0], str) else 10**9
    for changed in (
        replace(spec, support=((unknown, *spec.support[0][1:]), *spec.support[1:])),
        replace(spec, query=(unknown, *spec.query[1:])) if spec.query else replace(spec, support=((unknown,),)),
    ):
        with pytest.raises((DataError, TaskError)):
            family.build(changed, family.max_shots, fold)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_training_tasks_batch_and_stay_in_their_part(family, part) -> None:
    fold = family.folds()[0]
    shots = family.shots[0]
    one, two = (family.sample(fold, part, shots, 4, np.random.default_rng(3)) for _ in range(2))
    assert collate(one).n_tasks == 4
    assert all(torch.equal(a.support_x, b.support_x) and torch.equal(a.query_y, b.query_y)
               for a, b in zip(one, two, strict=True))  # fmt: skip
    if family.kind == "classification" and part == "train":
        known = set(family.training_classes(fold))
        assert {name for task in one for name in task.class_names} <= known
    elif family.kind != "classification":
        with pytest.raises(TaskError, match="no classes of its own"):
            family.training_classes(fold)
    batch, model = collate(one), family.model()
    answers = model(model.untied(model.init(torch.Generator().manual_seed(0))), batch.support_x)
    assert answers.shape[:2] == batch.support_x.shape[:2] and torch.isfinite(answers).all()


def test_perfect_answers_score_better_than_wrong_ones(family, specs) -> None:
    fold, spec = next(first_of_each_fold(family, specs))
    task = family.build(spec, family.shots[0], fold)

    def scores(right: bool) -> dict[str, float]:
        y = task.query_y
        if family.kind in ("classification", "binary"):
            n = max(task.n_classes, 2)
            target = y.long() if right else (y.long() + 1) % n
            prediction = torch.full((len(y), n), 0.1 / n).scatter_(1, target[:, None], 0.9)
        else:
            prediction = y if right else -y
        found: dict[str, list[float]] = {}
        for score in family.score(task, prediction):
            assert np.isfinite(score.value) and score.task.startswith(task.id)
            found.setdefault(score.metric, []).append(score.value)
        return {metric: float(np.mean(values)) for metric, values in found.items()}

    best, worst = scores(True), scores(False)
    assert set(best) == set(family.metrics)
    for metric in family.metrics:
        assert (best[metric] > worst[metric]) == (metric in SUMMED), metric


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ParameterError, match="profile 'fast' has no families; expected one of quick, full"):
        catalogue.families("fast")
