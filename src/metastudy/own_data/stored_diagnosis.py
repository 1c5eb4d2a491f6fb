"""g for tables, as a method that is trained already: its file holds what other diseases taught it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from metastudy.families.base import Family, Fold
from metastudy.methods import Fitted, Method
from metastudy.tabular.ensemble import Ensemble
from metastudy.tasks import Task
from metastudy.train import TrainConfig


@dataclass(frozen=True, repr=False)
class StoredDiagnosis(Method):
    """An ensemble, or one of its members alone (`member`, by name), or without orientation: as `MetaDiagnosis` gives
    for the same labelled patients. `oriented` is the one of `OnTable.log_odds`."""

    deterministic: ClassVar[bool] = True
    name: str
    model: Ensemble
    member: str | None = None
    oriented: bool = True

    def __repr__(self) -> str:
        return f"StoredDiagnosis({self.name!r}, {self.model!r}, {self.member!r}, {self.oriented})"

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        names = [m.name for m in self.model.learner.mappings]

        def one(task: Task) -> Tensor:
            on_table = self.model.on_table(task.support_x.shape[1])
            if self.member is None:
                odds = on_table.log_odds(task, self.oriented)
            else:
                odds = on_table.members(task, self.oriented)[:, names.index(self.member)]
            return torch.from_numpy(np.stack([expit(-odds), expit(odds)], 1))

        return Fitted(lambda tasks, _: [one(task) for task in tasks])
