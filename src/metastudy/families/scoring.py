"""How answers among classes are scored, the same in every family of exchangeable classes."""

from __future__ import annotations

from torch import Tensor

from metastudy.families.base import Score
from metastudy.tasks import Task


def accuracy_and_log_loss(task: Task, prediction: Tensor) -> tuple[float, float]:
    """Share of right answers, and mean surprise of the right one in nats; `prediction` is (Q, C) probabilities."""
    correct = (prediction.argmax(1) == task.query_y).float().mean()
    likelihood = prediction.gather(1, task.query_y[:, None]).clamp(min=1e-12).log().mean()
    return float(correct), -float(likelihood)


def class_scores(task: Task, prediction: Tensor) -> list[Score]:
    """`accuracy_and_log_loss` as scores of the task."""
    accuracy, log_loss = accuracy_and_log_loss(task, prediction)
    return [Score(task.id, "accuracy", accuracy), Score(task.id, "log_loss", log_loss)]
