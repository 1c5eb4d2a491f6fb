"""Sentences of documents as numbers: what makes a sentence worth a place in a summary.

Everything here sees one document and statistics of meta-training documents; titles and names are never input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastudy.errors import DataError
from metastudy.families.centrality import centroid, lexrank, redundancy_before, tfidf
from metastudy.text import STOP_WORDS, stems, words

Matrix = NDArray[np.float32]

HAND_FEATURES = (
    "lead", "lexrank", "centroid",  # the field's tools; "lead" is minus the position
    "is_first", "is_last", "inverse_position", "relative_position", "log_words", "relative_words", "centroid_rest",
    "similarity_to_first", "redundancy_before", "stop_words", "code", "digits", "punctuation",
    "mean_idf", "starts_with_third_person", "starts_with_this", "starts_with_if", "starts_with_article",
    "starts_lower", "says_default", "ends_open", "log_sentences",
)  # fmt: skip
TOOLS = HAND_FEATURES[:3]
"""Columns that are baselines of the field and members of g."""


@dataclass(frozen=True)
class Idf:
    """Inverse document frequencies of meta-training documents; a word they lack counts as the rarest."""

    values: dict[str, float]
    unseen: float

    @classmethod
    def fit(cls, documents: Iterable[Sequence[str]]) -> Idf:
        """idf(w) = ln((1 + n) / (1 + n_w)) + 1, from documents given as sentences. DataError without a document."""
        n, counts = 0, dict[str, int]()
        for sentences in documents:
            n += 1
            for word in {word for sentence in sentences for word in stems(sentence)}:
                counts[word] = counts.get(word, 0) + 1
        if not n:
            raise DataError("no document to count words in; expected at least one meta-training document")
        return cls({w: float(np.log((1 + n) / (1 + c)) + 1) for w, c in counts.items()}, float(np.log(1 + n) + 1))

    def __getitem__(self, word: str) -> float:
        return self.values.get(word, self.unseen)


def hand_features(sentences: Sequence[str], idf: Idf) -> Matrix:
    """(N, len(HAND_FEATURES)) of one document's sentences, unscaled. DataError for a document without sentences."""
    n = len(sentences)
    if not n:
        raise DataError("a document without sentences cannot be summarised; drop it")
    terms = [stems(s) for s in sentences]
    vectors = tfidf(terms, idf)
    of_all, of_others = centroid(vectors)
    tokens = [words(s) for s in sentences]
    lengths = np.array([max(len(t), 1) for t in tokens], dtype=np.float64)
    position = np.arange(n)

    def share(pattern: str) -> NDArray:
        return np.array([len(re.findall(pattern, s)) for s in sentences]) / lengths

    def starts(pattern: str) -> NDArray:
        return np.array([re.match(pattern, s) is not None for s in sentences], dtype=np.float64)

    columns = {
        "lead": -position,
        "lexrank": lexrank(vectors) * n,
        "centroid": of_all,
        "is_first": position == 0,
        "is_last": position == n - 1,
        "inverse_position": 1 / (1 + position),
        "relative_position": position / max(n - 1, 1),
        "log_words": np.log1p(lengths),
        "relative_words": np.log(lengths / lengths.mean()),
        "centroid_rest": of_others,
        "similarity_to_first": (vectors @ vectors[[0]].T).toarray()[:, 0],
        "redundancy_before": redundancy_before(vectors),
        "stop_words": [sum(w in STOP_WORDS for w in t) / len_ for t, len_ in zip(tokens, lengths, strict=True)],
        "code": share(r"`[^`]*`|\w+_\w+|\w+\("),
        "digits": share(r"\b\d"),
        "punctuation": share(r"[,;:()]"),
        "mean_idf": [float(np.mean([idf[s] for s in found] or [0.0])) for found in terms],
        "starts_with_third_person": starts(r"(?:[A-Z][a-z]+s|Compute|Return|Get|Create|Find|Calculate) "),
        "starts_with_this": starts(r"(?:This|These|The (?:function|method|class)) "),
        "starts_with_if": starts(r"(?:If|When|Whether|Used|Only|Note|By default) ?"),
        "starts_with_article": starts(r"(?:A|An|The|Number|Name|Type) "),
        "starts_lower": starts(r"[a-z`]"),
        "says_default": ["default" in s.lower() for s in sentences],
        "ends_open": [not s.rstrip().endswith((".", "!", "?")) for s in sentences],
        "log_sentences": np.full(n, np.log(n)),
    }
    return np.stack([np.asarray(columns[name], dtype=np.float32) for name in HAND_FEATURES], axis=1)
