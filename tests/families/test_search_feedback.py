"""Relevance feedback, on made-up collections: who judges what, what is left to find, and that one page can teach."""

from __future__ import annotations

import pickle
from dataclasses import replace
from math import log2

import numpy as np
import pytest
import torch

from at_hand import needs
from helpers import NoTestFold
from metastudy import loaders
from metastudy.adapt import (
    ANIL,
    MAML,
    Attention,
    Estimator,
    FiLM,
    Mapping,
    Prototypes,
    RidgeHead,
    TaskMemory,
    Unadapted,
)
from metastudy.errors import DataError, ParameterError
from metastudy.families import candidates
from metastudy.families.candidates import build, of_arrays
from metastudy.families.judged_results import SEARCHED, feedback_order, judged_results
from metastudy.families.search_feedback import N_MATCH, NAMES, VECTOR_DIM, SearchFeedback, turned
from metastudy.tasks import Task, collate
from toy_collections import toy

SOURCES = {name: toy(name, seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def arrays():
    return {name: of_arrays(name, build(found)) for name, found in SOURCES.items()}


@pytest.fixture
def family(arrays, monkeypatch):
    monkeypatch.setattr(candidates, "load", lambda name, encoder=None: arrays[name])
    return SearchFeedback(max_queries=10)


@pytest.fixture
def specs(family):
    return family.freeze(np.random.default_rng(0))


@pytest.fixture
def task(family, specs):
    return family.build(specs[0], 1, family.folds()[0])


def protocol(relevant: list[bool], k: int) -> set[int]:
    """The rule as it is told: the k first; where none is relevant, the k-th is replaced by the first that is."""
    first = list(range(k))
    if not any(relevant[:k]):
        first[-1] = relevant.index(True)
    return set(first)


def test_the_first_k_of_the_list_are_what_the_rule_says():
    rng = np.random.default_rng(0)
    for _ in range(200):
        relevant = (rng.random(40) < 0.1).tolist()
        order = feedback_order(relevant, 8)
        if order is None:
            assert not any(relevant)
            continue
        assert len(order) == 8
        for k in range(1, 9):
            assert set(order[:k]) == protocol(relevant, k)


def test_the_list_by_hand():
    assert feedback_order([False, False, False, True, True], 3) == (3, 0, 1)
    assert feedback_order([True, False, True], 2) == (0, 1)
    assert feedback_order([False, True], 5) == (1, 0)
    assert feedback_order([False] * SEARCHED + [True], 8) is None
    assert feedback_order([False] * (SEARCHED - 1) + [True], 2) == (SEARCHED - 1, 0)


def test_queries_without_a_task_are_counted(arrays):
    found = arrays["cisi"]
    alone = found.judgements.copy()
    grades = {q: dict(g) for q, g in found.relevant.items()}
    first, second = map(str, found.queries[:2])
    grades[first] = dict([next(iter(grades[first].items()))])  # its one relevant page is judged, so none is left
    pages, _ = found.rows(1)
    outside = next(i for i in found.pages if i not in set(found.pages[pages[:SEARCHED]]))
    grades[second] = {str(outside): 1}
    changed = replace(found, judgements=alone)
    vars(changed)["relevant"] = grades
    usable, left_out = judged_results(changed, 200, 8)
    assert left_out == {"none relevant among the first": 1, "none relevant left": 1}
    assert set(usable) == set(grades) - {first, second}


def test_every_collection_is_tested_once_and_scifact_is_none(family):
    folds = family.folds()
    assert [f.test for f in folds] == [(name,) for name in NAMES] and "scifact" not in NAMES
    for fold in folds:
        assert {*fold.train, *fold.validation, *fold.test} == set(NAMES) and len(fold.train) == 4


def test_frozen_tasks(family, specs):
    assert all(sum(s.family == name for s in specs) == 10 for name in NAMES)
    assert specs == family.freeze(np.random.default_rng(1)), "chosen by hash, not by chance"
    assert {s.id for s in specs} <= {s.id for s in SearchFeedback(max_queries=20).freeze(np.random.default_rng(0))}
    for s in specs:
        assert len(set(s.support[0])) == 8 and s.query == (s.id,) and set(s.support[0]).isdisjoint(s.query)


def test_supports_are_nested_and_all_that_is_judged_is_taken_out(family, specs):
    for fold, spec in ((f, next(s for s in specs if s.fold == f.name)) for f in family.folds()):
        tasks = [family.build(spec, k, fold) for k in (1, 2, 4, 8)]
        grades = SOURCES[spec.family].relevant()[spec.id.split("/")[1]]
        for k, task in zip((1, 2, 4, 8), tasks, strict=True):
            assert len(task.support_y) == k + 1
            assert torch.equal(task.support_x[:k], tasks[-1].support_x[:k])
            assert task.support_y[:k].tolist() == [grades.get(page, 0) for page in spec.support[0][:k]]
            assert torch.equal(task.query_x, tasks[0].query_x), "tasks of different k rank the same pages"
            assert set(task.support_group.tolist()) == set(task.query_group.tolist()) == {0}
        pages = [row.split("|")[1] for row in tasks[0].query_ids]
        assert set(pages).isdisjoint(spec.support[0]) and tasks[0].support_y[0] > 0
        assert tasks[0].query_y.tolist() == [grades.get(page, 0) for page in pages]
        assert tasks[0].query_x.shape[1] == family.n_features == family.model().in_dim
        collate(tasks)


def test_the_row_that_nobody_judged(family, specs, arrays):
    """It matches as the judged pages do on average, and is about what the whole collection is about."""
    fold, spec = family.folds()[0], specs[0]
    task = family.build(spec, 4, fold)
    assert task.support_y[-1] == 0
    assert torch.allclose(task.support_x[-1, :N_MATCH], task.support_x[:-1, :N_MATCH].mean(0), atol=1e-5)
    vectors = arrays[spec.family].vectors[:, :VECTOR_DIM]
    mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(0) * VECTOR_DIM**0.5
    assert np.allclose(task.support_x[-1, N_MATCH:], mean, atol=1e-4)


def test_inner_products_of_rows_hold_cosines(task, arrays, specs):
    found = arrays[specs[0].family]
    vectors = found.vectors[:, :VECTOR_DIM]
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    place = {str(page): i for i, page in enumerate(found.pages)}
    judged = vectors[place[specs[0].support[0][0]]]
    expected = [vectors[place[row.split("|")[1]]] @ judged for row in task.query_ids]
    found_cosines = task.query_x[:, N_MATCH:] @ task.support_x[0, N_MATCH:] / VECTOR_DIM
    assert np.allclose(found_cosines, expected, atol=1e-4)


def test_measures_on_what_is_left_by_hand(family, specs):
    fold, spec = family.folds()[2], next(s for s in specs if s.family == family.folds()[2].test[0])
    task = family.build(spec, 2, fold)
    prediction = torch.from_numpy(np.random.default_rng(0).random(len(task.query_y)))
    query = spec.id.split("/")[1]
    left = {p: g for p, g in SOURCES[spec.family].relevant()[query].items() if p not in spec.support[0]}
    ranking = [task.query_ids[i].split("|")[1] for i in np.argsort(-prediction.numpy())]
    gain = sum(left.get(p, 0) / log2(i + 2) for i, p in enumerate(ranking[:10]))
    ideal = sum(g / log2(i + 2) for i, g in enumerate(sorted(left.values(), reverse=True)[:10]))
    found = family.score(task, prediction)
    assert {s.task for s in found} == {spec.id} and len(found) == 3
    assert {s.metric: s.value for s in found} == pytest.approx({
        "ndcg@10": gain / ideal,
        "recall@10": sum(p in left for p in ranking[:10]) / len(left),
        "mrr": next(1 / (i + 1) for i, p in enumerate(ranking) if p in left),
    })  # fmt: skip


def test_equal_predictions_keep_the_order_of_the_fusion(family, task):
    rrf = next(b.column for b in family.field_baselines if b.name == "rrf")
    assert family.score(task, torch.zeros(len(task.query_y))) == family.score(task, task.query_x[:, rrf])
    assert family.ranking(task, torch.ones(len(task.query_y))) == [row.split("|")[1] for row in task.query_ids]


def scores(family: SearchFeedback, mapping: Mapping, task: Task, earlier: list[Task]) -> torch.Tensor:
    """Scores of the query rows with fresh weights, the head moved away from zero differences."""
    model = family.model()
    theta = model.init(torch.Generator().manual_seed(0))
    alpha = mapping.init(model, torch.Generator().manual_seed(1))
    if mapping.memory_size:
        alpha |= {f"memory.{k}": v for k, v in mapping.remember(collate(earlier)).items()}
    with torch.no_grad():
        return mapping(model, theta, alpha, collate([task]))[0, :, 0]


def test_one_judged_page_moves_every_mapping_towards_pages_like_it(family, task):
    """Without the row that nobody judged, gradient steps and the ridge head would stand still on one page."""
    earlier = family.sample(family.folds()[0], "train", 1, 4, np.random.default_rng(0))
    start = scores(family, Unadapted(), task, earlier)
    like = task.query_x[:, N_MATCH:] @ task.support_x[0, N_MATCH:]
    alone = replace(
        task, support_x=task.support_x[:1], support_y=task.support_y[:1], support_group=task.support_group[:1]
    )
    for mapping in (
        MAML(),
        ANIL(),
        RidgeHead(),
        TaskMemory(memory_size=4),
        Prototypes(),
        Attention(),
        FiLM(),
        Estimator(),
    ):
        found = scores(family, mapping, task, earlier)
        assert torch.isfinite(found).all(), mapping.name
        if mapping.name in ("maml", "anil", "ridge"):
            assert np.corrcoef(found - start, like)[0, 1] > 0.8, mapping.name
            unmoved = scores(family, mapping, alone, earlier)
            assert torch.allclose(unmoved, start, atol=1e-5), mapping.name
        elif mapping.name in ("prototypes", "attention"):
            assert np.corrcoef(found, like)[0, 1] > 0.5, mapping.name


def test_feedback_helps_on_average(family, specs):
    """Rocchio's formula with one judged page, from the columns that every method sees, beats the fusion alone."""
    gains = []
    for spec in specs:
        fold = next(f for f in family.folds() if f.name == spec.fold)
        task = family.build(spec, 1, fold)
        like = task.query_x[:, N_MATCH:] @ task.support_x[0, N_MATCH:] / VECTOR_DIM
        with_it, without = (
            next(s.value for s in family.score(task, p) if s.metric == "ndcg@10")
            for p in (task.query_x[:, 2] + 5 * like, task.query_x[:, 2])
        )
        gains.append(with_it - without)
    assert np.mean(gains) > 0.02


def test_turning_keeps_cosines_and_matches(task):
    one, two = (turned(task, np.random.default_rng(seed)) for seed in (0, 1))
    assert not torch.allclose(one.query_x, two.query_x)
    for part in (one, two):
        assert torch.equal(part.query_x[:, :N_MATCH], task.query_x[:, :N_MATCH])
        for a, b in ((part.support_x, part.query_x), (part.query_x, part.query_x)):
            c, d = (task.support_x, task.query_x) if a is part.support_x else (task.query_x, task.query_x)
            assert torch.allclose(a[:, N_MATCH:] @ b[:, N_MATCH:].T, c[:, N_MATCH:] @ d[:, N_MATCH:].T, atol=1e-3)


def test_training_never_asks_for_test_collections_and_turns_vectors(family):
    fold = family.folds()[0]
    blind = NoTestFold(fold)
    for part in ("train", "validation"):
        tasks, again = (family.sample(blind, part, 4, 12, np.random.default_rng(1)) for _ in range(2))
        assert {t.family for t in tasks} <= set(getattr(fold, part)) and all(len(t.support_y) == 5 for t in tasks)
        assert all(torch.equal(a.query_x, b.query_x) for a, b in zip(tasks, again, strict=True))
        for t in tasks:
            query = t.query_ids[0].split("|")[0]
            plain = family._task("x", t.family, query, family.results(t.family)[query].judged, 4, fold)
            assert torch.equal(plain.query_x, t.query_x) == (part == "validation")


def test_scales_come_from_training_collections(family, specs, arrays, monkeypatch):
    fold, spec = family.folds()[0], specs[0]
    before = family.build(spec, 2, fold)
    for name, same in ((fold.validation[0], True), (fold.train[0], False)):
        other = arrays | {name: replace(arrays[name], x=arrays[name].x * 3)}
        monkeypatch.setattr(candidates, "load", lambda name, encoder=None, other=other: other[name])
        assert torch.equal(before.query_x, SearchFeedback().build(spec, 2, fold).query_x) == same


def test_pickles_are_light(family, specs):
    family.build(specs[0], 1, family.folds()[0])
    again = pickle.loads(pickle.dumps(family))
    assert not {"found", "_split", "_vectors"} & set(vars(again)) and not again._scales
    assert again.freeze(np.random.default_rng(0)) == specs and again.content_hash() == family.content_hash()


def test_what_is_refused(family, specs):
    fold, spec = family.folds()[0], specs[0]
    for bad in (
        replace(spec, query=("cranfield/unknown",)),
        replace(spec, support=(("unknown", *spec.support[0][1:]),)),
        replace(spec, family="unknown"),
    ):
        with pytest.raises(DataError, match="task cranfield/.*unknown.*freeze again"):
            family.build(bad, 1, fold)
    with pytest.raises(ParameterError, match="pool 50; expected 100.* to 200"):
        SearchFeedback(pool=50)
    with pytest.raises(ParameterError, match="numbers from 1 to 8"):
        SearchFeedback(shots=(1, 16))


@needs("cystic_fibrosis")
def test_a_real_collection():
    usable, left_out = judged_results(
        of_arrays("cystic_fibrosis", build(loaders.load("cystic_fibrosis", offline=True))), 200, 8
    )
    assert len(usable) == 100 and not any(left_out.values())
    assert all(len(r.pages) == 200 and len(set(r.judged)) == 8 for r in usable.values())
