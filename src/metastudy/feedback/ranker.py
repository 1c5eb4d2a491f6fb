"""g for relevance feedback: a mixture of ways to adapt a search, with weights that other collections taught.

    g(f; α) = Σ_j β_j(k) ψ_j(f; α_j),    β_j(k) = a_j + b_j log2(k) / 3

ψ_j are `learned_columns` and k is the number of judged pages: the more there are, the more they count beside the query.
a and b are trained on all queries of earlier collections, first on a list-wise loss, which is convex, then on a smooth
nDCG@10 itself (`approximate`). Nothing is fitted on a new collection but what its unlabelled text gives; on a new query
only means and maxima over its judged pages are taken, so adapting is one pass without a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.base import Fold
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import examples
from metastudy.feedback.approximate import listwise_loss, smooth_ndcg
from metastudy.feedback.components import Scores
from metastudy.feedback.examples import Examples
from metastudy.feedback.learned_columns import COLUMNS, of_task
from metastudy.feedback.rocchio import DIGITS, NONE
from metastudy.methods import Fitted, Method
from metastudy.tasks import Task
from metastudy.threads import one_thread_each
from metastudy.train import TrainConfig, rng_for

LARGEST = 8  # judged pages of training tasks at most; more count as so many
LOOKED_AT = 100  # candidates, the best of the fusion, whose order the second loss looks at


def share(shots: int) -> float:
    """log2(k) / 3, from 0 for one judged page to 1 for eight."""
    return log2(min(max(shots, 1), LARGEST)) / log2(LARGEST)


@dataclass(frozen=True, eq=False)
class Weights:
    """β of several trainings: beta (r, 2, C) holds a and b of each column in `columns`."""

    beta: Tensor
    columns: tuple[str, ...]

    def at(self, shots: int) -> Tensor:
        """β(k): (C,), the mean over trainings, each of length one, since only the order of scores counts.

        Zeros where there was nothing to learn.
        """
        found = self.beta[:, 0] + share(shots) * self.beta[:, 1]
        return (found / found.norm(dim=1, keepdim=True).clamp(min=1e-12)).mean(0)

    def scores(self, x: Scores, shots: int, positives: bool) -> Scores:
        """Scores of pages with columns `COLUMNS` (n, len(COLUMNS)): (n,), rounded so that equal texts are equal.

        Where no judged page is relevant, of `rocchio.NONE`: as for all formulas.
        """
        weight = np.zeros(len(COLUMNS))
        if positives:
            weight[[COLUMNS.index(name) for name in self.columns]] = self.at(shots).numpy()
        else:
            weight[[COLUMNS.index(name) for name in NONE]] = list(NONE.values())
        return np.round(x @ weight, DIGITS)


@dataclass(frozen=True)
class FeedbackRanker(Method):
    """Trains β on the collections that train and the one that validates: as many as the tuned formulas choose on.

    Its own settings were chosen on four collections among themselves (cranfield, cystic_fibrosis, medline, cisi: train
    on three, look at the fourth); npl and nfcorpus had no part in it. `penalty` is that of squared weights, then of
    the squared distance from where the list-wise loss ends; `queries` are drawn a step, of each collection and each k.
    Raises ParameterError for columns that there are not, that come twice or are none, and settings out of range.
    """

    name: str
    columns: tuple[str, ...] = COLUMNS
    trainings: int = 3
    penalty: float = 1e-3
    temperature: float = 0.3
    steps: int = 150
    learning_rate: float = 0.02
    queries: int = 24

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) < len(self.columns) or not set(self.columns) <= set(COLUMNS):
            raise ParameterError(
                f"columns {self.columns} of {self.name!r}; expected some of {', '.join(COLUMNS)}, each once"
            )
        for name, least in (("trainings", 1), ("queries", 1), ("steps", 0)):
            if getattr(self, name) < least:
                raise ParameterError(f"{name} {getattr(self, name)} of {self.name!r}; expected at least {least}")
        if not self.temperature > 0:
            raise ParameterError(f"temperature {self.temperature} of {self.name!r}; expected a number above 0")

    def fit(
        self, family: SearchFeedback, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None
    ) -> Fitted:
        weights = self.train(family, (*fold.train, *fold.validation), seed)

        def one(task: Task, shots: int) -> Tensor:
            with threadpool_limits(1):  # sums that repeat, whatever the number of cores
                x, positives = of_task(family, task)
            return torch.from_numpy(weights.scores(x, shots, positives))

        return Fitted(lambda tasks, shots: [one(task, shots) for task in tasks])

    def train(self, family: SearchFeedback, names: Sequence[str], seed: int) -> Weights:
        """β from all queries of these collections that can be tasks."""
        data = {(name, k): examples.load(family, name, k) for name in names for k in family.shots}
        return self.train_on({(name, k): self._own(found) for (name, k), found in data.items()}, seed)

    def _own(self, found: Examples) -> Examples:
        own = [COLUMNS.index(name) for name in self.columns]
        return Examples(found.x[:, :, own], found.grades, found.mask, found.ideal)

    def train_on(self, data: Mapping[tuple[str, int], Examples], seed: int) -> Weights:
        """β from examples by (collection, k) that hold this ranker's columns; each collection and k counts the same."""
        with one_thread_each():
            start = self._listwise(data)
            found = [self._ranked(data, start, rng_for(seed, 2, i)) for i in range(self.trainings)]
        return Weights(torch.stack(found), self.columns)

    def _listwise(self, data: Mapping[tuple[str, int], Examples]) -> Tensor:
        """a and b (2, C) with the lowest list-wise loss, then scaled so that the largest a is 1: the scale of scores
        for which `temperature` is meant."""
        beta = torch.zeros(2, len(self.columns), requires_grad=True)
        optimiser = torch.optim.LBFGS([beta], max_iter=150, history_size=20, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            losses = [
                listwise_loss(e.x @ (beta[0] + share(k) * beta[1]), e.grades, e.mask).mean()
                for (_, k), e in data.items()
            ]
            loss = torch.stack(losses).mean() + self.penalty * beta.square().sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        found = beta.detach()
        return found / found[0].abs().max().clamp(min=1e-9)

    def _ranked(self, data: Mapping[tuple[str, int], Examples], start: Tensor, rng: np.random.Generator) -> Tensor:
        """From there, Adam on smooth nDCG@10 of some queries at a time."""
        beta = start.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([beta], lr=self.learning_rate)
        for _ in range(self.steps):
            values = []
            for (_, k), e in data.items():
                some = torch.from_numpy(rng.permutation(len(e.x))[: self.queries])
                x, grades, mask = (part[some, :LOOKED_AT] for part in (e.x, e.grades, e.mask))
                scores = x @ (beta[0] + share(k) * beta[1])
                values.append(smooth_ndcg(scores, grades, e.ideal[some], mask, self.temperature).mean())
            optimiser.zero_grad()
            (self.penalty * (beta - start).square().sum() - torch.stack(values).mean()).backward()
            optimiser.step()
        return beta.detach()
