"""ψ that refits f's head on the support, held near the source hospitals' head by a Gaussian prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt import Mapping
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params
from metastudy.tasks import Kind, TaskBatch

N_STEPS = 20
N_HALVINGS = 12  # of a step: the best of so many lengths is taken


def newton_step(x: Tensor, y: Tensor, mask: Tensor, centre: Tensor, penalty: Tensor, head: Tensor) -> Tensor:
    """One Newton step of the penalised logistic loss from `head` (T, d).

    x (T, S, d), y and mask (T, S), centre and penalty (d,) -> (T, d), the step.
    """
    p = torch.sigmoid((x @ head[..., None])[..., 0])  # (T, S)
    slope = (x * ((p - y) * mask)[..., None]).sum(1) + penalty * (head - centre)
    curvature = (x * (p * (1 - p) * mask)[..., None]).transpose(1, 2) @ x + torch.diag(penalty)
    return -torch.linalg.solve(curvature, slope[..., None])[..., 0]


def solve_logistic(x: Tensor, y: Tensor, mask: Tensor, centre: Tensor, penalty: Tensor) -> Tensor:
    """argmin_w Σ_s log loss of σ(x_s · w) + ½ Σ_i penalty_i (w_i - centre_i)²; shapes as in `newton_step`.

    Newton's method, each step the best of its halvings: full steps may cycle where f is sure of what is wrong. The last
    step alone is differentiated: at the optimum its derivative is that of the optimum itself (implicit
    differentiation), so no step before it needs a graph.
    """
    sign = (2 * y - 1)[..., None]
    length = 0.5 ** torch.arange(N_HALVINGS, dtype=x.dtype, device=x.device)
    with torch.no_grad():
        head = centre.expand(len(x), -1)
        for _ in range(N_STEPS):
            step = newton_step(x, y, mask, centre, penalty, head)
            tried = head[..., None] + step[..., None] * length  # (T, d, lengths)
            loss = -(F.logsigmoid(sign * (x @ tried)) * mask[..., None]).sum(1)
            loss = loss + (penalty[:, None] * (tried - centre[:, None]) ** 2).sum(1) / 2
            head = tried.gather(2, loss.argmin(1)[:, None, None].expand(-1, len(centre), 1))[..., 0]
    return head + newton_step(x, y, mask, centre, penalty, head)


@dataclass(frozen=True)
class PriorCentred(Mapping):
    """Logistic regression on the support's φ with f's head as the centre of its prior; without support it is f.

    α: the penalty on coefficients and that on the intercept, which is lower, since prevalence differs between hospitals
    more than what the findings mean. Source: maximum a posteriori adaptation (Chelba and Acero 2006, sec. 4).
    """

    name: str = "prior_centred"
    on_features: ClassVar[bool] = True
    kinds: ClassVar[frozenset[Kind]] = frozenset({"binary"})

    def init(self, model: BaseModel, generator: Generator) -> Params:
        return {"log_penalty": torch.tensor(30.0).log(), "log_intercept_penalty": torch.tensor(1.0).log()}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        phi_s, phi_q = (
            torch.cat([phi, torch.ones_like(phi[..., :1])], -1)
            for phi in (model.features(theta, batch.support_x), model.features(theta, batch.query_x))
        )
        centre = torch.cat([theta[HEAD_WEIGHT], theta[HEAD_BIAS]])[:, 0]  # (d + 1,)
        penalty = alpha["log_penalty"].exp().expand(len(centre) - 1)
        penalty = torch.cat([penalty, alpha["log_intercept_penalty"].exp()[None]])
        head = solve_logistic(phi_s, batch.support_y, batch.support_mask, centre, penalty)
        return phi_q @ head[..., None]
