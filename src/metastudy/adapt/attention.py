"""ψ by attention over the support (Vinyals et al. 2016, Matching networks): a learned kernel smoother."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt.base import Mapping
from metastudy.adapt.prototypes import cosines, squared_distances
from metastudy.losses import gain_distribution
from metastudy.model import BaseModel, Params
from metastudy.tasks import TaskBatch


@dataclass(frozen=True)
class Attention(Mapping):
    """ŷ(x) = Σ_s a(x, x_s) y_s with a = softmax_s(-τ ||φ(x) - φ(x_s)||²) (Matching networks, eq. 1).

    classification and binary return the log (odds) of the attended label mass. `similarity="cosine"` attends by
    τ cos(φ(x), φ(x_s)), as in the paper. Deviations: squared Euclidean distance by default, a learned τ, no
    full-context embeddings; a learned output scale for ranking.
    """

    name: ClassVar[str] = "attention"
    on_features: ClassVar[bool] = True
    similarity: Literal["euclidean", "cosine"] = "euclidean"

    def init(self, model: BaseModel, generator: Generator) -> Params:
        temperature = 10.0 if self.similarity == "cosine" else 8 / model.feature_dim
        return {"log_temperature": torch.tensor(temperature).log(), "log_scale": torch.tensor(0.0)}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        phi_s, phi_q = model.features(theta, batch.support_x), model.features(theta, batch.query_x)
        alike = cosines(phi_q, phi_s) if self.similarity == "cosine" else -squared_distances(phi_q, phi_s)
        logits = alpha["log_temperature"].exp() * alike
        logits = logits.masked_fill(batch.support_mask[:, None, :] == 0, -torch.inf)
        attention = F.softmax(logits, dim=-1)  # (T, Q, S)
        if batch.kind == "classification":
            return (attention @ F.one_hot(batch.support_y, batch.n_classes).to(attention)).clamp(min=1e-6).log()
        if batch.kind == "binary":
            sick = (attention @ batch.support_y[..., None]).clamp(1e-6, 1 - 1e-6)
            return torch.logit(sick)
        if batch.kind == "regression":
            return attention @ batch.support_y[..., None]
        share = gain_distribution(batch.support_y, batch.support_group, batch.support_mask)[..., None]
        return alpha["log_scale"].exp() * (attention @ share)
