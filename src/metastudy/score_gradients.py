"""The task losses' first and second derivative in the scores, in closed form (for `adapt.unrolled`).

Every loss of `losses.py` is a mean over a task's rows (ranking: over its groups) of a convex function of the scores s:
its gradient is a residual, and its Hessian acts on a direction R by one more line.

    regression       w (s - y)                      w R                              w = 2 / n
    binary           w (σ(s) - y)                   w σ'(s) R                        w = 1 / n
    classification   w (p - onehot(y))              w (p R - p Σ_c p R)              p = softmax over classes
    ranking          w (t_g p - target)             w t_g (p R - p Σ_g p R)          p = softmax over the group
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from metastudy.losses import gain_distribution, group_log_softmax
from metastudy.tasks import TaskBatch

HessianProduct = Callable[[Tensor], Tensor]
ScoreGradient = Callable[[Tensor], tuple[Tensor, HessianProduct]]


def score_gradient(batch: TaskBatch) -> ScoreGradient:
    """A function of the support's scores (T, S, C): gradient of each task's support loss, and its Hessian product.

    Rows of padding, and classes that a task lacks, get zero.
    """
    y, mask = batch.support_y, batch.support_mask[..., None]  # (T, S), (T, S, 1)
    weight = mask / mask.sum(1, keepdim=True).clamp(min=1)
    if batch.kind == "regression":
        return _squared_error(y[..., None], 2 * weight)
    if batch.kind == "binary":
        return _logistic(y[..., None], weight)
    if batch.kind == "classification":
        # known without looking into a tensor, which on a GPU would wait for it
        equal_ways = bool(batch.tasks) and all(task.n_classes == batch.n_classes for task in batch.tasks)
        class_mask = None if equal_ways else batch.class_mask[:, None, :]
        return _softmax(F.one_hot(y, batch.n_classes).to(weight), weight, class_mask)
    return _list_net(batch)


def _squared_error(y: Tensor, weight: Tensor) -> ScoreGradient:
    def at(scores: Tensor) -> tuple[Tensor, HessianProduct]:
        return (scores - y).mul_(weight), lambda direction: direction * weight

    return at


def _logistic(y: Tensor, weight: Tensor) -> ScoreGradient:
    def at(scores: Tensor) -> tuple[Tensor, HessianProduct]:
        p = torch.sigmoid(scores)
        return (p - y).mul_(weight), lambda direction: (p * (1 - p)).mul_(weight).mul_(direction)

    return at


def _softmax(one_hot: Tensor, weight: Tensor, class_mask: Tensor | None) -> ScoreGradient:
    def at(scores: Tensor) -> tuple[Tensor, HessianProduct]:
        p = torch.softmax(scores if class_mask is None else scores.masked_fill(class_mask == 0, -1e9), dim=-1)

        def product(direction: Tensor) -> Tensor:
            weighted = p * direction
            return torch.addcmul(weighted, p, weighted.sum(-1, keepdim=True), value=-1).mul_(weight)

        return (p - one_hot).mul_(weight), product

    return at


def _list_net(batch: TaskBatch) -> ScoreGradient:
    group, mask = batch.support_group, batch.support_mask
    n_groups = int(group.max()) + 1
    target = gain_distribution(batch.support_y, group, mask)  # (T, S)

    def group_sum(values: Tensor) -> Tensor:
        total = values.new_zeros(values.shape[0], n_groups).scatter_add(1, group, values)
        return total.gather(1, group)

    count = target.sum(1, keepdim=True).clamp(min=1)  # groups that have a relevant row
    weight, share = 1 / count, group_sum(target) / count  # a group without any gain has no loss

    def at(scores: Tensor) -> tuple[Tensor, HessianProduct]:
        p = group_log_softmax(scores[..., 0], group).exp()

        def product(direction: Tensor) -> Tensor:
            weighted = p * direction[..., 0]
            return ((weighted - p * group_sum(weighted)) * share)[..., None]

        return (share * p - weight * target)[..., None], product

    return at
