"""Word vectors, neighbours and titles against slow versions, and that no query and no judgement is looked at."""

from __future__ import annotations

from collections import Counter
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from metastudy import cache, loaders
from metastudy.encoders import terms
from metastudy.errors import DataError
from metastudy.families.candidates import to_search
from metastudy.families.collection import Collection
from metastudy.feedback import index as page_index
from metastudy.feedback import surroundings
from metastudy.feedback.index import PageIndex
from metastudy.feedback.surroundings import NEAREST, SAMPLED, build, neighbours, of_arrays, of_collection
from toy_collections import toy, word

TOY = to_search(toy("toy", 0, queries=8, documents=40))
PAGES, TITLES = ([Counter(terms(t)) for t in texts] for texts in (TOY.pages, TOY.summaries))
WORDS = sorted({w for p in PAGES for w in p})
AROUND = of_collection(TOY)


def small(texts, titles=None, name: str = "small") -> Collection:
    ids = [str(i) for i in range(len(texts))]
    return Collection(name, ids, titles or [""] * len(texts), texts, {"q": "heat"}, {})


def slow_tfidf(counts: Counter) -> dict[str, float]:
    found = {}
    for w, tf in counts.items():
        if n := sum(w in p for p in PAGES):
            found[w] = (1 + log(tf)) * (log((1 + len(PAGES)) / (1 + n)) + 1)
    length = sqrt(sum(v * v for v in found.values()))
    return {w: v / length for w, v in found.items()}


def slow_neighbours(vectors: list[list[float]]) -> list[dict[int, float]]:
    """Page -> weight of each of its nearest ones, in order."""
    found = []
    for i, own in enumerate(vectors):
        near = [(round(sum(a * b for a, b in zip(own, v, strict=True)), 9), j) for j, v in enumerate(vectors) if j != i]
        best = sorted(near, key=lambda pair: (-pair[0], pair[1]))[:10]
        total = sum(max(0.0, value) for value, _ in best)
        found.append({j: max(0.0, value) / total if total else 0.0 for value, j in best})
    return found


whole_numbers = st.integers(1, 25).flatmap(
    lambda n: st.lists(st.lists(st.integers(-2, 2), min_size=2, max_size=2), min_size=n, max_size=n)
)


