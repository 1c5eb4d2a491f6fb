"""Meta-training: θ, α and β learned together on the query loss of many earlier tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metastudy.errors import TrainingError
from metastudy.mixture import MetaLearner
from metastudy.model import Params
from metastudy.tasks import TaskBatch

Sampler = Callable[[np.random.Generator], TaskBatch]


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast. Raises TrainingError for values that cannot train."""

    steps: int = 400
    tasks_per_step: int = 16
    learning_rate: float = 3e-3
    rate_of_alpha: float = 3.0  # α are few and logarithmic: they may move faster than θ
    weight_decay: float = 1e-3
    clip_norm: float = 5.0
    validate_every: int = 40
    patience: int = 5  # validations without improvement before stopping

    def __post_init__(self) -> None:
        for name in ("steps", "tasks_per_step", "learning_rate", "validate_every", "patience", "clip_norm"):
            if getattr(self, name) <= 0:
                raise TrainingError(f"{name} is {getattr(self, name)}; expected a number above 0")


@dataclass(frozen=True, eq=False)
class Trained:
    """The parameters with the lowest validation loss, and the path to them (step, train and validation loss)."""

    params: Params
    history: list[dict[str, float]]


def rng_for(*keys: int) -> np.random.Generator:
    """An independent, reproducible stream for each tuple of non-negative integers (zeros at its end do not count)."""
    return np.random.default_rng(np.random.SeedSequence(list(keys)))


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator seeded from a numpy one."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def minimise(
    params: Params,
    training_loss: Callable[[Params, np.random.Generator], Tensor],
    validation_loss: Callable[[Params], float] | None,
    config: TrainConfig,
    rng: np.random.Generator,
    label: str = "",
) -> Trained:
    """AdamW with cosine decay, gradient clipping, and early stopping on a validation loss.

    Without a validation loss it runs its full length and keeps the last parameters.
    Raises TrainingError at the first loss that is not finite, naming the step, the learner and the learning rate.
    """
    params = {k: v.clone().requires_grad_() for k, v in params.items()}
    theta = [v for k, v in params.items() if k.startswith("theta.")]
    alpha = [v for k, v in params.items() if k.startswith("alpha.")]
    beta = [v for k, v in params.items() if k.startswith("beta.")]
    groups = [{"params": theta, "weight_decay": config.weight_decay}]
    groups += [{"params": alpha, "weight_decay": 0.0, "lr": config.learning_rate * config.rate_of_alpha}]
    groups += [{"params": beta, "weight_decay": config.weight_decay}]
    groups = [g for g in groups if g["params"]]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / config.steps, 1)))
    )
    best, best_params, since, history, running = math.inf, {}, 0, [], []
    for step in range(config.steps + 1):
        if step % config.validate_every == 0 or step == config.steps:
            with torch.no_grad():
                value = validation_loss(params) if validation_loss else -float(step)
            train_loss = float(np.mean(running)) if running else math.nan
            history.append({"step": step, "train_loss": train_loss, "validation_loss": value})
            running, since = [], since + 1
            if value < best:
                best, since = value, 0
                best_params = {k: v.detach().clone() for k, v in params.items()}
            if since >= config.patience or step == config.steps:
                break
        value = training_loss(params, rng)
        if not torch.isfinite(value):
            raise TrainingError(
                f"{label or 'training'}: the loss is {value.item()} at step {step} with learning rate "
                f"{config.learning_rate}; expected a finite number. Lower the learning rate or the inner step size"
            )
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(list(params.values()), config.clip_norm)
        optimizer.step()
        schedule.step()
        running.append(value.item())
    if not best_params:
        raise TrainingError(f"{label or 'training'}: no validation loss was finite; check the validation tasks")
    return Trained(best_params, history)


def meta_train(
    learner: MetaLearner,
    sample: Sampler,
    validation: Sequence[TaskBatch],
    config: TrainConfig,
    rng: np.random.Generator,
    label: str = "",
) -> Trained:
    """Learn (θ, α, β) of `learner` on batches of training tasks; select by mean loss on fixed validation tasks."""

    def training_loss(params: Params, rng: np.random.Generator) -> Tensor:
        return learner.training_loss(params, sample(rng))

    def validation_loss(params: Params) -> float:
        return float(np.mean([learner.query_loss(params, batch).item() for batch in validation]))

    return minimise(learner.init(torch_generator(rng)), training_loss, validation_loss, config, rng, label)
