"""More tables from few: some columns left out, labels turned round, drawn tables among the real ones; and g of several
such trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metastudy.families.base import Family, Fold
from metastudy.methods import Fitted, MetaMethod, in_chunks, validation_tasks
from metastudy.mixture import MetaLearner
from metastudy.tabular.learner import TableLearner
from metastudy.tabular.synthetic import SyntheticTables
from metastudy.tasks import Task, TaskBatch, collate
from metastudy.train import TrainConfig, meta_train, rng_for
from metastudy.trained import Trained

FEWEST = 3  # columns that a thinned table keeps


def thinned(task: Task, rng: np.random.Generator) -> Task:
    """The task as a clinic sees it that measures fewer things: any number of its real columns, from `FEWEST`."""
    real = torch.nonzero(task.support_x[0, :, -1] > 0)[:, 0].numpy()
    if len(real) <= FEWEST:
        return task
    kept = torch.zeros(task.support_x.shape[1])
    kept[rng.permutation(real)[: rng.integers(FEWEST, len(real))]] = 1
    return replace(task, support_x=task.support_x * kept[:, None], query_x=task.query_x * kept[:, None])


def reversed_labels(task: Task) -> Task:
    """The task with healthy for sick, in support and query."""
    return replace(task, support_y=1 - task.support_y, query_y=1 - task.query_y)


@dataclass(frozen=True)
class Variation:
    """Shares of training tasks that are drawn (`synthetic`), thinned, and reversed.

    The first two are the best of a few on validation diseases; the third was taken from an earlier probe and not
    varied. Where half are reversed nothing can be learned about which way columns point.
    """

    synthetic: float = 0.4
    thinned: float = 0.5
    reversed: float = 0.12


@dataclass(frozen=True)
class TabularMethod(MetaMethod):
    """g (or one mapping) meta-trained on varied tables, `trainings` times; their probabilities are averaged.

    Members of an average differ in initial values and in the order of tasks alone (Lakshminarayanan et al. 2017).
    """

    variation: Variation = Variation()
    trainings: int = 1

    def learner(self, family: Family) -> TableLearner:
        return TableLearner(self.model or family.model(), self.mappings)

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        learner = self.learner(family)
        validation = [collate(tasks) for tasks in validation_tasks(family, fold).values()]
        sample = varied_batches(family, fold, config, self.variation)
        trained = []
        for number in range(self.trainings):
            path = checkpoint and checkpoint.with_stem(f"{checkpoint.stem}_{number}")
            label = f"{family.study}, fold {fold.name}, {self.name}, training {number}"
            rng = rng_for(seed, 1, number)
            trained.append(meta_train(learner, sample, validation, config, rng, label, checkpoint=path))
        return averaged(learner, trained)


def varied_batches(
    family: Family, fold: Fold, config: TrainConfig, variation: Variation
) -> Callable[[np.random.Generator], TaskBatch]:
    """Batches of training tasks with one number of shots, varied."""
    drawn = SyntheticTables(family.n_columns, family.n_train_query)

    def sample(rng: np.random.Generator) -> TaskBatch:
        shots = int(rng.choice(family.shots))
        n_drawn = int(rng.binomial(config.tasks_per_step, variation.synthetic))
        real = family.sample(fold, "train", shots, config.tasks_per_step - n_drawn, rng)
        tasks = [thinned(t, rng) if rng.random() < variation.thinned else t for t in real]
        tasks += [drawn.task(shots, rng) for _ in range(n_drawn)]
        return collate([reversed_labels(t) if rng.random() < variation.reversed else t for t in tasks])

    return sample


def averaged(learner: MetaLearner, trained: Sequence[Trained]) -> Fitted:
    """Mean probabilities of one learner with several parameters; β is the mean too. History is of the first."""

    def probabilities(batch: TaskBatch, _: int) -> Tensor:
        found = torch.stack([learner.predict(t.params, batch) for t in trained])
        return torch.logsumexp(found, 0) - float(np.log(len(trained)))

    def weights(tasks: Sequence[Task]) -> Tensor:
        with torch.no_grad():
            parts = [tasks[i : i + 32] for i in range(0, len(tasks), 32)]
            own = [torch.stack([learner.weights(t.params, collate(p)) for t in trained]).mean(0) for p in parts]
            return torch.cat(own)

    several = len(learner.mappings) > 1
    return Fitted(in_chunks(probabilities), learner, trained[0], weights if several else None)
