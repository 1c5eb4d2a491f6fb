"""g for a collection as a task: a ranker that other collections taught, pulled towards a few judged queries of the new
one.

f(x) = Σ_i w_i φ_i(x): φ are the columns of the input, standardised over the candidates of each query, so that they mean
the same in every collection. w0 is learned from all queries of other collections. Adapting is one convex problem,

    w = argmin  Σ_{judged queries} list-wise loss(w) + λ(k) / 2 |w - w0|²,

the most likely w where earlier collections' weights scatter around w0 (compare Finn et al. 2018, section 3, where MAML
is read like this). λ(k) is chosen on the collection that validates; infinite is among its values: then nothing is
adapted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metastudy.families.base import Fold
from metastudy.families.search_base import JudgedQuery, Search
from metastudy.feedback.approximate import DEPTH, ideal_dcg, listwise_loss, smooth_ndcg
from metastudy.fused_scores import Scaling
from metastudy.methods import Fitted, Method
from metastudy.tasks import Task
from metastudy.threads import one_thread_each
from metastudy.train import TrainConfig, rng_for

FAR = 6.0  # standardised values are cut there
PENALTIES = (float("inf"), 256.0, 64.0, 16.0, 4.0)
N_DRAWS = 10  # supports of the validating collection that choose a penalty


@dataclass(frozen=True, eq=False)
class Ranked:
    """Q queries with n candidates at most. Shapes: x (Q, n, F), grades and mask (Q, n), ideal (Q,): DCG@10 of the best
    ranking of all their judged pages."""

    x: Tensor
    grades: Tensor
    mask: Tensor
    ideal: Tensor

    def of(self, some: np.ndarray) -> Ranked:
        """Some of the queries, in this order."""
        rows = torch.from_numpy(np.asarray(some))
        return Ranked(self.x[rows], self.grades[rows], self.mask[rows], self.ideal[rows])


def standardised(x: Tensor) -> Tensor:
    """Columns (n, F) of one query's candidates with zero mean and unit variance, 0 where all are equal."""
    spread = x.std(0, unbiased=False)
    z = (x - x.mean(0)) / spread.clamp(min=1e-5)
    return torch.where(spread > 1e-5, z, 0.0).clamp(-FAR, FAR)


def stack(queries: Iterable[tuple[Tensor, Tensor, Sequence[float]]]) -> Ranked:
    """From the rows of candidates (n, F) of each query, their grades (n,), and all its grades above 0, best first."""
    rows = [(standardised(x), y, list(ideal)[:DEPTH]) for x, y, ideal in queries]
    n, width = max(len(y) for _, y, _ in rows), rows[0][0].shape[1]
    x, grades = torch.zeros(len(rows), n, width), torch.zeros(len(rows), n)
    mask, best = torch.zeros(len(rows), n, dtype=torch.bool), torch.zeros(len(rows), DEPTH)
    for i, (own, y, ideal) in enumerate(rows):
        x[i, : len(y)], grades[i, : len(y)], mask[i, : len(y)] = own, y, True
        best[i, : len(ideal)] = torch.tensor(ideal)
    return Ranked(x, grades, mask, ideal_dcg(best))


def of_collection(judged: Iterable[JudgedQuery]) -> Ranked:
    """All queries of a collection that have a relevant page."""
    kept = [(j.x[: j.n_candidates], j.y[: j.n_candidates], sorted(j.y[j.y > 0].tolist(), reverse=True)) for j in judged]
    return stack(query for query in kept if query[2])


