"""Everything that is compared: meta-learners and honest baselines behind one call, `fit` then `predict`.

All methods of a study share the family's base model f, its tasks and its training budget; only the way of adapting
differs. Whatever is tuned is tuned on validation tasks, separately for each number of shots.
"""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor
from torch.nn import functional as F

from metastudy.adapt import Mapping, Unadapted
from metastudy.adapt.adam import train_on_support
from metastudy.families.base import Family, Fold
from metastudy.losses import PROBABILISTIC, loss, predict
from metastudy.mixture import MetaLearner, without_prefix
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params
from metastudy.tasks import Task, TaskBatch, collate
from metastudy.train import TrainConfig, Trained, meta_train, minimise, rng_for, torch_generator, with_gradient
from metastudy.trained import load

CHUNK = 32  # tasks predicted at once: bounds memory, not results
N_VALIDATION = 40  # validation tasks per number of shots

Predictor = Callable[[Iterable[Task], int], list[Tensor]]
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method fitted on one fold: `predict(tasks, shots)` gives one prediction per task, as `Family.score` wants.

    Tasks may stream (a generator): few are held at once, and no graph is kept. `weights`: β(T) of tasks, (T, m), where
    there is a mixture.
    """

    predict: Predictor
    learner: MetaLearner | None = None
    trained: Trained | None = None
    weights: Callable[[Sequence[Task]], Tensor] | None = None


def training_batches(family: Family, fold: Fold, config: TrainConfig) -> Callable[[np.random.Generator], TaskBatch]:
    """Batches of training tasks; the number of shots varies from batch to batch, so one model serves them all."""

    def sample(rng: np.random.Generator) -> TaskBatch:
        shots = int(rng.choice(family.shots))
        return collate(family.sample(fold, "train", shots, config.tasks_per_step, rng))

    return sample


def validation_tasks(family: Family, fold: Fold) -> dict[int, list[Task]]:
    """The same validation tasks for every method and seed of a fold, by number of shots."""
    number = [f.name for f in family.folds()].index(fold.name)
    return {k: family.sample(fold, "validation", k, N_VALIDATION, rng_for(7, number, k)) for k in family.shots}


def to_scores(prediction: Tensor, batch: TaskBatch) -> list[Tensor]:
    """(T, Q, C) as the losses want it -> one unpadded (Q, C) probabilities or (Q,) values per task."""
    rows = [p[: len(task.query_y)] for p, task in zip(prediction, batch.tasks, strict=True)]
    if batch.kind in PROBABILISTIC:
        return [r.exp()[:, : max(2, t.n_classes)] for r, t in zip(rows, batch.tasks, strict=True)]
    return [r[:, 0] for r in rows]


def chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter; takes no more from `items` than the next list needs."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def in_chunks(predict_batch: Callable[[TaskBatch, int], Tensor]) -> Predictor:
    """Lift a predictor of batches to one of any number of tasks; keeps no graph."""

    def predict_tasks(tasks: Iterable[Task], shots: int) -> list[Tensor]:
        out: list[Tensor] = []
        with torch.no_grad():
            for chunk in chunks(tasks):
                batch = collate(chunk)
                # copies: a view would keep the padded predictions of the whole chunk
                out += [scores.clone() for scores in to_scores(predict_batch(batch, shots), batch)]
        return out

    return predict_tasks


class Method(ABC):
    """Something that learns from earlier tasks, or not, and then predicts new ones from their support."""

    name: str
    deterministic: ClassVar[bool] = False

    @abstractmethod
    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        """Learn on the training tasks of a fold, tune on its validation tasks.

        Training that takes long is kept in `checkpoint` (*.safetensors), from where the same call goes on.
        """


@dataclass(frozen=True)
class MetaMethod(Method):
    """(θ, α, β) meta-trained together: g, or a classical method when it holds a single mapping.

    `model` stands in for the family's own base model, where base models are compared.
    """

    name: str
    mappings: tuple[Mapping, ...]
    model: BaseModel | None = None
    resplit: bool = False  # see `MetaLearner`

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        learner = self.learner(family)
        validation = [collate(tasks) for tasks in validation_tasks(family, fold).values()]
        label = f"{family.study}, fold {fold.name}, {self.name}"
        sample = training_batches(family, fold, config)
        trained = meta_train(learner, sample, validation, config, rng_for(seed, 1), label, checkpoint=checkpoint)
        return self._fitted(learner, trained)

    def load(self, family: Family, path: Path) -> Fitted:
        """Fitted without training, from a file that `trained.save` wrote. Errors as in `trained.load`."""
        learner = self.learner(family)
        return self._fitted(learner, load(path, learner))

    def learner(self, family: Family) -> MetaLearner:
        """f and its mappings, without parameters."""
        return MetaLearner(self.model or family.model(), self.mappings, resplit=self.resplit)

    def _fitted(self, learner: MetaLearner, trained: Trained) -> Fitted:
        def weights(tasks: Sequence[Task]) -> Tensor:
            with torch.no_grad():
                return torch.cat([learner.weights(trained.params, collate(some)) for some in chunks(tasks)])

        predict = in_chunks(lambda batch, _: learner.predict(trained.params, batch))
        return Fitted(predict, learner, trained, weights if len(learner.mappings) > 1 else None)


def pooled() -> MetaMethod:
    """One model for all earlier tasks, used as it is: m = 1 with the mapping that does not adapt."""
    return MetaMethod("pooled", (Unadapted(),))


def _pretrain_classifier(
    family: Family, fold: Fold, config: TrainConfig, rng: np.random.Generator, checkpoint: Path | None
) -> Params:
    """θ of one ordinary classifier over all training classes (Chen et al. 2019, "Baseline"); its head is dropped.

    No validation task has these classes, so training runs its full length.
    """
    model, sample = family.model(), training_batches(family, fold, config)
    names = sorted(family.training_classes(fold))
    index = {n: i for i, n in enumerate(names)}
    params = {f"theta.{k}": v for k, v in model.init(torch_generator(rng)).items()}
    wide = torch.randn(model.feature_dim, len(names), generator=torch_generator(rng)) / model.feature_dim**0.5
    params |= {f"theta.{HEAD_WEIGHT}": wide, f"theta.{HEAD_BIAS}": torch.zeros(1, len(names))}

    def training_loss(params: Params, rng: np.random.Generator) -> Tensor:
        batch = sample(rng)
        logits = model(without_prefix(params, "theta."), batch.query_x)
        # tasks may differ in their number of classes: rows of all tasks are one pile, without the padding
        target = torch.tensor([index[t.class_names[c]] for t in batch.tasks for c in t.query_y.tolist()])
        return F.cross_entropy(logits[batch.query_mask > 0], target)

    label = f"{family.study}, fold {fold.name}, pretraining"
    trained = minimise(params, with_gradient(training_loss), None, config, rng, label, checkpoint=checkpoint)
    fresh_head = {HEAD_WEIGHT: torch.zeros(model.feature_dim, 1), HEAD_BIAS: torch.zeros(1, 1)}
    return without_prefix(trained.params, "theta.") | fresh_head


@dataclass(frozen=True)
class FineTuned(Method):
    """Pooled training, then Adam on the support; rate and number of steps (0: none) chosen on validation tasks."""

    name: str = "fine-tuned"
    rates: tuple[float, ...] = (0.001, 0.01)
    n_steps: tuple[int, ...] = (5, 20, 60)

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        model = family.model()
        if family.kind == "classification":
            theta = _pretrain_classifier(family, fold, config, rng_for(seed, 1), checkpoint)
        else:
            trained = pooled().fit(family, fold, config, seed, checkpoint).trained
            theta = model.untied(without_prefix(trained.params, "theta."))

        def adapt(batch: TaskBatch, setting: tuple[float, int]) -> Tensor:
            return model(train_on_support(model, theta, batch, *setting), batch.query_x)

        return tuned(family, fold, adapt, [(0.0, 0), *itertools.product(self.rates, self.n_steps)])


@dataclass(frozen=True)
class Scratch(Method):
    """f trained from random weights on the support alone, by Adam; number of steps chosen on validation tasks."""

    name: str = "from scratch"
    learning_rate: float = 0.01
    n_steps: tuple[int, ...] = (10, 40, 120)

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        model = family.model()
        theta = model.untied(model.init(torch_generator(rng_for(seed, 1))))

        def adapt(batch: TaskBatch, n_steps: int) -> Tensor:
            return model(train_on_support(model, theta, batch, self.learning_rate, n_steps), batch.query_x)

        return tuned(family, fold, adapt, list(self.n_steps))


def tuned(family: Family, fold: Fold, adapt: Callable[[TaskBatch, object], Tensor], grid: Sequence[object]) -> Fitted:
    """`adapt(batch, setting)` gives scores; per number of shots, take the setting with the lowest validation loss."""
    chosen: dict[int, object] = {}
    for shots, tasks in validation_tasks(family, fold).items():
        batch = collate(tasks)
        losses = []
        with torch.no_grad():
            for setting in grid:
                prediction = predict(batch.kind, adapt(batch, setting), batch.class_mask)
                value = loss(batch.kind, prediction, batch.query_y, batch.query_mask, batch.query_group).mean()
                losses.append(float(value) if torch.isfinite(value) else np.inf)
        chosen[shots] = grid[int(np.argmin(losses))]
    return Fitted(in_chunks(lambda batch, shots: predict(batch.kind, adapt(batch, chosen[shots]), batch.class_mask)))


@dataclass(frozen=True)
class Classifier(Method):
    """A scikit-learn classifier fitted on each support alone; one of `grid` is chosen on validation tasks."""

    name: str
    make: Callable[..., ClassifierMixin]
    grid: tuple[dict[str, object], ...] = field(default=({},))
    channel: int | None = None  # which channel of (N, P, channels) inputs holds the plain values; None: all of x
    deterministic: ClassVar[bool] = True

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        def inputs(x: Tensor) -> np.ndarray:
            return (x if self.channel is None else x[..., self.channel]).flatten(1).numpy()

        def one(task: Task, setting: dict[str, object]) -> Tensor:
            estimator = self.make(**setting).fit(inputs(task.support_x), task.support_y.numpy().astype(int))
            return torch.tensor(estimator.predict_proba(inputs(task.query_x)), dtype=torch.float32)

        def log_loss(task: Task, setting: dict[str, object]) -> float:
            likelihood = one(task, setting).gather(1, task.query_y.long()[:, None])
            return -float(likelihood.clamp(min=1e-6).log().mean())

        chosen = dict.fromkeys(family.shots, self.grid[0])
        if len(self.grid) > 1:
            for shots, tasks in validation_tasks(family, fold).items():
                values = [np.mean([log_loss(task, setting) for task in tasks]) for setting in self.grid]
                chosen[shots] = self.grid[int(np.argmin(values))]
        return Fitted(lambda tasks, shots: [one(task, chosen[shots]) for task in tasks])


@dataclass(frozen=True)
class InputColumn(Method):
    """The classical tool of a field whose score is already among the inputs (Lead, LexRank, BM25)."""

    name: str
    column: int
    sign: float = 1.0
    deterministic: ClassVar[bool] = True

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        return Fitted(lambda tasks, _: [self.sign * task.query_x[:, self.column] for task in tasks])


@dataclass(frozen=True)
class RandomScores(Method):
    """What choosing without looking is worth: a random score for each query row, from the seed and the task alone."""

    name: str = "random"

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        def one(task: Task) -> Tensor:
            digest = hashlib.sha256(task.id.encode()).digest()
            rng = rng_for(seed, 5, int.from_bytes(digest[:8], "big"))
            return torch.from_numpy(rng.random(len(task.query_y))).float()

        return Fitted(lambda tasks, _: [one(task) for task in tasks])


def field_baselines(family: Family) -> list[Method]:
    """The family's own classical tools."""
    return [InputColumn(b.name, b.column, b.sign) for b in family.field_baselines]


def alone(*mappings: Mapping) -> list[Method]:
    """Each mapping by itself: m = 1."""
    return [pooled() if isinstance(m, Unadapted) else MetaMethod(m.name, (m,)) for m in mappings]


def mixture_and_members(*mappings: Mapping) -> list[Method]:
    """Each mapping alone, then g over all of them."""
    return [*alone(*mappings), MetaMethod("g", tuple(mappings))]
