"""The meta-loss of a batch and its gradient, a few tasks at a time where that is faster.

Large models on many rows are fastest one task per thread: each task's numbers stay in that core's cache, no sum waits
for another thread, and a finished task's graph is gone before the next one is built. Small models are fastest with all
tasks in one batch of matrix products. `BaseModel.tasks_at_once` says which.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from metastudy.mixture import MetaLearner, is_memory
from metastudy.model import Params
from metastudy.tasks import TaskBatch
from metastudy.threads import map_in_threads, one_thread_each

Objective = Literal["training", "query"]


Loss = Callable[[Params, TaskBatch], Tensor]


def _plain(learner: MetaLearner, objective: Objective) -> Loss:
    return learner.training_loss if objective == "training" else learner.query_loss


@cache
def _compiled(learner: MetaLearner, objective: Objective) -> Loss:
    return torch.compile(_plain(learner, objective), fullgraph=True, dynamic=False)


def loss_and_gradient(
    learner: MetaLearner,
    params: Params,
    batch: TaskBatch,
    objective: Objective = "training",
    compiled: bool = False,
) -> tuple[Tensor, Params]:
    """Mean loss over the batch's tasks, without a graph, and its gradient by parameter name.

    `objective` is `learner.training_loss` or `learner.query_loss`. The gradient covers every floating-point entry of
    `params` but memory, whether or not it requires one; entries without any influence on the loss are left out.

    Both losses are means over tasks, so parts of a batch add up with their share of its tasks. They are added in the
    order of the tasks: where `tasks_at_once` is set, the result is the same bit for bit for any number of threads.
    An exception of one part is raised here. On other devices than a CPU the batch is one part.

    `compiled` hands the loss to `torch.compile`: it needs a C++ compiler and some 15 s for every new shape of a batch,
    and changes last digits. It pays in long runs of small networks (an MLP's steps took four fifths of the time, see
    `make bench`).
    """
    loss_function = (_compiled if compiled else _plain)(learner, objective)
    size = learner.model.tasks_at_once if batch.support_x.device.type == "cpu" else None
    parts = [batch] if size is None else [batch.part(slice(i, i + size)) for i in range(0, batch.n_tasks, size)]
    trained = [name for name, v in params.items() if v.is_floating_point() and not is_memory(name)]

    def of_part(part: TaskBatch) -> tuple[Tensor, list[Tensor | None]]:
        with torch.enable_grad():
            leaves = [params[name].detach().requires_grad_() for name in trained]  # of this part alone
            own = params | dict(zip(trained, leaves, strict=True))
            loss = loss_function(own, part)
        if not loss.requires_grad:
            return loss, [None] * len(leaves)
        return loss.detach(), list(torch.autograd.grad(loss, leaves, allow_unused=True))

    if len(parts) == 1:
        # its images may still spread over threads (`models.image_chunks`)
        with nullcontext() if size is None else one_thread_each():
            found = [of_part(batch)]
    else:
        found = map_in_threads(of_part, parts)
    shares = [part.n_tasks / batch.n_tasks for part in parts]
    total = sum(share * loss for share, (loss, _) in zip(shares, found, strict=True))
    gradient: Params = {}
    for i, name in enumerate(trained):
        pieces = [(share, g[i]) for share, (_, g) in zip(shares, found, strict=True) if g[i] is not None]
        if len(parts) == 1 and pieces:
            gradient[name] = pieces[0][1]
        elif pieces:
            gradient[name] = torch.zeros_like(params[name])
            for share, piece in pieces:
                gradient[name].add_(piece, alpha=share)
    return total, gradient
