"""g's columns the fast way, against `learned_columns`: on made-up collections, and on public ones where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from at_hand import needs
from metastudy.errors import ParameterError
from metastudy.families.candidates import to_search
from metastudy.families.collection import Collection
from metastudy.feedback import fast_columns, surroundings
from metastudy.feedback.components import MATCH
from metastudy.feedback.fast_columns import FastColumns, moments, products
from metastudy.feedback.learned_columns import COLUMNS, SAME_AS_F_L, learned_columns
from metastudy.feedback.ranker import Weights
from metastudy.feedback.rocchio import rank
from metastudy.feedback.surroundings import Surroundings, of_collection
from toy_collections import toy, word

TOY = to_search(toy("toy", 0))
N = len(TOY.pages)


def with_encoder(around: Surroundings, d: int = 12) -> Surroundings:
    """Dense vectors that are not the latent semantic ones, all a bit alike, and their own neighbours."""
    rng = np.random.default_rng(0)
    pages, asked = (rng.standard_normal((n, d)) + 0.5 for n in (N, len(around.index.queries)))
    pages, asked = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (pages, asked))
    index = replace(around.index, dense=pages, dense_asked=asked)
    return surroundings.of_arrays(index, surroundings.build(index, TOY))


OWN = of_collection(TOY)
ENCODED = with_encoder(OWN)
FAST = {id(around): FastColumns.of(around) for around in (OWN, ENCODED)}
WEIGHTS = Weights(torch.tensor(np.random.default_rng(0).normal(size=(2, 2, len(COLUMNS)))), COLUMNS)
rows = st.integers(0, N - 1)


def check(around: Surroundings, query: str, positives, negatives, places) -> np.ndarray:
    """The fast columns, which must be the slow ones, and rank alike."""
    fast = FAST.get(id(around)) or FastColumns.of(around)
    asked = around.index.query(query)
    found = fast.columns(asked, positives, negatives, places)
    expected = learned_columns(around, asked, positives, negatives, places)
    assert found.shape == (len(places), len(COLUMNS)) and np.isfinite(found).all()
    assert np.allclose(found, expected, rtol=1e-8, atol=1e-8)
    return found


def ranked(x: np.ndarray, positives) -> list[int]:
    return rank(WEIGHTS.scores(x, 2, bool(len(positives))))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([OWN, ENCODED]),
    st.sampled_from(TOY.queries),
    st.lists(rows, max_size=8, unique=True),
    st.integers(0, 8),
    st.lists(rows, max_size=20),
)
def test_the_same_columns(around, query, judged, n_positive, places):
    check(around, query, judged[:n_positive], judged[n_positive:], places)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([OWN, ENCODED]), st.sampled_from(TOY.queries), st.lists(rows, min_size=1, max_size=8, unique=True)
)
def test_the_same_ranking(around, query, judged):
    places = np.setdiff1d(np.arange(N), judged)
    found = check(around, query, judged[:2], judged[2:], places)
    expected = learned_columns(around, around.index.query(query), judged[:2], judged[2:], places)
    assert ranked(found, judged) == ranked(expected, judged)


def test_what_is_the_same_twice_is_known():
    assert [(f.same_vectors, f.same_near) for f in FAST.values()] == [(True, True), (False, False)]
    other = FastColumns.of(replace(OWN, near_dense=ENCODED.near_dense))
    assert other.same_vectors and not other.same_near
    check(other.around, "0", [3, 11], [4], range(N))
    query = replace(OWN.index.query("0"), dense=OWN.index.query("1").dense)  # of another encoder than the pages
    found = FAST[id(OWN)].columns(query, [3], [4], range(N))
    assert np.allclose(found, learned_columns(OWN, query, [3], [4], range(N)), rtol=1e-8, atol=1e-8)
    assert not np.allclose(found[:, COLUMNS.index("dense")], found[:, COLUMNS.index("lsa")])


@needs("medline", "npl")
@pytest.mark.parametrize("name", ["medline", "npl"])
def test_the_same_columns_and_ranking_on_a_public_collection(name):
    around = surroundings.load(name)
    fast, rng, n = FastColumns.of(around), np.random.default_rng(0), len(around.index.pages)
    for query in rng.permutation(around.index.queries)[:6]:
        asked = around.index.query(str(query))
        near = np.argsort(-(around.index.bm25 @ asked.words), kind="stable")[:500]
        for positives, negatives in (([0], [1]), ([0, 2, 5, 7], [1, 3]), ([], [0, 1])):
            positives, negatives = near[positives].tolist(), near[negatives].tolist()
            places = np.setdiff1d(np.append(near, rng.integers(n, size=500)), [*positives, *negatives])
            with threadpool_limits(1):
                found = fast.columns(asked, positives, negatives, places)
                expected = learned_columns(around, asked, positives, negatives, places)
            assert np.allclose(found, expected, rtol=1e-8, atol=1e-8)
            assert ranked(found, positives) == ranked(expected, positives)


def made(texts, query: str = "", titles=None) -> Surroundings:
    ids = [str(i) for i in range(len(texts))]
    asked = {"q": query, "unknown": "unicorn"}
    return of_collection(Collection("made", ids, titles or [""] * len(ids), texts, asked, {}))


@pytest.mark.parametrize("query", ["q", "unknown"])
@pytest.mark.parametrize("positives, negatives", [([0], []), ([0], [1]), ([1], [0]), ([], [0]), ([], []), ([2], [])])
def test_pages_that_hardly_differ(query, positives, negatives):
    """Where only judged pages differ, others are all equal, and what rounding leaves of them must not count."""
    own = {0: "zebra yak yak ibex", 1: ""}
    around = made([own.get(i, "zebra quagga okapi") for i in range(40)], "zebra")
    check(around, query, positives, negatives, range(40))


@pytest.mark.parametrize("texts", [["flow of heat", "heat flow in a wing"], ["flow of heat in wings"] * 12])
def test_two_pages_and_pages_that_are_all_equal(texts):
    around = made(texts, "heat of a wing")
    for positives, negatives in (([0], []), ([], [1]), ([], [])):
        check(around, "q", positives, negatives, range(len(texts)))
    check(around, "q", range(len(texts) - 1), [], range(len(texts)))


def test_vectors_that_are_almost_the_same_for_all_pages():
    pages = 1 + 1e-5 * np.random.default_rng(0).standard_normal(OWN.index.dense.shape)
    index = replace(OWN.index, dense=pages / np.linalg.norm(pages, axis=1, keepdims=True))
    check(replace(OWN, index=index), "0", [1, 2], [3], range(N))


def test_titles_words_of_judged_pages_alone_and_pages_without_words():
    rare = [" ".join(word(600 + 40 * n + i) for i in range(3 + n) for _ in range(1 + i)) for n in range(6)]
    texts = [*rare, *TOY.pages[:60], TOY.pages[3], ""]
    titles = [text.split()[0] if text and i % 3 else "" for i, text in enumerate(texts)]
    around = made(texts, TOY.asked[0], titles)
    for positives, negatives in (([9], range(6)), (range(6), [9]), ([67], [2]), ([0, 67], [])):
        found = check(around, "q", positives, negatives, range(len(texts)))
        assert np.allclose(found[9], found[66], rtol=0, atol=1e-10), "the same text"


def test_without_a_relevant_page_and_without_a_judged_one():
    asked = OWN.index.query("0")
    for negatives, kept in (([], MATCH), ([1, 2], [n for n in SAME_AS_F_L if not n.endswith("positive")])):
        found = dict(zip(COLUMNS, FAST[id(OWN)].columns(asked, [], negatives, range(N)).T, strict=True))
        assert {name for name, values in found.items() if values.any()} == set(kept)


def test_what_is_refused():
    fast, query = FAST[id(OWN)], OWN.index.query("0")
    for positives, negatives in (([1, 1], []), ([1], [1]), ([N], []), ([-1], [])):
        with pytest.raises(ParameterError, match="expected each once, as rows from 0 to 129"):
            fast.columns(query, positives, negatives, [5])
    with pytest.raises(ParameterError, match="all 130 pages of 'toy' are judged"):
        fast.columns(query, range(N), [], [5])
    for places in ([0, N], [-1]):
        with pytest.raises(ParameterError, match="expected rows from 0 to 129"):
            fast.columns(query, [1], [], places)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30), st.integers(0, 29), st.floats(-6, 6))
def test_moments_by_their_definition(seed, c, n, out, scale):
    rng = np.random.default_rng(seed)
    values = 10**scale * (rng.normal(size=(c, n)) + rng.normal(size=(c, 1)) * 10)
    left_out = rng.permutation(n)[: min(out, n - 1)].tolist()
    values[rng.random(c) < 0.3] = 0.1  # all equal, but perhaps for those that are left out
    values[:, left_out] += 1e3 * rng.random(len(left_out))
    mean, spread = moments(values, left_out)
    rest = np.delete(values, left_out, axis=1)
    assert mean == pytest.approx(rest.mean(1), rel=1e-12)
    equal = np.ptp(rest, axis=1) == 0
    assert np.isinf(spread[equal]).all() and spread[~equal] == pytest.approx(rest.std(1)[~equal], rel=1e-9)


@pytest.mark.parametrize("count", [1, 3, 5, 6, 9])
@pytest.mark.parametrize("block", [1, 50, 7 * 50, 2**16])
def test_products_however_they_are_made(count, block, monkeypatch):
    monkeypatch.setattr(fast_columns, "BLOCK", block)
    vectors = np.random.default_rng(0).normal(size=(50, 7))
    wanted = [vectors[3:6].mean(0), *vectors[: count - 1]]
    found = [[sum(a * b for a, b in zip(v, w, strict=True)) for v in vectors] for w in wanted]
    assert np.allclose(products(vectors, wanted), found, rtol=0, atol=1e-12)
