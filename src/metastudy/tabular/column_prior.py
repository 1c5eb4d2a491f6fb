"""ψ for tables: a ridge head around a prior that a small network reads off each column's own statistics.

What is learned from earlier tables is not what a column means, for columns differ from table to table, but how much a
column with such statistics in so few labelled rows is worth, and in which direction. Networks that read data sets
column by column: Hollmann et al. 2023 (TabPFN), Müller et al. 2022; here the network gives only the prior, and the
answer is a ridge head in closed form, which the support can always overrule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt.base import Mapping
from metastudy.adapt.ridge import solve_ridge, targets
from metastudy.errors import TaskError
from metastudy.model import BaseModel, ColumnNet, Params
from metastudy.models.base import init_linear, linear
from metastudy.tabular.statistics import STATISTICS, column_statistics
from metastudy.tasks import Kind, TaskBatch

WIDEST = 4.0  # logarithm of the widest prior, and of the narrowest
SMALL = 0.1  # what the last layers start with, so that the prior starts near nothing
TINY = 1e-6


class Prior(NamedTuple):
    """mean, width (T, d, 1) of the weights of φ; log_scale (T, 1, 1) of the scores."""

    mean: Tensor
    width: Tensor
    log_scale: Tensor


def n_read(batch: TaskBatch) -> Tensor:
    """Real support rows, (T, 1)."""
    return batch.support_mask.sum(1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class ColumnPrior(Mapping):
    """W = γM + argmin_Δ ||Φ(γM + Δ) - Y||² + λ Σ_f Δ_f² / v_f², with M and v read off the columns.

    `hidden` wide, the network reads a column's `column_statistics`, then these together with their mean over all
    columns, and says for each of the column's features φ a mean M_f and a width v_f, and for the whole table a scale
    of the scores. γ = sigmoid(a + b r + c log S) is a gate: r correlates the prior's scores of the support with its
    labels, so a prior that contradicts S labelled rows counts less. α: the network, a, b, c, λ and a scale.

    Needs f to be a `ColumnNet`: its features are what a weight belongs to. Padding has features and prior zero.
    """

    name: ClassVar[str] = "column_prior"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"binary"})
    hidden: int = 32
    initial_penalty: float = 1.0
    initial_scale: float = 1.0

    def init(self, model: BaseModel, generator: Generator) -> Params:
        if not isinstance(model, ColumnNet):
            raise TaskError(f"{self.name} reads columns, and f is {type(model).__name__}; expected a ColumnNet")
        params = init_linear("column", len(STATISTICS), self.hidden, generator)
        params |= init_linear("beside", 2 * self.hidden, self.hidden, generator)
        for name, n_out in (("weight_prior", 2 * model.width), ("table", 1)):
            params |= init_linear(name, self.hidden, n_out, generator)
            params[f"{name}.weight"] = SMALL * params[f"{name}.weight"]
        return params | {
            "gate": torch.tensor([1.0, 1.0, 0.0]),
            "log_penalty": torch.tensor(self.initial_penalty).log(),
            "log_scale": torch.tensor(self.initial_scale).log(),
        }

    def prior(self, alpha: Params, batch: TaskBatch) -> Prior:
        """What the network says, before the gate."""
        statistics, real = column_statistics(batch)  # (T, P, K), (T, P)
        real = real[..., None]
        n_columns = real.sum(1, keepdim=True).clamp(min=1)
        h = F.relu(linear(alpha, "column", statistics)) * real
        beside = (h.sum(1, keepdim=True) / n_columns).expand_as(h)
        h = F.relu(linear(alpha, "beside", torch.cat([h, beside], -1))) * real
        mean, log_width = (linear(alpha, "weight_prior", h) * real).chunk(2, -1)  # (T, P, width) each
        width = log_width.clamp(-WIDEST, WIDEST).exp()
        log_scale = linear(alpha, "table", h.sum(1, keepdim=True) / n_columns)
        return Prior(mean.flatten(1)[..., None], width.flatten(1)[..., None], log_scale)

    def gate(self, alpha: Params, said: Tensor, y: Tensor, batch: TaskBatch) -> Tensor:
        """γ, (T, 1, 1), from the prior's scores of the support and its targets, both (T, S, 1) and 0 on padding."""
        agreement = (said * y).sum(1) / ((said**2).sum(1) * (y**2).sum(1) + TINY).sqrt()
        a, b, c = alpha["gate"]
        return torch.sigmoid(a + b * agreement + c * (n_read(batch).log() - 1))[..., None]

    def head(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """W with its intercept in the last row, (T, d + 1, 1), and log_scale (T, 1, 1)."""
        mask = batch.support_mask[..., None]
        phi = model.features(theta, batch.support_x) * mask
        y = targets(batch) * mask
        mean, width, log_scale = self.prior(alpha, batch)
        mean = mean * self.gate(alpha, phi @ mean, y, batch)
        start = torch.cat([mean, torch.zeros_like(mean[:, :1])], 1)
        width = torch.cat([width, torch.ones_like(width[:, :1])], 1)
        x = torch.cat([phi, mask], -1)
        # ridge on x v is ridge with penalty λ / v² on x
        change = width * solve_ridge(x * width.transpose(1, 2), y - x @ start, alpha["log_penalty"].exp())
        return start + change, alpha["log_scale"] + log_scale

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        weight, log_scale = self.head(model, theta, alpha, batch)
        phi = model.features(theta, batch.query_x)
        return log_scale.exp() * (torch.cat([phi, torch.ones_like(phi[..., :1])], -1) @ weight)
