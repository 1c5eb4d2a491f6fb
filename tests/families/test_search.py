"""Search tasks: masked pages, judged queries, and measures checked by hand."""

import dataclasses
import pickle
import re
from math import log, log2

import numpy as np
import pytest
import torch

from metastudy import corpus
from metastudy.corpus import Entry
from metastudy.encoders import TfidfSvd, terms
from metastudy.errors import DataError
from metastudy.families.collection import FEATURES, K1, LSA_DIM, RRF_K, TEXT_FEATURES, B, Collection, ranks
from metastudy.families.search import COLLECTIONS, DocumentationSearch, documentation, without_mask
from metastudy.masking import is_code_like, names_of
from metastudy.tasks import collate


def entry(name: str, summary: str, *see_also: str) -> Entry:
    body = (f"This is more about how to {summary.lower()}", "Use `find_peaks` or other_thing here.")
    return Entry(f"p.{name}", "p", "function", summary, body, tuple(f"p.{s}" for s in see_also))


PAGES = 100
TOY = [
    entry("find_peaks", "Find the peaks of a signal.", "smooth", "widths"),
    entry("smooth", "Smooth a noisy signal.", "find_peaks"),
    entry("widths", "Measure the widths of all peaks."),
    entry("invert", "Invert a square matrix."),
    entry("solve", "Solve for the inverse matrix times a vector.", "invert"),
]


@pytest.fixture(scope="module")
def toy():
    return documentation("p", TOY)


@pytest.fixture(scope="module")
def small():
    """Some pages of each package, those with links first: enough to test with, and fast."""
    packages = {name: sorted(found, key=lambda e: not e.see_also) for name, found in corpus.load().by_package().items()}
    return corpus.Corpus(tuple(e for name in COLLECTIONS for e in packages[name][:PAGES]))


@pytest.fixture(scope="module")
def family(small):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "load", lambda: small)
        made = DocumentationSearch(draws=2, queries=8)
        assert list(made.collections) == list(COLLECTIONS)
    return made


@pytest.fixture(scope="module")
def fold(family):
    return family.folds()[0]


@pytest.fixture(scope="module")
def spec(family):
    return family.freeze(np.random.default_rng(0))[0]


def test_grades_are_two_for_mutual_links(toy):
    assert toy.queries == ["p.find_peaks", "p.smooth", "p.solve"]
    assert toy.relevant["p.find_peaks"] == {"p.smooth": 2, "p.widths": 1}
    assert toy.relevant["p.solve"] == {"p.invert": 1}


def test_an_entry_is_never_its_own_result(toy, family):
    columns = toy.columns(toy.vectors(TfidfSvd(toy.pages, 2)))
    for query, found in zip(toy.queries, toy.candidates(columns, 30), strict=True):
        assert toy.position[query] not in found and len(found) == len(TOY) - 1
    for collection in family.collections.values():
        assert not any(query in grades for query, grades in collection.relevant.items())
    for fold in family.folds()[:1]:
        assert not any(query in j.pages for found in family.judged(fold).values() for query, j in found.items())


def test_names_are_masked_in_all_queries_and_pages(toy, family):
    assert "NAME" in toy.pages[0] and "find_peaks" not in " ".join(toy.pages) and "other_thing" in toy.pages[0]
    for collection in family.collections.values():
        code_like = {n for n in names_of(collection.ids) if is_code_like(n)}
        assert not code_like & set(re.findall(r"\w+", " ".join((*collection.pages, *collection.summaries))))


def test_two_masked_names_are_no_match(toy):
    assert "name" not in {t for page in toy.pages for t in terms(without_mask(page))}


def test_bm25_against_its_formula(toy):
    pages = [terms(without_mask(p)) for p in toy.pages]
    mean = sum(map(len, pages)) / len(pages)
    for q, query in enumerate(toy.queries):
        for j, page in enumerate(pages):
            score = 0.0
            for t in terms(without_mask(toy.summaries[toy.position[query]])):
                n = sum(t in p for p in pages)
                tf = page.count(t)
                score += log(1 + (len(pages) - n + 0.5) / (n + 0.5)) * tf / (tf + K1 * (1 - B + B * len(page) / mean))
            assert toy.bm25[q, j] == pytest.approx(score, rel=1e-4)


def test_ranks_and_their_ties():
    assert ranks(np.array([[0.1, 0.5, 0.5, 0.9]])).tolist() == [[4, 2, 3, 1]]


