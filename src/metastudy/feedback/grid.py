"""How good each setting of a formula is on each collection, measured once: what `tuned` chooses from.

Scores are linear in the weights, so all settings of a grid are one matrix product a query.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from metastudy import cache
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import index as page_index
from metastudy.feedback.components import Scores, components
from metastudy.feedback.rocchio import NONE, Weights, combined, matrix
from metastudy.staleness import code_hash

DEPTH = 10  # results that count


@dataclass(frozen=True, eq=False)
class Feedback:
    """One query with k judged pages: columns (n, len(NAMES)) of the n candidates that are left, in the order of the
    fusion; their grades (n,); the grades above 0 of all judgements that are left, best first; whether a judged page is
    relevant."""

    columns: Scores
    grades: NDArray[np.float64]
    ideal: tuple[int, ...]
    positives: bool


def feedback_tasks(family: SearchFeedback, name: str, shots: int) -> Iterator[Feedback]:
    """All queries of a collection that can be tasks, as in `SearchFeedback.build`: the pages that somebody judges are
    taken out, whatever k is."""
    index, found = page_index.load(name, family.encoder), family.found[name]
    for query, results in family.results(name).items():
        grades, judged = found.relevant[query], set(results.judged)
        seen = [(index.place[page], page in grades) for page in results.judged[:shots]]
        sides = [[place for place, relevant in seen if relevant == side] for side in (True, False)]
        left = [i for i, page in enumerate(results.pages) if page not in judged]
        columns = components(index, index.query(query), *sides)[results.places[left]]
        ideal = sorted((g for page, g in grades.items() if page not in judged), reverse=True)
        yield Feedback(columns, results.y[left].astype(np.float64), tuple(ideal), bool(sides[0]))


def first_results(scores: Scores, depth: int = DEPTH) -> NDArray[np.int64]:
    """The best columns of each row of scores (G, n): (G, min(depth, n)), best first; of equal ones the first."""
    scores, rows = scores.copy(), np.arange(len(scores))
    best = np.empty((len(scores), min(depth, scores.shape[1])), dtype=np.int64)
    for i in range(best.shape[1]):
        best[:, i] = scores.argmax(1)
        scores[rows, best[:, i]] = -np.inf
    return best


def ndcg(scores: Scores, grades: NDArray[np.float64], ideal: Sequence[int]) -> NDArray[np.float64]:
    """nDCG@10 with linear gains of each row of scores (G, n) for candidates of these grades (n,): (G,).

    `ideal`: grades of all judgements, best first, also of pages that are no candidates (Järvelin and Kekäläinen 2002,
    as trec_eval computes it). The same numbers as `search_base.measured`, many rankings at once.
    """
    discount = 1 / np.log2(np.arange(2, DEPTH + 2))
    gains = grades[first_results(scores)]
    best = np.asarray(ideal[:DEPTH], dtype=np.float64)
    return gains @ discount[: gains.shape[1]] / (best @ discount[: len(best)])


def mean_ndcg(tasks: Iterable[Feedback], settings: Sequence[Weights]) -> NDArray[np.float64]:
    """Mean over tasks of nDCG@10 of each setting: (G,). Without a relevant judged page all settings are `NONE`."""
    weights, plain = matrix(settings), np.repeat(matrix([NONE]), len(settings), axis=0)
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        values = [
            ndcg(combined(task.columns, weights if task.positives else plain), task.grades, task.ideal)
            for task in tasks
        ]
    return np.mean(values, axis=0)


def table(
    family: SearchFeedback, name: str, shots: int, label: str, settings: Sequence[Weights]
) -> NDArray[np.float64]:
    """`mean_ndcg` of one collection, from data/cache or measured and kept there. `label`: letters, digits, _."""
    key = cache.key(
        family.found[name].content_hash, family.pool, family.max_shots,
        family.encoder.fingerprint if family.encoder else "own pages",
        hashlib.sha256(json.dumps([dict(s) for s in settings]).encode()).hexdigest(), code_hash(__name__),
        page_index.versions(),
    )  # fmt: skip
    encoder = f"_{family.encoder.name}" if family.encoder else ""
    kept = f"feedback_{label}_{name}{encoder}_{shots}"
    return cache.arrays(kept, key, lambda: {"ndcg": mean_ndcg(feedback_tasks(family, name, shots), settings)})["ndcg"]
