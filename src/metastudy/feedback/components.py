"""Scores of all pages of a collection for one query and a few judged pages, each by one simple idea.

Every score is linear in what is known (the query, the mean of the relevant judged pages, the mean of the others), so
all of Rocchio's formulas are weighted sums of these columns (`rocchio`).

Columns are standardised over the collection: those of the query alone over all pages, the others over the pages that
nobody judged. So a page's score depends on the query, the judged pages and the unlabelled collection, never on which
other pages are candidates, and without feedback not on who judged what.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from metastudy.errors import DataError, ParameterError
from metastudy.families.search_base import OTHER_DATA
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import index as page_index
from metastudy.feedback.index import PageIndex, Query
from metastudy.tasks import Task

Scores = NDArray[np.float64]
RM3_WORDS = (10, 30, 100)
RM3_ORIGINAL = (0.2, 0.35, 0.5, 0.65, 0.8)


def rm3_name(words: int, original: float) -> str:
    """Name of the column of RM3 with so many expansion words and this weight of the original query."""
    return f"rm3_{words}_{original:g}"


MATCH = ("bm25", "dense", "lsa")
SPACES = ("dense", "bm25", "tfidf", "lsa")
RM3 = tuple(rm3_name(words, original) for words in RM3_WORDS for original in RM3_ORIGINAL)
NAMES = (*MATCH, *(f"{space}_{side}" for side in ("positive", "negative") for space in SPACES), *RM3)
"""Of columns: how a page matches the query; how near it is, in each space, to the mean of the judged pages that are
relevant (positive) and that are not (negative); RM3. Without judged pages of a side, its columns are 0."""


def weighted_query(columns: csc_matrix, weights: csr_matrix) -> Scores:
    """Inner products of pages (N, V) with one sparse row of weights (1, V): (N,). Touches only its words."""
    return columns[:, weights.indices] @ weights.data


def mean_row(rows: csr_matrix, places: Sequence[int]) -> csr_matrix:
    """Mean of some rows (n, V), sparse: (1, V)."""
    return csr_matrix(rows[list(places)].mean(0))


def relevance_model(index: PageIndex, positives: Sequence[int], words: int) -> csr_matrix:
    """P(w | R), the mean over relevant pages of P(w | page), cut to its most likely words and normalised: (1, V).

    Lavrenko and Croft 2001 (section 3, with the relevant pages known: all count the same), cut as in Abdul-Jaleel et
    al. 2004. Of equally likely words, the first in the vocabulary. Deviation: P(w | page) is the share of a page's
    words, not smoothed; a collection model would only add the same words to each query. Zeros without words.
    """
    rows = index.counts[list(positives)]
    length = np.maximum(np.asarray(rows.sum(1)).ravel(), 1)
    rows = csr_matrix((rows.data / np.repeat(length, np.diff(rows.indptr)), rows.indices, rows.indptr), rows.shape)
    mean = csr_matrix(rows.mean(0))
    mean.sort_indices()
    likely = np.round(mean.data, 12)  # sums in another order are equal too
    kept = np.sort(np.argsort(-likely, kind="stable")[:words])
    chosen = mean.data[kept]
    return csr_matrix((chosen / max(chosen.sum(), 1e-12), mean.indices[kept], [0, len(kept)]), mean.shape)


def raw_components(index: PageIndex, query: Query, positives: Sequence[int], negatives: Sequence[int]) -> Scores:
    """The columns `NAMES` for all pages, not yet standardised: (N, len(NAMES)). Judged pages are given as rows."""
    found: dict[str, Scores] = {"bm25": weighted_query(index.bm25, csr_matrix(query.words[None]))}
    sides = {side: list(p) for side, p in (("positive", positives), ("negative", negatives)) if len(p)}
    for space, vectors, asked in (("dense", index.dense, query.dense), ("lsa", index.lsa, query.lsa)):
        # one pass over the vectors, however many means
        near = vectors @ np.stack([asked, *(vectors[places].mean(0) for places in sides.values())], axis=1)
        names = (space, *(f"{space}_{side}" for side in sides))
        found |= dict(zip(names, near.T, strict=True))
    for side, places in sides.items():
        found[f"bm25_{side}"] = weighted_query(index.bm25, mean_row(index.bm25_rows, places))
        found[f"tfidf_{side}"] = weighted_query(index.tfidf_columns, mean_row(index.tfidf, places))
    if len(positives):
        own = found["bm25"] / max(query.words.sum(), 1)
        for words in RM3_WORDS:
            expanded = weighted_query(index.bm25, relevance_model(index, positives, words))
            for original in RM3_ORIGINAL:
                found[rm3_name(words, original)] = original * own + (1 - original) * expanded
    nothing = np.zeros(len(index.pages))
    return np.stack([np.asarray(found.get(name, nothing), dtype=np.float64) for name in NAMES], axis=1)


def standardised(columns: Scores, over: Scores) -> Scores:
    """Columns (N, c) minus the mean of the rows `over` (n, c), divided by their standard deviation; 0 where they are
    all equal, up to rounding."""
    mean, spread = over.mean(0), over.std(0)
    constant = spread <= 1e-9 * np.abs(over).max(0)
    return np.where(constant, 0.0, (columns - mean) / np.where(constant, 1.0, spread))


def components(index: PageIndex, query: Query, positives: Sequence[int] = (), negatives: Sequence[int] = ()) -> Scores:
    """Standardised columns `NAMES` for all pages: (N, len(NAMES)), each with zero mean and unit variance.

    Over unjudged pages, as judged ones match themselves too well; columns `MATCH` over all. A column in which all pages
    are equal is 0. Raises ParameterError for a page that is judged twice or not there, and where every page is judged,
    so that none is left to find.
    """
    judged = [*positives, *negatives]
    if len(set(judged)) < len(judged) or not set(judged) <= set(range(len(index.pages))):
        raise ParameterError(
            f"judged pages {judged} of {index.name!r}; expected each once, as rows from 0 to {len(index.pages) - 1}"
        )
    if len(judged) == len(index.pages):
        raise ParameterError(f"all {len(judged)} pages of {index.name!r} are judged: none is left to find")
    raw = raw_components(index, query, positives, negatives)
    rest, n = np.delete(raw, judged, axis=0), len(MATCH)
    return np.concatenate([standardised(raw[:, :n], raw[:, :n]), standardised(raw[:, n:], rest[:, n:])], axis=1)


def judged_places(family: SearchFeedback, task: Task) -> tuple[list[int], list[int]]:
    """Rows of the relevant and of the other judged pages of a task's support, in the index of its collection.

    A task says which pages are to be ranked, not which were judged: these are the first of the query's `judged` ones,
    as many as the support has labels (its last row nobody judged). Any grade above 0 is relevant. Raises DataError
    where the pages that are taken out of the ranking are not those, as with a list frozen for other data.
    """
    query = task.query_ids[0].split("|")[0]
    results = family.results(task.family)[query]
    if set(results.pages) - {row.split("|")[1] for row in task.query_ids} != set(results.judged):
        raise DataError(f"task {task.id}: its candidates do not lack just the judged pages; {OTHER_DATA}")
    place = dict(zip(results.pages, results.places.tolist(), strict=True))
    labels = task.support_y[:-1].tolist()
    judged = list(zip((place[page] for page in results.judged), labels, strict=False))
    return [p for p, y in judged if y > 0], [p for p, y in judged if y <= 0]


def task_components(family: SearchFeedback, task: Task) -> Scores:
    """Columns `NAMES` of a task's query rows: (Q, len(NAMES)). Of judgements only the support's are looked at."""
    index = page_index.load(task.family, family.encoder)
    query = task.query_ids[0].split("|")[0]
    rows = [index.place[row.split("|")[1]] for row in task.query_ids]
    return components(index, index.query(query), *judged_places(family, task))[rows]
