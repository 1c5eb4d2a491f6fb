"""Late interaction of several weightings at once, against `best_matches` of one after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from metastudy.feedback.fast_late import best_matches_each
from metastudy.feedback.late import best_matches


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.lists(st.integers(0, 8), max_size=12))
@example(0, 2, [])
@example(0, 2, [0])
def test_like_one_after_the_other(seed, weightings, places):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(12, 3)) * (rng.random((12, 1)) < 0.8)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    pages = csr_matrix(rng.integers(0, 4, (9, 12)) * (rng.random((9, 12)) < 0.25) * (rng.random((9, 1)) < 0.8))
    words = np.sort(rng.permutation(12)[: rng.integers(0, 13)])
    weights = rng.random((weightings, len(words))) * (rng.random((weightings, len(words))) < 0.6)
    found = best_matches_each(words, weights, vectors, pages, np.array(places, dtype=np.int64))
    assert found.shape == (weightings, len(places))
    for own, weight in zip(found, weights, strict=True):
        expected = best_matches(vectors[words[weight > 0]], weight[weight > 0], vectors, pages, places)
        assert np.allclose(own, expected, rtol=0, atol=1e-12)


def test_other_words_that_are_wanted_have_no_influence():
    rng = np.random.default_rng(0)
    vectors, pages = rng.normal(size=(30, 8)), csr_matrix(rng.integers(0, 2, (40, 30)))
    words, weights, every = np.arange(6), rng.random((2, 6)), np.arange(40)
    weights[0, 3:] = 0
    both = best_matches_each(words, weights, vectors, pages, every)
    assert np.allclose(best_matches_each(words[:3], weights[:1, :3], vectors, pages, every)[0], both[0], atol=1e-12)
    assert np.array_equal(best_matches_each(words, 0 * weights, vectors, pages, every), np.zeros((2, 40)))
