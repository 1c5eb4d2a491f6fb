"""Relevance feedback: a query is a task, its support the first results that somebody judged (`judged_results`).

Support are k judged pages of one query, query are its other candidates: more like the relevant ones should come up.
All `max_shots` judged pages are taken out of ranking and judgements, whatever k is (residual collection, Salton and
Buckley 1990): tasks of different k rank the same pages, and numbers over k compare.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from scipy.stats import ortho_group
from torch import Tensor

from metastudy.encoders import Encoder, normalise
from metastudy.errors import DataError, ParameterError
from metastudy.families import candidates
from metastudy.families.base import Family, FieldBaseline, Fold, Part, Score, TaskSpec
from metastudy.families.candidates import DEPTH, Candidates
from metastudy.families.collection import TEXT_FEATURES, Array
from metastudy.families.draws import rotate
from metastudy.families.judged_results import SEARCHED, JudgedResults, judged_results
from metastudy.families.search_base import MEASURES, OTHER_DATA, measured
from metastudy.model import BaseModel, VectorNet
from metastudy.tasks import Task

NAMES = tuple(name for name in candidates.NAMES if name != "scifact")
"""Of SciFact's 300 test claims 23 have a second relevant document: almost nothing is left to find."""
VECTOR_DIM = 64
N_MATCH = len(TEXT_FEATURES)


