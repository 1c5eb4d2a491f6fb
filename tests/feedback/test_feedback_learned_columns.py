"""Every column against a slow one with dictionaries and loops, and what must have no influence on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log, log2, sqrt
from statistics import fmean, pstdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from metastudy.encoders import terms
from metastudy.errors import DataError, ParameterError
from metastudy.families.candidates import to_search
from metastudy.families.collection import K1, B, Collection
from metastudy.families.search_feedback import NAMES as COLLECTIONS
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import rocchio, surroundings
from metastudy.feedback.components import NAMES, RM3, components
from metastudy.feedback.learned_columns import (
    COLUMNS,
    GROUPS,
    LATE_WORDS,
    PLAIN,
    SAME_AS_F_L,
    bo1,
    heaviest,
    learned_columns,
    of_task,
)
from metastudy.feedback.surroundings import NEAREST, Surroundings, neighbours, of_collection
from toy_collections import toy
from toy_feedback import ToyCollections

TOY = to_search(toy("toy", 0, queries=8, documents=40))
PAGES, TITLES = ([Counter(terms(t)) for t in texts] for texts in (TOY.pages, TOY.summaries))
N = len(PAGES)
WORDS = sorted({w for p in PAGES for w in p})
IN_PAGES = {w: sum(w in p for p in PAGES) for w in WORDS}
PLACE = {w: i for i, w in enumerate(WORDS)}
AROUND = of_collection(TOY)
INDEX = AROUND.index
EVERY = range(N)
NEW = tuple(name for name in COLUMNS if name not in NAMES)
pages = st.lists(st.integers(0, N - 1), min_size=1, max_size=9, unique=True)
queries = st.sampled_from(TOY.queries)


def split(judged: list[int], n: int) -> tuple[list[int], list[int]]:
    """Relevant ones, at least one, and others."""
    return judged[: 1 + n % len(judged)], judged[1 + n % len(judged) :]


def idf(w: str) -> float:
    return log((1 + N) / (1 + IN_PAGES[w])) + 1


def tfidf(counts: Counter) -> dict[str, float]:
    found = {w: (1 + log(tf)) * idf(w) for w, tf in counts.items() if w in IN_PAGES}
    length = sqrt(sum(v * v for v in found.values()))
    return {w: v / length for w, v in found.items()}


def bm25(page: Counter, weights: dict[str, float]) -> float:
    mean = sum(p.total() for p in PAGES) / N
    return sum(
        weight * log(1 + (N - IN_PAGES[w] + 0.5) / (IN_PAGES[w] + 0.5))
        * page[w] / (page[w] + K1 * (1 - B + B * page.total() / mean))
        for w, weight in weights.items()
    )  # fmt: skip


def dot(a: dict[str, float], b: dict[str, float]) -> float:
    return sum(v * b.get(w, 0.0) for w, v in a.items())


def inner(a, b) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def largest(weights: dict[str, float], n: int) -> dict[str, float]:
    """Of equal ones the first in the vocabulary."""
    return dict(sorted(weights.items(), key=lambda item: (-round(item[1], 12), item[0]))[:n])


def mean_tfidf(positives: list[int]) -> dict[str, float]:
    rows = [tfidf(PAGES[p]) for p in positives]
    return {w: sum(r.get(w, 0.0) for r in rows) / len(rows) for w in {w for r in rows for w in r}}


def slow_bo1(positives: list[int]) -> dict[str, float]:
    found = {}
    for w in {w for p in positives for w in PAGES[p]}:
        tf, p = sum(PAGES[i][w] for i in positives), sum(page[w] for page in PAGES) / N
        found[w] = tf * log2((1 + p) / p) + log2(1 + p)
    return {w: v / max(found.values()) for w, v in found.items()}


def slow_late(wanted: dict[str, float], page: Counter) -> float:
    if not wanted or not page:
        return 0.0
    vectors = AROUND.words
    best = {w: max(0.0, *(inner(vectors[PLACE[w]], vectors[PLACE[o]]) for o in page)) for w in wanted}
    return sum(v * best[w] for w, v in wanted.items()) / sum(wanted.values())


def slow_neighbours(vectors) -> list[dict[int, float]]:
    found = []
    for i in EVERY:
        near = [(round(inner(vectors[i], vectors[j]), 9), j) for j in EVERY if j != i]
        best = sorted(near, key=lambda pair: (-pair[0], pair[1]))[:NEAREST]
        total = sum(max(0.0, v) for v, _ in best)
        found.append({j: max(0.0, v) / total for v, j in best})
    return found


def slow_columns(query: str, positives: list[int], negatives: list[int]) -> dict[str, list[float]]:
    """Of all pages; what `components` gives is tested with it."""
    asked = Counter(w for w in terms(TOY.asked[TOY.queries.index(query)]) if w in IN_PAGES)
    own = dict(zip(NAMES, components(INDEX, INDEX.query(query), positives, negatives).T, strict=True))
    plain = [max(0.0, round(sum(v * own[name][i] for name, v in PLAIN.items()), 9)) for i in EVERY]
    weights, near = slow_bo1(positives), {"dense": INDEX.dense, "lsa": INDEX.lsa}
    rows, titles = [tfidf(p) for p in PAGES], [tfidf(t) for t in TITLES]
    found = {f"bo1_{n}": [bm25(p, largest(weights, n)) for p in PAGES] for n in (30, 100)}
    found["title"] = [dot(tfidf(asked), t) for t in titles]
    found["title_positive"] = [dot(mean_tfidf(positives), t) for t in titles]
    for space, vectors in near.items():
        found[f"{space}_nearest"] = [max(inner(vectors[p], vectors[i]) for p in positives) for i in EVERY]
        found[f"propagated_{space}"] = [sum(v * plain[j] for j, v in row.items()) for row in slow_neighbours(vectors)]
    found["tfidf_nearest"] = [max(dot(rows[p], rows[i]) for p in positives) for i in EVERY]
    found["late"] = [slow_late({w: n * idf(w) for w, n in asked.items()}, p) for p in PAGES]
    found["late_positive"] = [slow_late(largest(mean_tfidf(positives), LATE_WORDS), p) for p in PAGES]
    for name, values in found.items():
        over = values if name in GROUPS["late"] else [v for i, v in enumerate(values) if i not in positives + negatives]
        found[name] = [(v - fmean(over)) / pstdev(over) for v in values]
    return {name: own[name].tolist() for name in COLUMNS if name in own} | found


def columns(query: str, positives, negatives=(), places=EVERY, around: Surroundings = AROUND) -> np.ndarray:
    return learned_columns(around, around.index.query(query), positives, negatives, places)


def test_columns_are_those_of_f_l_and_six_groups():
    used = {name for s in rocchio.GRIDS["F+L"]() for name, weight in s.items() if weight}
    assert set(SAME_AS_F_L) == used and len(COLUMNS) == len(set(COLUMNS)) == len(SAME_AS_F_L) + 13
    assert set(PLAIN) <= set(SAME_AS_F_L) and {n for g in GROUPS.values() for n in g} == {*COLUMNS} - {*SAME_AS_F_L}
    assert set(GROUPS["RM3"]) <= set(RM3)


@settings(max_examples=5, deadline=None)
@given(pages, st.integers(0, 8), queries)
def test_like_slow_ones(judged, n, query):
    positives, negatives = split(judged, n)
    found = columns(query, positives, negatives)
    for name, expected in slow_columns(query, positives, negatives).items():
        assert found[:, COLUMNS.index(name)].tolist() == pytest.approx(expected, abs=1e-6), name


@settings(max_examples=20, deadline=None)
@given(pages, st.sampled_from([1, 3, 30, 100]))
def test_bo1_and_the_heaviest_words(judged, n):
    found = bo1(AROUND, judged)
    assert {w: v for w, v in zip(WORDS, found, strict=True) if v} == pytest.approx(slow_bo1(judged))
    assert found.max() == pytest.approx(1) and found.min() == 0
    kept = heaviest(found, n)
    assert {w for w, v in zip(WORDS, kept, strict=True) if v} == set(largest(slow_bo1(judged), n))
    assert np.array_equal(kept[kept > 0], found[kept > 0])


def test_the_heaviest_of_equal_ones_are_the_first():
    assert heaviest(np.array([0.1 + 0.2, 0.3, 0.0, 0.5, 0.3]), 2).tolist() == [0.1 + 0.2, 0, 0, 0.5, 0]
    assert heaviest(np.array([0.3, 0.1 + 0.2]), 1).tolist() == [0.3, 0] and not heaviest(np.zeros(3), 2).any()


@settings(max_examples=12, deadline=None)
@given(pages, st.integers(0, 8), st.lists(st.integers(0, N - 1), max_size=6), st.randoms(use_true_random=False))
def test_neither_other_places_nor_the_order_of_judged_pages_has_an_influence(judged, n, places, random):
    positives, negatives = split(judged, n)
    whole = columns("0", positives, negatives)
    assert np.allclose(columns("0", positives, negatives, places), whole[places], rtol=0, atol=1e-9)
    random.shuffle(positives), random.shuffle(negatives)
    assert np.allclose(columns("0", positives, negatives), whole, rtol=0, atol=1e-9)


def turned(around: Surroundings, order: np.ndarray) -> Surroundings:
    """The same collection with its pages in another order; neighbours are found anew."""
    old = around.index
    rows = {name: getattr(old, name)[order] for name in ("pages", "counts", "dense", "lsa")}
    near = [neighbours(rows[space]) for space in ("dense", "lsa")]
    shape, row = (len(order), len(order)), np.repeat(np.arange(len(order)), near[0]["places"].shape[1])
    graphs = [csr_matrix((f["weights"].ravel(), (row, f["places"].ravel())), shape) for f in near]
    return Surroundings(replace(old, **rows), around.words, around.titles[order], *graphs)


@settings(max_examples=8, deadline=None)
@given(pages, st.integers(0, 8), st.permutations(list(EVERY)))
def test_the_order_of_pages_has_no_influence(judged, n, order):
    positives, negatives = split(judged, n)
    place = np.argsort(order)
    found = columns("1", place[positives].tolist(), place[negatives].tolist(), around=turned(AROUND, np.array(order)))
    assert np.allclose(found, columns("1", positives, negatives)[order], rtol=0, atol=1e-8)


def test_which_pages_stand_for_the_collection_moves_and_stretches_late_columns_alone(monkeypatch):
    whole = columns("0", [0, 8], [1])
    monkeypatch.setattr(surroundings, "SAMPLED", 12)
    fewer = replace(AROUND)  # without what is kept
    found = columns("0", [0, 8], [1], around=fewer)
    late = [COLUMNS.index(name) for name in GROUPS["late"]]
    assert len(fewer.sample) == 12 and np.array_equal(np.delete(found, late, 1), np.delete(whole, late, 1))
    for i in late:
        assert not np.allclose(found[:, i], whole[:, i]) and np.corrcoef(found[:, i], whole[:, i])[0, 1] > 1 - 1e-9
        assert found[fewer.sample, i].mean() == pytest.approx(0, abs=1e-9)
        assert found[fewer.sample, i].std() == pytest.approx(1)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, N - 1), max_size=4, unique=True), queries)
def test_without_a_relevant_page_only_columns_of_f_l_are_left(negatives, query):
    found = dict(zip(COLUMNS, columns(query, [], negatives).T, strict=True))
    own = dict(zip(NAMES, components(INDEX, INDEX.query(query), [], negatives).T, strict=True))
    assert all(np.array_equal(found[name], own[name]) for name in SAME_AS_F_L)
    assert not any(values.any() for name, values in found.items() if name not in SAME_AS_F_L)
    assert all(found[name].any() for name in ("bm25", "dense", "lsa"))


def made(texts, query: str = "", name: str = "made") -> Surroundings:
    ids = [str(i) for i in range(len(texts))]
    return of_collection(Collection(name, ids, [""] * len(ids), texts, {"q": query, "unknown": "zebra"}, {}))


def test_pages_with_the_same_text_have_the_same_columns_and_pages_without_text_are_finite():
    texts = [*TOY.pages[:30], TOY.pages[3], "", TOY.pages[3]]
    around = made(texts, TOY.asked[0])
    for query, positives, negatives in (("q", [1, 31], [2]), ("unknown", [1], []), ("q", [3], [30]), ("q", [31], [])):
        found = columns(query, positives, negatives, range(33), around)
        assert np.isfinite(found).all()
        assert np.allclose(found[[3, 30]], found[32], rtol=0, atol=1e-10)
        assert np.array_equal(np.round(found[[3, 30, 32]].sum(1), 9), np.full(3, np.round(found[3].sum(), 9)))
    only_empty = dict(zip(COLUMNS, columns("q", [31], [], range(33), around).T, strict=True))
    for name in (*GROUPS["Bo1"], *GROUPS["nearest"], "title_positive", "late_positive"):
        assert not only_empty[name].any(), name
    assert only_empty["late"].any() and only_empty["propagated_lsa"].any(), "what the query says is still there"


def test_a_query_without_a_known_word():
    found = dict(zip(COLUMNS, columns("unknown", [1], [2], range(20), made(TOY.pages[:20])).T, strict=True))
    assert not any(found[name].any() for name in ("bm25", "dense", "lsa", "title", "late"))
    assert found["late_positive"].any() and found["tfidf_nearest"].any()


@pytest.mark.parametrize("texts", [["flow of heat", "heat flow in a wing"], ["flow of heat in wings"] * 12])
def test_two_pages_and_pages_that_are_all_equal(texts):
    around = made(texts, "heat of a wing")
    n = len(texts)
    for positives, negatives in (([0], []), ([], [1]), ([], [])):
        found = columns("q", positives, negatives, range(n), around)
        assert found.shape == (n, len(COLUMNS)) and np.isfinite(found).all()
        assert n == 2 or not found.any(), "nothing sets equal pages apart"
    assert np.isfinite(columns("q", list(range(n - 1)), [], [n - 1], around)).all(), "one page is left"


def test_fewer_pages_than_neighbours():
    around = made(TOY.pages[: NEAREST - 3], TOY.asked[0])
    found = columns("q", [0], [1], range(NEAREST - 3), around)
    assert np.isfinite(found).all() and found[:, COLUMNS.index("propagated_lsa")].any()


def test_what_is_refused_and_no_place_at_all():
    for positives, negatives in (([1, 1], []), ([1], [1]), ([N], []), ([-1], [])):
        with pytest.raises(ParameterError, match="expected each once, as rows from 0 to 39"):
            columns("0", positives, negatives)
    with pytest.raises(ParameterError, match="all 40 pages of 'toy' are judged"):
        columns("0", range(20), range(20, 40))
    assert columns("0", [1], [2], []).shape == (0, len(COLUMNS))


@pytest.fixture(scope="module")
def toys():
    return ToyCollections.of({n: toy(n, seed, queries=6, documents=100) for seed, n in enumerate(COLLECTIONS)})


@pytest.fixture
def family(toys, monkeypatch):
    toys.in_place(monkeypatch)
    return SearchFeedback(max_queries=2)


def test_columns_of_a_task_look_at_the_judgements_of_its_support_alone(family, toys):
    fold = family.folds()[1]
    spec = next(s for s in family.freeze(np.random.default_rng(0)) if s.fold == fold.name)
    drawn = [family.sample(fold, part, 4, 1, np.random.default_rng(0))[0] for part in ("train", "validation")]
    for task in (family.build(spec, 4, fold), *drawn):
        around, query = toys.around[task.family], task.query_ids[0].split("|")[0]
        judged, grades = family.results(task.family)[query].judged[:4], family.found[task.family].relevant[query]
        sides = [[around.index.place[p] for p in judged if (p in grades) == side] for side in (True, False)]
        found, relevant = of_task(family, task)
        every = columns(query, *sides, range(100), around)
        rows = [around.index.place[row.split("|")[1]] for row in task.query_ids]
        assert np.allclose(found, every[rows], rtol=0, atol=1e-9) and relevant is True
        other, _ = of_task(family, replace(task, query_y=1 - task.query_y.clamp(max=1)))
        assert np.array_equal(other, found)
    flipped, _ = of_task(family, replace(task, support_y=task.support_y.roll(1)))
    assert not np.array_equal(flipped, found)
    nothing, relevant = of_task(family, replace(task, support_y=task.support_y * 0))
    assert relevant is False and not nothing[:, [COLUMNS.index(name) for name in NEW]].any()


def test_the_order_of_candidates_has_no_influence_and_tasks_of_other_data_are_refused(family):
    task = family.build(family.freeze(np.random.default_rng(0))[0], 2, family.folds()[0])
    order = np.random.default_rng(0).permutation(len(task.query_ids))
    turned_task = replace(task, query_x=task.query_x[order], query_ids=tuple(task.query_ids[i] for i in order))
    assert np.allclose(of_task(family, turned_task)[0], of_task(family, task)[0][order], rtol=0, atol=1e-9)
    with pytest.raises(DataError, match=r"do not lack just the judged pages.*freeze again"):
        of_task(family, replace(task, query_ids=task.query_ids[:-1]))
