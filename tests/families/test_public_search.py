"""Search in public collections, on made-up ones: candidates, splits, supports, measures, and what has no influence."""

from __future__ import annotations

import pickle
from dataclasses import replace
from math import log2

import numpy as np
import pytest
import torch

from at_hand import needs
from helpers import NoTestFold
from metastudy import cache, loaders
from metastudy.errors import DataError, ParameterError
from metastudy.families import candidates
from metastudy.families.candidates import DEPTH, NAMES, Candidates, build, of_arrays, summary_and_body, to_search
from metastudy.families.collection import TEXT_FEATURES
from metastudy.families.public_search import PublicSearch, judged_queries
from metastudy.loaders.collections import Document, SearchCollection
from metastudy.tasks import collate
from toy_collections import toy

SOURCES = {name: toy(name, seed) for seed, name in enumerate(NAMES)}
LAST = "129"  # the document of grade 0 in every query


@pytest.fixture(scope="module")
def arrays() -> dict[str, Candidates]:
    return {name: of_arrays(name, build(found)) for name, found in SOURCES.items()}


@pytest.fixture
def family(arrays, monkeypatch):
    monkeypatch.setattr(candidates, "load", lambda name, encoder=None: arrays[name])
    return PublicSearch(pool=20, draws=2, queries=10)


@pytest.fixture
def specs(family):
    return family.freeze(np.random.default_rng(0))


def test_every_collection_is_tested_once_and_another_one_validates(family):
    folds = family.folds()
    assert [f.test for f in folds] == [(name,) for name in NAMES]
    for fold in folds:
        assert {*fold.train, *fold.validation, *fold.test} == set(NAMES) and len(fold.train) == 5


def test_rows_are_the_features_of_the_collection(arrays):
    """What is kept is what `Collection` computes, for the right pages, best RRF first."""
    found, collection = arrays["cisi"], to_search(SOURCES["cisi"])
    columns = collection.columns(collection.vectors())
    for q in (0, 7):
        pages, x = found.rows(q)
        assert found.pages[pages].tolist() == [collection.ids[j] for j in pages]
        for j, name in enumerate(TEXT_FEATURES):
            assert np.allclose(x[:, j], columns[name][q, pages], atol=1e-6), name
        fused = x[:, TEXT_FEATURES.index("rrf")]
        assert (np.diff(fused) <= 0).all() and len(pages) == min(DEPTH, len(collection.ids))
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-3)
    assert {q: dict(g) for q, g in found.relevant.items()} == SOURCES["cisi"].relevant()


def test_only_as_many_rows_as_are_candidates_or_relevant(arrays, monkeypatch):
    monkeypatch.setattr(candidates, "DEPTH", 10)
    monkeypatch.setattr(candidates, "POOL", 10)
    few, every = of_arrays("npl", build(SOURCES["npl"])), arrays["npl"]
    for q, query in enumerate(few.queries):
        pages, x = few.rows(q)
        relevant = set(few.relevant[query])
        assert relevant <= set(few.pages[pages]) and len(pages) <= 20 + 10 + len(relevant)
        all_pages, all_x = every.rows(q)
        kept = np.isin(all_pages, pages)
        assert all_pages[kept].tolist() == pages.tolist() and np.array_equal(all_x[kept], x)
        assert all_pages[:10].tolist() == pages[:10].tolist()


def test_candidates_are_the_best_of_both_united(arrays):
    found = arrays["medline"]
    bm25, dense = (TEXT_FEATURES.index(name) for name in ("bm25", "dense"))
    judged = judged_queries(found, pool=8)
    for q, query in enumerate(found.queries):
        pages, x = found.rows(q)
        ids = found.pages[pages]
        best = {i for column in (bm25, dense) for i in ids[np.argsort(-x[:, column], kind="stable")[:8]]}
        j = judged[query]
        inside, outside = j.pages[: j.n_candidates], j.pages[j.n_candidates :]
        assert len(inside) <= 16 and set(outside) == set(found.relevant[query]) - set(inside)
        # pages of equal score may stand for one another
        assert len(set(inside) ^ best) <= 4
        assert inside == tuple(i for i in ids if i in set(inside)), "best RRF first"
        assert j.y.tolist() == [found.relevant[query].get(page, 0) for page in j.pages]


def test_a_page_of_doubtful_judgement_is_set_aside_in_cranfield_alone(arrays):
    for name, there in (("cranfield", False), ("cisi", True)):
        found = arrays[name]
        assert all((LAST in found.pages[found.rows(q)[0]]) == there for q in range(len(found.queries)))
        assert not any(LAST in grades for grades in found.relevant.values())


