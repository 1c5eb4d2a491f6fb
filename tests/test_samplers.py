"""Families, kinds and sizes mix within one run, and padding has no influence."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers import ToyFamily, make_task, small_mlp
from metastudy.adapt import MAML, Attention, RidgeHead
from metastudy.errors import TaskError
from metastudy.families.digits import Digits
from metastudy.methods import training_batches
from metastudy.mixture import MetaLearner
from metastudy.optimise import with_gradient
from metastudy.samplers import earlier_tasks, mixed
from metastudy.tasks import KINDS, TaskBatch, collate
from metastudy.train import TrainConfig, meta_train, rng_for, torch_generator

CONFIG = TrainConfig(steps=12, tasks_per_step=4, validate_every=6)


def of_kind(kind):
    family = ToyFamily(kind)
    return training_batches(family, family.folds()[0], CONFIG)


def uneven(rng: np.random.Generator) -> TaskBatch:
    """Tasks that differ in support, query and number of classes."""
    sizes = [(3, 4, 2), (9, 7, 4), (5, 2, 3)]
    seeds = rng.integers(1000, size=3)
    return collate([make_task("classification", int(s), *size) for s, size in zip(seeds, sizes, strict=True)])


SAMPLERS = {kind: of_kind(kind) for kind in KINDS}


def test_families_come_by_their_weights_and_by_the_given_stream_alone() -> None:
    weights = {"classification": 1, "binary": 3, "regression": 2, "ranking": 2}
    sample = mixed(SAMPLERS, weights)
    first, again = ([sample(rng).kind for _ in range(800)] for rng in (rng_for(0), rng_for(0)))
    assert first == again
    found = Counter(first)
    for kind, weight in weights.items():
        assert found[kind] == pytest.approx(100 * weight, abs=5 * math.sqrt(100 * weight))
    equal = Counter(mixed(SAMPLERS)(rng).kind for rng in [rng_for(1)] for _ in range(400))
    assert all(equal[kind] == pytest.approx(100, abs=50) for kind in KINDS)


def test_samplers_that_cannot_be_mixed_are_refused_when_they_are_mixed() -> None:
    with pytest.raises(TaskError, match="no sampler to mix"):
        mixed({})
    for weights in ({"regression": 1.0}, dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, math.nan)):
        with pytest.raises(TaskError, match=r"expected one number above 0 for each of classification, binary"):
            mixed(SAMPLERS, weights)


def test_one_learner_learns_all_kinds_in_one_run() -> None:
    learner = MetaLearner(ToyFamily().model(), (MAML(1), RidgeHead(), Attention()))
    validation = [sample(rng_for(9)) for sample in SAMPLERS.values()]
    config = replace(CONFIG, steps=60, validate_every=60, learning_rate=0.02)
    seen = []

    def sample(rng: np.random.Generator) -> TaskBatch:
        batch = mixed(SAMPLERS | {"uneven": uneven})(rng)
        seen.append((batch.kind, batch.support_x.shape[1]))
        return batch

    trained, again = (meta_train(learner, sample, validation, config, rng_for(0)) for _ in range(2))
    assert {kind for kind, _ in seen} == set(KINDS) and len(set(seen)) == 9  # two numbers of shots each, and the uneven
    assert trained.history[-1]["validation_loss"] < 0.8 * trained.history[0]["validation_loss"]
    assert all(torch.equal(trained.params[k], again.params[k]) for k in trained.params)


def test_a_batch_of_uneven_tasks_gives_the_mean_of_their_own_losses_and_gradients() -> None:
    learner = MetaLearner(small_mlp(), (MAML(2), RidgeHead(), Attention()))
    params = {k: v.double() for k, v in learner.init(torch_generator(rng_for(0))).items()}
    batch = uneven(rng_for(1))

    def doubled(some: TaskBatch) -> TaskBatch:
        floats = {k: v.double() for k, v in vars(some).items() if getattr(v, "dtype", None) == torch.float32}
        return replace(some, **floats)

    def run(some: TaskBatch):
        return with_gradient(lambda p, _: learner.training_loss(p, doubled(some)))(params, rng_for(0))

    value, gradient = run(batch)
    alone = [run(collate([task])) for task in batch.tasks]
    torch.testing.assert_close(value, sum(v for v, _ in alone) / 3, rtol=0, atol=1e-10)
    for name in gradient:
        torch.testing.assert_close(gradient[name], sum(g[name] for _, g in alone) / 3, rtol=0, atol=1e-9)


def test_digits_train_on_tasks_of_unequal_numbers_of_classes() -> None:
    family = Digits(shots=(1, 3))
    sample = training_batches(family, family.folds()[0], TrainConfig(tasks_per_step=12))
    batches = [sample(rng_for(0, i)) for i in range(3)]
    for batch in batches:
        assert set(batch.class_mask.sum(1).tolist()) == {2.0, 3.0, 4.0}
        shots = batch.support_mask.sum(1) / batch.class_mask.sum(1)
        assert len(set(shots.tolist())) == 1 and not batch.support_mask.all()


def test_earlier_tasks_are_gathered_from_as_many_batches_as_it_takes() -> None:
    sizes = []

    def sample(rng: np.random.Generator) -> TaskBatch:
        sizes.append(0)
        return of_kind("regression")(rng)

    found = earlier_tasks(sample, 10, rng_for(0))
    assert found.n_tasks == 10 and len(sizes) == 3  # four tasks each
    direct = [task for rng in [rng_for(0)] for _ in range(3) for task in of_kind("regression")(rng).tasks]
    assert all(torch.equal(a.support_x, b.support_x) for a, b in zip(found.tasks, direct, strict=False))


def test_tasks_that_cannot_be_remembered_together_are_refused() -> None:
    with pytest.raises(TaskError, match="one batch holds one kind"):
        earlier_tasks(mixed(SAMPLERS), 40, rng_for(0))
    with pytest.raises(TaskError, match=r"without its tasks cannot be remembered; make batches with `tasks\.collate`"):
        earlier_tasks(lambda rng: replace(uneven(rng), tasks=()), 1, rng_for(0))
