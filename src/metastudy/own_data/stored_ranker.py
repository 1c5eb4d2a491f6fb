"""Feedback methods for collections that no registry knows: formulas tuned on the libraries, g from its file or trained.

The sums are those of `feedback`; only where columns come from differs (`OwnCollection.columns`). What libraries teach
is the same for everybody's data: the score of each setting of a grid, and trained weights, are kept in data/cache.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from metastudy import cache, checkpoint
from metastudy.families.base import Family, Fold
from metastudy.feedback import examples, ranker
from metastudy.feedback import index as page_index
from metastudy.feedback.approximate import DEPTH
from metastudy.feedback.components import Scores, components
from metastudy.feedback.examples import Examples
from metastudy.feedback.grid import Feedback, mean_ndcg
from metastudy.feedback.learned_columns import learned_columns
from metastudy.feedback.ranker import FeedbackRanker
from metastudy.feedback.rocchio import GRIDS, Weights, feedback_scores
from metastudy.feedback.tuned import TunedFeedback
from metastudy.methods import Fitted, Method
from metastudy.own_data.own_collection import OwnCollection, here
from metastudy.staleness import code_hash
from metastudy.tasks import Task
from metastudy.train import TrainConfig


@dataclass(eq=False)
class ByColumns:
    """A predictor that scores pages by their columns. It is sent to other processes without the data: there, the family
    of the same name that built the tasks is asked (`own_collection.here`)."""

    family: OwnCollection | None
    name: str
    score: Callable[[Scores, int, bool], Scores]
    learned: bool

    def __getstate__(self) -> dict:
        return self.__dict__ | {"family": None}

    def __call__(self, tasks: Iterable[Task], shots: int) -> list[torch.Tensor]:
        family = self.family or here(self.name)
        with threadpool_limits(1):  # sums that repeat, whatever the number of cores
            found = [family.columns(task, self.learned) for task in tasks]
            return [torch.from_numpy(self.score(x, shots, positives)) for x, positives in found]


def by_columns(family: OwnCollection, score: Callable[[Scores, int, bool], Scores], learned: bool) -> Fitted:
    """`score(columns, k, is a judged page relevant)` as a method's prediction."""
    return Fitted(ByColumns(family, repr(family), score, learned))


@dataclass(frozen=True)
class Formula(TunedFeedback):
    """`TunedFeedback` of an `OwnCollection`. Of a k that was not tuned for, the weights of the nearest below (or of the
    least)."""

    def choose(self, family: OwnCollection, fold: Fold, shots: int) -> Weights:
        if len(self.settings) == 1:
            return self.settings[0]
        found = [grids(family, name, shots)[self.name] for name in (*fold.train, *fold.validation)]
        return self.settings[int(np.argmax(np.mean(found, axis=0)))]

    def fit(
        self, family: OwnCollection, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None
    ) -> Fitted:
        order = list(itertools.product((*fold.train, *fold.validation), family.shots)) if len(self.settings) > 1 else []
        for name, shots in order if list(GRIDS).index(self.name) % 2 else reversed(order):
            grids(family, name, shots)  # two formulas that are fitted side by side meet in the middle
        chosen = {shots: self.choose(family, fold, shots) for shots in family.shots}
        return by_columns(
            family, lambda x, k, r: feedback_scores(x, chosen[nearest_shots(chosen, k)], r), learned=False
        )


def nearest_shots(known: Sequence[int], shots: int) -> int:
    """The largest that is not above `shots`, or the least."""
    return max((k for k in known if k <= shots), default=min(known))


def grids(family: OwnCollection, name: str, shots: int) -> dict[str, np.ndarray]:
    """`grid.mean_ndcg` of every formula on a library."""
    settings = {formula: make() for formula, make in GRIDS.items()}
    tried = hashlib.sha256(json.dumps([[dict(s) for s in some] for some in settings.values()]).encode()).hexdigest()

    def measure() -> dict[str, np.ndarray]:
        tasks = list(_feedback(family, name, shots))
        return {formula: mean_ndcg(tasks, some) for formula, some in settings.items()}

    return cache.arrays(f"library_grids_{name}{_encoder(family)}_{shots}", _key(family, (name,), shots, tried), measure)


