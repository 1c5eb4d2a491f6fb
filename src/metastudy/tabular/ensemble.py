"""Several trainings of one g on one table: their mean, and which columns moved it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.mixture import without_prefix
from metastudy.model import ColumnNet, Params
from metastudy.tabular.column_prior import ColumnPrior
from metastudy.tabular.learner import TableLearner
from metastudy.tabular.varied import reversed_labels
from metastudy.tasks import Task, TaskBatch, collate
from metastudy.threads import one_thread_each


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """A learner of tables, (θ, α, β) of each of its trainings, and a record of how they came (`about`).

    Raises ParameterError without parameters, or for a learner whose parameters belong to columns.
    """

    learner: TableLearner
    params: tuple[Params, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (
            not self.params
            or not isinstance(self.learner, TableLearner)
            or not isinstance(self.learner.model, ColumnNet)
        ):
            found = f"{type(self.learner).__name__} of {type(self.learner.model).__name__}"
            raise ParameterError(
                f"{len(self.params)} trainings of {found}; expected one or more, TableLearner of ColumnNet"
            )

    def __repr__(self) -> str:
        names = ", ".join(m.name for m in self.learner.mappings)
        return f"Ensemble({len(self.params)} trainings of {names})"

    def __deepcopy__(self, memo: object) -> Ensemble:
        return self  # nothing changes it: copies of an estimator (a search has many) share it

    def on_table(self, n_columns: int) -> OnTable:
        """The same for rows of `n_columns` columns without padding, be they fewer than in training or more.

        Parameters belong to no place in a table, and padding has no effect: so what a narrower table saves is time.
        """
        model = replace(self.learner.model, n_columns=n_columns)
        params = tuple({name: value.double() for name, value in p.items()} for p in self.params)
        return OnTable(replace(self.learner, model=model), params)


@dataclass(frozen=True, eq=False)
class OnTable:
    """An ensemble for tables of one width, in double precision.

    A `Task` below holds one table; its query labels are never read. `oriented=False` averages log odds with those,
    times -1, of the task with healthy for sick: swapping the classes then swaps the answer exactly, and whatever was
    learned about which way columns point has no effect.
    """

    learner: TableLearner
    params: tuple[Params, ...]

    def log_odds(self, task: Task, oriented: bool = True) -> np.ndarray:
        """Of class 1, from the mean of the trainings' probabilities: (Q,)."""

        def one(batch: TaskBatch) -> Tensor:
            mean = torch.stack([self.learner.predict(p, batch)[0] for p in self.params]).logsumexp(0)
            return mean[:, 1] - mean[:, 0]

        return _both_ways(one, task, oriented)

    def members(self, task: Task, oriented: bool = True) -> np.ndarray:
        """Log odds of each member alone, the mean over trainings: (Q, m)."""

        def one(batch: TaskBatch) -> Tensor:
            found = torch.stack([torch.cat(self.learner.members(p, batch)) for p in self.params]).mean(0)
            return (found[..., 1] - found[..., 0]).T

        return _both_ways(one, task, oriented)

    def by_column(self, task: Task, oriented: bool = True) -> np.ndarray:
        """How far each column moves the log odds of the linear member from their mean over the support: (Q, P).

        W (φ(x) - mean φ) exp(log_scale), summed over a column's features, the mean over trainings: what a Shapley value
        is for a linear model whose features count as independent (Lundberg and Lee 2017, corollary 1). Raises
        ParameterError where no member is a `ColumnPrior`.
        """
        model = self.learner.model
        prior = next((m for m in self.learner.mappings if isinstance(m, ColumnPrior)), None)
        if prior is None:
            names = [m.name for m in self.learner.mappings]
            raise ParameterError(
                f"the members are {names}; expected {ColumnPrior.name!r} among them: it is the linear one"
            )

        def one(batch: TaskBatch) -> Tensor:
            moved = []
            for p in self.params:
                theta = model.untied(without_prefix(p, "theta."))
                weight, log_scale = prior.head(model, theta, without_prefix(p, f"alpha.{prior.name}."), batch)
                seen, asked = model.features(theta, batch.support_x)[0], model.features(theta, batch.query_x)[0]
                parts = (asked - seen.mean(0)) * weight[0, :-1, 0] * log_scale.exp().squeeze()
                moved.append(parts.reshape(len(asked), -1, model.width).sum(-1))
            return torch.stack(moved).mean(0)

        return _both_ways(one, task, oriented)


def _both_ways(one: Callable[[TaskBatch], Tensor], task: Task, oriented: bool) -> np.ndarray:
    with one_thread_each(), torch.no_grad():
        found = one(in_double(task))
        return (found if oriented else (found - one(in_double(reversed_labels(task)))) / 2).numpy()


def in_double(task: Task) -> TaskBatch:
    """A batch of one task: rows rounded to single precision, as the study has them, but sums in double."""
    batch = collate([task])
    tensors = {f.name: v for f in fields(batch) if isinstance(v := getattr(batch, f.name), Tensor)}
    return replace(batch, **{name: v.double() for name, v in tensors.items() if v.is_floating_point()})
