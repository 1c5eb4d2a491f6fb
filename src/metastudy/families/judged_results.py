"""Which results of a query somebody judges: the protocol of relevance feedback.

Support is chosen as in a plain system: the k first of the fusion of BM25 and cosine, without any tuning; where none of
them is relevant, the k-th is replaced by the first relevant one within `SEARCHED`.

Written as one list, nested in k: the first relevant page first, then the others in their order. Its first k are exactly
that choice, for every k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastudy.families.candidates import Candidates
from metastudy.families.collection import Array

SEARCHED = 100  # how far down a relevant page is looked for


@dataclass(frozen=True)
class JudgedResults:
    """Candidates of one query, best first.

    Shapes, for n candidates: pages (n,) ids; places (n,) among the collection's pages; x (n, features), unscaled;
    y (n,) grades. `judged` are the pages that somebody judges, in the order that the module describes.
    """

    pages: tuple[str, ...]
    places: NDArray[np.int32]
    x: Array
    y: Array
    judged: tuple[str, ...]


def feedback_order(relevant: Sequence[bool], n: int) -> tuple[int, ...] | None:
    """Which n candidates are judged, of candidates given best first: the first relevant one, then the others.

    None where no candidate within the first `SEARCHED` is relevant.
    """
    first = next((i for i, found in enumerate(relevant[:SEARCHED]) if found), None)
    if first is None:
        return None
    return (first, *[i for i in range(len(relevant)) if i != first][: n - 1])


def judged_results(found: Candidates, pool: int, n: int) -> tuple[dict[str, JudgedResults], dict[str, int]]:
    """The queries of a collection that can be tasks, and how many cannot: none relevant found, or none left."""
    usable: dict[str, JudgedResults] = {}
    left_out = {"none relevant among the first": 0, "none relevant left": 0}
    for q, query in enumerate(map(str, found.queries)):
        places, x = (rows[:pool] for rows in found.rows(q))
        pages, grades = tuple(found.pages[places].tolist()), found.relevant[query]
        order = feedback_order([page in grades for page in pages], n)
        judged = tuple(pages[i] for i in order or ())
        if order is None:
            left_out["none relevant among the first"] += 1
        elif not grades.keys() - set(judged):
            left_out["none relevant left"] += 1
        else:
            y = np.array([grades.get(page, 0) for page in pages], dtype=np.float32)
            usable[query] = JudgedResults(pages, places, x, y, judged)
    return usable, left_out
