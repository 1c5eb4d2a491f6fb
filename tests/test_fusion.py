"""Fusions against slow ones from raw numbers of pages: what is tuned is what is scored, and on what it may depend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import NoTestFold, ToyFamily
from metastudy import fusion
from metastudy.errors import ParameterError
from metastudy.families import candidates
from metastudy.families.base import Fold
from metastudy.families.collection import FEATURES, TEXT_FEATURES
from metastudy.families.public_search import PublicSearch
from metastudy.families.search_base import Search
from metastudy.fused_scores import FORMS, Scaling, table
from metastudy.fusion import (
    COUNTS,
    UNTUNED,
    WEIGHTS,
    Fusion,
    ShrunkenFusion,
    TransferredFusion,
    TunedFusion,
    UntunedFusion,
    best,
    choose_count,
    shrunken,
)
from metastudy.train import TrainConfig
from toy_collections import toy
from toy_fusion import COLLECTIONS, FOLD, Made, slow_ndcg, slow_scores

CONFIG = TrainConfig(steps=1)
METHODS = (UntunedFusion("u"), TunedFusion("t"), TransferredFusion("o"), ShrunkenFusion("s"))


@pytest.fixture(scope="module")
def family() -> Made:
    return Made()


def slow_best(values: Mapping[tuple[str, float], float]) -> tuple[str, float]:
    top = max(values.values())
    return min((s for s, v in values.items() if v > top - 1e-9), key=lambda s: abs(s[1] - 0.5))


@cache
def slow_means_of(seed: int, name: str) -> dict[tuple[str, float], float]:
    """Over all queries of a collection."""
    family = Made(seed=seed)
    return slow_means(family, name, family.ids(name))


def slow_means(family: Made, name: str, queries: list[str]) -> dict[tuple[str, float], float]:
    return {("z", w): fmean(slow_ndcg(family, name, queries, "z", w)) for w in WEIGHTS}


def predicted(method: Fusion, family: Search, task, fold: Fold = FOLD):
    return method.fit(family, fold, CONFIG, 0).predict([task], 0)[0]


def expected(family: Made, task, form: str, w: float) -> list[float]:
    queries = dict.fromkeys(i.split("|")[0] for i in task.query_ids)
    kept = [[p for p in family.pages[task.family][q].values() if p.found] for q in queries]
    return [score for pages in kept for score in slow_scores(pages, form, w)]


def test_pages_are_as_the_tests_need_them(family):
    """Relevant pages outside the candidates, ties, and collections that want different weights."""
    every = [page for queries in family.pages.values() for found in queries.values() for page in found.values()]
    assert sum(p.grade > 0 and not p.found for p in every) > 30
    found = [[p.bm25 for p in pages.values() if p.found] for pages in family.pages["d"].values()]
    assert sum(len(set(scores)) < len(scores) for scores in found) > 3
    wanted = {name: slow_best(slow_means_of(0, name))[1] for name in "bc"}
    assert wanted["b"] > 0.5 > wanted["c"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("features", [TEXT_FEATURES, FEATURES])
def test_untuned_scores_by_their_definition(features, form):
    family = Made(features)
    task = family.task()
    found = predicted(UntunedFusion("u", (form,)), family, task)
    assert found.dtype == torch.float32 and found.shape == task.query_y.shape
    assert np.allclose(found, expected(family, task, form, 0.5), atol=1e-4)


def test_what_is_tuned_is_what_is_scored(family):
    """nDCG@10 of a support's queries is what the family gives for them where they are asked."""
    scaling, task = Scaling.of(family, FOLD), family.task("d", 6)
    x, y, group = task.support_x, task.support_y, task.support_group
    found = table([scaling.results(x[group == g], y[group == g]) for g in range(6)], [("z", 0.5), ("z", 0.2)])
    asked = family._task("t", "d", family.ids("d")[6:], family.ids("d")[:6], FOLD)
    scored = {s.task: s.value for s in family.score(asked, predicted(UntunedFusion("u"), family, asked))
              if s.metric == "ndcg@10"}  # fmt: skip
    assert np.allclose(found[:, 0], [scored[f"t:d{q}"] for q in range(6)], atol=1e-9)
    assert not np.allclose(found[:, 0], found[:, 1])


