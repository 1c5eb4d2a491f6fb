"""Rounds of learning from some libraries and testing on others, on documents that nothing has seen.

In round r the query documents of every library's frozen draw r are held out: nothing is trained on them, and no
vocabulary or scale is fitted on them. Inputs are fitted once on all other documents, so they are the same whatever is
learned from; only whose labels are seen differs. A library can then be tested on tasks that its own training has not
seen, by the same tasks as any other training.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from metastudy.adapt import Mapping
from metastudy.errors import DataError
from metastudy.families.base import Fold, Ids, TaskSpec
from metastudy.families.summarization import DocumentationSummaries
from metastudy.mixture import MetaLearner
from metastudy.model import Params
from metastudy.tasks import Task, TaskBatch, collate
from metastudy.train import TrainConfig, minimise, rng_for, torch_generator, with_gradient

N_QUERY = 10  # documents to summarise in a training task
N_NEW = 12  # new tasks of each library, when similarity or β is asked for
TASKS_PER_STEP = 8


@dataclass(frozen=True, eq=False)
class Round:
    """Documents to learn from, and documents held out: the queries of `specs`, one frozen task of each library."""

    family: DocumentationSummaries
    specs: tuple[TaskSpec, ...]

    @cached_property
    def held_out(self) -> dict[str, Ids]:
        return {spec.family: spec.query for spec in self.specs}

    @cached_property
    def learned(self) -> dict[str, Ids]:
        return {d: tuple(i for i in self.family.domains[d] if i not in set(out)) for d, out in self.held_out.items()}

    @property
    def fold(self) -> Fold:
        return Fold("all libraries", tuple(self.held_out), (), ())

    @cached_property
    def inputs(self) -> DocumentationSummaries:
        """The family with its held-out documents in no library, so that inputs are fitted on the others alone."""
        hidden = {i for ids in self.held_out.values() for i in ids}
        apart = copy.copy(self.family)
        documents = self.family.documents.items()
        apart.documents = {i: replace(d, domain="held out") if i in hidden else d for i, d in documents}
        return apart

    def build(self, spec: TaskSpec, shots: int) -> Task:
        return self.inputs.build(spec, shots, self.fold)

    def draw(self, library: str, ids: Ids, shots: int, rng: np.random.Generator) -> Task:
        """A task on `ids`: `shots` documents with their summary line, and others to summarise."""
        if len(ids) <= shots:
            raise DataError(
                f"{library}: a task needs more than its {shots} labelled documents, but {len(ids)} are there; ask for "
                "fewer shots, or freeze tasks with more queries"
            )
        order = tuple(ids[i] for i in rng.permutation(len(ids))[: shots + N_QUERY])
        return self.build(TaskSpec(library, library, self.fold.name, (order[:shots],), order[shots:]), shots)

    def tests(self, shots: int) -> list[Task]:
        """The frozen tasks, once for each `shots` documents of their support: other examples, the same queries."""
        parts = [(s, s.support[0][i : i + shots]) for s in self.specs for i in range(0, len(s.support[0]), shots)]
        return [self.build(replace(s, support=(part,)), shots) for s, part in parts if len(part) == shots]

    def new_tasks(self, shots: int, seed: int) -> TaskBatch:
        """`N_NEW` tasks of each library, in order, on held-out documents alone: training saw none of their supports."""
        rng = rng_for(seed, 31, shots)
        return collate([self.draw(d, ids, shots, rng) for d, ids in self.held_out.items() for _ in range(N_NEW)])

    def train(
        self, mappings: tuple[Mapping, ...], libraries: Sequence[str], shots: Sequence[int], steps: int, seed: int
    ) -> tuple[MetaLearner, Params, Params]:
        """Meta-train on tasks of some libraries, mixed in every batch: learner, its parameters before and after.

        A memory holds as many tasks of each library, in order. Training runs its full length: no library is left to
        validate on.
        """
        learner = MetaLearner(self.family.model(), mappings)
        start_rng, memory_rng, training_rng = (rng_for(seed, 30, i) for i in (1, 2, 3))
        names = [d for d in libraries for _ in range(learner.memory_size // len(libraries))]
        earlier = [self.draw(d, self.learned[d], max(shots), memory_rng) for d in names]

        def training_loss(params: Params, rng: np.random.Generator) -> Tensor:
            k, chosen = int(rng.choice(shots)), rng.integers(len(libraries), size=TASKS_PER_STEP)
            tasks = [self.draw(libraries[i], self.learned[libraries[i]], k, rng) for i in chosen]
            return learner.training_loss(params, collate(tasks))

        start = learner.init(torch_generator(start_rng), collate(earlier) if earlier else None)
        label = f"summarization, learning from {', '.join(libraries)}"
        config = TrainConfig(steps=steps, tasks_per_step=TASKS_PER_STEP, validate_every=steps)
        end = minimise(start, with_gradient(training_loss), None, config, training_rng, label, progress=False)
        return learner, start, end.params


_ROUNDS: dict[tuple[str, tuple[TaskSpec, ...]], tuple[Round, ...]] = {}  # in this process: inputs are fitted once


def round_of(family: DocumentationSummaries, specs: Sequence[TaskSpec], seed: int) -> Round:
    """Round `seed` modulo the number of frozen draws. DataError where libraries have different numbers of draws."""
    torch.set_num_threads(1)  # the same sums on every machine size; the work is spread over processes instead
    key = f"{type(family).__module__}.{family!r}", tuple(specs)
    if key not in _ROUNDS:
        own: dict[str, list[TaskSpec]] = {}
        for spec in specs:
            own.setdefault(spec.family, []).append(spec)
        if len({len(found) for found in own.values()}) != 1:
            counts = {d: len(found) for d, found in own.items()}
            raise DataError(f"frozen tasks by library: {counts}; expected the same number of each, at least one")
        _ROUNDS[key] = tuple(Round(family, tasks) for tasks in zip(*own.values(), strict=True))
    return _ROUNDS[key][seed % len(_ROUNDS[key])]
