"""What is kept of a collection's text: the same BM25 as the first stage, vectors of length one, and no judgement."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from metastudy import cache, loaders
from metastudy.encoders import terms
from metastudy.errors import DataError, ParameterError
from metastudy.families.candidates import to_search
from metastudy.families.collection import K1, B, Collection, bm25_scores
from metastudy.feedback import index as page_index
from metastudy.feedback.index import PageIndex, build, of_arrays
from toy_collections import toy

TOY = to_search(toy("toy", 0))


@pytest.fixture(scope="module")
def index() -> PageIndex:
    return of_arrays("toy", build(TOY))


def test_bm25_is_the_one_of_the_first_stage(index):
    """The columns of a query's words, added up, are what bm25s gives; and one weight by its definition."""
    expected = bm25_scores([terms(p) for p in TOY.pages], [terms(q) for q in TOY.asked])
    found = (index.bm25 @ index.asked.T).toarray().T
    assert np.allclose(found, expected, atol=1e-5) and expected.max() > 1
    pages = [Counter(terms(p)) for p in TOY.pages]
    word = terms(TOY.asked[0])[0]
    n = sum(word in page for page in pages)
    mean = sum(page.total() for page in pages) / len(pages)
    page = next(i for i, p in enumerate(pages) if word in p)
    tf = pages[page][word]
    weight = log(1 + (len(pages) - n + 0.5) / (n + 0.5)) * tf / (tf + K1 * (1 - B + B * pages[page].total() / mean))
    column = sorted({t for p in pages for t in p}).index(word)
    assert index.bm25[page, column] == pytest.approx(weight)


def test_rows_have_length_one(index):
    assert np.allclose(
        index.tfidf.toarray(), TfidfVectorizer(analyzer=terms, sublinear_tf=True).fit_transform(TOY.pages).toarray()
    )
    assert np.array_equal(index.tfidf_columns.toarray(), index.tfidf.toarray())
    rows = index.bm25_rows.toarray()
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.allclose(rows * np.linalg.norm(index.bm25.toarray(), axis=1)[:, None], index.bm25.toarray())
    for vectors in (index.dense, index.lsa, index.dense_asked, index.lsa_asked):
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_queries_by_id(index):
    asked = index.query("3")
    words = sorted({t for p in TOY.pages for t in terms(p)})
    assert {words[i]: n for i, n in enumerate(asked.words) if n} == Counter(
        t for t in terms(TOY.asked[3]) if t in words
    )
    assert np.array_equal(asked.dense, index.dense_asked[3]) and np.array_equal(asked.lsa, index.lsa_asked[3])
    with pytest.raises(ParameterError, match=r"query 'unknown' is none of the 32 of 'toy'"):
        index.query("unknown")


def test_an_encoder_makes_the_dense_vectors_and_leaves_the_latent_ones(index):
    class Lengths:
        name, dim, fingerprint = "lengths", 2, "f"

        def __call__(self, texts):
            angle = np.array([len(t) for t in texts], dtype=np.float32)
            return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    found = of_arrays("toy", build(TOY, Lengths()))
    assert found.dense.shape == (130, 2) and np.allclose(
        found.dense[:, 0], np.cos([len(p) for p in TOY.pages]), atol=1e-4
    )
    assert np.array_equal(found.lsa, index.lsa) and np.array_equal(index.dense, index.lsa)


def test_pages_without_text_and_queries_without_a_known_word():
    pages = {"a": "flow of heat", "b": "heat in a wing", "empty": "", "c": "wing flow"}
    made = Collection("small", list(pages), [""] * 4, list(pages.values()), {"q": "zebra", "h": "heat"}, {})
    found = of_arrays("small", build(made))
    assert not found.bm25[[2]].nnz and not found.bm25_rows[[2]].nnz and not found.tfidf[[2]].nnz
    assert not found.lsa[2].any() and not found.query("q").words.any() and found.query("h").words.sum() == 1
    silent = Collection("silent", ["a", "b"], ["", ""], ["", "the"], {"q": "heat"}, {})
    with pytest.raises(DataError, match="'silent'.*no page has a word"):
        build(silent)


def test_kept_and_taken_from_the_cache(tmp_path, monkeypatch, index):
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    asked = []
    monkeypatch.setattr(loaders, "load", lambda name: asked.append(name) or toy(name, 0))
    page_index.load.cache_clear()
    try:
        first = page_index.load("cisi")
        page_index.load.cache_clear()
        again = page_index.load("cisi")
    finally:
        page_index.load.cache_clear()
    assert asked == ["cisi"] and [p.name.startswith("feedback_index_cisi-") for p in tmp_path.iterdir()] == [True]
    for found in (first, again):
        assert found.pages.tolist() == TOY.ids and found.place["5"] == 5
        assert np.array_equal(found.counts.toarray(), index.counts.toarray())
        assert np.array_equal(found.lsa, index.lsa) and found.lsa.dtype == np.float64