@dataclass(frozen=True)
class CollectionRanker(Method):
    """`penalty` keeps w0 small in the list-wise loss, and near its end in the steps on smooth nDCG@10 that follow, each
    on `queries` of every collection. Everything but λ is fixed: it was chosen on cranfield and cystic_fibrosis."""

    name: str = "g"
    penalty: float = 1e-3
    temperature: float = 0.5
    steps: int = 40
    learning_rate: float = 0.02
    queries: int = 24

    def fit(self, family: Search, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        scaling = Scaling.of(family, fold)
        judged = family.judged(fold)
        others = {name: of_collection(judged[name].values()) for name in (*fold.train, *fold.validation)}
        with one_thread_each():
            early = self.centre([others[name] for name in fold.train], rng_for(seed, 1))
            held_out = [others[name] for name in fold.validation]
            chosen = {k: self.choose(early, held_out, k, rng_for(13, k)) for k in family.shots}
            w0 = self.centre(list(others.values()), rng_for(seed, 2))

        def one(task: Task, shots: int) -> Tensor:
            support = []
            for g in task.support_group.unique():
                x, y = (part[task.support_group == g] for part in (task.support_x, task.support_y))
                inside = torch.from_numpy(scaling.inside(x))
                support.append((x[inside], y[inside], sorted(y[y > 0].tolist(), reverse=True)))
            w = adapted(w0, stack(support), chosen[shots]) if support else w0
            scores = torch.empty(len(task.query_y))
            for g in task.query_group.unique():
                rows = task.query_group == g
                scores[rows] = standardised(task.query_x[rows]) @ w
            return scores

        def predict(tasks: Iterable[Task], shots: int) -> list[Tensor]:
            with one_thread_each():
                return [one(task, shots) for task in tasks]

        return Fitted(predict)

    def centre(self, collections: Sequence[Ranked], rng: np.random.Generator) -> Tensor:
        """w0 (F,), in which each collection counts the same."""
        w = torch.zeros(collections[0].x.shape[2], requires_grad=True)
        optimiser = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            losses = torch.stack([listwise_loss(c.x @ w, c.grades, c.mask).mean() for c in collections])
            loss = losses.mean() + self.penalty * w.square().sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        start = w.detach().clone()
        w = start.clone().requires_grad_(True)
        adam = torch.optim.Adam([w], lr=self.learning_rate)
        for _ in range(self.steps):
            drawn = [c.of(rng.permutation(len(c.x))[: self.queries]) for c in collections]
            values = [smooth_ndcg(c.x @ w, c.grades, c.ideal, c.mask, self.temperature).mean() for c in drawn]
            adam.zero_grad()
            (self.penalty * (w - start).square().sum() - torch.stack(values).mean()).backward()
            adam.step()
        return w.detach()

    def choose(self, w0: Tensor, collections: Sequence[Ranked], shots: int, rng: np.random.Generator) -> float:
        """The penalty with the best nDCG@10 on other queries of collections that w0 has not seen, where k are judged;
        of equal ones the first. Infinite where no collection has more than k queries."""
        gained = []
        for c in collections:
            if len(c.x) <= shots:
                continue
            for _ in range(N_DRAWS):
                order = rng.permutation(len(c.x))
                support, asked = c.of(order[:shots]), c.of(order[shots:])
                gained.append([mean_ndcg(asked, adapted(w0, support, penalty)) for penalty in PENALTIES])
        return PENALTIES[int(np.argmax(np.mean(gained, axis=0)))] if gained else PENALTIES[0]


def adapted(w0: Tensor, support: Ranked, penalty: float) -> Tensor:
    """The convex problem of this module, solved by L-BFGS: (F,)."""
    if penalty == float("inf"):
        return w0
    w = w0.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = listwise_loss(support.x @ w, support.grades, support.mask).sum()
        loss = loss + penalty / 2 * (w - w0).square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    return w.detach()


def mean_ndcg(asked: Ranked, w: Tensor) -> float:
    """nDCG@10, mean over queries."""
    scores = (asked.x @ w).masked_fill(~asked.mask, -torch.inf)
    discount = 1 / torch.log2(torch.arange(2.0, DEPTH + 2))
    first = scores.argsort(dim=1, descending=True, stable=True)[:, :DEPTH]
    return float(((asked.grades.gather(1, first) * discount[: first.shape[1]]).sum(1) / asked.ideal).mean())