def test_dense_and_rrf_against_direct_computations(family):
    collection = family.collections["sympy"]
    encode = TfidfSvd([without_mask(p) for p in collection.pages], LSA_DIM)
    columns = collection.columns(collection.vectors(encode))
    every = collection.rows(columns, 7, range(len(collection.ids)))
    column = {name: every[:, j] for j, name in enumerate(FEATURES)}
    query = collection.position[collection.queries[7]]
    cosine = encode([without_mask(collection.summaries[query])]) @ encode([without_mask(p) for p in collection.pages]).T
    others = [j for j in range(len(collection.ids)) if j != query]
    assert np.allclose(column["cosine"], cosine[0], atol=1e-5)
    by_bm25 = sorted(others, key=lambda j: -collection.bm25[7, j])
    by_dense = sorted(others, key=lambda j: -column["cosine"][j])
    rrf = np.array([1 / (RRF_K + 1 + by_bm25.index(j)) + 1 / (RRF_K + 1 + by_dense.index(j)) for j in others])
    assert np.allclose(column["rrf"][others], (rrf - rrf.mean()) / rrf.std(), atol=1e-3)
    assert column["bm25_reciprocal_rank"][by_bm25[4]] == pytest.approx(1 / 5)
    found = collection.candidates(columns, 30)[7]
    assert set(found) == set(by_bm25[:30]) | set(by_dense[:30])
    assert list(found) == sorted(found, key=lambda j: (-column["rrf"][j], j))


def test_features_of_terms_by_hand():
    """Pages are "red apple" and "green pear"; a query is text of its own, and may have the id of a page."""
    collection = Collection(
        "fruit", ["a", "b"], ["red", "green"], ["apple", "pear pear"], {"a": "red pear plum"}, {"a": {"b": 1}}
    )
    assert collection.features == TEXT_FEATURES and collection.allowed.all()
    columns = collection.columns(collection.vectors(lambda texts: np.eye(2, dtype=np.float32)[[0] * len(texts)]))
    idf = log(1 + 2 / 1)  # each word is in one of two pages
    assert columns["term_share"][0] == pytest.approx([1 / 2, 1 / 2])  # plum is in no page: no term
    assert columns["idf_share"][0] == pytest.approx([idf / (2 * idf)] * 2)
    assert columns["summary_overlap"][0] == pytest.approx([1 / 2, 0])
    assert columns["log_length"][0] == pytest.approx([log(3), log(4)])
    assert columns["log_query_terms"][0] == pytest.approx([log(3)] * 2)


def test_an_excluded_page_is_no_result_and_counts_for_nothing():
    pages = [f"page number {word}" for word in ("red", "green", "blue")]
    args = "p", ["1", "2", "3"], pages, pages, {"q": "green number"}, {"q": {"3": 1}}
    collection = Collection(*args, excluded={"q": "2"})
    columns = collection.columns(
        collection.vectors(lambda texts: np.eye(3, dtype=np.float32)[[len(t) % 3 for t in texts]])
    )
    assert collection.allowed.tolist() == [[True, False, True]]
    assert set(collection.candidates(columns, 3)[0]) == {0, 2} and collection.ranked(columns)[0][-1] == 1
    assert columns["bm25"][0, [0, 2]].mean() == pytest.approx(0, abs=1e-5)
    assert {int(round(1 / r)) for r in columns["bm25_reciprocal_rank"][0, [0, 2]]} == {1, 2}


def test_a_task_is_what_its_spec_says(family, fold, spec):
    task = family.build(spec, 5, fold)
    assert task.family in fold.test and task.support_x.shape[1] == family.n_features == family.model().in_dim
    assert {i.split("|")[0] for i in task.query_ids} == set(spec.query)
    relevant = family.collections[task.family].relevant
    for i, y in zip(task.query_ids, task.query_y.tolist(), strict=True):
        query, page = i.split("|")
        assert y == relevant[query].get(page, 0)
    for g, query in enumerate(spec.support[0][:5]):
        assert task.support_y[task.support_group == g].sum() == sum(relevant[query].values()), (
            "all judgements are given"
        )
    n = len(family.build(spec, 1, fold).support_y)
    assert torch.equal(family.build(spec, 1, fold).support_x, task.support_x[:n])
    collate([task, family.build(spec, 10, fold)])


def test_baseline_columns_keep_their_order(family, fold, spec):
    task = family.build(spec, 1, fold)
    collection = family.collections[task.family]
    column = next(b.column for b in family.field_baselines if b.name == "bm25")
    for query, pages in family.rankings(task, task.query_x[:, column]).items():
        scores = [collection.bm25[collection.queries.index(query), collection.position[p]] for p in pages]
        assert all(a >= b - 1e-4 for a, b in zip(scores, scores[1:], strict=False))