@pytest.mark.parametrize("block", [3, 1000])
@settings(max_examples=40, deadline=None)
@given(whole_numbers)
def test_neighbours_like_slow_ones_with_ties_whatever_is_held_at_once(block, vectors):
    before, surroundings.BLOCK = surroundings.BLOCK, block
    try:
        found = neighbours(np.array(vectors, dtype=float))
    finally:
        surroundings.BLOCK = before
    n = len(vectors)
    assert found["places"].shape == found["weights"].shape == (n, min(NEAREST, n - 1))
    for i, expected in enumerate(slow_neighbours(vectors)):
        assert found["places"][i].tolist() == list(expected)
        assert found["weights"][i].tolist() == pytest.approx(list(expected.values()), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_the_order_of_pages_has_no_influence_on_neighbours(seed, n):
    rng = np.random.default_rng(seed)
    vectors, order = rng.normal(size=(n, 4)), rng.permutation(n)
    found, turned = (neighbours(v) for v in (vectors, vectors[order]))
    assert np.array_equal(order[turned["places"]], found["places"][order])
    assert np.allclose(turned["weights"], found["weights"][order], rtol=0, atol=1e-12)


def test_graphs_of_a_collection():
    for graph, vectors in ((AROUND.near_dense, AROUND.index.dense), (AROUND.near_lsa, AROUND.index.lsa)):
        dense = graph.toarray()
        assert dense.shape == (40, 40) and not dense.diagonal().any() and np.allclose(dense.sum(1), 1)
        for row, expected in zip(dense, slow_neighbours(vectors.tolist()), strict=True):
            assert {j: v for j, v in enumerate(row) if v} == pytest.approx({j: v for j, v in expected.items() if v})
    assert np.array_equal(AROUND.near_dense.toarray(), AROUND.near_lsa.toarray()), "without an encoder"


def test_an_encoder_makes_the_dense_neighbours_alone():
    class Lengths:
        name, dim, fingerprint = "lengths", 2, "f"

        def __call__(self, texts):
            angle = np.array([len(t) for t in texts], dtype=np.float32)
            return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    found = of_collection(TOY, Lengths())
    angle = np.array([[np.cos(len(t)), np.sin(len(t))] for t in TOY.pages])
    for row, expected in zip(found.near_dense.toarray(), slow_neighbours(angle.tolist()), strict=True):
        assert sum(row[j] for j in expected) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(found.near_lsa.toarray(), AROUND.near_lsa.toarray())
    assert np.array_equal(found.words, AROUND.words)


def test_word_vectors_are_those_of_an_exact_decomposition():
    """Cosines of words, since the sign of a direction means nothing. In so few pages only one direction is cut off."""
    table = np.array([[p.get(w, 0.0) for w in WORDS] for p in map(slow_tfidf, PAGES)])
    _, size, directions = np.linalg.svd(table, full_matrices=False)
    exact = (directions[:39] * size[:39, None]).T
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert AROUND.words.shape == (len(WORDS), 39) and AROUND.words.dtype == np.float64
    assert np.allclose(AROUND.words @ AROUND.words.T, exact @ exact.T, rtol=0, atol=1e-4)


def test_words_of_one_topic_are_near_each_other():
    made = to_search(toy("larger", 0, queries=8, documents=160))
    place = {w: i for i, w in enumerate(sorted({w for p in made.pages for w in terms(p)}))}
    topics = [[place[t] for i in range(10) for t in terms(word(10 * topic + i))] for topic in range(8)]
    near = of_collection(made).words
    near = near @ near.T
    own = np.mean([near[np.ix_(t, t)][np.triu_indices(10, 1)].mean() for t in topics])
    other = np.mean([near[np.ix_(t, u)].mean() for t in topics for u in topics if t is not u])
    assert own > 0.1 and own > other + 0.1


def test_titles_and_statistics_by_hand():
    assert AROUND.titles.shape == (40, len(WORDS))
    columns = AROUND.title_columns.toarray()
    for row, weighted, title in zip(AROUND.titles.toarray(), columns, TITLES, strict=True):
        assert {WORDS[i]: n for i, n in enumerate(row) if n} == title
        assert {WORDS[i]: v for i, v in enumerate(weighted) if v} == pytest.approx(slow_tfidf(title))
    assert AROUND.expected.tolist() == pytest.approx([sum(p[w] for p in PAGES) / 40 for w in WORDS])
    assert np.allclose(AROUND.weights.transform(AROUND.index.counts).toarray(), AROUND.index.tfidf.toarray())


def test_the_sample_is_the_same_each_time_and_all_pages_of_a_small_collection(monkeypatch):
    assert AROUND.sample.tolist() == list(range(40)) and SAMPLED > 40
    monkeypatch.setattr(surroundings, "SAMPLED", 7)
    first, again = (of_arrays(AROUND.index, build(AROUND.index, TOY)).sample.tolist() for _ in range(2))
    assert first == again == sorted(set(first)) and len(first) == 7 and set(first) < set(range(40))


def test_no_query_and_no_judgement_is_looked_at():
    class Secret(Collection):
        @property
        def relevant(self):
            raise AssertionError("a judgement was looked at")

        @relevant.setter
        def relevant(self, _):
            pass

    other = Secret("toy", TOY.ids, TOY.summaries, TOY.bodies, {"only": "another question"}, {"only": {"3": 1}})
    other.queries = other.asked = None
    found, expected = build(AROUND.index, other), build(AROUND.index, TOY)
    assert found.keys() == expected.keys() and all(np.array_equal(found[k], expected[k]) for k in found)


def test_two_pages_have_each_other():
    found = of_collection(small(["flow of heat", "heat flow in a wing"]))
    assert found.near_lsa.toarray().tolist() == [[0, 1], [1, 0]] and found.words.shape == (3, 1)
    assert found.sample.tolist() == [0, 1]


def test_pages_without_text_have_no_neighbours_and_are_nobodys():
    found = of_collection(small(["flow heat", "", "heat wing", "wing flow", ""], ["", "", "", "", ""]))
    graph = found.near_dense.toarray()
    assert not graph[[1, 4]].any() and not graph[:, [1, 4]].any() and np.allclose(graph[[0, 2, 3]].sum(1), 1)
    assert np.isfinite(found.words).all() and not found.titles.nnz and not found.title_columns.nnz


def test_all_pages_equal_and_words_that_are_everywhere():
    found = of_collection(small(["flow of heat in wings"] * 14))
    graph = found.near_lsa.toarray()
    assert (np.count_nonzero(graph, axis=1) == NEAREST).all() and np.allclose(graph[graph > 0], 0.1)
    assert np.allclose(found.words @ found.words.T, 1, atol=1e-6), "all words occur together"


def test_copies_of_a_page_are_neighbours_and_score_alike():
    texts = [*TOY.pages[:20], TOY.pages[3], TOY.pages[3]]
    found = of_collection(small(texts))
    graph = found.near_lsa.toarray()
    assert {20, 21} <= set(np.flatnonzero(graph[3])) and {3, 20} <= set(np.flatnonzero(graph[21]))
    values = np.random.default_rng(0).random(22)
    values[[20, 21]] = values[3]
    assert np.ptp((found.near_lsa @ values)[[3, 20, 21]]) < 1e-12


def test_too_little_text_is_refused_and_one_word_has_one_vector():
    for texts in (["heat", "heat"], ["flow", "heat"], ["", "the"]):
        with pytest.raises(DataError):
            of_collection(small(texts))
    counts = csr_matrix([[2.0], [1.0]])
    flat = np.ones((2, 1))
    one = PageIndex("one", np.array(["0", "1"]), np.array(["q"]), counts, counts[:1], flat, flat[:1], flat, flat[:1])
    found = of_arrays(one, build(one, small(["heat heat", "heat"])))
    assert found.words.tolist() == [[1.0]] and found.near_lsa.toarray().tolist() == [[0, 1], [1, 0]]


def test_kept_and_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    asked = []
    monkeypatch.setattr(loaders, "load", lambda name: asked.append(name) or toy(name, 0, queries=8, documents=40))
    for module in (page_index, surroundings):
        module.load.cache_clear()
    try:
        first = surroundings.load("cisi")
        assert surroundings.load("cisi") is first
        for module in (page_index, surroundings):
            module.load.cache_clear()
        again = surroundings.load("cisi")
    finally:
        for module in (page_index, surroundings):
            module.load.cache_clear()
    assert asked == ["cisi", "cisi"], "once for the index, once for what is around it"
    assert sorted(p.name.rpartition("-")[0] for p in tmp_path.iterdir()) == [
        "feedback_index_cisi",
        "feedback_surroundings_cisi",
    ]
    for found in (first, again):
        assert np.array_equal(found.words, AROUND.words)
        for part in ("titles", "near_dense", "near_lsa"):
            assert np.array_equal(getattr(found, part).toarray(), getattr(AROUND, part).toarray())