@pytest.mark.parametrize("shots", [3, 6])
@pytest.mark.parametrize("seed", range(3))
def test_the_weight_that_is_best_on_the_support(seed, shots):
    family = Made(seed=seed)
    task = family.task("d", shots)
    form, w = slow_best(slow_means(family, "d", family.ids("d")[:shots]))
    assert np.allclose(predicted(TunedFusion("t"), family, task), expected(family, task, form, w), atol=1e-4)


@pytest.mark.parametrize("seed", range(2))
def test_the_weight_that_is_best_elsewhere(seed):
    """Means over all queries of each of the other collections, then over them."""
    family = Made(seed=seed)
    means = [slow_means_of(seed, name) for name in "abc"]
    form, w = slow_best({s: fmean(m[s] for m in means) for s in means[0]})
    for task in (family.task("d", 3), family.task("d", 6), family.task("a", 3)):
        assert np.allclose(predicted(TransferredFusion("o"), family, task), expected(family, task, form, w), atol=1e-4)


@pytest.mark.parametrize("count", [2.0, 30.0])
def test_the_weight_that_is_best_on_both(family, count):
    task, queries = family.task("d", 6), family.ids("d")[:6]
    own = slow_means(family, "d", queries)
    means = [slow_means_of(0, name) for name in "abc"]
    form, w = slow_best({s: 6 * own[s] + count * fmean(m[s] for m in means) for s in own})
    found = predicted(ShrunkenFusion("s", counts=(count,)), family, task)
    assert np.allclose(found, expected(family, task, form, w), atol=1e-4)


def test_between_the_support_and_the_others(family):
    for name in COLLECTIONS:
        task = family.task(name, 6)
        own, others = (predicted(m, family, task) for m in (TunedFusion("t"), TransferredFusion("o")))
        assert torch.equal(predicted(ShrunkenFusion("s", counts=(0.0,)), family, task), own)
        assert torch.equal(predicted(ShrunkenFusion("s", counts=(1e9,)), family, task), others)
    assert not torch.equal(own, others)


def test_forms_are_tried_together(family):
    task, queries = family.task("d", 3), family.ids("d")[:3]
    forms = "rrf, k = 1", "min-max"
    values = {(f, w): fmean(slow_ndcg(family, "d", queries, f, w)) for f in forms for w in WEIGHTS}
    found = predicted(TunedFusion("t", forms), family, task)
    assert np.allclose(found, expected(family, task, *slow_best(values)), atol=1e-4)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=21), st.floats(-1e-10, 1e-10))
def test_of_equal_triedthe_one_nearest_to_the_untuned(levels, noise):
    tried = [("z", w) for w in WEIGHTS[: len(levels)]]
    values = np.array(levels) / 10
    values[0] += noise
    top = [i for i, level in enumerate(levels) if level == max(levels)]
    chosen = best(values, tried)
    assert chosen in top
    assert all(abs(WEIGHTS[chosen] - UNTUNED) <= abs(WEIGHTS[i] - UNTUNED) for i in top)


@given(st.integers(0, 6), st.integers(0, 9), st.integers(0, 99))
def test_a_count_is_so_many_more_queries(k, count, seed):
    rng = np.random.default_rng(seed)
    own, prior = rng.random((k, 4)), rng.random(4)
    more = np.concatenate([own, np.repeat(prior[None], count, axis=0)]) if k else prior[None]
    assert np.allclose(shrunken(own, prior, count), more.mean(0)), "without a judged query, the prior alone"


