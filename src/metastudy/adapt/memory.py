"""ψ from task to task: a new task starts from the solutions of similar earlier tasks, and is corrected by its support.

Gaussian priors from related tasks are an old idea (hierarchical Bayes: Baxter 2000, "A model of inductive bias
learning"); the memory with a learned distance follows matching networks (Vinyals et al. 2016), one level up: tasks
attend to tasks, not rows to rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt.base import Mapping
from metastudy.adapt.ridge import solve_ridge, targets
from metastudy.errors import TaskError
from metastudy.losses import group_mean
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params
from metastudy.tasks import KINDS, TaskBatch

FIELDS = ("x", "y", "mask", "group", "class_mask", "kind")
TINY = 1e-6


class Problem(NamedTuple):
    """A batch's support as the head sees it: phi (T, S, d) features, x (T, S, d + 1) inputs, y (T, S, C) targets."""

    phi: Tensor
    x: Tensor
    y: Tensor


def problem(model: BaseModel, theta: Params, batch: TaskBatch) -> Problem:
    """Features with an intercept (ranking: centred within each group, without one) and targets; padding is zero."""
    mask = batch.support_mask[..., None]
    phi = model.features(theta, batch.support_x) * mask
    one = torch.ones_like(phi[..., :1])
    x = torch.cat([phi, one], -1)
    if batch.kind == "ranking":
        x = torch.cat([phi - group_mean(phi, batch.support_group, batch.support_mask), 0 * one], -1)
    return Problem(phi, x * mask, targets(batch) * mask)


def task_statistics(part: Problem, mask: Tensor) -> Tensor:
    """e(T), (T, 3d + 2): what a task's support looks like, whatever its number of rows and its names of classes.

    Four blocks, each divided by the root of its length: mean and spread of φ (layer norm), correlation of each
    feature with the target, mean and spread of the target. With several classes the correlation is the share of the
    targets' spread that a feature explains, which no renaming changes, and the last block is zero.
    """
    count, mask = mask.sum(1).clamp(min=1)[:, None], mask[..., None]
    mean = part.phi.sum(1) / count
    variance = ((part.phi - mean[:, None]) ** 2 * mask).sum(1) / count + TINY
    level = part.y.sum(1) / count  # (T, C)
    # x is centred already where groups are compared, and then its mean is zero
    centred = (part.x - part.x.sum(1, keepdim=True) / count[..., None])[..., :-1] * mask
    off = (part.y - level[:, None]) * mask
    spread = (off**2).sum((1, 2))[:, None] / count + TINY
    moment = centred.transpose(1, 2) @ off / count[..., None]  # (T, d, C)
    within = (centred**2).sum(1) / count + TINY
    if part.y.shape[2] == 1:
        together, label = moment[..., 0], torch.cat([level, spread.sqrt()], -1)
    else:
        together, label = ((moment**2).sum(-1) + TINY**2).sqrt(), torch.zeros_like(mean[:, :2])
    blocks = (
        F.layer_norm(mean, mean.shape[1:]),
        F.layer_norm(variance.sqrt(), mean.shape[1:]),
        together / (within * spread).sqrt(),
        label,
    )
    return torch.cat([b / b.shape[1] ** 0.5 for b in blocks], -1)


