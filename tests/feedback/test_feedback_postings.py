"""Weights of few words against the same over the whole vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.families.candidates import to_search
from metastudy.feedback import index as page_index
from metastudy.feedback.components import relevance_model
from metastudy.feedback.postings import each_at, expansion, relevance, row, words_of
from toy_collections import toy

TOY = to_search(toy("toy", 0, documents=60))
INDEX = page_index.of_arrays("toy", page_index.build(TOY))
V = INDEX.counts.shape[1]
pages = st.lists(st.integers(0, len(TOY.pages) - 1), max_size=8, unique=True)
queries = st.sampled_from(TOY.queries)


@settings(max_examples=30, deadline=None)
@given(queries, pages)
def test_words_are_those_of_the_query_and_of_the_judged_pages(query, judged):
    asked = INDEX.query(query)
    there = asked.words + INDEX.counts[judged].toarray().sum(0)
    assert words_of(INDEX, asked, judged).tolist() == np.flatnonzero(there).tolist()


@settings(max_examples=30, deadline=None)
@given(queries, pages)
def test_rows_at_their_words_are_the_rows(query, judged):
    words = words_of(INDEX, INDEX.query(query), judged)
    for rows in (INDEX.counts, INDEX.tfidf, INDEX.bm25_rows):
        whole = np.zeros((len(judged), V))
        whole[:, words] = each_at(rows, judged, words)
        assert np.array_equal(whole, rows[judged].toarray())
        assert all(rows.indices[row(rows, p)].tolist() == rows[[p]].indices.tolist() for p in judged)


@settings(max_examples=30, deadline=None)
@given(queries, pages.filter(len), st.sampled_from([1, 5, 30, 100, 10**6]))
def test_an_expansion_is_the_relevance_model(query, positives, n):
    words = words_of(INDEX, INDEX.query(query), positives)
    whole = np.zeros(V)
    whole[words] = expansion(relevance(INDEX, positives, words), n)
    expected = relevance_model(INDEX, positives, n).toarray()[0]
    assert np.allclose(whole, expected, rtol=0, atol=1e-14) and np.array_equal(whole > 0, expected > 0)


def test_of_equal_words_the_first_is_kept_and_nothing_is_left_of_nothing():
    found = expansion(np.array([0.1 + 0.2, 0.3, 0.0, 0.4]), 2)
    assert found.tolist() == pytest.approx([3 / 7, 0, 0, 4 / 7]) and found[1] == 0
    assert not expansion(np.zeros(3), 2).any() and not len(expansion(np.zeros(0), 2))
