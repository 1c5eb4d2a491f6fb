"""Models that take long to train: trained once by a command, kept as small files, loaded by notebooks.

    python -m metastudy.classic                     lists them
    python -m metastudy.classic omniglot/ridge ...  trains those that are missing (--again: all that are named)
                                --device cuda       on a GPU

A file says what it was trained by: method, family, configuration, seed, hash of the data, time and memory. One that
says something else than is asked for is refused.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from metastudy import checkpoint, resume, trained
from metastudy.errors import DataError, TrainingError
from metastudy.families.base import Family
from metastudy.methods import Fitted, MetaMethod, training_batches, validation_tasks
from metastudy.study import peak_rss_mb
from metastudy.tasks import collate
from metastudy.train import TrainConfig, meta_train, rng_for


def device_name(device: str) -> str:
    """What a record calls a device: "cpu", or a GPU's own name. Raises TrainingError where it is not there."""
    if device == "cpu":
        return device
    if not torch.cuda.is_available():
        raise TrainingError(f"device is {device!r}, but torch {torch.__version__} finds no GPU; choose cpu")
    return torch.cuda.get_device_name(device)


@dataclass(frozen=True)
class Artefact:
    """One training: `name` is "<benchmark>/<method>", with a number behind it where a method is trained several times.

    `validated`: the parameters with the lowest loss on validation tasks are kept; else the last ones, where the
    validation classes train too. `bfloat16`: see `Conv4`; of training alone.
    """

    name: str
    method: MetaMethod
    family: Family
    config: TrainConfig
    seed: int = 0
    validated: bool = True
    bfloat16: bool = False

    def path(self, folder: Path) -> Path:
        """The file in a folder of models."""
        return folder / f"{self.name.replace('/', '_').replace(', ', '_').replace(' ', '_')}{checkpoint.SUFFIX}"

    def file(self, folder: Path) -> Path:
        """The same, where it exists. Raises DataError saying how to make it where it does not."""
        path = self.path(folder)
        if not path.is_file():
            raise DataError(
                f"{path.name} is missing in results/full/models; restore it from git, or train it: "
                f"python -m metastudy.classic '{self.name}'"
            )
        return path

    def identity(self) -> dict[str, str]:
        """What a file must have been trained by."""
        return {
            "method": checkpoint.description(self.method),
            "family": checkpoint.description(self.family),
            "config": checkpoint.description(self.config),
            "seed": str(self.seed),
            "precision": "bfloat16 convolutions" if self.bfloat16 else "float32",
            "data": self.family.content_hash(),
        }

    def train(self, folder: Path, progress: bool | None = None, device: str = "cpu") -> None:
        """Train and write the file. Interrupted, the same call goes on (a checkpoint lies beside it).

        Raises TrainingError for a device that is not there.
        """
        name = device_name(device)
        fold = self.family.folds()[0]
        plain = learner = self.method.learner(self.family)
        if self.bfloat16:
            learner = replace(plain, model=replace(plain.model, bfloat16=True))
        unfinished = self.path(folder).with_suffix(".unfinished" + checkpoint.SUFFIX)
        validation = (
            [collate(tasks) for tasks in validation_tasks(self.family, fold).values()] if self.validated else []
        )
        before = checkpoint.read(unfinished, resume.KIND)[1]["course"]["step"] if unfinished.is_file() else 0
        started = time.perf_counter()
        found = meta_train(
            learner,
            training_batches(self.family, fold, self.config),
            validation,
            self.config,
            rng_for(self.seed, 1),
            self.name,
            checkpoint=unfinished,
            progress=progress,
            device=device,
        )
        seconds = time.perf_counter() - started  # of this sitting, which may have begun in the middle
        seconds *= self.config.steps / max(1, self.config.steps - before)
        about = self.identity() | {"seconds": round(seconds, 2), "peak_rss_mb": peak_rss_mb()}
        about |= {"device": name, "torch": torch.__version__}
        trained.save(self.path(folder), plain, found, about)
        checkpoint.remove(unfinished)

    def load(self, folder: Path) -> tuple[Fitted, dict[str, Any]]:
        """The fitted method and the record of its training.

        Raises DataError for a missing or damaged file, TrainingError for one that was trained by something else.
        """
        path = self.file(folder)
        record = trained.record(path)
        checkpoint.check(path, record, self.identity())
        return self.method.load(self.family, path), record