def noisy(rng: np.random.Generator, peak: int, noise: float, n: int = 40) -> np.ndarray:
    """nDCG of 21 weights for n queries: each query's own best weight is near the collection's `peak`."""
    own = peak + noise * rng.normal(size=(n, 1))
    return 1 - np.abs(np.arange(21) - own) / 40


def test_the_count_is_small_where_collections_differ_and_large_where_queries_do():
    rng, weights = np.random.default_rng(0), [("z", w) for w in WEIGHTS]
    differ = [noisy(rng, peak, 0.5) for peak in (1, 6, 14, 19)]
    alike = [noisy(rng, 8, 9.0) for _ in range(4)]
    assert choose_count(differ, weights, 5) <= 1
    assert choose_count(alike, weights, 5) >= 50
    assert choose_count(differ, weights, 5) == choose_count(differ, weights, 5)
    assert choose_count(alike, weights, 5, counts=(3.0,)) == 3.0


@pytest.mark.parametrize(("seed", "expected_count"), [(6, 0), (10, 0), (29, 2), (8, 20)])
def test_the_count_by_a_slow_computation(seed, expected_count, monkeypatch):
    """Every support of two queries once, in place of draws. In the first two, a prior that knew the new collection
    would be worth more."""
    monkeypatch.setattr(fusion, "N_DRAWS", 600)
    rng, weights = np.random.default_rng(seed), [("z", w) for w in (0.0, 0.5, 1.0)]
    tables = [rng.random((5, 3)).round(2) + lean for lean in np.array([[0, 0, 0.2], [0.2, 0, 0], [0, 0.1, 0.2]])]
    gained = {}
    for count in (0.0, 2.0, 20.0):
        values = []
        for i, own in enumerate(tables):
            prior = np.mean([t.mean(0) for j, t in enumerate(tables) if j != i], axis=0)
            for a in range(5):
                for b in range(a):
                    total = own[a] + own[b] + count * prior
                    top = [s for s in range(3) if total[s] >= total.max() - 1e-9]
                    chosen = min(top, key=lambda s: abs((0.0, 0.5, 1.0)[s] - 0.5))
                    values.append(np.mean([own[c, chosen] for c in range(5) if c not in (a, b)]))
        gained[count] = np.mean(values)
    ordered = sorted(gained.values())
    assert ordered[-1] - ordered[-2] > 0.02, "else draws cannot tell them apart"
    assert choose_count(tables, weights, 2, (0.0, 2.0, 20.0)) == max(gained, key=gained.get) == expected_count


def test_collections_that_are_too_small_say_nothing():
    weights, large, small = [("z", w) for w in WEIGHTS], np.eye(30, 21), np.eye(5, 21)
    assert choose_count([large, small], weights, 5) == choose_count([large, small], weights, 5)
    for tables in ([small, small], [large]):
        with pytest.raises(ParameterError, match=r"collections with \[.*\] queries cannot say what 5 judged ones"):
            choose_count(tables, weights, 5)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_on_what_a_prediction_may_depend(family, method):
    task = family.task("d", 6)
    fitted = method.fit(family, NoTestFold(FOLD), CONFIG, 0)
    found = fitted.predict([task], 6)[0]
    assert method.deterministic and torch.equal(method.fit(family, FOLD, CONFIG, 5).predict([task], 6)[0], found)
    unknown = replace(task, query_y=torch.zeros_like(task.query_y))
    assert torch.equal(fitted.predict([unknown], 6)[0], found), "grades of what is asked"
    half = len(family._rows["d"]["d6"].pages[: family._rows["d"]["d6"].n_candidates])
    one = family._task("t", "d", family.ids("d")[:6], ("d6",), FOLD)
    assert torch.equal(fitted.predict([one], 6)[0], found[:half]), "other queries that are asked"
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(task.query_y)))
    mixed = replace(task, query_x=task.query_x[order], query_y=task.query_y[order], query_group=task.query_group[order])
    assert torch.allclose(fitted.predict([mixed], 6)[0], found[order], atol=1e-6), "the order of rows"
    turned = family._task("t", "d", family.ids("d")[5::-1], task_queries(task), FOLD)
    assert torch.equal(fitted.predict([turned], 6)[0], found), "the order of judged queries"


