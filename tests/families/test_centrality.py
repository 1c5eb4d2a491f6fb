"""Centrality and redundancy of sentences in linear memory, against matrices of sentences by sentences."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.families.centrality import centroid, lexrank, redundancy_before, tfidf

WEIGHTS = {word: 1 + 0.3 * i for i, word in enumerate("abcdefgh")}
DOCUMENTS = st.lists(st.lists(st.sampled_from(sorted(WEIGHTS)), max_size=5), min_size=1, max_size=9)


def bags(sentences: list[list[str]]) -> np.ndarray:
    """TF-IDF by counting, rows of length one or zero."""
    x = np.array([[sentence.count(word) * WEIGHTS[word] for word in sorted(WEIGHTS)] for sentence in sentences])
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)


@settings(deadline=None)
@given(DOCUMENTS)
def test_cosines_are_those_of_counted_words(sentences: list[list[str]]) -> None:
    vectors, slow = tfidf(sentences, WEIGHTS), bags(sentences)
    assert vectors.shape[0] == len(sentences)
    np.testing.assert_allclose((vectors @ vectors.T).toarray(), slow @ slow.T, atol=1e-12)


@settings(deadline=None)
@given(DOCUMENTS)
def test_lexrank_is_the_stationary_distribution_of_the_walk(sentences: list[list[str]]) -> None:
    slow = bags(sentences)
    cosines, n = slow @ slow.T, len(sentences)
    np.fill_diagonal(cosines, 0)
    walk = np.array([0.15 / n + 0.85 * (row / row.sum() if row.sum() > 1e-9 else np.full(n, 1 / n)) for row in cosines])
    values, left = np.linalg.eig(walk.T)
    stationary = np.real(left[:, np.argmax(np.real(values))])
    found = lexrank(tfidf(sentences, WEIGHTS), tolerance=1e-12)
    np.testing.assert_allclose(found, stationary / stationary.sum(), atol=1e-8)


@settings(deadline=None)
@given(DOCUMENTS)
def test_centroids_are_sums_written_out(sentences: list[list[str]]) -> None:
    slow = bags(sentences)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        length = np.linalg.norm(a) * np.linalg.norm(b)
        return float(a @ b / length) if length > 1e-12 else 0.0

    of_all, of_others = centroid(tfidf(sentences, WEIGHTS))
    total = slow.sum(0)
    np.testing.assert_allclose(of_all, [cosine(x, total) for x in slow], atol=1e-7)
    np.testing.assert_allclose(of_others, [cosine(x, total - x) for x in slow], atol=1e-6)


@settings(deadline=None)
@given(DOCUMENTS, st.integers(1, 10))
def test_redundancy_looks_back_as_far_as_its_window(sentences: list[list[str]], window: int) -> None:
    slow = bags(sentences)
    expected = [
        max((float(slow[i] @ slow[j]) for j in range(max(0, i - window), i)), default=0) for i in range(len(slow))
    ]
    np.testing.assert_allclose(redundancy_before(tfidf(sentences, WEIGHTS), window), expected, atol=1e-12)


@pytest.mark.parametrize("measure", [lexrank, centroid, redundancy_before])
def test_memory_grows_with_the_document_and_not_with_its_square(measure) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(3000)]
    idf = dict.fromkeys(words, 1.0)
    peaks = []
    for n in (2000, 8000):
        vectors = tfidf([[words[i] for i in rng.integers(len(words), size=12)] for _ in range(n)], idf)
        tracemalloc.start()
        measure(vectors)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 6 * peaks[0], "four times the sentences; a matrix of them would need sixteen times as much"
    assert peaks[1] < 8000 * 8000
