"""A g for tables that holds nothing out: trained on all diseases, and kept in one small file, without patients' data.

The file is a `checkpoint`: whole or refused, the same bytes each time, with a readable record beside it. What g says of
a fixed table is kept too and computed anew on reading: it tells whether the code still sees in a table what the
parameters were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from metastudy import checkpoint
from metastudy.errors import DataError
from metastudy.families.base import Family, Fold
from metastudy.families.diagnosis import channels, lean, standardise
from metastudy.families.diseases import DISEASES, Diseases
from metastudy.lineups.diseases import TRAININGS, disease_methods
from metastudy.methods import validation_tasks
from metastudy.model import Params
from metastudy.plan import A
from metastudy.tabular.ensemble import Ensemble
from metastudy.tabular.learner import TableLearner
from metastudy.tabular.varied import TabularMethod, varied_batches
from metastudy.tasks import Task, collate
from metastudy.threads import one_thread_each
from metastudy.train import TrainConfig, meta_train, rng_for

KIND = "diagnosis model"
PROBE = "probe"


@dataclass(frozen=True)
class AllDiseases(Diseases):
    """One fold that tests nothing: 16 diseases to train on, the last 4 to choose the step at which to stop."""

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("all", DISEASES[:16], DISEASES[16:], ()),)


def train_g(seed: int, config: TrainConfig, trainings: int = TRAININGS, kept: Path | None = None) -> Ensemble:
    """g of the study trained on all diseases, for new ones; about 20 s a training of 800 steps on one core.

    It has seen all 24 tables, so it must be evaluated on none of them. Training that takes long is `kept` beside
    (*.safetensors), from where the same call goes on. Raises DataError without the data.
    """
    return train_on(AllDiseases(), seed, config, trainings, kept)


def train_on(family: Family, seed: int, config: TrainConfig, trainings: int = 1, kept: Path | None = None) -> Ensemble:
    """As `TabularMethod.fit` on the family's first fold, but keeping the parameters of each training."""
    g, fold = method_of_g(), family.folds()[0]
    learner = g.learner(family)
    validation = [collate(tasks) for tasks in validation_tasks(family, fold).values()]
    sample = varied_batches(family, fold, config, g.variation)
    found = []
    for number in range(trainings):
        path = kept and kept.with_stem(f"{kept.stem}_{number}")
        label = f"{family.study}, fold {fold.name}, training {number}"
        rng = rng_for(seed, 1, number)
        with one_thread_each():  # sums of this size only wait for other threads
            found.append(meta_train(learner, sample, validation, config, rng, label, checkpoint=path))
    about = {
        "trained on": list(fold.train),
        "stopped by": list(fold.validation),
        "labelled patients of each class": list(family.shots),
        "columns": learner.model.n_columns,
        "variation": checkpoint.description(g.variation),
        "config": checkpoint.description(config),
        "seed": seed,
        "validation loss": [min(step["validation_loss"] for step in t.history) for t in found],
    }
    return Ensemble(learner, tuple(t.params for t in found), about)


def method_of_g() -> TabularMethod:
    """g as the study compares it."""
    return next(m for m in disease_methods() if isinstance(m, TabularMethod) and m.name == A)


def learner_of_g() -> TableLearner:
    """g of diseases, without parameters."""
    return method_of_g().learner(Diseases())


def write(path: Path, model: Ensemble) -> None:
    """Write *.safetensors and the .json beside it. Raises DataError for a path with another ending."""
    tensors = {f"{i}.{name}": value for i, params in enumerate(model.params) for name, value in params.items()}
    tensors[PROBE] = _probe(model)
    checkpoint.write(path, KIND, tensors, {**model.about, "trainings": len(model.params), **_identity(model.learner)})


def read(path: Path, learner: TableLearner | None = None) -> Ensemble:
    """What `write` wrote; its `about` is the whole record.

    `learner` is by default g of this version of the project. Raises DataError for a file that is missing, damaged, of
    another learner, or of tables that are read otherwise here.
    """
    learner = learner or learner_of_g()
    tensors, record = checkpoint.read(path, KIND)
    made_otherwise = f"{path.name} was made by another version of the project"
    for name, expected in _identity(learner).items():
        if record.get(name) != expected:
            raise DataError(f"{made_otherwise}: its {name} is {record.get(name)}, expected {expected}; make it again")
    params = tuple(
        {name.removeprefix(f"{i}."): value for name, value in tensors.items() if name.startswith(f"{i}.")}
        for i in range(record["trainings"])
    )
    expected = _shapes(learner.init(Generator().manual_seed(0)))
    for own in params:
        if (found := _shapes(own)) != expected:
            raise DataError(f"{made_otherwise}: its parameters are {found}, expected {expected}; make it again")
    model = Ensemble(learner, params, record)
    if not torch.allclose(_probe(model), tensors[PROBE], rtol=1e-4, atol=1e-5):
        raise DataError(f"{made_otherwise}: tables are read otherwise here; make it again")
    return model


def _identity(learner: TableLearner) -> Mapping[str, str]:
    return {"learner": checkpoint.description(learner)}


def _shapes(params: Params) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in sorted(params.items())}


def _probe(model: Ensemble) -> Tensor:
    """Log odds of four rows of a fixed table, by its members and by all together: (4, m + 1).

    Another table makes all files of before unreadable.
    """
    table = np.sin(np.arange(1.0, 61.0) ** 1.5).reshape(12, 5)
    table[:, 4] = table[:, 4] > 0
    seen, asked = standardise(table[:8], table[8:])
    x = [channels(rows, lean(seen)) for rows in (seen, asked)]
    y = [torch.arange(n, dtype=torch.float32) % 2 for n in (8, 4)]
    task = Task("probe", "probe", "binary", x[0], y[0], x[1], y[1])
    own = model.on_table(5)
    return torch.from_numpy(np.column_stack([own.members(task), own.log_odds(task)]))
