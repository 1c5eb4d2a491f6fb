"""The columns that g weighs: those of F+L, and six groups of others that a formula with a grid could not hold.

g(f; α) = Σ_j β_j ψ_j(f; α_j): each column is one way to adapt the search to what was judged, ψ_j, standardised over the
collection as in `components`. Groups: RM3 and Bo1 (words to add to the query), `title` (matches with titles), `nearest`
(the nearest relevant page, not their mean), `late` (word by word, `late`), `propagated` (what the neighbours of a page
score).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import surroundings
from metastudy.feedback.components import (
    NAMES,
    RM3,
    Scores,
    components,
    judged_places,
    mean_row,
    rm3_name,
    standardised,
    weighted_query,
)
from metastudy.feedback.index import Query, Values
from metastudy.feedback.late import best_matches
from metastudy.feedback.rocchio import combined, matrix
from metastudy.feedback.surroundings import Surroundings
from metastudy.tasks import Task

SAME_AS_F_L = tuple(n for n in NAMES if n not in RM3)
"""Columns of F+L."""
GROUPS = {
    "RM3": (rm3_name(30, 0.5), rm3_name(100, 0.5)),
    "Bo1": ("bo1_30", "bo1_100"),
    "title": ("title", "title_positive"),
    "nearest": ("dense_nearest", "lsa_nearest", "tfidf_nearest"),
    "late": ("late", "late_positive"),
    "propagated": ("propagated_dense", "propagated_lsa"),
}
COLUMNS = (*SAME_AS_F_L, *(name for group in GROUPS.values() for name in group))
BO1_WORDS = (30, 100)
LATE_WORDS = 20  # of the relevant pages
PLAIN = {"bm25": 1.0, "dense": 0.5, "dense_positive": 1.0, "tfidf_positive": 1.0, "lsa": 0.5, "lsa_positive": 1.0}
"""F+L with ordinary weights, which nothing tuned: what is propagated."""


def bo1(around: Surroundings, positives: Sequence[int]) -> Values:
    """Weight of each word of the relevant pages by Bose-Einstein statistics: (V,), the largest is 1.

    Amati 2003 (PhD thesis, Glasgow, section 6.2), tf log2((1 + p) / p) + log2(1 + p), where p is how often a page has
    the word on average, and tf how often all relevant pages together have it.
    """
    tf, p = np.asarray(around.index.counts[list(positives)].sum(0)).ravel(), around.expected
    weight = np.where(tf > 0, tf * np.log2((1 + p) / np.maximum(p, 1e-12)) + np.log2(1 + p), 0.0)
    return weight / max(weight.max(initial=0.0), 1e-12)


def heaviest(weights: Values, n: int) -> Values:
    """All but the n largest weights set to 0; of equal ones the first stay."""
    kept = np.zeros_like(weights)
    first = np.argsort(-np.round(weights, 12), kind="stable")[:n]
    kept[first] = weights[first]
    return kept


def _over_pages(around: Surroundings, query: Query, positives: Sequence[int]) -> dict[str, Scores]:
    """Columns that are one product with all pages, not yet standardised: (N,) each."""
    index, some = around.index, list(positives)
    found: dict[str, Scores] = {}
    weights = bo1(around, some)
    for words in BO1_WORDS:
        found[f"bo1_{words}"] = weighted_query(index.bm25, csr_matrix(heaviest(weights, words)[None]))
    asked = csr_matrix(around.weights.transform(csr_matrix(query.words[None])))
    found["title"] = weighted_query(around.title_columns, asked)
    found["title_positive"] = weighted_query(around.title_columns, mean_row(index.tfidf, some))
    for space, vectors in (("dense", index.dense), ("lsa", index.lsa)):
        found[f"{space}_nearest"] = (vectors @ vectors[some].T).max(1)
    near = [weighted_query(index.tfidf_columns, index.tfidf[[place]]) for place in some]
    found["tfidf_nearest"] = np.max(near, axis=0)
    return found


def _late(around: Surroundings, query: Query, positives: Sequence[int], places: Sequence[int]) -> Scores:
    """Late interaction with the query, and with the heaviest words of the relevant pages: (len(places), 2)."""
    mean = np.asarray(mean_row(around.index.tfidf, positives).toarray()).ravel()
    found = []
    for weights in (query.words * around.weights.idf_, heaviest(mean, LATE_WORDS)):
        wanted = np.flatnonzero(weights)
        found.append(best_matches(around.words[wanted], weights[wanted], around.words, around.index.counts, places))
    return np.stack(found, axis=1)


def learned_columns(
    around: Surroundings, query: Query, positives: Sequence[int], negatives: Sequence[int], places: Sequence[int]
) -> Scores:
    """Columns `COLUMNS` of some pages, given as rows of the index: (len(places), len(COLUMNS)).

    `late` is standardised over `Surroundings.sample`, all others over the pages that nobody judged, so that a page's
    score does not depend on which others are asked about. Without a relevant page, all but those of F+L are 0. Errors
    as in `components`.
    """
    index, n = around.index, len(around.index.pages)
    own = components(index, query, positives, negatives)
    found = dict(zip(NAMES, own[list(places)].T, strict=True))
    if len(positives):
        rest = np.delete(np.arange(n), [*positives, *negatives])
        raw = _over_pages(around, query, positives)
        plain = np.maximum(combined(own, matrix([PLAIN]))[0], 0)
        raw |= {"propagated_dense": around.near_dense @ plain, "propagated_lsa": around.near_lsa @ plain}
        over_all = np.stack(list(raw.values()), axis=1)
        found |= dict(zip(raw, standardised(over_all[list(places)], over_all[rest]).T, strict=True))
        both = [_late(around, query, positives, some) for some in (places, around.sample)]
        found |= dict(zip(GROUPS["late"], standardised(*both).T, strict=True))
    nothing = np.zeros(len(places))
    return np.stack([found.get(name, nothing) for name in COLUMNS], axis=1)


def of_task(family: SearchFeedback, task: Task) -> tuple[Scores, bool]:
    """Columns of a task's query rows, (Q, len(COLUMNS)), and whether a judged page is relevant."""
    around = surroundings.load(task.family, family.encoder)
    query = task.query_ids[0].split("|")[0]
    places = [around.index.place[row.split("|")[1]] for row in task.query_ids]
    positives, negatives = judged_places(family, task)
    return learned_columns(around, around.index.query(query), positives, negatives, places), bool(positives)
