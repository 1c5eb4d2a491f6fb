"""Several looks at one task: warped copies of its drawings, and models that were trained from different seeds."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.warps import Warp, warped
from metastudy.methods import Fitted
from metastudy.tasks import Task


def _copies(x: Tensor, warp: Warp, n: int) -> Tensor:
    """x (N, 1, s, s) as it is, then n - 1 warped copies of all of it: (n, N, 1, s, s).

    What is drawn at random depends on the drawing alone, so that no query changes what another looks like.
    """
    if n == 1:
        return x[None]
    side, small = x.shape[-1], (255 * x[:, 0]).round().to(torch.uint8)
    drawn = []
    for picture in small:
        generator = torch.Generator().manual_seed(zlib.crc32(picture.numpy().tobytes()))
        drawn.append((warp.matrices(n - 1, generator), warp.fields(n - 1, side, generator)))
    large = small.repeat_interleave(2, 1).repeat_interleave(2, 2).numpy()
    maps, moves = (torch.stack(parts, 1) for parts in zip(*drawn, strict=True))  # (n - 1, N, ...)
    looks = [warped(large, m, f) for m, f in zip(maps, moves, strict=True)]
    return torch.stack([x, *(torch.from_numpy(look)[:, None].float() / 255 for look in looks)])


def seen(task: Task, warp: Warp, n: int) -> Task:
    """A task of drawings with n looks at each: support of n times as many rows, query rows look by look."""
    support, query = (_copies(x, warp, n) for x in (task.support_x, task.query_x))
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
