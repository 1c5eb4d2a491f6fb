"""From scores to predictions, and from predictions to losses, for each kind of task.

Scores (T, N, C) are what f and every mapping ψ return. `predict` turns them into predictions: log-probabilities
for classification (C classes) and binary (two columns: log p(0), log p(1)), plain values (T, N, 1) otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from metastudy.tasks import Kind

PROBABILISTIC: frozenset[Kind] = frozenset({"classification", "binary"})


def predict(kind: Kind, scores: Tensor, class_mask: Tensor) -> Tensor:
    """Scores (T, N, C) -> log-probabilities or values; classes a task lacks get probability zero."""
    if kind == "classification":
        return F.log_softmax(scores.masked_fill(class_mask[:, None, :] == 0, -1e9), dim=-1)
    if kind == "binary":
        return torch.cat([F.logsigmoid(-scores), F.logsigmoid(scores)], dim=-1)
    return scores


def group_log_softmax(scores: Tensor, group: Tensor) -> Tensor:
    """log softmax within groups: scores (T, N), group (T, N) integers -> (T, N)."""
    n_groups = int(group.max()) + 1
    top = scores.new_full((scores.shape[0], n_groups), -torch.inf)
    top = top.scatter_reduce(1, group, scores.detach(), "amax").clamp(min=-1e30)
    shifted = scores - top.gather(1, group)
    total = torch.zeros_like(top).scatter_add(1, group, shifted.exp())
    return shifted - total.clamp(min=1e-30).log().gather(1, group)


def group_mean(values: Tensor, group: Tensor, mask: Tensor) -> Tensor:
    """Mean of (T, N, K) values within groups, given back to each row: (T, N, K)."""
    n_groups = int(group.max()) + 1
    index = group[..., None].expand_as(values)
    total = values.new_zeros(values.shape[0], n_groups, values.shape[2])
    total = total.scatter_add(1, index, values * mask[..., None])
    count = values.new_zeros(values.shape[0], n_groups).scatter_add(1, group, mask)
    return (total / count.clamp(min=1)[..., None]).gather(1, index)


def gain_distribution(gain: Tensor, group: Tensor, mask: Tensor) -> Tensor:
    """Gains >= 0 as a distribution over each group's rows, (T, N); groups without any gain stay all zero."""
    total = gain.new_zeros(gain.shape[0], int(group.max()) + 1).scatter_add(1, group, gain * mask)
    return gain * mask / total.gather(1, group).clamp(min=1e-12)


def loss(kind: Kind, prediction: Tensor, y: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Mean loss of each task, (T,), over its real rows (ranking: over its groups that have a relevant row).

    classification, binary: negative log-likelihood. regression: squared error. ranking: ListNet top-one cross
    entropy (Cao et al. 2007, eq. 5), with the target distribution proportional to the gain instead of to its
    exponential, so that rows without gain get no target mass.
    """
    if kind in PROBABILISTIC:
        rows = -prediction.gather(2, y.long()[..., None])[..., 0]
    elif kind == "regression":
        rows = (prediction[..., 0] - y) ** 2
    else:
        target = gain_distribution(y, group, mask)
        rows = -target * group_log_softmax(prediction[..., 0], group)
        return rows.sum(1) / target.sum(1).clamp(min=1)
    return (rows * mask).sum(1) / mask.sum(1).clamp(min=1)
