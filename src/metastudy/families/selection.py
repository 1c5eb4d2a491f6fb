"""From scores of sentences to a summary: no longer than asked for, and nothing said twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from metastudy.families.centrality import tfidf
from metastudy.text import stems, words

REDUNDANCY = 1.0
"""What a cosine of 1 with a chosen sentence costs, in standard deviations of the document's scores; chosen on
validation domains among 0, 0.3, 0.6, 1, 1.5 and 2.5."""
LENGTH = 1.25
"""Words that a summary may have, in units of what its domain's summaries usually have: F1 forgives a word too many
more easily than one too few. Chosen on validation domains among 0.8, 1, 1.1, 1.25, 1.4 and 1.5."""


class _Alike:
    """Every word weighs the same."""

    def __getitem__(self, word: str) -> float:
        return 1.0


@dataclass(frozen=True, eq=False)
class Sentences:
    """What selection needs of a document: lengths (N,) in words, and bags of stems (N, W), rows of length one."""

    lengths: NDArray[np.int64]
    vectors: sparse.csr_array

    @classmethod
    def of(cls, sentences: Sequence[str]) -> Sentences:
        return cls(np.array([len(words(s)) for s in sentences]), tfidf([stems(s) for s in sentences], _Alike()))


def allowed(lengths: Sequence[float]) -> int:
    """How many words a summary may have where labelled ones have these: `LENGTH` times their median."""
    return max(1, round(LENGTH * float(np.median(lengths))))


def best(scores: NDArray) -> tuple[int]:
    """The sentence with the highest score; of equal ones the first."""
    return (int(np.argmax(scores)),)


def choose(scores: NDArray, sentences: Sentences, n_words: float, redundancy: float = REDUNDANCY) -> tuple[int, ...]:
    """Indices of the sentences that make up the summary, ascending; at least one.

    Maximal marginal relevance (Carbonell and Goldstein 1998, eq. 1): one by one the sentence with the highest score
    less `redundancy` times its highest cosine with one chosen before; of equal ones the first. Scores (N,) are
    standardised in the document first, so that only their order and their gaps count (their λ is
    1 / (1 + redundancy)). It ends where the next sentence would bring the length further from `n_words` than it is.
    Time and memory are linear in N, for each sentence that is chosen.
    """
    scores = np.asarray(scores, dtype=np.float64)
    value = (scores - scores.mean()) / (scores.std() + 1e-8)
    chosen: list[int] = []
    length, repeats = 0, np.zeros(len(value))
    while len(chosen) < len(value):
        marginal = value - redundancy * repeats
        marginal[chosen] = -np.inf
        i = int(np.argmax(marginal))
        if chosen and length + sentences.lengths[i] / 2 > n_words:
            break
        chosen.append(i)
        length += int(sentences.lengths[i])
        repeats = np.maximum(repeats, (sentences.vectors @ sentences.vectors[[i]].T).toarray()[:, 0])
    return tuple(sorted(chosen))