def test_the_line_of_a_page():
    assert summary_and_body("A title", "text") == ("A title", "text")
    words = [f"w{i}" for i in range(15)]
    assert summary_and_body("", " ".join(words)) == (" ".join(words[:12]), "w12 w13 w14")
    assert summary_and_body("", "") == ("", "")


def test_only_the_named_part_is_asked():
    source = replace(
        SOURCES["npl"], parts={"train": tuple(map(str, range(20))), "test": tuple(map(str, range(20, 32)))}
    )
    assert to_search(source, "test").queries == [str(i) for i in range(20, 32)]
    unjudged = SearchCollection(
        "x", {"a": Document("", "t"), "b": Document("", "u")}, {"p": "t", "q": "u"}, {"q": {"b": 1}}
    )
    assert to_search(unjudged).queries == ["q"]


def test_frozen_tasks_keep_support_and_queries_apart(family, specs):
    for name in NAMES:
        own = [s for s in specs if s.family == name]
        assert len(own) == 2 and {q for s in own for q in s.query} <= set(SOURCES[name].qrels)
        assert set(own[0].query).isdisjoint(own[1].query)
        for s in own:
            assert len(set(s.support[0])) == 20 and set(s.support[0]).isdisjoint(s.query) and len(s.query) == 10


def test_a_task_is_what_its_spec_says(family, specs):
    fold, spec = family.folds()[3], next(s for s in specs if s.family == family.folds()[3].test[0])
    few, many = family.build(spec, 5, fold), family.build(spec, 20, fold)
    relevant = SOURCES[spec.family].relevant()
    for row, y in zip(many.query_ids, many.query_y.tolist(), strict=True):
        query, page = row.split("|")
        assert y == relevant[query].get(page, 0)
    assert list(dict.fromkeys(row.split("|")[0] for row in many.query_ids)) == list(spec.query)
    for g, query in enumerate(spec.support[0]):
        assert many.support_y[many.support_group == g].sum() == sum(relevant[query].values()), (
            "all judgements are given"
        )
    assert torch.equal(few.support_x, many.support_x[: len(few.support_x)]) and torch.equal(few.query_x, many.query_x)
    assert many.query_x.shape[1] == family.n_features == family.model().in_dim
    collate([few, many])


def test_measures_by_hand_with_judgements_outside_the_pool(family, specs):
    family = PublicSearch(pool=1, draws=2, queries=10)  # almost every relevant page is lost
    fold, spec = family.folds()[0], specs[0]
    task = family.build(spec, 5, fold)
    prediction = torch.from_numpy(np.random.default_rng(0).random(len(task.query_y)))
    ranking = family.rankings(task, prediction)
    found = {(s.task, s.metric): s.value for s in family.score(task, prediction)}
    assert len(found) == 3 * len(spec.query)
    for query in spec.query:
        grades = SOURCES[spec.family].relevant()[query]
        pages = ranking[query]
        assert len(pages) <= 2 < len(grades)
        gain = sum(grades.get(p, 0) / log2(i + 2) for i, p in enumerate(pages[:10]))
        ideal = sum(g / log2(i + 2) for i, g in enumerate(sorted(grades.values(), reverse=True)[:10]))
        unit = f"{task.id}:{query}"
        assert found[unit, "ndcg@10"] == pytest.approx(gain / ideal)
        assert found[unit, "recall@10"] == pytest.approx(sum(p in grades for p in pages) / len(grades))
        assert found[unit, "mrr"] == next((1 / (i + 1) for i, p in enumerate(pages) if p in grades), 0)


def test_field_baselines_are_better_than_nothing(family, specs):
    """bm25, dense and the others are columns: sorting by them finds topics."""
    fold, spec = family.folds()[1], next(s for s in specs if s.family == NAMES[1])
    task = family.build(spec, 5, fold)

    def ndcg(values: torch.Tensor) -> float:
        return float(np.mean([s.value for s in family.score(task, values) if s.metric == "ndcg@10"]))

    chance = ndcg(torch.from_numpy(np.random.default_rng(0).random(len(task.query_y))))
    for baseline in family.field_baselines:
        if baseline.name != "dense_summary":  # these have no titles
            assert ndcg(task.query_x[:, baseline.column]) > chance + 0.1, baseline.name
    assert ndcg(torch.zeros(len(task.query_y))) == ndcg(task.query_x[:, TEXT_FEATURES.index("rrf")]), "ties keep RRF"


def test_examples_show_the_query_and_mark_what_is_relevant(family, specs, monkeypatch):
    monkeypatch.setattr(loaders, "load", lambda name, offline=False: SOURCES[name])
    fold, spec = family.folds()[2], next(s for s in specs if s.family == NAMES[2])
    task = family.build(spec, 5, fold)
    shown = family.examples(task, {"right": task.query_y, "wrong": -task.query_y}, 3)
    query = shown.index.name.removeprefix("query: ").split(":")[0]
    assert SOURCES[NAMES[2]].queries[query] in shown.index.name
    assert all(text.startswith("★ ") for text in shown.iloc[:, 0]) and not shown.iloc[0, 1].startswith("★")


