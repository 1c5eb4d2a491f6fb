"""What the sketch learns from task to task, beside what g learns: ranking quality on new tasks after n earlier ones.

Both get the same base model (10 inputs, 5 ReLU features) and the same earlier tasks, which are real: rank pages of a
library's documentation for a query, from ten scores of the match. The new task is another library, with k queries
whose relevant pages are known.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from metastudy.abtest import interval
from metastudy.adapt import MAML, Prototypes, RidgeHead, Unadapted
from metastudy.families.base import Fold, TaskSpec
from metastudy.families.search import DocumentationSearch
from metastudy.mixture import MetaLearner
from metastudy.model import MLP, Params
from metastudy.sketch import BaseModel, MetaLearning
from metastudy.tasks import Task, collate
from metastudy.train import TrainConfig, minimise, rng_for, torch_generator, with_gradient

N_INPUTS, N_FEATURES = 10, 5
METRIC = "ndcg@10"
CONTINUED, FRESH = "sketch, carried on", "sketch, started afresh"


def narrow(task: Task) -> Task:
    """The task seen through the first ten input columns."""
    return replace(task, support_x=task.support_x[:, :N_INPUTS], query_x=task.query_x[:, :N_INPUTS])


def two_columns(gain: Tensor) -> Tensor:
    """Labels as the sketch wants them, (N, 2): not relevant, relevant."""
    return F.one_hot((gain > 0).long(), 2).float()


def fresh_sketch(seed: int) -> MetaLearning:
    """The sketch with new weights: BaseModel(10, 5), MetaLearning(base_model, 2)."""
    generator = torch_generator(rng_for(seed, 3))
    return MetaLearning(BaseModel(N_INPUTS, N_FEATURES, generator=generator), 2, generator=generator)


def sketch_predictions(learner: MetaLearning, tasks: Sequence[Task]) -> list[Tensor]:
    """A copy of the sketch learns each task's support, and scores its query: relevant minus not relevant."""
    found = []
    for task in tasks:
        own = copy.deepcopy(learner)
        own.learn_task(task.support_x, two_columns(task.support_y))
        with torch.no_grad():
            found.append(own(task.query_x) @ torch.tensor([-1.0, 1.0]))
    return found


def g_predictions(earlier: Sequence[Task], tasks: Sequence[Task], steps: int, seed: int) -> list[Tensor]:
    """Meta-train g on the earlier tasks alone, then predict new ones. Without any earlier task g is untrained."""
    mappings = Unadapted(), MAML(), RidgeHead(initial_penalty=10.0), Prototypes()
    learner, rng = MetaLearner(MLP(N_INPUTS, (N_FEATURES,)), mappings), rng_for(seed, 4)
    params = learner.init(torch_generator(rng))
    if earlier:

        def loss(params: Params, rng: np.random.Generator) -> Tensor:
            return learner.training_loss(params, collate([earlier[i] for i in rng.integers(len(earlier), size=8)]))

        config = TrainConfig(steps=steps)
        params = minimise(params, with_gradient(loss), None, config, rng, "g beside the sketch").params
    with torch.no_grad():
        predicted = learner.predict(params, collate(tasks))[..., 0]
    return [p[: len(t.query_y)] for p, t in zip(predicted, tasks, strict=True)]


def marks(n_tasks: int) -> list[int]:
    """Numbers of earlier tasks at which both are measured."""
    return sorted({0, *(n for n in (1, 3, 10, 30, 100) if n < n_tasks), n_tasks})


def _one_fold(
    family: DocumentationSearch, fold: Fold, specs: Sequence[TaskSpec], shots: int, n_tasks: int, steps: int, seed: int
) -> list[tuple[str, int, str, str, float]]:
    torch.set_num_threads(1)
    new = [narrow(family.build(spec, shots, fold)) for spec in specs if spec.fold == fold.name]
    number = [f.name for f in family.folds()].index(fold.name)
    earlier = [narrow(t) for t in family.sample(fold, "train", shots, n_tasks, rng_for(seed, 5, number))]
    rows: list[tuple[str, int, str, str, float]] = []

    def add(method: str, seen: int, predictions: Sequence[Tensor]) -> None:
        for task, prediction in zip(new, predictions, strict=True):
            found = [s for s in family.score(task, prediction) if s.metric == METRIC]
            rows.extend((method, seen, task.family, s.task, s.value) for s in found)

    carried_on = fresh_sketch(seed)
    afresh = sketch_predictions(carried_on, new)
    for seen in range(n_tasks + 1):
        if seen:
            task = earlier[seen - 1]
            labels = two_columns(torch.cat([task.support_y, task.query_y]))
            carried_on.learn_task(torch.cat([task.support_x, task.query_x]), labels)
        if seen in marks(n_tasks):
            add(FRESH, seen, afresh)
            add(CONTINUED, seen, sketch_predictions(carried_on, new))
            add("g", seen, g_predictions(earlier[:seen], new, steps, seed))
    return rows


def progress(
    family: DocumentationSearch, specs: Sequence[TaskSpec], n_tasks: int, steps: int, seed: int, jobs: int
) -> pd.DataFrame:
    """Columns method, seen, family, task, value (nDCG@10), for every collection as the new one."""
    shots = family.shots[0]
    cell = joblib.delayed(_one_fold)
    parts = joblib.Parallel(n_jobs=jobs)(cell(family, f, specs, shots, n_tasks, steps, seed) for f in family.folds())
    columns = ["method", "seen", "family", "task", "value"]
    return pd.DataFrame([row for part in parts for row in part], columns=columns)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean over collections with its 95% interval, by method and number of earlier tasks."""
    rows = []
    for (method, seen), part in scores.groupby(["method", "seen"], sort=False):
        values = part.groupby("family")["value"].mean().to_numpy()
        rows.append((method, seen, values.mean(), *interval(values), len(values)))
    return pd.DataFrame(rows, columns=["method", "seen", "mean", "low", "high", "n_collections"])
