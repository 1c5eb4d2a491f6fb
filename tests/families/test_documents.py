"""Sentence features, LexRank above all, against slow independent routes."""

import numpy as np
import pytest

from metastudy.errors import DataError
from metastudy.families.documents import HAND_FEATURES, LEAD, LEXRANK, Idf, hand_features, lexrank, tfidf
from metastudy.text import stems

SENTENCES = (
    "A matrix has rows and columns.",
    "The rows of the matrix are vectors.",
    "Nothing else is said, see `find_peaks` (default 3).",
    "vectors of a matrix have a norm",
)
IDF = Idf.fit([SENTENCES, ("A graph has nodes.",)])


def test_idf_by_hand():
    assert IDF["graph"] == pytest.approx(np.log(3 / 2) + 1)
    assert IDF["has"] == pytest.approx(np.log(3 / 3) + 1)
    assert IDF["zebra"] == IDF.unseen == pytest.approx(np.log(3) + 1)
    with pytest.raises(DataError, match="no document"):
        Idf.fit([])


def test_tfidf_against_dictionaries():
    matrix = tfidf([stems(s) for s in SENTENCES], IDF)
    bags = [{w: stems(s).count(w) * IDF[w] for w in stems(s)} for s in SENTENCES]

    def cosine(a, b):
        dot = sum(a[w] * b.get(w, 0) for w in a)
        return dot / np.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))

    slow = [[cosine(a, b) for b in bags] for a in bags]
    assert np.allclose(matrix @ matrix.T, slow, atol=1e-5)


def test_lexrank_is_the_stationary_distribution():
    rng = np.random.default_rng(0)
    for n in (2, 3, 7):
        vectors = rng.random((n, 5))
        vectors[0, :] = [1, 0, 0, 0, 0]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        similarity = vectors @ vectors.T
        walk = np.zeros((n, n))
        for i in range(n):
            total = sum(similarity[i, j] for j in range(n) if j != i)
            for j in range(n):
                walk[i, j] = 0.15 / n + 0.85 * (similarity[i, j] / total if i != j else 0)
        values, left = np.linalg.eig(walk.T)
        stationary = np.real(left[:, np.argmax(np.real(values))])
        assert np.allclose(lexrank(similarity), stationary / stationary.sum(), atol=1e-4)


def test_lexrank_without_neighbours_is_uniform():
    assert np.allclose(lexrank(np.eye(4)), 0.25)
    assert np.allclose(lexrank(np.ones((1, 1))), 1)


def test_features_by_hand():
    x = dict(zip(HAND_FEATURES, hand_features(SENTENCES, IDF).T, strict=True))
    assert x["lead"].tolist() == [0, -1, -2, -3] and HAND_FEATURES[LEAD] == "lead"
    assert HAND_FEATURES[LEXRANK] == "lexrank" and x["lexrank"].sum() == pytest.approx(4, abs=1e-3)
    assert x["is_first"].tolist() == [1, 0, 0, 0] and x["is_last"].tolist() == [0, 0, 0, 1]
    assert x["relative_position"] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert x["log_words"][0] == pytest.approx(np.log(7))
    assert x["stop_words"][0] == pytest.approx(3 / 6)
    assert x["code"].tolist()[:2] == [0, 0] and x["code"][2] > 0
    assert x["says_default"].tolist() == [0, 0, 1, 0]
    assert x["ends_open"].tolist() == [0, 0, 0, 1]
    assert x["starts_lower"].tolist() == [0, 0, 0, 1]
    assert x["redundancy_before"][0] == 0 < x["redundancy_before"][3]


def test_one_sentence_is_fine_and_none_is_not():
    assert np.isfinite(hand_features(["Only one sentence here."], IDF)).all()
    assert np.isfinite(hand_features(["", "!"], IDF)).all()
    with pytest.raises(DataError, match="without sentences"):
        hand_features([], IDF)
