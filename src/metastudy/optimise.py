"""How parameters move: gradients of a loss, AdamW with a cosine schedule and warm-up, clipping by the global norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metastudy.errors import TrainingError
from metastudy.mixture import is_memory
from metastudy.model import Params

Loss = Callable[[Params, np.random.Generator], Tensor]
Objective = Callable[[Params, np.random.Generator], tuple[Tensor, Params]]
"""(parameters, random stream) -> (loss without a graph, gradient). A parameter without a gradient is left out."""


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast. Raises TrainingError for values that cannot train."""

    steps: int = 400
    tasks_per_step: int = 16
    learning_rate: float = 3e-3
    rate_of_alpha: float = 3.0  # α are few and logarithmic: they may move faster than θ
    rate_of_beta: float = 10.0  # β starts at equal weights, and has to get away from them in a short training too
    weight_decay: float = 1e-3
    clip_norm: float = 5.0
    validate_every: int = 40
    patience: int = 5  # validations without improvement before stopping
    warmup: int = 0  # steps in which the learning rate grows in a line
    compiled: bool = False  # for long runs: see `meta_gradient.loss_and_gradient`

    def __post_init__(self) -> None:
        for name in ("steps", "tasks_per_step", "learning_rate", "validate_every", "patience", "clip_norm"):
            if getattr(self, name) <= 0:
                raise TrainingError(f"{name} is {getattr(self, name)}; expected a number above 0")
        if not 0 <= self.warmup < self.steps:
            raise TrainingError(f"warmup is {self.warmup}; expected from 0 to below the {self.steps} steps")

    def rate(self, step: int) -> float:
        """The share of the learning rate in force at a step: a line up to 1, then half a cosine down to 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return 0.5 * (1 + math.cos(math.pi * min((step - self.warmup) / (self.steps - self.warmup), 1)))


def with_gradient(loss: Loss) -> Objective:
    """A plain differentiable loss as an objective: one backward pass through the whole batch.

    Memory: the graph holds every activation until the backward pass. In second-order adaptation each inner step adds
    its own forward and backward activations, so a step of K inner steps needs memory linear in K (first order and
    closed forms: independent of K), times the tasks of a batch; nothing outlives the call. Where that is too much,
    `meta_gradient.loss_and_gradient` splits the batch over tasks. Evaluation runs without a graph and keeps nothing.
    """

    def objective(params: Params, rng: np.random.Generator) -> tuple[Tensor, Params]:
        trained = {name: v.detach().requires_grad_() for name, v in params.items() if not is_memory(name)}
        value = loss(params | trained, rng)
        if not value.requires_grad:
            return value, {}
        gradients = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
        found = {name: g for name, g in zip(trained, gradients, strict=True) if g is not None}
        return value.detach(), found

    return objective


class Optimizer:
    """AdamW on θ, α and β in place, each with its own rate and decay; entries that are memory stay as they are.

    Raises TrainingError for a name that is none of the three, and for a parameter that is a view of another layout.
    """

    def __init__(self, params: Params, config: TrainConfig) -> None:
        self.config = config
        self.trained = {name: v for name, v in params.items() if not is_memory(name)}
        rate = config.learning_rate
        settings = {
            "theta": {"lr": rate, "weight_decay": config.weight_decay},
            "alpha": {"lr": rate * config.rate_of_alpha, "weight_decay": 0.0},
            "beta": {"lr": rate * config.rate_of_beta, "weight_decay": config.weight_decay},
        }
        if strange := [name for name in self.trained if name.split(".")[0] not in settings]:
            raise TrainingError(f"cannot train {strange}; expected names that begin with theta., alpha. or beta.")
        if views := [name for name, v in self.trained.items() if not v.is_contiguous()]:
            raise TrainingError(f"cannot train {views} in place: views of other tensors; pass contiguous copies")
        # in the order of the groups, which is the order in which torch numbers the parameters
        self.names = [name for group in settings for name in self.trained if name.startswith(f"{group}.")]
        groups = []
        for group, own in settings.items():
            if members := [self.trained[name] for name in self.names if name.startswith(f"{group}.")]:
                groups.append({"params": members, **own})
        # fused: the parameters are many and small, and torch's loop over them takes several times as long
        self._adamw = torch.optim.AdamW(groups, lr=rate, fused=True) if groups else None
        self._full_rates = [group["lr"] for group in groups]

    def step(self, gradient: Params, norm: float, step: int) -> None:
        """One update with a gradient of this global norm, clipped. Parameters without a gradient stay."""
        too_long = norm > self.config.clip_norm
        scale = self.config.clip_norm / (norm + 1e-6) if too_long else 1.0
        for name, parameter in self.trained.items():
            own = gradient.get(name)
            if own is not None:
                # the fused kernel reads numbers in the order of memory: a turned or repeated view would be read wrongly
                own = (own * scale if too_long else own).contiguous()
            parameter.grad = own
        for group, full in zip(self._adamw.param_groups, self._full_rates, strict=True):
            group["lr"] = full * self.config.rate(step)
        self._adamw.step()

    def tensors(self) -> Params:
        """The moments and step counts: "<parameter>/<what>" -> tensor."""
        found = self._adamw.state_dict()["state"] if self._adamw else {}
        return {f"{self.names[i]}/{what}": value for i, own in found.items() for what, value in own.items()}

    def restore(self, tensors: Params) -> None:
        """The state of `tensors`, whatever it was before."""
        if self._adamw is None:
            return
        state: dict[int, Params] = {}
        for key, value in tensors.items():
            name, what = key.rsplit("/", 1)
            state.setdefault(self.names.index(name), {})[what] = value
        self._adamw.load_state_dict(self._adamw.state_dict() | {"state": state})


def global_norm(gradient: Params) -> float:
    """The Euclidean norm over all entries of all tensors."""
    return torch.nn.utils.get_total_norm(list(gradient.values())).item()