def task_queries(task) -> tuple[str, ...]:
    return tuple(dict.fromkeys(i.split("|")[0] for i in task.query_ids))


@pytest.mark.parametrize("method", [UntunedFusion("u", ("z of all pages",)), TunedFusion("t", ("z of all pages",))])
def test_how_rows_are_scaled_has_no_influence(method):
    """Training collections decide the scale of each column, and must not decide what a weight means."""
    family = Made()
    wide = family._rows["b"]
    for query, j in wide.items():  # a collection where BM25 has another spread
        x = j.x.clone()
        x[:, TEXT_FEATURES.index("bm25")] *= 20
        wide[query] = replace(j, x=x)
    folds = Fold("left", ("a", "c"), ("b",), ("d",)), Fold("right", ("b", "c"), ("a",), ("d",))
    tasks = [family.task("d", 6, fold) for fold in folds]
    column = TEXT_FEATURES.index("bm25")
    assert tasks[0].query_x[:, column].std() > 3 * tasks[1].query_x[:, column].std()
    found = [predicted(method, family, task, fold) for task, fold in zip(tasks, folds, strict=True)]
    assert torch.allclose(*found, atol=1e-3) and found[0].std() > 0.1


def test_a_support_without_a_relevant_page_says_nothing(family):
    task = family.task("d", 6)
    blank = replace(task, support_y=torch.zeros_like(task.support_y))
    for method, other in ((TunedFusion("t"), UntunedFusion("u")), (ShrunkenFusion("s"), TransferredFusion("o"))):
        assert torch.equal(predicted(method, family, blank), predicted(other, family, task))


def test_public_collections_and_their_column_of_rrf(monkeypatch):
    """On rows that come from text: RRF is the column of that name, and all methods fit, predict and are scored."""
    arrays = {name: candidates.of_arrays(name, candidates.build(toy(name, i))) for i, name in
              enumerate(candidates.NAMES)}  # fmt: skip
    monkeypatch.setattr(candidates, "load", lambda name, encoder=None: arrays[name])
    family = PublicSearch(pool=20, draws=2, queries=10)
    fold = family.folds()[0]
    task = family.build(family.freeze(np.random.default_rng(0))[0], 10, fold)
    rrf = family.rankings(task, task.query_x[:, TEXT_FEATURES.index("rrf")])
    assert family.rankings(task, predicted(UntunedFusion("u", ("rrf",)), family, task, fold)) == rrf
    scaling, judged = Scaling.of(family, fold), family.judged(fold)["npl"].values()
    raw = family.unscaled()["npl"].values()
    for j, r in zip(judged, raw, strict=True):
        found = scaling.results(j.x, j.y)
        assert len(found.grades) == j.n_candidates
        assert np.allclose(found.scores, r.x[: r.n_candidates, :2], atol=1e-5)
    for method in METHODS:
        values = [s.value for s in family.score(task, predicted(method, family, task, fold))]
        assert len(values) == 30 and 0 < np.mean(values) < 1


def test_what_is_refused(family):
    with pytest.raises(ParameterError, match="fusion needs rows with bm25, dense, .*ToyFamily is none"):
        TunedFusion("t").fit(ToyFamily("ranking"), FOLD, CONFIG, 0)
    for forms in ((), ("z", "softmax")):
        with pytest.raises(ParameterError, match="expected one or more of z, z of all pages, min-max, rrf"):
            TunedFusion("t", forms)
    assert COUNTS[0] == 0 and len(WEIGHTS) == 21 and UNTUNED in WEIGHTS
