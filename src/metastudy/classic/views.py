"""Several looks at one task: warped copies of its drawings, and models that were trained from different seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.warps import Warp, warped
from metastudy.methods import Fitted
from metastudy.tasks import Task


def _copies(x: Tensor, warp: Warp, n: int, generator: torch.Generator) -> Tensor:
    """x (N, 1, s, s) as it is, then n - 1 warped copies of all of it: (n, N, 1, s, s)."""
    rows, side = len(x), x.shape[-1]
    large = (255 * x[:, 0]).round().to(torch.uint8).repeat_interleave(2, 1).repeat_interleave(2, 2).numpy()
    found = [x]
    for _ in range(n - 1):
        drawn = warped(large, warp.matrices(rows, generator), warp.fields(rows, side, generator))
        found.append(torch.from_numpy(drawn)[:, None].float() / 255)
    return torch.stack(found)


def seen(task: Task, warp: Warp, n: int) -> Task:
    """A task of drawings with n looks at each: support of n times as many rows, query rows look by look.

    What is drawn at random depends on the task's name alone.
    """
    generator = torch.Generator().manual_seed(int.from_bytes(task.id.encode()[-7:], "little"))
    support, query = (_copies(x, warp, n, generator) for x in (task.support_x, task.query_x))
    return replace(
        task,
        support_x=support.flatten(0, 1),
        support_y=task.support_y.repeat(n),
        query_x=query.flatten(0, 1),
        query_y=task.query_y.repeat(n),
        query_ids=task.query_ids * n,
    )


def over_views(fitted: Fitted, warp: Warp, n: int) -> Fitted:
    """The mean of a classifier's probabilities over n looks at each query, given n looks at each support drawing.

    Each query is still answered by itself. Raises ParameterError for n below 1.
    """
    if n < 1:
        raise ParameterError(f"{n} views; expected at least 1, the drawing as it is")

    def predict(tasks: Iterable[Task], shots: int) -> list[Tensor]:
        found = []
        for task in tasks:  # one at a time: n looks are n times the memory
            p = fitted.predict([seen(task, warp, n)], shots)[0]
            found.append(p.reshape(n, len(task.query_y), -1).mean(0))
        return found

    return replace(fitted, predict=predict) if n > 1 else fitted


def together(fitted: Sequence[Fitted]) -> Fitted:
    """The mean of several models' predictions. Raises ParameterError for none."""
    if not fitted:
        raise ParameterError("no model to average; expected at least one")

    def predict(tasks: Iterable[Task], shots: int) -> list[Tensor]:
        tasks = list(tasks)
        found = [one.predict(tasks, shots) for one in fitted]
        return [torch.stack(p).mean(0) for p in zip(*found, strict=True)]

    return Fitted(predict) if len(fitted) > 1 else fitted[0]
