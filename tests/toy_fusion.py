"""Collections of made-up numbers for fusions, and slow scores and nDCG@10 from the raw numbers of pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np
import torch

from metastudy.families.base import FieldBaseline, Fold
from metastudy.families.collection import TEXT_FEATURES
from metastudy.families.search_base import JudgedQuery, Search, measured

POOL = 6
COLLECTIONS = ("a", "b", "c", "d")
FOLD = Fold("one", ("a", "b"), ("c",), ("d",))


@dataclass(frozen=True)
class Page:
    """One page as a query sees it."""

    bm25: float
    dense: float
    bm25_rank: int
    dense_rank: int
    grade: int

    @property
    def found(self) -> bool:
        return min(self.bm25_rank, self.dense_rank) <= POOL


def pages_of(rng: np.random.Generator, lean: float) -> dict[str, Page]:
    """Thirty pages, of which relevant ones have more BM25 (`lean` 1) or a more alike vector (0), and ties."""
    grades = np.where(rng.random(30) < 0.3, rng.integers(1, 4, 30), 0)
    grades[rng.integers(30)] = 2
    scores = rng.normal(size=(2, 30)) + 1.5 * np.array([[lean], [1 - lean]]) * grades
    scores[:, 5:10] = scores[:, :5]  # pages of the same text
    scores = ((scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)).astype(np.float32)
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) + 1
    order = np.argsort(-(1 / (60 + ranks)).sum(0), kind="stable")
    return {f"p{i}": Page(*scores[:, i].tolist(), *ranks[:, i].tolist(), int(grades[i])) for i in order}


class Made(Search):
    """Collections of numbers alone: `pages[name][query][page]`, best RRF first. Other columns are noise."""

    study = "made"
    max_shots = 10

    def __init__(self, features: tuple[str, ...] = TEXT_FEATURES, seed: int = 0):
        super().__init__(POOL, 1, 5, None, (3, 6))
        rng = np.random.default_rng(seed)
        sizes = {"a": (10, 0.5), "b": (24, 0.8), "c": (12, 0.3), "d": (14, 0.7)}  # queries, and what they lean to
        self.pages = {n: {f"{n}{q}": pages_of(rng, lean) for q in range(k)} for n, (k, lean) in sizes.items()}
        self.n_features, self.features = len(features), features
        self.field_baselines = (FieldBaseline("bm25", features.index("bm25")),)
        self._rows = {n: {q: self._judged_query(found, rng) for q, found in qs.items()} for n, qs in self.pages.items()}

    def _judged_query(self, found: Mapping[str, Page], rng: np.random.Generator) -> JudgedQuery:
        kept = [p for p, page in found.items() if page.found]
        n = len(kept)
        kept += [p for p, page in found.items() if page.grade and not page.found]
        x = rng.normal(size=(len(kept), len(self.features)))
        for name, value in {
            "bm25": lambda p: 7 * p.bm25 + 10,  # not standard over candidates, as in a collection
            "dense": lambda p: p.dense,
            "bm25_reciprocal_rank": lambda p: 1 / p.bm25_rank,
            "dense_reciprocal_rank": lambda p: 1 / p.dense_rank,
        }.items():
            x[:, self.features.index(name)] = [value(found[p]) for p in kept]
        y = torch.tensor([float(found[p].grade) for p in kept])
        return JudgedQuery(tuple(kept), torch.tensor(x, dtype=torch.float32), y, n)

    def unscaled(self):
        return self._rows

    def ids(self, name):
        return list(self._rows[name])

    def relevant(self, name):
        return {q: {p: page.grade for p, page in found.items() if page.grade} for q, found in self.pages[name].items()}

    def folds(self):
        return (FOLD,)

    def collection(self, name):
        raise AssertionError("no text is needed")

    content_hash = collection

    def task(self, name: str = "d", support: int = 6, fold: Fold = FOLD):
        ids = self.ids(name)
        return self._task("t", name, tuple(ids[:support]), tuple(ids[support:]), fold)


def slow_scores(pages: list[Page], form: str, w: float) -> list[float]:
    """One convex combination, page by page, from its definition."""
    sides = [[7 * p.bm25 + 10 for p in pages], [p.dense for p in pages]]
    ranks = [[p.bm25_rank for p in pages], [p.dense_rank for p in pages]]

    def normal(values: list[float], ranks: list[int]) -> list[float]:
        if form.startswith("rrf"):
            k = {"rrf": 60, "rrf, k = 10": 10, "rrf, k = 1": 1}[form]
            return [1 / (k + r) for r in ranks]
        if form == "z":
            return [(v - fmean(values)) / pstdev(values) for v in values]
        if form == "min-max":
            return [(v - min(values)) / (max(values) - min(values)) for v in values]
        return values

    bm25, dense = (normal(v, r) for v, r in zip(sides, ranks, strict=True))
    return [w * b + (1 - w) * d for b, d in zip(bm25, dense, strict=True)]


def slow_ndcg(family: Made, name: str, queries: list[str], form: str, w: float) -> list[float]:
    """By ir_measures, with the ranking from single-precision numbers, ties in the order of candidates."""
    rankings = {}
    for query in queries:
        found = {p: page for p, page in family.pages[name][query].items() if page.found}
        scores = np.float32(slow_scores(list(found.values()), form, w))
        rankings[query] = [list(found)[i] for i in np.argsort(-scores, kind="stable")]
    values = measured(family.relevant(name), rankings)
    return [values[query]["ndcg@10"] for query in queries]
