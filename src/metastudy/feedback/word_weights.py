"""What g's columns look for in words: a weight for each of the few words that a query and its judged pages have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metastudy.feedback.components import RM3_ORIGINAL, RM3_WORDS, rm3_name
from metastudy.feedback.index import Query, Values
from metastudy.feedback.learned_columns import BO1_WORDS, GROUPS, LATE_WORDS, bo1, heaviest
from metastudy.feedback.postings import Words, each_at, expansion, relevance, words_of
from metastudy.feedback.surroundings import Surroundings

RM3_USED = tuple((n, o) for n in RM3_WORDS for o in RM3_ORIGINAL if rm3_name(n, o) in GROUPS["RM3"])


@dataclass(frozen=True, eq=False)
class WordWeights:
    """words (w,): places in the vocabulary. Weights by name, (w,) each, of BM25, of TF-IDF, and of titles' TF-IDF.

    nearest (k, w): TF-IDF of each relevant page. late (2, w): of the query, and of the relevant pages' heaviest words.
    """

    words: Words
    bm25: Mapping[str, Values]
    tfidf: Mapping[str, Values]
    title: Mapping[str, Values]
    nearest: Values
    late: Values

    @classmethod
    def of(cls, around: Surroundings, query: Query, positives: Sequence[int], negatives: Sequence[int]) -> WordWeights:
        """As `components` and `learned_columns` define them. Without a relevant page, only what is left."""
        index = around.index
        words = words_of(index, query, [*positives, *negatives])
        asked = query.words[words]
        bm25, tfidf = {"bm25": asked}, {}
        for side, places in (("positive", positives), ("negative", negatives)):
            if len(places):
                bm25[f"bm25_{side}"] = each_at(index.bm25_rows, places, words).mean(0)
                tfidf[f"tfidf_{side}"] = each_at(index.tfidf, places, words).mean(0)
        if not len(positives):
            return cls(words, bm25, tfidf, {}, np.zeros((0, len(words))), np.zeros((0, len(words))))
        likely, own = relevance(index, positives, words), asked / max(query.words.sum(), 1)
        for n, original in RM3_USED:
            bm25[rm3_name(n, original)] = original * own + (1 - original) * expansion(likely, n)
        weights = bo1(around, positives)[words]
        bm25 |= {f"bo1_{n}": heaviest(weights, n) for n in BO1_WORDS}
        idf, mean = around.weights.idf_[words], tfidf["tfidf_positive"]
        title = {"title": _tfidf(asked, idf), "title_positive": mean}
        late = np.stack([asked * idf, heaviest(mean, LATE_WORDS)])
        return cls(words, bm25, tfidf, title, each_at(index.tfidf, positives, words), late)


def _tfidf(counts: Values, idf: Values) -> Values:
    """TF-IDF of one text as `Surroundings.weights` has it: logarithmic counts, length one (or zero)."""
    found = np.where(counts > 0, (1 + np.log(np.maximum(counts, 1))) * idf, 0.0)
    return found / max(np.linalg.norm(found), 1e-12)
