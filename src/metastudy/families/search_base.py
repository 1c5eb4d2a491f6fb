"""What all families of search share: a collection is a task, support are k judged queries, query are others of it.

A row is a pair of query and candidate page, its query is its group, its label is the grade of relevance.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import ir_measures
import numpy as np
import pandas as pd
import torch
from ir_measures import RR, R, nDCG
from torch import Tensor

from metastudy.encoders import Encoder
from metastudy.errors import DataError
from metastudy.families.base import Family, Fold, Ids, Part, Score, TaskSpec
from metastudy.families.collection import Collection
from metastudy.families.draws import disjoint_draws
from metastudy.model import MLP, BaseModel
from metastudy.tasks import Task

BASELINES = ("bm25", "dense", "rrf", "dense_summary")  # features; the last: cosine of summary lines alone
MEASURES = {"ndcg@10": nDCG @ 10, "mrr": RR, "recall@10": R @ 10}
SHOWN = 10  # results that a user sees
MORE_QUERIES = 10  # query part of a training task
OTHER_DATA = (
    "the task list was frozen for other data: install the locked packages and the registered files, or freeze again"
)
Grades = Mapping[str, Mapping[str, int]]
"""Query id -> page id -> grade."""


@dataclass(frozen=True)
class JudgedQuery:
    """Rows of one query: candidates first, then relevant pages that are no candidates (used in support only)."""

    pages: tuple[str, ...]
    x: Tensor
    y: Tensor
    n_candidates: int


def measured(
    qrels: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Query id -> metric -> value: nDCG@10 with linear gains, reciprocal rank, recall@10.

    A ranking says best first, so there are no ties; any grade above 0 is relevant for the last two measures. Relevant
    pages that a ranking lacks count as not found.
    """
    run = {q: {page: float(-i) for i, page in enumerate(pages)} for q, pages in rankings.items()}
    names = {measure: name for name, measure in MEASURES.items()}
    found: dict[str, dict[str, float]] = {q: {} for q in run}
    for m in ir_measures.iter_calc(list(names), {q: dict(qrels[q]) for q in run}, run):
        found[m.query_id][names[m.measure]] = float(m.value)
    return found