def _key(family: OwnCollection, names: Sequence[str], *more: object) -> str:
    content = [family.found[name].content_hash for name in names]
    encoder = family.encoder.fingerprint if family.encoder else "own pages"
    return cache.key(content, family.pool, family.max_shots, encoder, code_hash(__name__), page_index.versions(), *more)


def _encoder(family: OwnCollection) -> str:
    return f"_{family.encoder.name}" if family.encoder else ""


def _ideal(family: OwnCollection, name: str, query: str, judged: Sequence[str]) -> list[int]:
    """Grades above 0 of all judgements that are left, best first."""
    return sorted((g for page, g in family.found[name].relevant[query].items() if page not in judged), reverse=True)


def _feedback(family: OwnCollection, name: str, shots: int) -> Iterator[Feedback]:
    """As `grid.feedback_tasks`."""
    index = family.searched[name].around.index
    for one in family.sides(name, shots):
        with threadpool_limits(1):
            columns = components(index, index.query(one.query), one.positives, one.negatives)
        grades, ideal = one.results.y[one.left], _ideal(family, name, one.query, one.results.judged)
        yield Feedback(
            columns[one.results.places[one.left]], grades.astype(np.float64), tuple(ideal), bool(one.positives)
        )


def _examples(family: OwnCollection, name: str, shots: int) -> Examples:
    """As `examples.load`, without keeping them."""
    around, x, grades, best = family.searched[name].around, [], [], []
    for one in family.sides(name, shots):
        query, places = around.index.query(one.query), one.results.places[one.left].tolist()
        with threadpool_limits(1):
            x.append(learned_columns(around, query, one.positives, one.negatives, places))
        grades.append(one.results.y[one.left])
        rest = _ideal(family, name, one.query, one.results.judged)[:DEPTH]
        best.append(np.pad(np.asarray(rest, dtype=np.float32), (0, DEPTH - len(rest))))
    return examples.of_arrays(
        {"x": np.concatenate(x).astype(np.float32), "grades": np.concatenate(grades),
         "n": np.array([len(rows) for rows in grades]), "best": np.array(best)}
    )  # fmt: skip


@dataclass(frozen=True)
class LibraryRanker(FeedbackRanker):
    """`FeedbackRanker` trained on the libraries."""

    def fit(
        self, family: OwnCollection, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None
    ) -> Fitted:
        weights = self.train(family, (*fold.train, *fold.validation), seed)
        return by_columns(family, weights.scores, learned=True)

    def train(self, family: OwnCollection, names: Sequence[str], seed: int) -> ranker.Weights:
        def beta() -> dict[str, np.ndarray]:
            data = {(name, k): self._own(_examples(family, name, k)) for name in names for k in family.shots}
            return {"beta": self.train_on(data, seed).beta.numpy()}

        key = _key(family, names, checkpoint.description(self), family.shots, seed)
        label = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        kept = cache.arrays(f"library_ranker_{label}{_encoder(family)}", key, beta)
        return ranker.Weights(torch.from_numpy(kept["beta"]), self.columns)


@dataclass(frozen=True)
class StoredRanker(Method):
    """g with weights from a file: nothing is trained here."""

    name: str
    weights: ranker.Weights

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        return by_columns(family, self.weights.scores, learned=True)


@dataclass(frozen=True)
class ByOwnCount(Method):
    """A method that is asked about tasks of different k: each task is predicted with its own, or, where settings were
    chosen for some k alone, with the nearest of these (`nearest_shots`)."""

    method: Method

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.method.name

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        fitted, exact = self.method.fit(family, fold, config, seed, checkpoint), (StoredRanker, LibraryRanker)

        def one(task: Task) -> torch.Tensor:
            k = len(task.support_y) - 1  # its last row nobody judged
            k = k if isinstance(self.method, exact) else nearest_shots(family.shots, k)
            return fitted.predict([task], k)[0]

        return Fitted(lambda tasks, _: [one(task) for task in tasks])
