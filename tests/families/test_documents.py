"""Sentence features by hand; centrality has tests of its own."""

import numpy as np
import pytest

from metastudy.errors import DataError
from metastudy.families.documents import HAND_FEATURES, LEAD, LEXRANK, Idf, hand_features

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
