"""Vectors of texts in directions of their own."""

from __future__ import annotations

import numpy as np
import pytest

from metastudy.encoders import TfidfSvd, normalise
from metastudy.errors import DataError
from metastudy.own_data import class_vectors
from metastudy.own_data.class_vectors import OwnDirections, in_own_directions

TEXTS = [f"{a} {b} {c}" for a in ("lend", "borrow") for b in ("money", "books", "cars") for c in ("today", "never")]


def test_without_stress_they_are_those_of_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_vectors, "STRESS", 0)
    vectors = OwnDirections.of(TEXTS, 4)
    np.testing.assert_allclose(vectors(TEXTS), TfidfSvd(TEXTS, 4)(TEXTS), atol=1e-6)


def test_each_direction_counts_by_a_power_of_its_spread() -> None:
    plain = TfidfSvd(TEXTS, 4)(TEXTS)
    np.testing.assert_allclose(OwnDirections.of(TEXTS, 4)(TEXTS), normalise(plain * plain.std(0) ** 0.5), atol=1e-6)


def test_directions_that_texts_do_not_have_are_left_out_or_padded() -> None:
    vectors = OwnDirections.of(TEXTS, 100)
    assert vectors.dim < 10
    assert vectors(TEXTS).shape == (12, vectors.dim)
    padded = in_own_directions(TEXTS, 100)
    assert padded.shape == (12, 100) and not padded[:, vectors.dim :].any()


def test_a_vector_does_not_depend_on_other_texts_and_unknown_words_make_zeros() -> None:
    vectors = OwnDirections.of(TEXTS, 4)
    both = vectors(["lend cars", "zebra"])
    np.testing.assert_array_equal(both[:1], vectors(["lend cars"]))
    assert not both[1].any() and np.isclose(np.linalg.norm(both[0]), 1)


def test_texts_without_a_common_word_are_refused() -> None:
    with pytest.raises(DataError, match="no word occurs in two"):
        OwnDirections.of(["one", "two"], 4)
