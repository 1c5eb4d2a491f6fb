"""Text vectors: deterministic, and blind to words that training did not have."""

import pickle

import numpy as np
import pytest

from metastudy.encoders import TfidfSvd, terms
from metastudy.errors import DataError

TEXTS = [
    "a matrix has rows and columns",
    "rows of a matrix are vectors",
    "a graph has nodes and edges",
    "edges join the nodes of a graph",
    "vectors have a norm",
    "the norm of a matrix",
]


def test_rows_have_length_one_and_refitting_repeats_them():
    encode = TfidfSvd(TEXTS, 3)
    vectors = encode(TEXTS)
    assert vectors.shape == (6, 3) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors, TfidfSvd(TEXTS, 3)(TEXTS))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_the_sign_of_each_direction_is_fixed():
    components = TfidfSvd(TEXTS, 3)._components
    assert (components[np.arange(3), np.abs(components).argmax(1)] > 0).all()


def test_unknown_words_have_no_influence():
    encode = TfidfSvd(TEXTS, 3)
    assert "zebra" not in encode.vocabulary
    assert np.array_equal(encode(["zebra matrix"]), encode(["matrix"]))
    assert not encode(["zebra"]).any()


def test_columns_beyond_the_rank_are_zero():
    assert TfidfSvd(TEXTS, 50)(TEXTS).shape == (6, 50)


def test_no_text_is_no_row():
    assert TfidfSvd(TEXTS, 3)([]).shape == (0, 3)


def test_too_little_text_is_an_error():
    with pytest.raises(DataError, match="give more"):
        TfidfSvd(["one", "two"], 3)


def test_terms_leave_out_stop_words_and_numbers():
    assert terms("The 3 norms of a matrix") == ["norm", "matrix"]


def test_the_fingerprint_is_that_of_the_vectors():
    encode = TfidfSvd(TEXTS, 3)
    same = TfidfSvd(TEXTS, 3), pickle.loads(pickle.dumps(encode))
    assert encode.fingerprint == same[0].fingerprint == same[1].fingerprint
    fewer_words, other_weights, wider = TfidfSvd(TEXTS[:4], 3), TfidfSvd([*TEXTS, "rows"], 3), TfidfSvd(TEXTS, 4)
    assert len({e.fingerprint for e in (encode, fewer_words, other_weights, wider)}) == 4
    assert encode.name == "tfidf" and encode.dim == 3
    assert repr(encode) == repr(same[0]) != repr(wider), "it names what is cached"
