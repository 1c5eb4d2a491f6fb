"""Random tasks, tiny models and a toy family, for the tests of the meta-learning engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from metastudy.families.base import Family, Fold, Part, Score, TaskSpec
from metastudy.model import MLP, BaseModel, Params
from metastudy.tasks import Kind, Task, TaskBatch, collate

DIM = 3
torch.set_num_threads(1)  # as in an evaluation; on sums this small more threads only wait for each other


def make_task(
    kind: Kind,
    seed: int = 0,
    n_support: int = 6,
    n_query: int = 5,
    ways: int = 3,
    n_groups: int = 2,
    name: str = "task",
) -> Task:
    """Random rows with random labels; every class and every group occurs in the support."""
    rng = np.random.default_rng(seed)
    if kind == "classification":
        n_support = max(n_support, ways)
    x = [torch.tensor(rng.normal(size=(n, DIM)), dtype=torch.float32) for n in (n_support, n_query)]
    group = [torch.tensor(rng.permutation(np.arange(n) % n_groups)) for n in (n_support, n_query)]

    def labels(n: int) -> Tensor:
        if kind == "classification":
            return torch.tensor(rng.permutation(np.arange(n) % ways))
        if kind == "binary":
            return torch.tensor(rng.permutation(np.arange(n) % 2), dtype=torch.float32)
        if kind == "regression":
            return torch.tensor(rng.normal(size=n), dtype=torch.float32)
        return torch.tensor(rng.integers(0, 4, n), dtype=torch.float32)

    groups = group if kind == "ranking" else (None, None)
    y = [labels(n) for n in (n_support, n_query)]
    n_classes = ways if kind == "classification" else 1
    return Task(name, "toy", kind, x[0], y[0], x[1], y[1], n_classes, groups[0], groups[1])


def in_double(batch: TaskBatch) -> TaskBatch:
    """The batch with every floating-point tensor in float64."""
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    floats = {k: v.double() for k, v in values.items() if isinstance(v, Tensor) and v.is_floating_point()}
    return dataclasses.replace(batch, **floats)


def double(params: Params) -> Params:
    return {k: v.double() for k, v in params.items()}


def batch_of(kind: Kind, seeds: Sequence[int] = (0, 1), **sizes: int) -> TaskBatch:
    """Equally large random tasks in float64."""
    return in_double(collate([make_task(kind, seed, **sizes) for seed in seeds]))


def small_mlp() -> MLP:
    return MLP(in_dim=DIM, hidden=(7, 5))


def random_params(model: BaseModel, seed: int = 0, scale: float = 0.3) -> Params:
    """Fresh θ in float64 with everything (biases and head too) moved away from its start."""
    generator = Generator().manual_seed(seed)
    params = double(model.init(generator))
    return {k: v + scale * torch.randn(v.shape, generator=generator, dtype=v.dtype) for k, v in params.items()}


def moved(alpha: Params, seed: int = 0, scale: float = 0.3) -> Params:
    """α in float64, away from its start."""
    generator = Generator().manual_seed(seed)
    return {k: v.double() + scale * torch.randn(v.shape, generator=generator).double() for k, v in alpha.items()}


@dataclass(frozen=True)
class Linear(BaseModel):
    """φ(x) = x: what is left of a method without learned features."""

    in_dim: int = DIM

    @property
    def feature_dim(self) -> int:
        return self.in_dim

    def init_features(self, generator: Generator) -> Params:
        return {}

    def features(self, params: Params, x: Tensor) -> Tensor:
        return x.flatten(2)


@dataclass(frozen=True)
class ToyFamily(Family):
    """Linear tasks of any kind from four sources; two folds, in which another source is tested."""

    kind: Kind = "regression"
    shots: tuple[int, ...] = (2, 4)
    n_test: int = 3
    study: ClassVar[str] = "toy"
    metrics: ClassVar[tuple[str, ...]] = ("error",)
    max_shots: ClassVar[int] = 4

    def folds(self) -> tuple[Fold, ...]:
        return Fold("one", ("a", "b"), ("c",), ("d",)), Fold("two", ("c", "d"), ("b",), ("a",))

    def model(self) -> BaseModel:
        return MLP(in_dim=DIM, hidden=(6, 4))

    def _task(self, name: str, source: str, shots: int, seed: int) -> Task:
        """`shots` rows per class or group (regression: rows); always the first ones of the same draw."""
        rng = np.random.default_rng([seed, ord(source)])
        direction = np.ones(DIM) + 0.3 * rng.normal(size=DIM)
        n_classes = 2 if self.kind == "classification" else 1
        n_support, n_query = 2 * shots, 8
        query_x, support_x = rng.normal(size=(n_query, DIM)), rng.normal(size=(2 * self.max_shots, DIM))[:n_support]

        def rows(x: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
            half = np.arange(len(x)) % 2
            if self.kind in ("classification", "binary"):
                x = x + np.where(half[:, None] == 1, direction, -direction)
                y = half
            else:
                y = x @ direction if self.kind == "regression" else (x @ direction > 0).astype(float)
            dtype = torch.int64 if self.kind == "classification" else torch.float32
            return torch.tensor(x, dtype=torch.float32), torch.tensor(y).to(dtype), torch.tensor(half)

        support, query = rows(support_x), rows(query_x)
        groups = (support[2], query[2]) if self.kind == "ranking" else (None, None)
        names = (f"{source}0", f"{source}1") if self.kind == "classification" else ()
        return Task(name, source, self.kind, *support[:2], *query[:2], n_classes, *groups, class_names=names)

    def training_classes(self, fold: Fold) -> tuple[str, ...]:
        return tuple(f"{source}{c}" for source in fold.train for c in (0, 1))

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        sources = getattr(fold, part)
        chosen = [(sources[rng.integers(len(sources))], int(rng.integers(2**31))) for _ in range(n_tasks)]
        return [self._task(f"{part}{i}", source, shots, seed) for i, (source, seed) in enumerate(chosen)]

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        return [
            TaskSpec(f"{fold.name}/{i}", fold.test[0], fold.name, ((int(rng.integers(2**31)),),), ())
            for fold in self.folds()
            for i in range(self.n_test)
        ]

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        return self._task(spec.id, spec.family, shots, spec.support[0][0])

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        if self.kind in ("classification", "binary"):
            return [Score(task.id, "error", float((prediction.argmax(1) != task.query_y).float().mean()))]
        return [Score(task.id, "error", float(((prediction - task.query_y) ** 2).mean()))]

    def content_hash(self) -> str:
        return "toy"


class NoTestFold:
    """Stands in for a Fold; asking for its test part fails."""

    def __init__(self, fold: Fold) -> None:
        self.name, self.train, self.validation = fold.name, fold.train, fold.validation

    @property
    def test(self) -> tuple[str, ...]:
        raise AssertionError("test tasks were asked for before evaluation")
