"""Meta-training repeats bit for bit, streams, keeps its best parameters, and says where it broke."""

from __future__ import annotations

import dataclasses
import gc
import io
import math
import sys
import weakref

import numpy as np
import pytest
import torch

from helpers import ToyFamily
from learners import Fixed, Remembering, learner_of, sampler
from learners import train as train_toy
from metastudy.adapt import MAML, RidgeHead
from metastudy.errors import TrainingError
from metastudy.families.base import Family
from metastudy.families.sinusoid import Sinusoid
from metastudy.methods import training_batches, validation_tasks
from metastudy.mixture import MetaLearner
from metastudy.tasks import TaskBatch, collate
from metastudy.train import TrainConfig, Trained, meta_train, minimise, rng_for, torch_generator, with_gradient

TOY = ToyFamily()
QUICK = TrainConfig(steps=12, tasks_per_step=4, validate_every=4)


def train(seed: int, config: TrainConfig = QUICK, family: Family = TOY) -> Trained:
    fold = family.folds()[0]
    validation = [collate(tasks) for tasks in validation_tasks(family, fold).values()]
    g = MetaLearner(family.model(), (MAML(1), RidgeHead()))
    return meta_train(g, training_batches(family, fold, config), validation, config, rng_for(seed), "toy")


def line(target: float = 0.0):
    """One parameter w at 1 and the loss (w - target)², so that every step is known to go down."""
    return {"theta.w": torch.tensor(1.0)}, with_gradient(lambda params, _: (params["theta.w"] - target) ** 2)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    first, again, other = train(3), train(3), train(4)
    assert all(torch.equal(first.params[k], again.params[k]) for k in first.params)
    assert str(first.history) == str(again.history)
    assert not torch.equal(first.params["theta.head.weight"], other.params["theta.head.weight"])


