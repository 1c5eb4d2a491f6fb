"""β(T) from how good each mixture of members is: on earlier tasks, and for the labelled groups of the new one.

For rankings whose metric has no useful gradient (ROUGE of a summary, nDCG), and a handful of labelled groups
(documents, queries). Earlier tasks are those of validation, on which members were stopped but not trained. `RATE` and
`STRENGTH` were chosen on public documents that no frozen task asks about; `STRENGTH` was looked at on validation tasks
of documentation too, whose documents other folds test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from itertools import compress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metastudy.adapt import InputScore
from metastudy.errors import TaskError
from metastudy.families.base import Family, Fold
from metastudy.methods import Fitted, MetaMethod, validation_tasks
from metastudy.mixture import MetaLearner
from metastudy.model import Params
from metastudy.standard_scores import StandardScores, standardised
from metastudy.tasks import Task, collate
from metastudy.train import TrainConfig, rng_for, torch_generator
from metastudy.trained import Trained

RATE = 0.2
"""How fast a mixture loses weight for each point by which it is worse on a labelled group, of 100 (a quality from 0 to
1 needs another). Of 0.03, 0.1, 0.2, 0.4, 1 and 4; on validation domains of summaries 0.1 to 1 differ little."""
STRENGTH = 5.0
"""How many labelled groups the earlier tasks count for. Of 0, 2, 5, 10 and 20, which differ little on public domains
and by 0.1 ROUGE-1 on documentation."""
N_MIXTURES, N_PARTS, N_EARLIER = 150, 5, 10
PRIOR = "beta.prior."

Quality = Callable[[Task, Tensor], Sequence[float]]
"""Of scores of a task's query rows: how good they are for each of its groups, in their order, 0 to 100."""


@cache
def mixtures(m: int) -> NDArray[np.float64]:
    """Weights to compare, (1 + m + N_MIXTURES, m): equal ones, each member alone, and uniform draws of the simplex."""
    drawn = np.random.default_rng(0).dirichlet(np.ones(m), N_MIXTURES)
    return np.concatenate([np.full((1, m), 1 / m), np.eye(m), drawn])


def on_query(learner: MetaLearner, params: Params, task: Task) -> Tensor:
    """Standard scores that the members give the query rows: (m, Q)."""
    with torch.no_grad():
        batch = collate([task])
        return torch.stack([standardised(batch, s)[0, :, 0] for s in learner.members(params, batch)])


def on_support(learner: MetaLearner, params: Params, task: Task) -> Tensor:
    """Standard scores that the members give the support rows, each group by a support without it: (m, S).

    Groups are left out `N_PARTS` times, every fifth together. Needs two groups.
    """
    groups = task.support_group.unique()
    n_parts = min(N_PARTS, len(groups))
    found = torch.empty(len(learner.mappings), len(task.support_y))
    for part in range(n_parts):
        left_out = torch.isin(task.support_group, groups[part::n_parts])
        found[:, left_out] = on_query(learner, params, turned(task, left_out))
    return found


def turned(task: Task, left_out: Tensor) -> Task:
    """The support rows in `left_out` (S,) as the query of the others."""
    rest = ~left_out
    ids = tuple(compress(task.support_ids, left_out.tolist()))
    return replace(
        task,
        support_x=task.support_x[rest], support_y=task.support_y[rest], support_group=task.support_group[rest],
        support_ids=(), query_x=task.support_x[left_out], query_y=task.support_y[left_out],
        query_group=task.support_group[left_out], query_ids=ids,
    )  # fmt: skip


def support_hash(task: Task) -> str:
    """Equal for equal supports: sampled tasks of two draws may share an id."""
    content = sha256(repr((task.id, task.support_ids)).encode())
    for tensor in (task.support_x, task.support_y, task.support_group):
        content.update(tensor.contiguous().numpy().tobytes())
    return content.hexdigest()


def qualities(scores: Tensor, task: Task, quality: Quality) -> NDArray[np.float64]:
    """How good each of the `mixtures` of members' scores (m, Q) is for each group of the query: (mixtures, groups)."""
    return np.array([quality(task, s) for s in torch.from_numpy(mixtures(len(scores))).float() @ scores])


def with_prior(learner: MetaLearner, params: Params, earlier: Mapping[int, Sequence[Task]], quality: Quality) -> Params:
    """Parameters, and how good each mixture is for a query group of earlier tasks, by their number of labelled groups.

    Under `beta.prior.<k>`, (mixtures,): a mean over tasks of means over groups.
    """
    found = dict(params)
    for k, tasks in earlier.items():
        own = [qualities(on_query(learner, params, task), task, quality).mean(1) for task in tasks]
        found[f"{PRIOR}{k}"] = torch.from_numpy(np.mean(own, axis=0))
    return found


