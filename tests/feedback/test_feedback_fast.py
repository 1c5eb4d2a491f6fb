"""Columns of a few pages against `components`, which passes over all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.errors import ParameterError
from metastudy.families.candidates import to_search
from metastudy.families.collection import Collection
from metastudy.feedback import fast
from metastudy.feedback import index as page_index
from metastudy.feedback.components import MATCH, NAMES, components
from metastudy.feedback.fast import FastIndex, Moments
from metastudy.feedback.index import PageIndex, build
from toy_collections import toy, word

TOY = to_search(toy("toy", 0))
N = len(TOY.pages)


def with_other_vectors(index: PageIndex, d: int = 12) -> PageIndex:
    """As with an encoder: dense vectors that are not the latent semantic ones, all a bit alike."""
    rng = np.random.default_rng(0)
    pages, asked = (rng.standard_normal((n, d)) + 0.5 for n in (len(index.pages), len(index.queries)))
    pages, asked = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (pages, asked))
    return replace(index, dense=pages, dense_asked=asked)


INDEX = with_other_vectors(page_index.of_arrays("toy", build(TOY)))
FAST = FastIndex.of(INDEX)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(INDEX.queries.tolist()),
    st.lists(st.integers(0, N - 1), max_size=8, unique=True),
    st.integers(0, 8),
    st.lists(st.integers(0, N - 1), max_size=20),
)
def test_the_same_columns_as_by_a_pass_over_all_pages(query, judged, n_positive, places):
    positives, negatives = judged[:n_positive], judged[n_positive:]
    found = FAST.columns(INDEX.query(query), positives, negatives, places)
    expected = components(INDEX, INDEX.query(query), positives, negatives)[places]
    assert found.shape == (len(places), len(NAMES))
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_ordinary_queries_need_no_pass_over_all_pages(monkeypatch):
    expected = {q: components(INDEX, INDEX.query(q), [3, 11], [4]) for q in INDEX.queries}
    monkeypatch.setattr(fast, "components", lambda *_: pytest.fail("all pages were looked at"))
    for query, columns in expected.items():
        places = np.arange(N)[::-1]
        assert np.allclose(FAST.columns(INDEX.query(query), [3, 11], [4], places), columns[places], atol=1e-9)


def test_moments_are_those_of_inner_products():
    q = np.random.default_rng(1).standard_normal(INDEX.dense.shape[1])
    moments = Moments.of(INDEX.dense)
    values = np.array([sum(a * b for a, b in zip(page, q, strict=True)) for page in INDEX.dense])
    assert moments.total @ q == pytest.approx(values.sum())
    assert q @ moments.outer @ q == pytest.approx((values**2).sum())


def copies(n: int, own: dict[int, str]) -> PageIndex:
    """n pages of the same text, but for some."""
    texts = [own.get(i, "zebra quagga okapi") for i in range(n)]
    made = Collection("copies", [str(i) for i in range(n)], [""] * n, texts, {"q": "zebra", "unknown": "unicorn"}, {})
    return page_index.of_arrays("copies", build(made))


@pytest.mark.parametrize("query", ["q", "unknown"])
@pytest.mark.parametrize("positives, negatives", [([0], []), ([0], [1]), ([1], [0]), ([], [0]), ([], []), ([2], [])])
def test_columns_that_hardly_differ_between_pages_are_right_too(query, positives, negatives, monkeypatch):
    asked = []
    monkeypatch.setattr(fast, "components", lambda *given: asked.append(given) or components(*given))
    index = copies(40, {0: "zebra yak yak ibex", 1: ""})
    found = FastIndex.of(index).columns(index.query(query), positives, negatives, range(40))
    assert np.isfinite(found).all()
    assert np.allclose(found, components(index, index.query(query), positives, negatives), atol=1e-9)
    if {*positives, *negatives} == {0, 1}:
        assert asked, "all others are equal: a variance of which nothing but rounding is left must not be trusted"


def test_vectors_that_are_almost_the_same_for_all_pages():
    rng = np.random.default_rng(0)
    pages = 1 + 1e-5 * rng.standard_normal(INDEX.dense.shape)
    index = replace(INDEX, dense=pages / np.linalg.norm(pages, axis=1, keepdims=True))
    found = FastIndex.of(index).columns(index.query("0"), [1, 2], [3], range(N))
    assert np.allclose(found, components(index, index.query("0"), [1, 2], [3]), rtol=1e-9, atol=1e-9)


def test_words_that_only_judged_pages_have():
    rare = [" ".join(word(600 + 40 * n + i) for i in range(3 + n) for _ in range(1 + i)) for n in range(8)]
    texts = [*rare, *TOY.pages[:60]]
    made = Collection("rare", [str(i) for i in range(68)], [""] * 68, texts, {"q": TOY.asked[0]}, {})
    index = page_index.of_arrays("rare", build(made))
    for k in range(1, 9):
        for positives, negatives in (([9], range(k)), (range(k), [9])):
            found = FastIndex.of(index).columns(index.query("q"), positives, negatives, range(68))
            assert np.allclose(found, components(index, index.query("q"), positives, negatives), atol=1e-9)
            side = "negative" if len(positives) == 1 and positives[0] == 9 else "positive"
            assert not found[:, NAMES.index(f"bm25_{side}")].any() and not found[:, NAMES.index(f"tfidf_{side}")].any()


def test_pages_with_the_same_text_have_the_same_columns():
    texts = [*TOY.pages[:40], TOY.pages[3], ""]
    made = Collection("some", [str(i) for i in range(42)], [""] * 42, texts, {"q": TOY.asked[0]}, {})
    index = page_index.of_arrays("some", build(made))
    found = FastIndex.of(index).columns(index.query("q"), [1, 41], [2], [3, 40, 41])
    assert np.allclose(found[0], found[1], atol=1e-10) and np.isfinite(found).all()


def test_without_judged_pages_only_matches_are_there():
    found = dict(zip(NAMES, FAST.columns(INDEX.query("0"), [], [], range(N)).T, strict=True))
    assert all(found[name].any() == (name in MATCH) for name in NAMES)


def test_what_is_refused():
    query = INDEX.query("0")
    for positives, negatives in (([1, 1], []), ([1], [1]), ([N], []), ([-1], [])):
        with pytest.raises(ParameterError, match="expected each once, as rows from 0 to 129"):
            FAST.columns(query, positives, negatives, [5])
    with pytest.raises(ParameterError, match="all 130 pages of 'toy' are judged"):
        FAST.columns(query, range(N), [], [5])
    for places in ([0, N], [-1]):
        with pytest.raises(ParameterError, match="expected rows from 0 to 129"):
            FAST.columns(query, [1], [], places)