def test_training_never_asks_for_test_collections(family):
    fold = family.folds()[0]
    blind = NoTestFold(fold)
    for part in ("train", "validation"):
        tasks = family.sample(blind, part, 20, 12, np.random.default_rng(1))
        assert {t.family for t in tasks} <= set(getattr(fold, part))
        assert all(len(set(t.support_group.tolist())) == 20 for t in tasks)
        assert all(len(set(t.query_group.tolist())) == 10 for t in tasks)
        again = family.sample(blind, part, 20, 12, np.random.default_rng(1))
        assert all(torch.equal(a.support_x, b.support_x) for a, b in zip(tasks, again, strict=True))


def test_other_test_and_validation_collections_have_no_influence(family, specs, arrays, monkeypatch):
    fold, spec = family.folds()[0], specs[0]
    before = family.build(spec, 10, fold)
    other = dict(arrays)
    (name,) = fold.validation
    other[name] = of_arrays(name, build(toy(name, 99)))
    monkeypatch.setattr(candidates, "load", lambda name, encoder=None: other[name])
    after = PublicSearch(pool=20, draws=2, queries=10)
    assert torch.equal(before.query_x, after.build(spec, 10, fold).query_x)
    assert after.content_hash() != family.content_hash()
    # one of those that are trained on sets the scales
    other[fold.train[0]] = replace(arrays[fold.train[0]], x=arrays[fold.train[0]].x * 3)
    assert not torch.equal(before.query_x, PublicSearch(pool=20).build(spec, 10, fold).query_x)


def test_candidates_are_kept_and_taken_from_the_cache(tmp_path, monkeypatch, arrays):
    read = []
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(loaders, "load", lambda name, offline=False: read.append(name) or SOURCES[name])
    first, second = candidates.load("medline"), candidates.load("medline")
    assert read == ["medline"] and len(list(tmp_path.glob("candidates_medline-*.npz"))) == 1
    for name in ("queries", "pages", "offset", "page", "x", "vectors", "judgements"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
        assert np.array_equal(getattr(first, name), getattr(arrays["medline"], name)), name
    assert first.content_hash == second.content_hash == SOURCES["medline"].content_hash()


def test_an_encoder_has_a_file_of_its_own(tmp_path, monkeypatch):
    class Ones:
        name, dim, fingerprint = "ones", 2, "1"

        def __call__(self, texts):
            return np.full((len(texts), 2), 0.5**0.5, dtype=np.float32)

    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(loaders, "load", lambda name, offline=False: SOURCES[name])
    assert candidates.load("npl", Ones()).vectors.shape == (130, 2)
    assert candidates.load("npl").vectors.shape == (130, 128)
    assert len(list(tmp_path.iterdir())) == 2


def test_lists_repeat_and_pickles_are_light(family, specs):
    family.build(specs[0], 5, family.folds()[0])
    again = pickle.loads(pickle.dumps(family))
    assert not {"found", "_unscaled"} & set(vars(again)) and not again._judged
    assert repr(again) == repr(family)
    assert again.freeze(np.random.default_rng(0)) == specs and again.content_hash() == family.content_hash()


def test_what_is_refused(family, specs):
    fold, spec = family.folds()[0], specs[0]
    for bad in (replace(spec, query=("unknown",)), replace(spec, support=(("unknown",) * 20,))):
        with pytest.raises(DataError, match="'unknown' is not among the 32 judged ones of 'cranfield'.*freeze again"):
            family.build(bad, 5, fold)
    with pytest.raises(DataError, match="of 'digits'"):
        family.build(replace(spec, family="digits"), 5, fold)
    with pytest.raises(ParameterError, match="pool 101; expected 1 to 100"):
        PublicSearch(pool=101)
    with pytest.raises(ParameterError, match="numbers from 1 to 20"):
        PublicSearch(shots=(5, 21))


@needs("medline")
def test_a_real_collection():
    source = loaders.load("medline", offline=True)
    found = of_arrays("medline", build(source))
    judged = judged_queries(found, 50)
    assert len(judged) == 30 and sum(len(g) for g in found.relevant.values()) == 696
    assert max(j.n_candidates for j in judged.values()) <= 100
    # the best of 100 candidates of each query: nearly everything can still be found
    inside = sum(float((j.y[: j.n_candidates] > 0).sum()) for j in judged.values())
    assert inside / 696 > 0.75
