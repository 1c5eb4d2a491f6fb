"""Classical relevance feedback as methods of the study: formulas whose weights other collections choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.base import Fold
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback.components import judged_places, task_components
from metastudy.feedback.grid import table
from metastudy.feedback.rocchio import GRIDS, Weights, feedback_scores
from metastudy.methods import Fitted, Method
from metastudy.tasks import Task
from metastudy.train import TrainConfig


@dataclass(frozen=True)
class TunedFeedback(Method):
    """One formula of `rocchio.GRIDS`, by name; for each k, the weights with the best nDCG@10 on other collections.

    These are the ones that train and the one that validates, with all their queries that can be tasks; the mean is
    taken over queries, then over collections, so that each of them counts the same. Of equally good settings the first
    of the grid. Nothing is drawn at random. Raises ParameterError for another name.
    """

    name: str
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.name not in GRIDS:
            raise ParameterError(f"formula {self.name!r} is unknown; expected one of {', '.join(GRIDS)}")

    @property
    def settings(self) -> Sequence[Weights]:
        """What is chosen from."""
        return GRIDS[self.name]()

    def choose(self, family: SearchFeedback, fold: Fold, shots: int) -> Weights:
        """The weights for k = `shots`, without a look at `fold.test`."""
        settings = self.settings
        if len(settings) == 1:
            return settings[0]
        label = self.name.replace("+", "_")
        found = [table(family, name, shots, label, settings) for name in (*fold.train, *fold.validation)]
        return settings[int(np.argmax(np.mean(found, axis=0)))]

    def fit(
        self, family: SearchFeedback, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None
    ) -> Fitted:
        chosen = {shots: self.choose(family, fold, shots) for shots in family.shots}

        def one(task: Task, shots: int) -> Tensor:
            relevant, _ = judged_places(family, task)
            with threadpool_limits(1):  # sums that repeat, whatever the number of cores
                columns = task_components(family, task)
            return torch.from_numpy(feedback_scores(columns, chosen[shots], bool(relevant)))

        return Fitted(lambda tasks, shots: [one(task, shots) for task in tasks])