def test_global_random_state_is_neither_read_nor_changed() -> None:
    torch.manual_seed(1)
    before, first = torch.get_rng_state(), train(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(train(3).params["theta.head.weight"], first.params["theta.head.weight"])


def test_sinusoid_gets_learned() -> None:
    config = TrainConfig(steps=60, tasks_per_step=8, validate_every=20)
    history = train(0, config, Sinusoid(shots=(10,))).history
    assert [h["step"] for h in history] == [0, 20, 40, 60]
    assert math.isnan(history[0]["train_loss"])
    assert history[-1]["validation_loss"] < 0.6 * history[0]["validation_loss"]
    assert history[-1]["train_loss"] < history[1]["train_loss"]


def test_a_loss_that_is_no_number_names_step_and_learning_rate() -> None:
    params, fall = line()
    calls = []

    def breaks(params, rng):
        calls.append(0)
        value, gradient = fall(params, rng)
        return value * (math.nan if len(calls) == 4 else 1), gradient

    config = dataclasses.replace(QUICK, warmup=6)
    found = r"toy: the loss is nan at step 3 with learning rate 0\.003 \(0\.002 after warm-up and decay\)"
    with pytest.raises(TrainingError, match=found):
        minimise(params, breaks, None, config, rng_for(0), "toy")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_is_stopped_before_the_step(bad: float) -> None:
    params = {"theta.w": torch.tensor(1.0)}

    def breaks(params, rng):
        return params["theta.w"].clone(), {"theta.w": torch.tensor(bad)}

    with pytest.raises(TrainingError, match=rf"toy: the norm of the gradient is {bad} at step 0 with learning rate"):
        minimise(params, breaks, None, QUICK, rng_for(0), "toy")


def test_a_broken_batch_is_named_by_its_families() -> None:
    def breaks(rng: np.random.Generator) -> TaskBatch:
        batch = sampler()(rng)
        return dataclasses.replace(batch, query_y=batch.query_y / 0)

    with pytest.raises(TrainingError, match=r"toy: the loss is (nan|inf) at step 0 .* on tasks of (a|b), (a|b); exp"):
        train_toy(learner_of(RidgeHead()), sample=breaks)


def test_a_system_that_cannot_be_solved_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def singular(*_: object) -> None:
        raise torch.linalg.LinAlgError("linalg.cholesky: not positive-definite")

    monkeypatch.setattr(MetaLearner, "training_loss", singular)
    with pytest.raises(TrainingError, match=r"toy: linalg.cholesky: not positive-definite at step 0 .* on tasks of"):
        train_toy(learner_of(RidgeHead()))


def test_a_diverging_learner_is_stopped_by_name() -> None:
    with pytest.raises(TrainingError, match=r"toy: .+ at step \d+ with learning rate 1e\+30 .* on tasks of "):
        train(0, dataclasses.replace(QUICK, learning_rate=1e30))


def test_no_finite_validation_loss_is_an_error() -> None:
    params, fall = line()
    with pytest.raises(TrainingError, match="no validation loss was finite"):
        minimise(params, fall, lambda _: math.nan, QUICK, rng_for(0))


def test_stopping_keeps_the_parameters_that_validated_best() -> None:
    params, fall = line(target=-5)
    config = TrainConfig(steps=1000, learning_rate=0.05, validate_every=2, patience=3, weight_decay=0)
    seen = []

    def validation(params) -> float:
        seen.append(params["theta.w"].item())
        return abs(seen[-1] - 0.5)

    trained = minimise(params, fall, validation, config, rng_for(0))
    best = min(range(len(seen)), key=lambda i: abs(seen[i] - 0.5))
    assert trained.params["theta.w"].item() == seen[best] and best > 0
    assert len(seen) == best + 1 + 3  # three validations without improvement, and out
    assert trained.history[-1]["step"] == 2 * (len(seen) - 1) < 1000
    assert not trained.params["theta.w"].requires_grad


def test_without_validation_the_last_parameters_stay() -> None:
    params, fall = line()
    trained = minimise(params, fall, None, TrainConfig(steps=200, learning_rate=0.05, patience=1), rng_for(0))
    assert trained.history[-1]["step"] == 200
    assert abs(trained.params["theta.w"].item()) < 0.2
    assert params["theta.w"].item() == 1.0  # what was passed in is untouched


def test_one_step_is_that_of_adamw_with_faster_alpha_and_beta() -> None:
    config = TrainConfig(steps=1, learning_rate=0.01, weight_decay=0.1, rate_of_alpha=3.0, rate_of_beta=10.0)
    params = {k: torch.tensor(2.0) for k in ("theta.w", "alpha.m.a", "beta.bias")}
    trained = minimise(params, with_gradient(lambda p, _: sum(p.values())), None, config, rng_for(0))
    # AdamW's first step is the learning rate times the sign; decay multiplies by 1 - rate * decay
    decayed = 2.0 * (1 - 0.01 * 0.1) - 0.01
    expected = {"theta.w": decayed, "alpha.m.a": 2.0 - 0.03, "beta.bias": 2.0 * (1 - 0.1 * 0.1) - 0.1}
    assert {k: v.item() for k, v in trained.params.items()} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["steps", "tasks_per_step", "learning_rate", "validate_every", "patience"])
def test_configurations_that_cannot_train_are_refused(name) -> None:
    with pytest.raises(TrainingError, match=f"{name} is 0; expected a number above 0"):
        TrainConfig(**{name: 0})


def test_streams_are_reproducible_and_differ_by_key() -> None:
    draws = {keys: rng_for(*keys).integers(2**62) for keys in [(0,), (1,), (0, 1), (1, 1), (0, 0, 1)]}
    assert len(set(draws.values())) == len(draws)
    assert draws[0, 1] == rng_for(0, 1).integers(2**62)
    same = [torch.rand(3, generator=torch_generator(rng_for(5))) for _ in range(2)]
    assert torch.equal(*same)


def test_a_loss_without_anything_to_learn_ends_at_once_with_what_it_began_with() -> None:
    calls = []

    def sample(rng: np.random.Generator) -> TaskBatch:
        calls.append(0)
        return sampler()(rng)

    learner = learner_of(Fixed())
    trained = train_toy(learner, sample=sample)
    start = learner.init(torch_generator(rng_for(3)))
    assert list(trained.params) == list(start) and all(torch.equal(trained.params[k], start[k]) for k in start)
    assert [h["step"] for h in trained.history] == [0] and math.isfinite(trained.history[0]["validation_loss"])
    assert len(calls) == 1
    beside = train_toy(learner_of(Fixed(), RidgeHead()))
    assert beside.history[-1]["step"] == QUICK.steps, "beside another mapping there is something to learn"


