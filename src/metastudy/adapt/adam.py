"""Adam on the support, for all tasks at once: how a model is trained without having learned to learn."""

from __future__ import annotations

import torch

from metastudy.adapt.gradient import support_loss, widen_head
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params, per_task
from metastudy.tasks import TaskBatch


def train_on_support(model: BaseModel, theta: Params, batch: TaskBatch, rate: float, n_steps: int) -> Params:
    """Adam on each task's own copy of θ. Adam works number by number, so one optimizer serves all tasks at once."""
    wide = widen_head(theta, batch.n_classes)
    if batch.kind == "classification":
        # a column that all classes share changes no prediction, but its gradient is not zero after rounding, and
        # Adam would make a full step of it
        wide |= {name: torch.zeros_like(wide[name]) for name in (HEAD_WEIGHT, HEAD_BIAS)}
    own = {k: v.detach().clone().requires_grad_() for k, v in per_task(wide, batch.n_tasks).items()}
    optimizer = torch.optim.Adam(own.values(), lr=rate)
    with torch.enable_grad():
        for _ in range(n_steps):
            optimizer.zero_grad(set_to_none=True)
            support_loss(model, own, batch).sum().backward()
            optimizer.step()
    return {k: v.detach() for k, v in own.items()}
