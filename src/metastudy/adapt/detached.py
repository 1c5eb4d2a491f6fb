"""What mappings share that give no gradient into θ: a calibrated answer, and a loss for a rule of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from metastudy.losses import loss, predict
from metastudy.tasks import TaskBatch


def calibrated(scores: Tensor, log_scale: Tensor, batch: TaskBatch) -> Tensor:
    """exp(log_scale) times the scores (T, Q, C): a temperature on what was fitted without one.

    regression: times the distance from the mean of the task's support, towards which a scale below one shrinks.
    """
    if batch.kind != "regression":
        return log_scale.exp() * scores
    mean = (batch.support_y * batch.support_mask).sum(1) / batch.support_mask.sum(1)
    return torch.lerp(mean[:, None, None], scores, log_scale.exp())


def mean_query_loss(scores: Tensor, batch: TaskBatch) -> Tensor:
    """Mean over tasks of the query loss of scores (T, Q, C)."""
    prediction = predict(batch.kind, scores, batch.class_mask)
    return loss(batch.kind, prediction, batch.query_y, batch.query_mask, batch.query_group).mean()
