"""Input rows of sentences: features of `documents`, and a choice of vectors for their meaning, scaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits
from torch import Tensor

from metastudy.encoders import TfidfSvd
from metastudy.errors import DataError
from metastudy.families.documents import HAND_FEATURES, Idf, hand_features
from metastudy.minilm import MiniLM
from metastudy.vector_cache import CachedEncoder

SentenceEncoder = Literal["none", "lsa", "minilm"]
ENCODERS: dict[SentenceEncoder, int] = {"none": 0, "lsa": 24, "minilm": 24}
"""Numbers that each adds: latent semantic vectors, or the main directions of a pretrained encoder's."""
LIMIT = 8.0  # in standard deviations of training sentences: what lies beyond is a freak of one document
Encode = Callable[[Sequence[str]], NDArray]


def n_features(encoder: SentenceEncoder) -> int:
    """How many numbers are known of a sentence."""
    return len(HAND_FEATURES) + ENCODERS[encoder]


def _minilm(train: Sequence[str], dim: int) -> Encode:
    if len(train) < dim:
        raise DataError(f"{len(train)} training sentences have no {dim} main directions; give more, or encoder 'lsa'")
    encode = CachedEncoder(MiniLM())
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        reduced = PCA(dim, svd_solver="covariance_eigh").fit(encode(train))
    return lambda sentences: reduced.transform(encode(sentences))


@dataclass(frozen=True, eq=False)
class SentenceRows:
    """Documents as sentences -> input rows. Shapes: mean and scale (features,), of training sentences."""

    idf: Idf
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    encode: Encode | None = None

    @classmethod
    def fit(cls, train: Sequence[Sequence[str]], encoder: SentenceEncoder = "none") -> SentenceRows:
        """Word counts, vectors and scales of meta-training documents. Raises DataError where there are too few."""
        idf, encode = Idf.fit(train), None
        if encoder != "none":
            sentences, dim = [s for document in train for s in document], ENCODERS[encoder]
            encode = _minilm(sentences, dim) if encoder == "minilm" else TfidfSvd(sentences, dim)
        width = n_features(encoder)
        unscaled = cls(idf, np.zeros(width, np.float32), np.ones(width, np.float32), encode)
        known = np.concatenate(unscaled._unscaled(train))
        return cls(idf, known.mean(0), np.maximum(known.std(0), 1e-6), encode)

    def __call__(self, documents: Sequence[Sequence[str]]) -> list[Tensor]:
        """Of each document (sentences, features), float32. Raises DataError for one without sentences."""
        rows = self._unscaled(documents)
        return [torch.from_numpy(np.clip((x - self.mean) / self.scale, -LIMIT, LIMIT).astype(np.float32)) for x in rows]

    def _unscaled(self, documents: Sequence[Sequence[str]]) -> list[NDArray]:
        rows = [hand_features(sentences, self.idf) for sentences in documents]
        if self.encode is None or not rows:
            return rows
        vectors = self.encode([s for document in documents for s in document])
        parts = np.split(vectors, np.cumsum([len(document) for document in documents])[:-1])
        return [np.concatenate(pair, axis=1) for pair in zip(rows, parts, strict=True)]
