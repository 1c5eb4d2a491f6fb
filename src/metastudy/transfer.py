"""How much learning one library's tasks helps with another's: measured, and as a learned similarity sees it.

Each library of the summarization study is a family of tasks. `transfer_rounds` says what is learned from and what is
held out; here are the three measurements, as tidy tables, and the test of their agreement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import joblib
import numpy as np
import pandas as pd
import torch

from metastudy.adapt import MAML, Prototypes, RidgeHead, TaskMemory, Unadapted
from metastudy.families.base import TaskSpec
from metastudy.families.summarization import DocumentationSummaries
from metastudy.losses import loss
from metastudy.mantel import mantel
from metastudy.methods import to_scores
from metastudy.mixture import MetaLearner, without_prefix
from metastudy.model import Params
from metastudy.tasks import Task, collate
from metastudy.transfer_rounds import N_NEW, Round, round_of

__all__ = ["mantel", "matrix", "measure", "similarity", "weights_by_domain"]

METRIC, LOSS = "rouge1", "loss"
PER_LIBRARY = 6  # remembered tasks
RIDGE = RidgeHead(initial_penalty=30.0)  # penalties were chosen on validation tasks
MEMORY = TaskMemory(initial_penalty=30.0, initial_memory_penalty=100.0)

Row = TypeVar("Row", bound=tuple)


def _scores(here: Round, learner: MetaLearner, params: Params, tasks: Sequence[Task]) -> dict[tuple[str, str], float]:
    """Mean of each metric by library; the loss with its sign turned, so that more is better for both."""
    batch = collate(tasks)
    with torch.no_grad():
        prediction = learner.predict(params, batch)
        losses = loss(batch.kind, prediction, batch.query_y, batch.query_mask, batch.query_group)
    found: dict[tuple[str, str], list[float]] = {}
    for task, scores, value in zip(tasks, to_scores(prediction, batch), losses, strict=True):
        own = [s.value for s in here.family.score(task, scores) if s.metric == METRIC]
        found.setdefault((task.family, METRIC), []).append(float(np.mean(own)))
        found.setdefault((task.family, LOSS), []).append(-float(value))
    return {key: float(np.mean(values)) for key, values in found.items()}


def _transfer(
    family: DocumentationSummaries, specs: Sequence[TaskSpec], seed: int, source: str, shots: int, steps: int
):
    here = round_of(family, specs, seed)
    learner, start, end = here.train((RIDGE,), (source,), (shots,), steps, seed)
    tests = here.tests(shots)
    fresh, learned = (_scores(here, learner, params, tests) for params in (start, end))
    return [(source, d, seed, metric, v, v - fresh[d, metric]) for (d, metric), v in learned.items()]


def _similarity(family: DocumentationSummaries, specs: Sequence[TaskSpec], seed: int, shots: Sequence[int], steps: int):
    here = round_of(family, specs, seed)
    names = list(here.held_out)
    memory = replace(MEMORY, memory_size=PER_LIBRARY * len(names))
    learner, _, params = here.train((memory,), names, shots, steps, seed)
    theta, alpha = without_prefix(params, "theta."), without_prefix(params, f"alpha.{memory.name}.")
    rows = []
    for k in shots:
        with torch.no_grad():
            s = memory.similarity(learner.model, theta, alpha, here.new_tasks(k, seed))
        share = s.reshape(len(names), N_NEW, len(names), PER_LIBRARY).sum(3).mean(1)  # (new, remembered)
        rows += [(a, b, seed, k, float(share[j, i])) for i, a in enumerate(names) for j, b in enumerate(names)]
    return rows


def _weights(family: DocumentationSummaries, specs: Sequence[TaskSpec], seed: int, shots: Sequence[int], steps: int):
    here = round_of(family, specs, seed)
    names = list(here.held_out)
    memory = replace(MEMORY, memory_size=PER_LIBRARY * len(names))
    mappings = Unadapted(), MAML(), RIDGE, Prototypes(), memory
    learner, _, params = here.train(mappings, names, shots, steps, seed)
    rows = []
    for k in shots:
        with torch.no_grad():
            beta = learner.weights(params, here.new_tasks(k, seed)).reshape(len(names), N_NEW, -1).mean(1)
        rows += [(d, k, seed, m.name, float(beta[i, j])) for i, d in enumerate(names) for j, m in enumerate(mappings)]
    return rows


def _spread(cell: Callable[..., list[Row]], settings: Sequence[tuple], jobs: int) -> list[Row]:
    """All rows of all cells in the order of `settings`, whatever the number of processes."""
    found = joblib.Parallel(n_jobs=jobs)(joblib.delayed(cell)(*s) for s in settings)
    return [row for rows in found for row in rows]


def measure(
    family: DocumentationSummaries, specs: Sequence[TaskSpec], shots: int = 5, steps: int = 100,
    seeds: Sequence[int] = range(12), jobs: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """The transfer map: a ridge head meta-trained on one library (source), tested on each (target).

    Columns: source, target, seed, metric, score, gain. `gain` is over the same learner before its first step, that is,
    without meta-training. Metrics: "rouge1", times 100, and "loss" in nats with its sign turned. Seed s holds out draw
    s modulo the number of draws. Raises DataError where libraries have different numbers of frozen tasks.
    """
    libraries = dict.fromkeys(spec.family for spec in specs)
    settings = [(family, specs, int(s), d, shots, steps) for s in seeds for d in libraries]
    columns = ["source", "target", "seed", "metric", "score", "gain"]
    return pd.DataFrame(_spread(_transfer, settings, jobs), columns=columns)


def similarity(
    family: DocumentationSummaries, specs: Sequence[TaskSpec], shots: Sequence[int] = (5,), steps: int = 150,
    seeds: Sequence[int] = range(6), jobs: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Share of its weight that a new task of library `target` gives to remembered tasks of library `source`.

    The similarity of `TaskMemory`, learned with θ on tasks of all libraries. Columns: source, target, seed, shots,
    similarity; over sources it sums to one. Seeds and errors as in `measure`.
    """
    settings = [(family, specs, int(s), tuple(shots), steps) for s in seeds]
    columns = ["source", "target", "seed", "shots", "similarity"]
    return pd.DataFrame(_spread(_similarity, settings, jobs), columns=columns)


def weights_by_domain(
    family: DocumentationSummaries, specs: Sequence[TaskSpec], shots: Sequence[int] = (1, 5, 10, 20), steps: int = 200,
    seeds: Sequence[int] = range(2), jobs: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """β of a g that learned from all libraries in one run, on new tasks of each.

    Columns: family, shots, seed, mapping, beta. Seeds and errors as in `measure`.
    """
    settings = [(family, specs, int(s), tuple(shots), steps) for s in seeds]
    return pd.DataFrame(_spread(_weights, settings, jobs), columns=["family", "shots", "seed", "mapping", "beta"])


def matrix(table: pd.DataFrame, value: str, metric: str | None = None) -> pd.DataFrame:
    """Sources in rows, targets in columns, in the order of the table; the mean over whatever else there is."""
    if metric is not None:
        table = table[table["metric"] == metric]
    names = list(dict.fromkeys(table["source"]))
    return table.groupby(["source", "target"])[value].mean().unstack().loc[names, names]
