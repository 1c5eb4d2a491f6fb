"""Judged queries of a collection as tensors that a ranker trains on; their columns are computed once and kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from metastudy import cache
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import index as page_index
from metastudy.feedback import surroundings
from metastudy.feedback.approximate import DEPTH, ideal_dcg
from metastudy.feedback.learned_columns import COLUMNS, learned_columns
from metastudy.staleness import code_hash


@dataclass(frozen=True, eq=False)
class Examples:
    """Q queries with k judged pages each; n is the largest number of candidates, the best of the fusion first.

    Shapes: x (Q, n, len(COLUMNS)); grades and mask (Q, n), mask False where there is no candidate; ideal (Q,): DCG@10
    of the best ranking of all pages that are left.
    """

    x: Tensor
    grades: Tensor
    mask: Tensor
    ideal: Tensor


def build(family: SearchFeedback, name: str, shots: int) -> dict[str, np.ndarray]:
    """Rows of all queries of a collection that can be tasks, one after the other, as in `SearchFeedback.build`."""
    around, found = surroundings.load(name, family.encoder), family.found[name]
    x, grades, best = [], [], []
    for query, results in family.results(name).items():
        relevant, judged = found.relevant[query], set(results.judged)
        seen = [(around.index.place[page], page in relevant) for page in results.judged[:shots]]
        positives, negatives = ([place for place, r in seen if r == side] for side in (True, False))
        left = [i for i, page in enumerate(results.pages) if page not in judged]
        places = results.places[left].tolist()
        with threadpool_limits(1):  # sums that repeat, whatever the number of cores
            x.append(learned_columns(around, around.index.query(query), positives, negatives, places))
        grades.append(results.y[left])
        rest = sorted((g for page, g in relevant.items() if page not in judged), reverse=True)[:DEPTH]
        best.append(np.pad(np.asarray(rest, dtype=np.float32), (0, DEPTH - len(rest))))
    counts = np.array([len(rows) for rows in grades])
    return {"x": np.concatenate(x).astype(np.float32), "grades": np.concatenate(grades), "n": counts, "best": best}


def of_arrays(arrays: dict[str, np.ndarray]) -> Examples:
    """What `build` made, padded."""
    counts = torch.from_numpy(np.asarray(arrays["n"]))
    mask = torch.arange(int(counts.max()))[None] < counts[:, None]
    x, grades = torch.zeros(*mask.shape, arrays["x"].shape[1]), torch.zeros(mask.shape)
    x[mask], grades[mask] = torch.from_numpy(arrays["x"]), torch.from_numpy(np.asarray(arrays["grades"])).float()
    return Examples(x, grades, mask, ideal_dcg(torch.from_numpy(np.asarray(arrays["best"], dtype=np.float32))))


def load(family: SearchFeedback, name: str, shots: int) -> Examples:
    """All queries of a registered collection that can be tasks, with k = `shots`; from data/cache, or kept there."""
    key = cache.key(
        family.found[name].content_hash, family.pool, family.max_shots,
        family.encoder.fingerprint if family.encoder else "own pages", COLUMNS, code_hash(__name__),
        page_index.versions(),
    )  # fmt: skip
    encoder = f"_{family.encoder.name}" if family.encoder else ""
    return of_arrays(
        cache.arrays(f"feedback_examples_{name}{encoder}_{shots}", key, lambda: build(family, name, shots))
    )