@dataclass(frozen=True)
class TaskMemory(Mapping):
    """W = W̄ + argmin_Δ ||Φ(W̄ + Δ) - Y||² + λ Σ_f Δ_f² / v_f, with W̄ and v from similar earlier tasks.

    Each of `memory_size` earlier tasks i has a head W_i by ridge around f's own head, on all of its rows (an earlier
    task is fully labelled), and statistics e_i. The new task's own, from its support alone, give the similarity
    s_i = softmax_i(-τ ||D(e(T) - e_i)||²), with learned diagonal D and temperature τ. Then W̄ = Σ s_i W_i, and v is
    what the similar solutions say about how far each weight may move: (1 - ρ) + ρ Σ s_i (W_i - W̄)², scaled to mean
    one, with a learned share ρ. classification: names of classes mean nothing in another task, so columns are not
    carried over; W̄ is 0 and v_f comes from the mean square of row f of W_i, so only the *relevance of features*
    moves from task to task.

    The rows of earlier tasks are kept, not their solutions, and everything is computed from the current θ, so nothing
    is stale. No gradient runs through the features of remembered rows unless `through_memory`: a step costs two thirds,
    and validation losses are as good. Earlier tasks are drawn apart from those trained on, so none is
    left out when it meets itself. Assumes that a feature means the same in all tasks: not for tables whose columns
    differ from task to task.
    """

    name: ClassVar[str] = "task_memory"  # not "memory": alpha.<name>.memory.* is what is never trained
    memory_size: int = 32
    initial_penalty: float = 1.0
    initial_memory_penalty: float = 1.0
    initial_scale: float = 1.0
    through_memory: bool = False

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {
            "log_penalty": torch.tensor(self.initial_penalty).log(),
            "log_memory_penalty": torch.tensor(self.initial_memory_penalty).log(),
            "log_scale": torch.tensor(self.initial_scale).log(),
            "log_temperature": torch.tensor(2.0).log(),
            "log_metric": torch.zeros(3 * model.feature_dim + 2),
            "relevance": torch.tensor(0.0),
        }

    def remember(self, earlier: TaskBatch) -> Params:
        """Support and query rows of the first `memory_size` tasks, as one labelled set each: x (M, N, *D), y (M, N)."""
        n = self.memory_size
        if earlier.n_tasks < n:
            raise TaskError(
                f"mapping {self.name!r} keeps {n} earlier tasks but was given {earlier.n_tasks}: give it more, or "
                "choose a smaller memory_size"
            )
        # a document or search of the query is another group than those of the support
        query_group = earlier.query_group[:n] + earlier.support_group[:n].max() + 1
        return {
            "x": torch.cat([earlier.support_x[:n], earlier.query_x[:n]], 1),
            "y": torch.cat([earlier.support_y[:n], earlier.query_y[:n]], 1),
            "mask": torch.cat([earlier.support_mask[:n], earlier.query_mask[:n]], 1),
            "group": torch.cat([earlier.support_group[:n], query_group], 1),
            "class_mask": earlier.class_mask[:n].clone(),
            "kind": torch.tensor(KINDS.index(earlier.kind)),
        }

    def _recall(self, alpha: Params, batch: TaskBatch) -> TaskBatch:
        """The memory as a batch of tasks whose support is all they have. TaskError where it does not fit `batch`."""
        if missing := [name for name in FIELDS if f"memory.{name}" not in alpha]:
            raise TaskError(
                f"mapping {self.name!r} has no memory ({', '.join(missing)} missing): pass a batch of earlier tasks "
                "to `MetaLearner.init`, or add what `remember` gives under memory.*"
            )
        x, y, mask, group, class_mask, number = (alpha[f"memory.{name}"] for name in FIELDS)
        kind = KINDS[int(number)]
        if kind != batch.kind or x.shape[2:] != batch.support_x.shape[2:]:
            raise TaskError(
                f"mapping {self.name!r} remembers {kind} tasks with rows of shape {tuple(x.shape[2:])}, but the batch "
                f"holds {batch.kind} tasks with rows of shape {tuple(batch.support_x.shape[2:])}: remember tasks of "
                "the family that is learned"
            )
        y, group = y.long() if kind == "classification" else y, group.long()
        return TaskBatch(kind, x, y, mask, group, x, y, mask, group, class_mask)

    def _earlier(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> tuple[Problem, Tensor]:
        """The remembered problems and their statistics (M, e)."""
        memory = self._recall(alpha, batch)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.through_memory):
            part = problem(model, theta, memory)
            return part, task_statistics(part, memory.support_mask)

    def _attend(self, alpha: Params, new: Tensor, old: Tensor) -> Tensor:
        metric = alpha["log_metric"].exp()
        distance = (((new[:, None] - old[None]) * metric) ** 2).sum(-1)
        return F.softmax(-alpha["log_temperature"].exp() * distance, dim=-1)

    def similarity(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        """s: how much each new task leans on each earlier one, rows summing to one: (T, M)."""
        _, old = self._earlier(model, theta, alpha, batch)
        return self._attend(alpha, task_statistics(problem(model, theta, batch), batch.support_mask), old)

    def solutions(self, alpha: Params, part: Problem, prior: Tensor) -> Tensor:
        """Heads of earlier tasks by ridge around `prior` (d + 1, C): (M, d + 1, C)."""
        return prior + solve_ridge(part.x, part.y - part.x @ prior, alpha["log_memory_penalty"].exp())

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        part = problem(model, theta, batch)
        earlier, old = self._earlier(model, theta, alpha, batch)
        s = self._attend(alpha, task_statistics(part, batch.support_mask), old)  # (T, M)
        if batch.kind == "classification":
            ways = alpha["memory.class_mask"].sum(1)[:, None]
            solved = self.solutions(alpha, earlier, part.x.new_zeros(part.x.shape[-1], earlier.y.shape[2]))
            start = part.x.new_zeros(1, part.x.shape[-1], 1)
            variance = s @ ((solved**2).sum(-1) / ways)  # (T, d + 1)
        else:
            solved = self.solutions(alpha, earlier, torch.cat([theta[HEAD_WEIGHT], theta[HEAD_BIAS]]))[..., 0]
            start = (s @ solved)[..., None]  # (T, d + 1, 1)
            variance = torch.einsum("tm,tmf->tf", s, (solved[None] - start.transpose(1, 2)) ** 2)
        relative = (variance + TINY) / (variance + TINY).mean(1, keepdim=True)
        share = alpha["relevance"].sigmoid()
        width = (1 - share + share * relative).sqrt()[..., None]  # √v, (T, d + 1, 1)
        residual = part.y - part.x @ start
        # ridge on x √v is ridge with penalty λ / v on x
        change = width * solve_ridge(part.x * width.transpose(1, 2), residual, alpha["log_penalty"].exp())
        phi = model.features(theta, batch.query_x)
        return alpha["log_scale"].exp() * (torch.cat([phi, torch.ones_like(phi[..., :1])], -1) @ (start + change))
