"""Meta-training: θ, α and β learned together on the query loss of many earlier tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metastudy import checkpoint as checkpoints
from metastudy.errors import TrainingError
from metastudy.meta_gradient import loss_and_gradient
from metastudy.mixture import MetaLearner
from metastudy.model import Params
from metastudy.optimise import Objective, TrainConfig, global_norm, with_gradient
from metastudy.progress import Bar
from metastudy.resume import Keeper, Training
from metastudy.samplers import Sampler, earlier_tasks
from metastudy.tasks import TaskBatch
from metastudy.trained import Trained

__all__ = ["Sampler", "TrainConfig", "Trained", "meta_train", "minimise", "rng_for", "torch_generator", "with_gradient"]


def rng_for(*keys: int) -> np.random.Generator:
    """An independent, reproducible stream for each tuple of non-negative integers (zeros at its end do not count)."""
    return np.random.default_rng(np.random.SeedSequence(list(keys)))


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator seeded from a numpy one."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def _broken(what: str, training: Training, config: TrainConfig, label: str, where: str) -> TrainingError:
    step = training.course.step
    now = config.learning_rate * config.rate(step)
    return TrainingError(
        f"{label or 'training'}: {what} at step {step} with learning rate {config.learning_rate} ({now:.2g} after "
        f"warm-up and decay){where}; expected a finite number. Lower the learning rate or the inner step size"
    )


def minimise(
    params: Params,
    objective: Objective,
    validation_loss: Callable[[Params], float] | None,
    config: TrainConfig,
    rng: np.random.Generator,
    label: str = "",
    *,
    checkpoint: Path | None = None,
    identity: Mapping[str, str] | None = None,
    where: Callable[[], str] = lambda: "",
    progress: bool | None = None,
) -> Trained:
    """AdamW with cosine decay, gradient clipping, and early stopping on a validation loss.

    `objective` gives loss and gradient (`with_gradient` makes one of a plain loss). Parameters that are memory are
    never trained. Without a validation loss it runs its full length and keeps the last parameters. An objective
    without any gradient at its first step ends training there, with the parameters it began with.

    With a `checkpoint` (*.safetensors) the run is kept there every minute and when it is interrupted, and goes on from
    there bit for bit, provided that the same training (`identity`, configuration, start) asks for it.
    `progress` shows a bar: None means where stderr is a terminal. `where` adds to the message of a failure.

    Raises TrainingError at the first loss or gradient that is not finite, naming step, learner, learning rate and
    `where`, and for a checkpoint of another run; DataError for a damaged one. A checkpoint written before stays.
    """
    training = Training(params, config, rng)
    whole = {"label": label, "config": checkpoints.description(config), **(identity or {})}
    keeper = Keeper(checkpoint, training, whole)
    try:
        with Bar(label, config.steps, training.course.step, progress) as bar:
            while True:
                course = training.course
                last = course.step == config.steps
                seen = course.history and course.history[-1]["step"] == course.step  # in the run that was interrupted
                if (course.step % config.validate_every == 0 or last) and not seen:
                    with torch.no_grad():
                        value = validation_loss(training.params) if validation_loss else -float(course.step)
                    training.validated(value)
                    if validation_loss:
                        bar.validated(value)
                if last or training.course.since >= config.patience:
                    break
                try:
                    loss, gradient = objective(training.params, rng)
                except torch.linalg.LinAlgError as error:  # how a closed form meets numbers that are not finite
                    raise _broken(str(error), training, config, label, where()) from error
                value = loss.item()
                if not math.isfinite(value):
                    raise _broken(f"the loss is {value}", training, config, label, where())
                if not gradient and course.step == 0:
                    break  # nothing to learn: all that the loss depends on is fixed
                norm = global_norm(gradient)
                if not math.isfinite(norm):
                    raise _broken(f"the norm of the gradient is {norm}", training, config, label, where())
                training.update(value, gradient, norm)
                bar.step(value)
                keeper.save_now_and_then()
    except KeyboardInterrupt:
        keeper.save()
        raise
    if training.course.best == math.inf:
        raise TrainingError(f"{label or 'training'}: no validation loss was finite; check the validation tasks")
    keeper.finish()
    return Trained(training.course.best_params, list(training.course.history))


def meta_train(
    learner: MetaLearner,
    sample: Sampler,
    validation: Sequence[TaskBatch],
    config: TrainConfig,
    rng: np.random.Generator,
    label: str = "",
    *,
    checkpoint: Path | None = None,
    progress: bool | None = None,
    device: str = "cpu",
) -> Trained:
    """Learn (θ, α, β) of `learner` on batches of training tasks; select by mean loss on fixed validation tasks.

    Mappings with a memory get training tasks of a stream of their own before the first step. Batches stream: one is
    alive at a time, however many there are. Without validation batches training runs its full length and keeps the
    last parameters. Arguments and errors as in `minimise`.

    `device` computes losses and gradients; tasks are drawn, and what is found comes back, in ordinary memory. Start and
    tasks are those of a CPU, last digits are not.
    """
    families: tuple[str, ...] = ()

    def objective(params: Params, rng: np.random.Generator) -> tuple[Tensor, Params]:
        nonlocal families
        batch = sample(rng).to(device)
        families = tuple(dict.fromkeys(task.family for task in batch.tasks))
        return loss_and_gradient(learner, params, batch, compiled=config.compiled)

    def validation_loss(params: Params) -> float:
        return float(np.mean([learner.query_loss(params, batch.to(device)).item() for batch in validation]))

    # a stream that is split off draws nothing from its parent: learners without a memory train as if there were none
    earlier = earlier_tasks(sample, learner.memory_size, rng.spawn(1)[0]) if learner.memory_size else None
    params = learner.init(torch_generator(rng), earlier)
    identity = {}
    if checkpoint is not None:
        tasks = {f"{i}/{k}": v for i, b in enumerate(validation) for k, v in vars(b).items() if isinstance(v, Tensor)}
        identity = {"learner": checkpoints.description(learner), "validation tasks": checkpoints.digest(tasks)}
    found = minimise(
        {name: value.to(device) for name, value in params.items()},
        objective,
        validation_loss if validation else None,
        config,
        rng,
        label,
        checkpoint=checkpoint,
        identity=identity,
        where=lambda: f", on tasks of {', '.join(families)}" if families else "",
        progress=progress,
    )
    return Trained({name: value.to("cpu") for name, value in found.params.items()}, found.history)
