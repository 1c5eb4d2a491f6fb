"""Components against slow versions with dictionaries of words, and what must have no influence on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metastudy.encoders import terms
from metastudy.errors import DataError, ParameterError
from metastudy.families import candidates
from metastudy.families.candidates import of_arrays, to_search
from metastudy.families.collection import K1, B, Collection
from metastudy.families.search_feedback import NAMES as COLLECTIONS
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import index as page_index
from metastudy.feedback.components import (
    MATCH,
    NAMES,
    RM3,
    RM3_ORIGINAL,
    RM3_WORDS,
    components,
    judged_places,
    raw_components,
    relevance_model,
    rm3_name,
    task_components,
)
from metastudy.feedback.index import PageIndex, build
from toy_collections import toy

TOY = to_search(toy("toy", 0))
PAGES = [Counter(terms(p)) for p in TOY.pages]
INDEX = page_index.of_arrays("toy", build(TOY))
places = st.lists(st.integers(0, len(PAGES) - 1), min_size=1, max_size=8, unique=True)


def column(name: str, positives, negatives=(), query: str = "0", index: PageIndex = INDEX) -> np.ndarray:
    return raw_components(index, index.query(query), positives, negatives)[:, NAMES.index(name)]


def slow_bm25(page: Counter, query: dict[str, float]) -> float:
    """BM25 of one page for weighted words, from its definition."""
    mean = sum(p.total() for p in PAGES) / len(PAGES)
    score = 0.0
    for word, weight in query.items():
        n, tf = sum(word in p for p in PAGES), page[word]
        if n:
            idf = log(1 + (len(PAGES) - n + 0.5) / (n + 0.5))
            score += weight * idf * tf / (tf + K1 * (1 - B + B * page.total() / mean))
    return score


def unit(vector: dict[str, float]) -> dict[str, float]:
    length = sqrt(sum(v * v for v in vector.values()))
    return {word: v / length for word, v in vector.items()} if length else {}


def mean(vectors: list[dict[str, float]]) -> dict[str, float]:
    return {word: sum(v.get(word, 0) for v in vectors) / len(vectors) for word in {w for v in vectors for w in v}}


def slow_tfidf(page: Counter) -> dict[str, float]:
    idf = {word: log((1 + len(PAGES)) / (1 + sum(word in p for p in PAGES))) + 1 for word in page}
    return unit({word: (1 + log(tf)) * idf[word] for word, tf in page.items()})


def slow_relevance_model(positives: list[int], words: int) -> dict[str, float]:
    shares = mean([{w: tf / PAGES[p].total() for w, tf in PAGES[p].items()} for p in positives])
    best = sorted(shares.items(), key=lambda item: (-round(item[1], 12), item[0]))[:words]
    total = sum(share for _, share in best)
    return {word: share / total for word, share in best}


@settings(max_examples=8, deadline=None)
@given(places, st.data())
def test_rocchio_on_words_like_a_slow_one_with_dictionaries(positives, data):
    others = [i for i in range(len(PAGES)) if i not in positives]
    negatives = data.draw(st.lists(st.sampled_from(others), max_size=4, unique=True))
    checked = data.draw(st.lists(st.sampled_from(range(len(PAGES))), min_size=3, max_size=3))
    for side, chosen in (("positive", positives), ("negative", negatives)):
        expanded = mean([unit({w: slow_bm25(PAGES[p], {w: 1.0}) for w in PAGES[p]}) for p in chosen]) if chosen else {}
        near = mean([slow_tfidf(PAGES[p]) for p in chosen]) if chosen else {}
        bm25, tfidf = (column(f"{space}_{side}", positives, negatives) for space in ("bm25", "tfidf"))
        for page in checked:
            assert bm25[page] == pytest.approx(slow_bm25(PAGES[page], expanded), abs=1e-9)
            own = slow_tfidf(PAGES[page])
            assert tfidf[page] == pytest.approx(sum(near.get(w, 0) * v for w, v in own.items()), abs=1e-9)


@settings(max_examples=8, deadline=None)
@given(places)
@example([0, 1, 2, 28, 3, 4, 5])  # words that are equally likely, up to rounding
def test_rm3_like_a_slow_one_with_dictionaries(positives):
    asked = Counter(w for w in terms(TOY.asked[0]) if any(w in p for p in PAGES))
    words = sorted({w for p in PAGES for w in p})
    for n in RM3_WORDS:
        model = slow_relevance_model(positives, n)
        found = relevance_model(INDEX, positives, n)
        kept_words = {words[i]: v for i, v in zip(found.indices, found.data, strict=True)}
        assert kept_words == pytest.approx(model) and sum(model.values()) == pytest.approx(1)
        for original in RM3_ORIGINAL[::2]:
            both = {w: original * asked[w] / asked.total() + (1 - original) * model.get(w, 0) for w in {*asked, *model}}
            scores = column(rm3_name(n, original), positives)
            assert all(scores[page] == pytest.approx(slow_bm25(PAGES[page], both)) for page in (0, 64, 129))


def test_vectors_by_hand():
    query = INDEX.query("0")
    for space, vectors, asked in (("dense", INDEX.dense, query.dense), ("lsa", INDEX.lsa, query.lsa)):
        assert column(space, [1])[7] == pytest.approx(asked @ vectors[7])
        assert column(f"{space}_positive", [1, 2], [3])[7] == pytest.approx((vectors[1] + vectors[2]) @ vectors[7] / 2)
        assert column(f"{space}_negative", [1, 2], [3])[7] == pytest.approx(vectors[3] @ vectors[7])


@settings(max_examples=15, deadline=None)
@given(places, st.randoms(use_true_random=False))
def test_order_of_judged_pages_has_no_influence(judged, random):
    split = random.randrange(len(judged) + 1)
    positives, negatives = judged[:split], judged[split:]
    found = components(INDEX, INDEX.query("0"), positives, negatives)
    random.shuffle(positives), random.shuffle(negatives)
    assert np.allclose(found, components(INDEX, INDEX.query("0"), positives, negatives), atol=1e-9)


def test_standardised_over_unjudged_pages():
    found = components(INDEX, INDEX.query("0"), [0, 8], [1])
    rest = np.delete(found, [0, 8, 1], axis=0)[:, len(MATCH) :]
    assert np.allclose(rest.mean(0), 0) and np.allclose(rest.std(0), 1)
    positive = found[:, NAMES.index("tfidf_positive")]
    assert set(np.argsort(-positive)[:2]) == {0, 8}, "judged pages match themselves best: rankings must leave them out"
    match = found[:, : len(MATCH)]
    assert np.allclose(match, components(INDEX, INDEX.query("0"))[:, : len(MATCH)], atol=1e-9), (
        "who judged is no matter"
    )


def test_without_feedback_its_columns_are_zero():
    found = dict(zip(NAMES, components(INDEX, INDEX.query("0")).T, strict=True))
    assert all(found[name].any() == (name in MATCH) for name in NAMES)
    only = dict(zip(NAMES, components(INDEX, INDEX.query("0"), [], [3]).T, strict=True))
    assert all(only[name].any() == (name in MATCH or name.endswith("negative")) for name in NAMES)


def test_pages_with_the_same_text_have_the_same_columns_and_pages_without_text_are_finite():
    texts = [*TOY.pages[:40], TOY.pages[3], ""]
    ids = [str(i) for i in range(42)]
    made = Collection("copies", ids, [""] * 42, texts, {"q": TOY.asked[0], "unknown": "zebra"}, {})
    index = page_index.of_arrays("copies", build(made))
    for query in ("q", "unknown"):
        found = components(index, index.query(query), [1, 41], [2])
        assert np.isfinite(found).all() and np.allclose(found[3], found[40], atol=1e-10)
        only_empty = components(index, index.query(query), [41])
        feedback = [i for i, name in enumerate(NAMES) if name not in MATCH and name not in RM3]
        assert not only_empty[:, feedback].any()
    assert not components(index, index.query("unknown"))[:, NAMES.index("bm25")].any()


def test_what_is_refused():
    query = INDEX.query("0")
    for positives, negatives in (([1, 1], []), ([1], [1]), ([len(PAGES)], []), ([-1], [])):
        with pytest.raises(ParameterError, match="expected each once, as rows from 0 to 129"):
            components(INDEX, query, positives, negatives)
    with pytest.raises(ParameterError, match="all 130 pages of 'toy' are judged"):
        components(INDEX, query, range(100), range(100, 130))


@pytest.fixture
def family(monkeypatch):
    sources = {name: toy(name, seed) for seed, name in enumerate(COLLECTIONS)}
    arrays = {name: of_arrays(name, candidates.build(found)) for name, found in sources.items()}
    indexes = {name: page_index.of_arrays(name, build(to_search(found))) for name, found in sources.items()}
    monkeypatch.setattr(candidates, "load", lambda name, encoder=None: arrays[name])
    monkeypatch.setattr(page_index, "load", lambda name, encoder=None: indexes[name])
    return SearchFeedback(max_queries=5)


def test_columns_of_frozen_and_of_drawn_tasks(family):
    fold = family.folds()[1]
    spec = next(s for s in family.freeze(np.random.default_rng(0)) if s.fold == fold.name)
    drawn = [family.sample(fold, part, 4, 1, np.random.default_rng(0))[0] for part in ("train", "validation")]
    for task in (family.build(spec, 4, fold), *drawn):
        index, query = page_index.load(task.family), task.query_ids[0].split("|")[0]
        judged = family.results(task.family)[query].judged[:4]
        grades = family.found[task.family].relevant[query]
        positives, negatives = judged_places(family, task)
        assert {str(index.pages[p]) for p in positives} == {page for page in judged if page in grades}
        assert {str(index.pages[p]) for p in negatives} == {page for page in judged if page not in grades}
        found = task_components(family, task)
        every = components(index, index.query(query), positives, negatives)
        assert all(
            np.array_equal(found[i], every[index.place[row.split("|")[1]]]) for i, row in enumerate(task.query_ids)
        )
    bm25 = drawn[1].query_x[:, 0].numpy()
    assert np.corrcoef(bm25, task_components(family, drawn[1])[:, NAMES.index("bm25")])[0, 1] > 0.9999


def test_only_the_judgements_of_the_support_are_looked_at(family):
    fold = family.folds()[0]
    spec = family.freeze(np.random.default_rng(0))[0]
    task = family.build(spec, 2, fold)
    before = task_components(family, task)
    other = replace(task, query_y=1 - task.query_y.clamp(max=1))
    assert np.array_equal(task_components(family, other), before)
    flipped = replace(task, support_y=task.support_y.roll(1))
    assert not np.array_equal(task_components(family, flipped), before)


def test_the_order_and_number_of_candidates_have_no_influence(family):
    fold = family.folds()[0]
    task = family.build(family.freeze(np.random.default_rng(0))[0], 2, fold)
    order = np.random.default_rng(0).permutation(len(task.query_ids))
    turned = replace(task, query_x=task.query_x[order], query_ids=tuple(task.query_ids[i] for i in order))
    assert np.array_equal(task_components(family, turned), task_components(family, task)[order])


def test_a_task_of_other_data_is_refused(family):
    task = family.build(family.freeze(np.random.default_rng(0))[0], 2, family.folds()[0])
    with pytest.raises(DataError, match="do not lack just the judged pages.*freeze again"):
        task_components(family, replace(task, query_ids=task.query_ids[:-1]))