class Search(Family):
    """Tasks from judged collections; a subclass says which, and gives the rows of their queries."""

    kind = "ranking"
    metrics = tuple(MEASURES)
    settings: ClassVar[tuple[str, ...]] = ("pool", "draws", "queries", "encoder", "shots")
    """Names of the constructor's arguments: what it is pickled as, and shown as."""
    n_features: int

    def __init__(self, pool: int, draws: int, queries: int, encoder: Encoder | None, shots: tuple[int, ...]):
        self.shots = shots
        self.check_shots()
        self.pool = pool
        self.encoder = encoder
        self.draws = draws
        self.queries = queries
        self._judged: dict[str, dict[str, dict[str, JudgedQuery]]] = {}  # fold name -> collection -> query id -> rows

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__getstate__().items())})"

    def __getstate__(self) -> dict:
        """Pickled without what can be built again."""
        return {"_judged": {}} | {name: getattr(self, name) for name in self.settings}

    @abstractmethod
    def unscaled(self) -> Mapping[str, Mapping[str, JudgedQuery]]:
        """Collection -> query id -> rows; a collection's rows depend on that collection alone."""

    @abstractmethod
    def ids(self, name: str) -> Sequence[str]:
        """The judged queries of a collection, in order."""

    @abstractmethod
    def relevant(self, name: str) -> Grades:
        """Grades above 0 in one collection: all judgements, also of pages that are no candidates."""

    @abstractmethod
    def collection(self, name: str) -> Collection:
        """The text of a collection, to show examples."""

    def model(self) -> BaseModel:
        return MLP(in_dim=self.n_features, hidden=(64, 32))

    def judged(self, fold: Fold) -> Mapping[str, Mapping[str, JudgedQuery]]:
        """Rows of every judged query, scaled by the candidates of `fold.train`."""
        if fold.name not in self._judged:
            every = self.unscaled()
            rows = (
                j.x[: j.n_candidates] for name, found in every.items() if name in fold.train for j in found.values()
            )
            seen = torch.cat(list(rows))
            mean, scale = seen.mean(0), seen.std(0).clamp(min=1e-6)
            self._judged[fold.name] = {
                name: {q: replace(j, x=(j.x - mean) / scale) for q, j in found.items()} for name, found in every.items()
            }
        return self._judged[fold.name]

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tasks = []
        for i in range(n_tasks):
            names = fold.train if part == "train" else fold.validation
            name = names[rng.integers(len(names))]
            ids = self.ids(name)
            drawn = [ids[j] for j in rng.permutation(len(ids))[: shots + MORE_QUERIES]]
            tasks.append(self._task(f"{part}/{i}", name, drawn[:shots], drawn[shots:], fold))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """Per collection `draws` tasks with disjoint queries; each has `max_shots` judged queries besides."""
        specs = []
        for fold in self.folds():
            for name in fold.test:
                ids = tuple(self.ids(name))
                specs += disjoint_draws(name, fold, ids, self.draws, self.max_shots, self.queries, rng)
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        return self._task(spec.id, spec.family, spec.support[0][:shots], spec.query, fold)

    def _task(self, task_id: str, name: str, support: Ids, query: Ids, fold: Fold) -> Task:
        judged = self.judged(fold).get(name, {})
        if unknown := [i for i in (*support, *query) if i not in judged]:
            raise DataError(
                f"task {task_id}: query {unknown[0]!r} is not among the {len(judged)} judged ones of {name!r}; "
                f"{OTHER_DATA}"
            )

        def stack(rows: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
            x, y = zip(*rows, strict=True)
            group = torch.from_numpy(np.repeat(np.arange(len(y)), [len(v) for v in y]))
            return torch.cat(x), torch.cat(y), group

        asked = [judged[i] for i in query]
        support_x, support_y, support_group = stack((judged[i].x, judged[i].y) for i in support)
        query_x, query_y, query_group = stack((j.x[: j.n_candidates], j.y[: j.n_candidates]) for j in asked)
        ids = [f"{i}|{page}" for i, j in zip(query, asked, strict=True) for page in j.pages[: j.n_candidates]]
        return Task(
            task_id, name, self.kind, support_x, support_y, query_x, query_y,
            support_group=support_group, query_group=query_group, query_ids=tuple(ids),
        )  # fmt: skip

    def rankings(self, task: Task, prediction: Tensor) -> dict[str, list[str]]:
        """Query id -> candidate pages, best first. Equal predictions keep the order of candidates: RRF, then pages."""
        values = np.asarray(prediction.detach(), dtype=np.float64).reshape(-1)
        found: dict[str, list[tuple[float, str]]] = {}
        for row, value in zip(task.query_ids, values, strict=True):
            query, page = row.split("|")
            found.setdefault(query, []).append((value, page))
        return {q: [page for _, page in sorted(rows, key=lambda r: -r[0])] for q, rows in found.items()}

    def answers(self, task: Task, prediction: Tensor) -> dict[str, str]:
        """The first `SHOWN` results of each query as "page:grade page:grade ...", best first."""
        relevant = self.relevant(task.family)
        return {
            f"{task.id}:{q}": " ".join(f"{page}:{relevant[q].get(page, 0)}" for page in pages[:SHOWN])
            for q, pages in self.rankings(task, prediction).items()
        }

    def examples(self, task: Task, predictions: dict[str, Tensor], n: int) -> pd.DataFrame:
        """The first n results of each prediction for the query on which their nDCG@10 differs most; stars: relevant."""
        gained = {
            name: {s.task: s.value for s in self.score(task, p) if s.metric == "ndcg@10"}
            for name, p in predictions.items()
        }
        first, second = list(predictions)[:2]
        unit = max(gained[first], key=lambda t: (abs(gained[first][t] - gained[second][t]), t))
        query = unit.removeprefix(f"{task.id}:")
        collection, relevant = self.collection(task.family), self.relevant(task.family)[query]
        columns = {}
        for name, prediction in predictions.items():
            pages = self.rankings(task, prediction)[query][:n]
            columns[f"{name}: nDCG@10 {gained[name][unit]:.2f}"] = [
                f"{'★ ' if p in relevant else ''}{p}: {collection.summaries[collection.position[p]]}" for p in pages
            ]
        caption = f"{query}: {collection.asked[collection.queries.index(query)]}"
        return pd.DataFrame(columns, index=pd.RangeIndex(1, n + 1, name=f"query: {caption}"))

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """nDCG@10 (linear gains), reciprocal rank and recall@10 of each query of a draw.

        Judgements are all relevant pages, also those that are no candidates: what the pool misses is lost.
        """
        found = measured(self.relevant(task.family), self.rankings(task, prediction))
        return sorted(
            (Score(f"{task.id}:{q}", metric, value) for q, values in found.items() for metric, value in values.items()),
            key=lambda s: (s.task, s.metric),
        )