def test_a_memory_is_filled_from_the_sampler_and_never_trained() -> None:
    streams: list[int] = []

    def sample(rng: np.random.Generator) -> TaskBatch:
        streams.append(id(rng.bit_generator))
        return sampler()(rng)

    learner = learner_of(Remembering())
    trained = train_toy(learner, sample=sample)
    assert streams[0] == streams[1] != streams[2] and len(set(streams[2:])) == 1, "five tasks of batches of four"
    stream = rng_for(3).spawn(1)[0]
    tasks = [task for _ in range(2) for task in sampler()(stream).tasks][:5]
    assert torch.equal(trained.params["alpha.remembering.memory.y"], collate(tasks).support_y)
    start = learner.init(torch_generator(rng_for(3)), collate(tasks))
    moved = {k for k in start if not torch.equal(trained.params[k], start[k])}
    assert moved == set(start) - {"alpha.remembering.memory.y"}


def test_a_bar_shows_only_where_it_is_asked_for_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    params, fall = line()
    silent = minimise(params, fall, lambda p: float(p["theta.w"]), QUICK, rng_for(0), "toy")
    assert stream.getvalue() == ""
    shown = minimise(params, fall, lambda p: float(p["theta.w"]), QUICK, rng_for(0), "toy", progress=True)
    assert "toy:" in stream.getvalue() and "/12" in stream.getvalue()
    assert str(shown.history) == str(silent.history) and torch.equal(shown.params["theta.w"], silent.params["theta.w"])


def alive(steps: int, learner: MetaLearner) -> tuple[int, int]:
    """How many batches, and tensors that Python sees, are alive when the last step begins."""
    batches: weakref.WeakSet[TaskBatch] = weakref.WeakSet()
    counts, calls = [], []

    def sample(rng: np.random.Generator) -> TaskBatch:
        calls.append(0)
        if len(calls) == steps:
            gc.collect()
            counts.extend([len(batches), sum(type(o) is torch.Tensor for o in gc.get_objects())])
        batches.add(batch := sampler()(rng))
        return batch

    train_toy(learner, sample=sample, config=dataclasses.replace(QUICK, steps=steps, patience=99))
    return tuple(counts)


def test_batches_stream_so_that_more_steps_need_no_more_memory() -> None:
    learner = learner_of(MAML(1), RidgeHead())
    alive(3, learner)  # what is made once stays: caches
    (few_batches, few), (many_batches, many) = alive(7, learner), alive(47, learner)
    assert few_batches == many_batches <= 1
    assert many <= few


def saved_alive(call) -> tuple[int, int]:
    """Most tensors that graphs held at once while `call` ran, and how many they hold after it."""

    class Held:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor

    held: weakref.WeakSet[Held] = weakref.WeakSet()
    most = 0

    def pack(tensor: torch.Tensor) -> Held:
        nonlocal most
        held.add(new := Held(tensor))
        most = max(most, len(held))
        return new

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda new: new.tensor):
        kept = call()  # what it returns stays alive while counting
    gc.collect()
    assert kept is not None
    return most, len(held)


def test_no_step_leaves_a_graph_and_validation_makes_none() -> None:
    g = learner_of(RidgeHead())
    params = g.init(torch_generator(rng_for(0)))
    batch = sampler()(rng_for(1))
    objective = with_gradient(lambda p, _: g.training_loss(p, batch))
    most, after = saved_alive(lambda: objective(params, rng_for(0)))
    assert most > 0 and after == 0
    runs = [saved_alive(lambda n=n: train_toy(g, config=dataclasses.replace(QUICK, steps=n))) for n in (1, 9)]
    assert runs[0] == runs[1] == (most, 0), "the graph of one step at a time, whatever the number of steps"

    def validation(params) -> float:
        return g.query_loss(params, batch).item()

    def nothing(*_: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return torch.tensor(0.0), {}

    assert saved_alive(lambda: minimise(params, nothing, validation, QUICK, rng_for(0))) == (0, 0)
