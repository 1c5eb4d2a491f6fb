"""Text to vectors: what an encoder is, and TF-IDF with SVD, fitted on meta-training texts.

A pretrained sentence encoder is in `minilm`; `vector_cache` keeps what an encoder made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from metastudy.errors import DataError
from metastudy.text import STOP_WORDS, stems

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into vectors of length one (or zero, where nothing is known of a text).

    A vector depends on its own text alone. `fingerprint` is a hash of what vectors depend on besides the text
    (vocabulary, weights, settings): encoders with the same one give the same vectors.
    """

    @property
    def name(self) -> str:
        """Short, of letters and digits: it may become part of a file name."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digits."""

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

    name = "tfidf"

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

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of what was fitted: stems, their weights, directions."""
        columns = {stem: int(column) for stem, column in self._tfidf.vocabulary_.items()}
        digest = hashlib.sha256(json.dumps([self.dim, columns], sort_keys=True).encode())
        for fitted in (self._tfidf.idf_, self._components):
            digest.update(np.ascontiguousarray(fitted, dtype="<f8").tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fingerprint[:16]})"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        if not len(texts):
            return np.zeros((0, self.dim), dtype=np.float32)
        projected = self._tfidf.transform(texts) @ self._components.T
        return np.pad(normalise(projected), [(0, 0), (0, self.dim - projected.shape[1])])
