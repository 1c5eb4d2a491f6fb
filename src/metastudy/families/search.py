"""Search in library documentation: learn from a few judged queries how to rank a new collection.

A package is a collection, and a task. Support are k judged queries, query are others of the same collection. A row
is a pair of query and candidate page, its query is its group, its label is the grade of relevance (0, 1, 2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import ir_measures
import numpy as np
import pandas as pd
import torch
from ir_measures import RR, R, nDCG
from torch import Tensor

from metastudy import corpus
from metastudy.encoders import Encoder
from metastudy.errors import DataError
from metastudy.families.base import Family, FieldBaseline, Fold, Ids, Part, Score, TaskSpec
from metastudy.families.collection import FEATURES, Collection
from metastudy.families.draws import disjoint_draws, rotate
from metastudy.model import MLP, BaseModel
from metastudy.tasks import Task

COLLECTIONS = (  # torch and seaborn have too few See Also links; neighbours are tested together
    "numpy", "matplotlib", "scipy", "networkx", "pandas", "sympy", "sklearn", "statsmodels",
)  # fmt: skip
BASELINES = ("bm25", "dense", "rrf", "dense_summary")  # the last: cosine of summary lines alone
MEASURES = {"ndcg@10": nDCG @ 10, "mrr": RR, "recall@10": R @ 10}


@dataclass(frozen=True)
class JudgedQuery:
    """Rows of one query: candidates first, then relevant pages that are no candidates (used in support only)."""

    collection: str
    pages: tuple[str, ...]
    x: Tensor
    y: Tensor
    n_candidates: int


class DocumentationSearch(Family):
    """Tasks from the library documentation corpus; candidates are the `pool` best of BM25 and of cosine, united."""

    study = "search_collections"
    kind = "ranking"
    clustered = True
    metrics = tuple(MEASURES)
    max_shots = 10
    field_baselines = tuple(FieldBaseline(name, FEATURES.index(name)) for name in BASELINES)
    n_features = len(FEATURES)

    def __init__(
        self,
        pool: int = 30,
        draws: int = 3,
        queries: int = 40,
        encoder: Encoder | None = None,
        shots: tuple[int, ...] = (1, 5, 10),
    ):
        self.shots = shots
        self.check_shots()
        self.pool = pool
        self.encoder = encoder
        self.draws = draws
        self.queries = queries
        self._judged: dict[str, dict[str, JudgedQuery]] = {}  # fold name -> query id -> rows

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__getstate__().items())})"

    def __getstate__(self) -> dict:
        """Pickled without what can be built again."""
        settings = ("pool", "draws", "queries", "encoder", "shots")
        return {"_judged": {}} | {name: getattr(self, name) for name in settings}

    @cached_property
    def collections(self) -> dict[str, Collection]:
        """The collections by package."""
        packages = corpus.load().by_package()
        return {name: Collection(name, packages[name]) for name in COLLECTIONS}

    def folds(self) -> tuple[Fold, ...]:
        """Four rounds: two collections to test, the next two to validate, four to train."""
        return rotate(COLLECTIONS, 2)

    def model(self) -> BaseModel:
        return MLP(in_dim=self.n_features, hidden=(64, 32))

    @cached_property
    def _unscaled(self) -> dict[str, JudgedQuery]:
        """Rows of every judged query; each collection's depend on that collection alone."""
        rows: dict[str, JudgedQuery] = {}
        for name, collection in self.collections.items():
            features = collection.features(self.encoder)
            candidates = collection.candidates(features, self.pool)
            for q, (query, found) in enumerate(zip(collection.queries, candidates, strict=True)):
                grades = collection.relevant[query]
                pages = [collection.ids[j] for j in found]
                pages += [page for page in grades if page not in set(pages)]
                x = torch.from_numpy(features[q, [collection.position[page] for page in pages]])
                y = torch.tensor([float(grades.get(page, 0)) for page in pages])
                rows[query] = JudgedQuery(name, tuple(pages), x, y, len(found))
        return rows

    def judged(self, fold: Fold) -> dict[str, JudgedQuery]:
        """Rows of every judged query, scaled by the candidates of `fold.train`."""
        if fold.name not in self._judged:
            rows = self._unscaled
            seen = torch.cat([j.x[: j.n_candidates] for j in rows.values() if j.collection in fold.train])
            mean, scale = seen.mean(0), seen.std(0).clamp(min=1e-6)
            self._judged[fold.name] = {q: replace(j, x=(j.x - mean) / scale) for q, j in rows.items()}
        return self._judged[fold.name]

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tasks = []
        for i in range(n_tasks):
            names = fold.train if part == "train" else fold.validation
            name = names[rng.integers(len(names))]
            ids = self.collections[name].queries
            drawn = [ids[j] for j in rng.permutation(len(ids))[: shots + 10]]
            tasks.append(self._task(f"{part}/{i}", name, drawn[:shots], drawn[shots:], fold))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """Per collection `draws` tasks with disjoint queries; each has 10 judged queries from outside its query."""
        specs = []
        for fold in self.folds():
            for name in fold.test:
                ids = tuple(self.collections[name].queries)
                specs += disjoint_draws(name, fold, ids, self.draws, self.max_shots, self.queries, rng)
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        return self._task(spec.id, spec.family, spec.support[0][:shots], spec.query, fold)

    def _task(self, task_id: str, name: str, support: Ids, query: Ids, fold: Fold) -> Task:
        judged = self.judged(fold)
        if unknown := [i for i in (*support, *query) if i not in judged]:
            raise DataError(
                f"task {task_id}: query {unknown[0]!r} is not among the {len(judged)} judged ones of this corpus; the "
                "task list was frozen for other package versions: install the locked ones, or freeze again"
            )

        def stack(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
            group = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(y) for _, y in rows]))
            return torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows]), group

        asked = [judged[i] for i in query]
        support_x, support_y, support_group = stack([(judged[i].x, judged[i].y) for i in support])
        query_x, query_y, query_group = stack([(j.x[: j.n_candidates], j.y[: j.n_candidates]) for j in asked])
        ids = [f"{i}|{page}" for i, j in zip(query, asked, strict=True) for page in j.pages[: j.n_candidates]]
        return Task(
            task_id, name, self.kind, support_x, support_y, query_x, query_y,
            support_group=support_group, query_group=query_group, query_ids=tuple(ids),
        )  # fmt: skip

    def rankings(self, task: Task, prediction: Tensor) -> dict[str, list[str]]:
        """Query id -> candidate pages, best first. Equal predictions keep the order of candidates: RRF, then id."""
        values = np.asarray(prediction.detach(), dtype=np.float64).reshape(-1)
        found: dict[str, list[tuple[float, str]]] = {}
        for row, value in zip(task.query_ids, values, strict=True):
            query, page = row.split("|")
            found.setdefault(query, []).append((value, page))
        return {q: [page for _, page in sorted(rows, key=lambda r: -r[0])] for q, rows in found.items()}

    def examples(self, task: Task, predictions: dict[str, Tensor], n: int) -> pd.DataFrame:
        """The first n results of each prediction for the query on which their nDCG@10 differs most; stars: relevant."""
        gained = {
            name: {s.task: s.value for s in self.score(task, p) if s.metric == "ndcg@10"}
            for name, p in predictions.items()
        }
        first, second = list(predictions)[:2]
        unit = max(gained[first], key=lambda t: (abs(gained[first][t] - gained[second][t]), t))
        query = unit.removeprefix(f"{task.id}:")
        collection = self.collections[task.family]
        columns = {}
        for name, prediction in predictions.items():
            pages = self.rankings(task, prediction)[query][:n]
            columns[f"{name}: nDCG@10 {gained[name][unit]:.2f}"] = [
                f"{'★ ' if p in collection.relevant[query] else ''}{p}: {collection.summaries[collection.position[p]]}"
                for p in pages
            ]
        caption = f"{query}: {collection.summaries[collection.position[query]]}"
        return pd.DataFrame(columns, index=pd.RangeIndex(1, n + 1, name=f"query: {caption}"))

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """nDCG@10 (linear gains), reciprocal rank and recall@10 of each query of a draw.

        Judgements are all relevant pages, also those that are no candidates: what the pool misses is lost.
        """
        rankings = self.rankings(task, prediction)
        relevant = self.collections[task.family].relevant
        run = {q: {page: float(-i) for i, page in enumerate(pages)} for q, pages in rankings.items()}
        names = {measure: name for name, measure in MEASURES.items()}
        found = ir_measures.iter_calc(list(names), {q: relevant[q] for q in run}, run)
        return sorted(
            (Score(f"{task.id}:{m.query_id}", names[m.measure], float(m.value)) for m in found),
            key=lambda s: (s.task, s.metric),
        )

    def content_hash(self) -> str:
        rows = [[c.package, c.ids, c.pages, c.relevant] for c in self.collections.values()]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
