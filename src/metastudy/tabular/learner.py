"""g on tables, whose β may depend on what the columns are like, and never on where they stand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.mixture import MetaLearner, without_prefix
from metastudy.model import ColumnNet, Params
from metastudy.tasks import TaskBatch

BIAS, WEIGHT = "beta.bias", "beta.weight"


def table_embedding(model: ColumnNet, theta: Params, batch: TaskBatch) -> Tensor:
    """e(T) of a table's support, (T, 2 + 2 width): logarithms of its numbers of rows and of columns, and mean and
    spread over rows of each of a column's features φ, averaged over the columns."""
    n_tasks, n_rows = batch.support_mask.shape
    phi = model.features(theta, batch.support_x).reshape(n_tasks, n_rows, -1, model.width)
    mask = batch.support_mask[:, :, None, None]
    real = batch.support_x[:, 0, :, -1:]  # (T, P, 1)
    count, n_columns = mask.sum(1).clamp(min=1), real.sum(1).clamp(min=1)  # (T, 1, 1), (T, 1)
    mean = (phi * mask).sum(1) / count  # (T, P, width)
    spread = (((phi - mean[:, None]) ** 2 * mask).sum(1) / count + 1e-6).sqrt()
    contents = [(v * real).sum(1) / n_columns for v in (mean, spread)]
    return torch.cat([count[:, 0].log() - 2, n_columns.log() - 2, *contents], -1)


@dataclass(frozen=True)
class TableLearner(MetaLearner):
    """`MetaLearner` on a `ColumnNet`, with β(T) = softmax(b + W e(T)) on `table_embedding`: the order of columns is
    nothing to it, nor how many places a table is padded to. W starts at zero, so β begins uniform."""

    def init(self, generator: Generator, earlier: TaskBatch | None = None) -> Params:
        params = super().init(generator, earlier)
        if WEIGHT in params:
            params[WEIGHT] = torch.zeros(len(self.mappings), 2 + 2 * self.model.width)
        return params

    def weights(self, params: Params, batch: TaskBatch) -> Tensor:
        if len(self.mappings) == 1:
            return batch.support_mask.new_ones(batch.n_tasks, 1)
        logits = params[BIAS].expand(batch.n_tasks, -1)
        if self.beta == "task":
            embedding = table_embedding(self.model, without_prefix(params, "theta."), batch)
            logits = logits + embedding @ params[WEIGHT].T
        return F.softmax(logits, dim=-1)