def test_ndcg_by_hand_over_all_relevant_pages(family, fold, spec):
    task = family.build(spec, 1, fold)
    query = spec.query[0]
    grades = family.collections[task.family].relevant[query]
    rng = np.random.default_rng(0)
    prediction = torch.from_numpy(rng.random(len(task.query_y)))
    ranking = family.rankings(task, prediction)[query]
    gain = sum(grades.get(p, 0) / log2(i + 2) for i, p in enumerate(ranking[:10]))
    ideal = sum(g / log2(i + 2) for i, g in enumerate(sorted(grades.values(), reverse=True)[:10]))
    first = next((1 / (i + 1) for i, p in enumerate(ranking) if p in grades), 0)
    recall = sum(p in grades for p in ranking[:10]) / len(grades)
    score = {s.metric: s.value for s in family.score(task, prediction) if s.task == f"{task.id}:{query}"}
    assert score == pytest.approx({"ndcg@10": gain / ideal, "mrr": first, "recall@10": recall})
    assert len(family.score(task, prediction)) == 3 * len(spec.query)


def test_equal_predictions_keep_the_order_of_candidates(family, fold, spec):
    task = family.build(spec, 1, fold)
    flat = family.rankings(task, torch.zeros(len(task.query_y)))
    assert [f"{q}|{p}" for q, pages in flat.items() for p in pages] == list(task.query_ids)
    rrf = next(b.column for b in family.field_baselines if b.name == "rrf")
    for s, t in zip(
        family.score(task, torch.zeros(len(task.query_y))), family.score(task, task.query_x[:, rrf]), strict=True
    ):
        assert s == t


def test_lists_repeat_and_pickles_are_light(family, small, monkeypatch):
    again = pickle.loads(pickle.dumps(family))
    assert not again._judged and "collections" not in vars(again)
    monkeypatch.setattr(corpus, "load", lambda: small)
    assert again.freeze(np.random.default_rng(3)) == family.freeze(np.random.default_rng(3))
    assert again.content_hash() == family.content_hash()


def test_enough_judged_queries_in_each_collection():
    family = DocumentationSearch()
    assert all(len(family.ids(name)) >= 40 for name in COLLECTIONS)
    assert "_unscaled" not in vars(family), "queries are known without scoring a page"


def test_training_tasks_come_from_their_own_part(family, fold):
    tasks = family.sample(fold, "train", 5, 20, np.random.default_rng(0))
    assert {t.family for t in tasks} <= set(fold.train)
    assert {t.family for t in family.sample(fold, "validation", 1, 9, np.random.default_rng(0))} <= set(fold.validation)


def test_an_unknown_id_is_an_error(family, fold, spec):
    with pytest.raises(DataError, match="p.unknown.*freeze again"):
        family.build(dataclasses.replace(spec, query=("p.unknown",)), 1, fold)
    with pytest.raises(DataError, match="at least 2"):
        documentation("p", TOY[:1])


def test_other_test_and_validation_collections_have_no_influence(family, small, fold, spec, monkeypatch):
    """Scales come from training collections, vectors from a collection's own text."""
    others = {*fold.test, *fold.validation} - {spec.family}
    changed = corpus.Corpus(
        tuple(
            dataclasses.replace(e, summary=f"Zebra {e.summary}", body=("A zebra is here.", *e.body))
            if e.package in others
            else e
            for e in small.entries
        )
    )
    before = family.build(spec, 5, fold)
    monkeypatch.setattr(corpus, "load", lambda: changed)
    after = DocumentationSearch(draws=2, queries=8).build(spec, 5, fold)
    assert torch.equal(before.support_x, after.support_x) and torch.equal(before.query_x, after.query_x)


def test_answers_are_the_first_results_with_their_grades(family, fold, spec):
    task = family.build(spec, 1, fold)
    prediction = torch.arange(len(task.query_y), dtype=torch.float32)
    answers = family.answers(task, prediction)
    rankings = family.rankings(task, prediction)
    assert set(answers) == {f"{task.id}:{q}" for q in rankings}
    for query, pages in rankings.items():
        shown = [result.rpartition(":") for result in answers[f"{task.id}:{query}"].split()]
        assert [page for page, _, _ in shown] == pages[:10]
        relevant = family.relevant(task.family)[query]
        assert [int(grade) for _, _, grade in shown] == [relevant.get(page, 0) for page in pages[:10]]
