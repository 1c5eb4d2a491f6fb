"""Sentence features by hand; centrality has tests of its own."""

import numpy as np
import pytest

from metastudy.errors import DataError
from metastudy.families.centrality import centroid, lexrank, tfidf
from metastudy.families.documents import HAND_FEATURES, TOOLS, Idf, hand_features
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


def test_features_by_hand():
    x = dict(zip(HAND_FEATURES, hand_features(SENTENCES, IDF).T, strict=True))
    assert x["lead"].tolist() == [0, -1, -2, -3]
    assert x["lexrank"].sum() == pytest.approx(4, abs=1e-3)
    assert x["is_first"].tolist() == [1, 0, 0, 0] and x["is_last"].tolist() == [0, 0, 0, 1]
    assert x["relative_position"] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert x["log_words"][0] == pytest.approx(np.log(7))
    assert x["stop_words"][0] == pytest.approx(3 / 6)
    assert x["code"].tolist()[:2] == [0, 0] and x["code"][2] > 0
    assert x["says_default"].tolist() == [0, 0, 1, 0]
    assert x["ends_open"].tolist() == [0, 0, 0, 1]
    assert x["starts_lower"].tolist() == [0, 0, 0, 1]
    assert x["redundancy_before"][0] == 0 < x["redundancy_before"][3]


def test_the_tools_come_first_and_are_what_their_names_say():
    x = hand_features(SENTENCES, IDF)[:, : len(TOOLS)]
    assert TOOLS == ("lead", "lexrank", "centroid")
    vectors = tfidf([stems(s) for s in SENTENCES], IDF)
    expected = -np.arange(4), 4 * lexrank(vectors), centroid(vectors)[0]
    np.testing.assert_allclose(x, np.stack(expected, 1), atol=1e-6)


def test_one_sentence_is_fine_and_none_is_not():
    assert np.isfinite(hand_features(["Only one sentence here."], IDF)).all()
    assert np.isfinite(hand_features(["", "!"], IDF)).all()
    with pytest.raises(DataError, match="without sentences"):
        hand_features([], IDF)
