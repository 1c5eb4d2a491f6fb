"""The best match of each word against loops over words, and what must have no influence on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from metastudy.feedback.late import best_matches

seeds = st.integers(0, 2**32 - 1)


def unit(rng: np.random.Generator, n: int, dim: int = 3) -> np.ndarray:
    """Rows of length one; every fifth or so is zero."""
    x = rng.normal(size=(n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * (rng.random((n, 1)) < 0.8)


def drawn(seed: int, words: int = 12, pages: int = 9):
    """Wanted vectors (m, 3), weights (m,), vectors (V, 3), and pages (N, V) of which some have no word."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (pages, words)) * (rng.random((pages, words)) < 0.25)
    m = int(rng.integers(0, 5))
    return unit(rng, m), rng.integers(0, 3, m) * rng.random(m), unit(rng, words), csr_matrix(counts)


def slow(wanted, weights, vectors, words: list[int]) -> float:
    """Of one page, given as its words."""
    if not words or not sum(weights):
        return 0.0
    total = 0.0
    for asked, weight in zip(wanted, weights, strict=True):
        cosines = [sum(a * b for a, b in zip(asked, vectors[word], strict=True)) for word in words]
        total += weight * max(0.0, *cosines)
    return total / sum(weights)


@settings(max_examples=60, deadline=None)
@given(seeds, st.lists(st.integers(0, 8), max_size=12))
@example(0, [])
def test_like_a_slow_one(seed, places):
    wanted, weights, vectors, pages = drawn(seed)
    found = best_matches(wanted, weights, vectors, pages, places)
    expected = [slow(wanted, weights, vectors, np.flatnonzero(pages[[p]].toarray()).tolist()) for p in places]
    assert found.shape == (len(places),) and found.tolist() == pytest.approx(expected, abs=1e-12)
    assert (found >= 0).all() and (found <= 1 + 1e-12).all()


@settings(max_examples=30, deadline=None)
@given(seeds, st.randoms(use_true_random=False))
def test_order_of_words_scale_of_weights_and_number_of_times_have_no_influence(seed, random):
    wanted, weights, vectors, pages = drawn(seed)
    every = range(pages.shape[0])
    found = best_matches(wanted, weights, vectors, pages, every)
    order = random.sample(range(len(wanted)), len(wanted))
    for same in (
        best_matches(wanted[order], weights[order], vectors, pages, every),
        best_matches(wanted, 5 * weights, vectors, pages, every),
        best_matches(wanted, weights, vectors, pages.sign(), every),
        best_matches(wanted, weights, vectors[::-1], pages[:, ::-1], every),
        [best_matches(wanted, weights, vectors, pages, [p])[0] for p in every],
    ):
        assert np.allclose(same, found, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(0, 8), st.integers(0, 11))
def test_another_word_in_a_page_never_lowers_it(seed, page, word):
    wanted, weights, vectors, pages = drawn(seed)
    more = pages.toarray()
    more[page, word] += 1
    before, after = (best_matches(wanted, weights, vectors, csr_matrix(p), range(9)) for p in (pages, more))
    assert after[page] >= before[page] - 1e-12
    assert np.allclose(np.delete(after, page), np.delete(before, page), rtol=0, atol=1e-12)


def test_a_page_with_every_word_that_is_wanted_matches_wholly_and_the_opposite_not_at_all():
    vectors = np.array([[1.0, 0], [0, 1], [-1, 0], [0, 0]])
    pages = csr_matrix([[2, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
    found = best_matches(vectors[:2], np.array([3.0, 1]), vectors, pages, range(5))
    assert found.tolist() == [1, 0, 0, 0.75, 0]


def test_pages_with_the_same_words_have_the_same_score_wherever_they_stand():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 2, (40, 30))
    counts[[3, 17, 39]] = counts[3]
    wanted, weights, vectors = unit(rng, 6, 8), rng.random(6), unit(rng, 30, 8)
    found = best_matches(wanted, weights, vectors, csr_matrix(counts), [3, *range(40)])
    assert len({round(v, 12) for v in found[[0, 4, 18, 40]]}) == 1 and len({round(v, 9) for v in found}) > 15


def test_nothing_wanted_no_words_and_weights_of_zero():
    vectors, page = np.eye(2), csr_matrix(np.ones((2, 2)))
    assert not best_matches(np.zeros((0, 2)), np.zeros(0), vectors, page, [0, 1]).any()
    assert not best_matches(vectors, np.zeros(2), vectors, page, [0, 1]).any()
    assert not best_matches(vectors, np.ones(2), vectors, csr_matrix((2, 2)), [0, 1]).any()
    assert best_matches(vectors, np.ones(2), vectors, page, []).shape == (0,)