def prior(params: Params, k: int) -> NDArray[np.float64] | float:
    """What earlier tasks say of each mixture (mixtures,): of those whose number of labelled groups is nearest to k in
    ratio. 0 without any."""
    known = [int(name.removeprefix(PRIOR)) for name in params if name.startswith(PRIOR)]
    if not known:
        return 0.0
    nearest = min(known, key=lambda other: (abs(np.log(other / k)), other))
    return params[f"{PRIOR}{nearest}"].numpy()


def weights(
    learner: MetaLearner, params: Params, task: Task, quality: Quality, rate: float = RATE, strength: float = STRENGTH
) -> Tensor:
    """β(T), not negative and summing to one: (m,).

    The mean of many `mixtures` w, each in proportion to exp(rate (strength q_0(w) + Σ_d q_d(w))), where q_d(w) is the
    quality of mixture w for labelled group d, and q_0 that for earlier tasks (`prior`): exponential weighting (Dalalyan
    and Tsybakov 2008, eq. 2), or the mean of a Gibbs posterior with a prior from earlier tasks. Deviation: q_d is
    measured with members that were adapted to the other groups. With fewer than two labelled groups nothing can be left
    out, and the prior decides; without one, β is uniform. Raises TaskError unless `quality` gives a value for every
    labelled group.
    """
    m, n_groups = len(learner.mappings), len(task.support_group.unique())
    compared = mixtures(m)
    total = strength * prior(params, n_groups) + np.zeros(len(compared))
    if n_groups > 1 and m > 1:
        support = replace(
            task, query_x=task.support_x, query_y=task.support_y, query_group=task.support_group,
            query_ids=task.support_ids,
        )  # fmt: skip
        found = qualities(on_support(learner, params, task), support, quality)
        if found.shape[1:] != (n_groups,):
            raise TaskError(
                f"task {task.id}: {found.size // len(found)} qualities for {n_groups} labelled groups; expected one "
                "for each: name the support's rows in `support_ids`, as the query's are in `query_ids`"
            )
        total = total + found.sum(1)
    if np.ptp(total) == 0:  # nothing is known
        return torch.full((m,), 1 / m)
    share = np.exp(rate * (total - total.max()))
    return torch.from_numpy(share / share.sum() @ compared).float()


@dataclass(frozen=True)
class EvidenceMixture(MetaMethod):
    """g(f; α) = Σ_j β_j(T) ψ_j(f; α_j) on rankings: members meta-trained together, each by its own loss, and mixed as
    standard scores with `weights` from earlier tasks and from the support."""

    rate: float = RATE
    strength: float = STRENGTH

    @property
    def deterministic(self) -> bool:
        """Of tools alone nothing is drawn at random, and nothing needs training: standard scores have no scale."""
        return all(isinstance(m, InputScore) for m in self.mappings)

    def learner(self, family: Family) -> StandardScores:
        return StandardScores(self.model or family.model(), self.mappings, resplit=self.resplit)

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        learner = self.learner(family)
        if self.deterministic:
            trained = Trained(learner.init(torch_generator(rng_for(seed, 1))), [])
        else:
            trained = super().fit(family, fold, config, seed, checkpoint).trained
        earlier = {k: tasks[:N_EARLIER] for k, tasks in validation_tasks(family, fold).items()}
        return self._weighted(
            family, replace(trained, params=with_prior(learner, trained.params, earlier, family.quality))
        )

    def load(self, family: Family, path: Path) -> Fitted:
        """Raises TaskError: the weights need earlier tasks, which a file of parameters does not have."""
        raise TaskError(f"{self.name} is kept with what earlier tasks say of it: use metastudy.summarize.Summarizer")

    def _weighted(self, family: Family, trained: Trained) -> Fitted:
        learner, params = self.learner(family), trained.params
        known: dict[str, Tensor] = {}

        def beta(task: Task) -> Tensor:
            key = support_hash(task)
            if key not in known:
                known[key] = weights(learner, params, task, family.quality, self.rate, self.strength)
            return known[key]

        def predict(tasks, _) -> list[Tensor]:
            return [beta(task) @ on_query(learner, params, task) for task in tasks]

        def beta_of(tasks: Sequence[Task]) -> Tensor:
            return torch.stack([beta(task) for task in tasks])

        # of tools alone there is no course of training to show, and their weights stand beside no others
        return Fitted(predict, learner, *((None, None) if self.deterministic else (trained, beta_of)))