class SearchFeedback(Family):
    """One task a query, over six public collections; the `pool` best candidates of a query are ranked.

    A row is a page: how it matches the query (`TEXT_FEATURES`, scaled by training collections), then its vector times
    sqrt(VECTOR_DIM), so that entries have about unit variance and inner products of rows hold the cosine of pages.
    What a coordinate of a vector stands for differs between collections, so training tasks see all vectors of a task
    turned by one random rotation: cosines stay, and nothing can be learned of single coordinates.

    A list-wise loss compares pages of one query, and a single judged page has nothing to be compared with: neither
    gradient steps nor a ridge head would move. So the support has one more row, which nobody judged, with gain 0: it
    matches the query as the judged pages do on average, and its vector is the mean of the whole collection. What sets
    judged pages apart from it is what they are about, as in Rocchio's formula.

    The extra row, the rotation and the base model were chosen after looking at test tasks of cranfield and
    cystic_fibrosis: these two are development collections, and only the other four can confirm anything.
    """

    study = "search_feedback"
    kind = "ranking"
    clustered = True
    metrics = tuple(MEASURES)
    max_shots = 8
    field_baselines = tuple(FieldBaseline(name, TEXT_FEATURES.index(name)) for name in ("bm25", "dense", "rrf"))
    n_features = N_MATCH + VECTOR_DIM

    def __init__(
        self,
        pool: int = DEPTH,
        max_queries: int = 100,
        encoder: Encoder | None = None,
        shots: tuple[int, ...] = (1, 2, 4, 8),
    ):
        if not SEARCHED <= pool <= DEPTH:
            raise ParameterError(f"pool {pool}; expected {SEARCHED}, where search for a relevant page ends, to {DEPTH}")
        self.shots = shots
        self.check_shots()
        self.pool = pool
        self.max_queries = max_queries
        self.encoder = encoder
        self._scales: dict[str, tuple[Array, Array]] = {}  # fold name -> mean and spread of each feature

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__getstate__().items())})"

    @property
    def task_list(self) -> str:  # type: ignore[override]
        """What is judged are the first results of a fusion, so with an encoder the tasks are others."""
        return f"{self.study}_{self.encoder.name}" if self.encoder else self.study

    def __getstate__(self) -> dict:
        """Pickled without what can be built again."""
        return {"_scales": {}} | {name: getattr(self, name) for name in ("pool", "max_queries", "encoder", "shots")}

    @cached_property
    def found(self) -> dict[str, Candidates]:
        """The collections' arrays by name."""
        return {name: candidates.load(name, self.encoder) for name in NAMES}

    @cached_property
    def _vectors(self) -> dict[str, Array]:
        """First VECTOR_DIM coordinates of all pages of each collection, of length sqrt(VECTOR_DIM)."""
        return {n: normalise(f.vectors[:, :VECTOR_DIM]) * np.float32(VECTOR_DIM**0.5) for n, f in self.found.items()}

    @cached_property
    def _split(self) -> dict[str, tuple[dict[str, JudgedResults], dict[str, int]]]:
        return {name: judged_results(found, self.pool, self.max_shots) for name, found in self.found.items()}

    def results(self, name: str) -> dict[str, JudgedResults]:
        """Query id -> candidates, for the queries of a collection that can be tasks."""
        return self._split[name][0]

    @property
    def left_out(self) -> dict[str, dict[str, int]]:
        """Collection -> why -> number of queries that are no task."""
        return {name: left_out for name, (_, left_out) in self._split.items()}

    def folds(self) -> tuple[Fold, ...]:
        """Six rounds: one collection to test, the next to validate, four to train."""
        return rotate(NAMES, 1)

    def model(self) -> BaseModel:
        """φ starts as the (normalised) row itself: adapting the head alone is then Rocchio's formula."""
        return VectorNet(self.n_features)

    def _scale(self, fold: Fold) -> tuple[Array, Array]:
        if fold.name not in self._scales:
            seen = np.concatenate([r.x for name in fold.train for r in self.results(name).values()])
            self._scales[fold.name] = seen.mean(0), np.maximum(seen.std(0), 1e-6)
        return self._scales[fold.name]

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        names = fold.train if part == "train" else fold.validation
        tasks = []
        for i in range(n_tasks):
            name = names[rng.integers(len(names))]
            queries = list(self.results(name))
            query = queries[rng.integers(len(queries))]
            task = self._task(f"{part}/{i}", name, query, self.results(name)[query].judged, shots, fold)
            tasks.append(turned(task, rng) if part == "train" else task)
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """Up to `max_queries` of each collection, the first by hash: nothing is drawn at random."""
        specs = []
        for fold in self.folds():
            for name in fold.test:
                by_hash = sorted(self.results(name), key=lambda q: hashlib.sha256(f"{name}/{q}".encode()).digest())
                for query in by_hash[: self.max_queries]:
                    judged = self.results(name)[query].judged
                    task_id = f"{name}/{query}"  # query and pages may have the same ids: the list keeps them apart
                    specs.append(TaskSpec(task_id, name, fold.name, (judged,), (task_id,)))
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        query = str(spec.query[0]).removeprefix(f"{spec.family}/")
        return self._task(spec.id, spec.family, query, spec.support[0], shots, fold)

    def _task(self, task_id: str, name: str, query: str, judged: Sequence[str], shots: int, fold: Fold) -> Task:
        results = self.results(name).get(query) if name in self.found else None
        if lost := [query] if results is None else [page for page in judged if page not in results.pages]:
            raise DataError(
                f"task {task_id}: {lost[0]!r} is neither a query of {name!r} that can be a task nor a candidate of "
                f"query {query!r}; {OTHER_DATA}"
            )
        pages, (mean, scale) = results.pages, self._scale(fold)
        match, about = ((results.x - mean) / scale).astype(np.float32), self._vectors[name][results.places]
        x = torch.from_numpy(np.concatenate([match, about], axis=1))
        y = torch.from_numpy(results.y)
        removed = [pages.index(page) for page in judged]
        support = removed[:shots]
        rest = [i for i in range(len(pages)) if i not in set(removed)]
        average = torch.cat([x[support, :N_MATCH].mean(0), torch.from_numpy(self._vectors[name].mean(0))])
        return Task(
            task_id, name, self.kind,
            torch.cat([x[support], average[None]]), torch.cat([y[support], torch.zeros(1)]), x[rest], y[rest],
            support_group=torch.zeros(len(support) + 1, dtype=torch.int64),
            query_group=torch.zeros(len(rest), dtype=torch.int64),
            query_ids=tuple(f"{query}|{pages[i]}" for i in rest),
        )  # fmt: skip

    def residual(self, task: Task) -> tuple[str, dict[str, int]]:
        """A task's query and the judgements that are left: of all pages but the candidates that were taken out."""
        query = task.query_ids[0].split("|")[0]
        ranked = {row.split("|")[1] for row in task.query_ids}
        removed = set(self.results(task.family)[query].pages) - ranked
        return query, {p: g for p, g in self.found[task.family].relevant[query].items() if p not in removed}

    def ranking(self, task: Task, prediction: Tensor) -> list[str]:
        """Pages, best first; equal predictions keep the order of the fusion. A query is no page: nothing matches
        itself."""
        values = np.asarray(prediction.detach(), dtype=np.float64).reshape(-1)
        return [task.query_ids[i].split("|")[1] for i in np.argsort(-values, kind="stable")]

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """nDCG@10, reciprocal rank and recall@10 on the residual collection; a query is the unit of pairing.

        Judgements are all that are left, also of pages that are no candidates: what the pool misses is lost.
        """
        query, left = self.residual(task)
        values = measured({query: left}, {query: self.ranking(task, prediction)})[query]
        return [Score(task.id, metric, values[metric]) for metric in sorted(values)]

    def content_hash(self) -> str:
        return hashlib.sha256(json.dumps([[n, f.content_hash] for n, f in self.found.items()]).encode()).hexdigest()


def turned(task: Task, rng: np.random.Generator) -> Task:
    """The same task with all page vectors turned by one random rotation or reflection."""
    turn = torch.from_numpy(ortho_group.rvs(VECTOR_DIM, random_state=rng).astype(np.float32))

    def apply(x: Tensor) -> Tensor:
        return torch.cat([x[:, :N_MATCH], x[:, N_MATCH:] @ turn], 1)

    return replace(task, support_x=apply(task.support_x), query_x=apply(task.query_x))
