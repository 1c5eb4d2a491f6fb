"""One task's labelled rows, divided anew: every example is in the support once, so that a pass through φ pays more."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from metastudy.errors import TaskError
from metastudy.tasks import TaskBatch


def _divisions(labels: Tensor, shots: int) -> list[tuple[Tensor, Tensor]]:
    """Rows of support and query, as often as every class has another `shots` rows; the first division is as given."""
    rows = [torch.nonzero(labels == c)[:, 0] for c in labels.unique().tolist()]
    found = []
    for r in range(min(len(of_class) for of_class in rows) // shots):
        rolled = [of_class.roll(-r * shots) for of_class in rows]
        support = torch.stack([of_class[:shots] for of_class in rolled]).flatten()
        found.append((support, torch.cat([of_class[shots:] for of_class in rolled])))
    return found


def resplit(batch: TaskBatch) -> TaskBatch:
    """The tasks of a classification batch, each once for every division of its rows into k a class and the rest.

    Laenen & Bertinetto (2021, On episodes, prototypical networks, and few-shot learning) find that one fixed division
    wastes most pairs of rows that a batch has paid for. Here a class with k support rows of n in all gives n // k
    tasks, in which other rows are the support; k stays, and so does what the task asks. Rows stay those of the batch,
    so `x` may be features with a graph behind them. `tasks` of the batch are dropped: they describe one division.

    Raises TaskError for another kind than classification, and where classes of one task differ in support rows.
    """
    if batch.kind != "classification":
        raise TaskError(f"tasks of kind {batch.kind!r} cannot be divided anew; expected exchangeable classes")
    parts: dict[str, list[Tensor]] = {name: [] for name in ("support_x", "support_y", "query_x", "query_y")}
    class_masks = []
    device = batch.support_x.device
    small = replace(batch, support_x=batch.support_y, query_x=batch.query_y).to("cpu")  # counted here
    for t in range(batch.n_tasks):
        support, query = small.support_mask[t] > 0, small.query_mask[t] > 0
        real = torch.nonzero(torch.cat([support, query]))[:, 0]
        x = torch.cat([batch.support_x[t], batch.query_x[t]])
        y = torch.cat([small.support_y[t], small.query_y[t]])[real]
        counts = small.support_y[t][support].unique(return_counts=True)[1]
        if len(counts.unique()) > 1:
            raise TaskError(
                f"a task has {counts.tolist()} support rows of its classes; dividing anew needs as many of each"
            )
        for own, others in _divisions(y, int(counts[0])):
            for name, rows in (("support", own), ("query", others)):
                parts[f"{name}_x"].append(x[real[rows].to(device)])
                parts[f"{name}_y"].append(y[rows])
            class_masks.append(small.class_mask[t])
    padded = {n: torch.nn.utils.rnn.pad_sequence(v, batch_first=True) for n, v in parts.items()}
    for name in ("support", "query"):
        ones = [torch.ones_like(y, dtype=batch.support_mask.dtype) for y in parts[f"{name}_y"]]
        padded[f"{name}_mask"] = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True)
        padded[f"{name}_group"] = torch.zeros_like(padded[f"{name}_y"])
    return replace(batch, **padded, class_mask=torch.stack(class_masks), tasks=()).to(device)
