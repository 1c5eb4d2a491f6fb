"""The familiar figure of sinusoid regression as numbers: f before adaptation, and after each step of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from metastudy.adapt.gradient import GradientSteps
from metastudy.classic.artefacts import Artefact
from metastudy.families.base import TaskSpec
from metastudy.families.sinusoid import Sinusoid, X
from metastudy.mixture import MetaLearner, without_prefix
from metastudy.tasks import collate

STEPS = (1, 2, 5, 10)  # of the mappings that make steps; the others adapt at once
POINTS = 200


def _stepwise(learner: MetaLearner) -> list[tuple[int, MetaLearner]]:
    """The learner after 1, 2, 5, 10 steps where it is a single mapping of steps, else as it is."""
    mapping = learner.mappings[0]
    if len(learner.mappings) > 1 or not isinstance(mapping, GradientSteps):
        return [(1, learner)]
    return [(n, replace(learner, mappings=(replace(mapping, n_steps=n),))) for n in STEPS]


def adaptation(
    artefacts: Sequence[Artefact], folder: Path, family: Sinusoid, specs: Sequence[TaskSpec]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predictions over all of [-5, 5] (method, task, step, x, y), the truth (task, x, y) and the support (task, x, y)
    of some frozen tasks at the family's number of shots. Step 0 is f without adaptation."""
    grid = torch.linspace(*X, POINTS)
    curves, truth, support = [], [], []
    for spec in specs:
        task = family.build(spec, family.shots[0], family.folds()[0])
        y = family.truth(spec.id, specs, grid)
        whole = collate([replace(task, query_x=grid[:, None], query_y=y)])
        truth.append(pd.DataFrame({"task": spec.id, "x": grid, "y": y}))
        support.append(pd.DataFrame({"task": spec.id, "x": task.support_x[:, 0], "y": task.support_y}))
        for artefact in artefacts:
            fitted, _ = artefact.load(folder)
            params, learner = fitted.trained.params, fitted.learner
            with torch.no_grad():
                found = {0: learner.model(without_prefix(params, "theta."), whole.query_x)}
                found |= {n: own.predict(params, whole) for n, own in _stepwise(learner)}
            name = artefact.method.name
            for step, value in found.items():
                column = {"method": name, "task": spec.id, "step": step, "x": grid, "y": value[0, :, 0]}
                curves.append(pd.DataFrame(column))
    return tuple(pd.concat(frames, ignore_index=True) for frames in (curves, truth, support))
