"""ψ in one forward pass: a learned network reads the support and writes the adaptation (amortised)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt.base import Mapping
from metastudy.adapt.prototypes import gain_degree, memberships, weighted_means
from metastudy.losses import group_mean
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params, linear
from metastudy.tasks import TaskBatch


def _layer(name: str, n_in: int, n_out: int, scale: float, generator: Generator) -> Params:
    """Weights N(0, scale² / n_in), zero bias."""
    weight = torch.randn(n_in, n_out, generator=generator) * scale / sqrt(n_in)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(1, n_out)}


def encode(alpha: Params, phi: Tensor, batch: TaskBatch) -> Tensor:
    """The support as one vector r_c per class, or one in all: φ (T, S, d) -> (T, C, R + 1).

    r_c is the mean over the rows of a small network on (φ(x_s), y_s) (Garnelo et al. 2018, eq. 1 and 2), and the
    logarithm of one plus their number. Classes have no label to read, they are averaged apart instead, so renaming
    them renames the r_c. Labels are ±1 in binary tasks, and from -1 to 1 by share of gain in ranking, where φ is
    taken within groups.
    """
    weights = batch.support_mask[..., None]
    if batch.kind == "classification":
        label, weights = torch.zeros_like(batch.support_mask), memberships(batch)
    elif batch.kind == "regression":
        label = batch.support_y
    elif batch.kind == "binary":
        label = 2 * batch.support_y - 1
    else:
        label = 2 * gain_degree(batch) - 1
        phi = phi - group_mean(phi, batch.support_group, batch.support_mask)
    hidden = F.relu(linear(alpha, "encode0", torch.cat([phi, label[..., None]], -1)))
    pooled = weighted_means(linear(alpha, "encode1", hidden), weights)
    return torch.cat([pooled, weights.sum(1).log1p()[..., None]], -1)


@dataclass(frozen=True)
class FiLM(Mapping):
    """w(r)·((1 + γ(r)) φ(x) + δ(r)) + b(r): scale and shift of features, and a head, from an encoding r of the support.

    A conditional neural process (Garnelo et al. 2018, sec. 2) that writes FiLM parameters and head weights instead
    of a latent input, as in CNAPs (Requeima et al. 2019, sec. 2). γ and δ come from the mean of r over
    classes, w_c and b_c from r_c and that mean. w and b are added to f's own head where outputs mean the same in
    all tasks (binary, regression, ranking). All of α is these networks; their last layers start near zero, so that
    the mapping starts near f (classification: near equal probabilities).

    Deviations: only the last features are modulated, not every layer; r also holds the number of rows, without
    which one row weighs as much as twenty. γ, δ and w belong to positions in φ: with a model whose features stand for
    columns that change places from table to table (ColumnNet), this mapping has nothing to hold on to.
    """

    name: ClassVar[str] = "film"
    width: int = 32

    def init(self, model: BaseModel, generator: Generator) -> Params:
        dim, width = model.feature_dim, self.width
        return {
            **_layer("encode0", dim + 1, width, sqrt(2), generator),
            **_layer("encode1", width, width, sqrt(2), generator),
            **_layer("to_film", width + 1, 2 * dim, 0.01, generator),
            **_layer("to_head", 2 * (width + 1), dim + 1, 0.01, generator),
        }

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        phi_s, phi_q = model.features(theta, batch.support_x), model.features(theta, batch.query_x)
        per_class = encode(alpha, phi_s, batch)  # (T, C, R + 1)
        present = batch.class_mask[..., None]
        whole = (per_class * present).sum(1, keepdim=True) / present.sum(1, keepdim=True)  # (T, 1, R + 1)
        scale, shift = linear(alpha, "to_film", F.relu(whole)).chunk(2, dim=-1)  # (T, 1, d) each
        both = torch.cat([per_class, whole.expand_as(per_class)], -1)
        head = linear(alpha, "to_head", F.relu(both)).transpose(1, 2)  # (T, d + 1, C)
        weight, bias = head[:, :-1], head[:, -1:]
        if batch.kind != "classification":
            weight, bias = weight + theta[HEAD_WEIGHT], bias + theta[HEAD_BIAS]
        return ((1 + scale) * phi_q + shift) @ weight + bias
