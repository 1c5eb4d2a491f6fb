"""Meta-training repeats bit for bit, keeps its best parameters, and says where it broke."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from helpers import ToyFamily
from metastudy.adapt import GradientSteps, RidgeHead
from metastudy.errors import TrainingError
from metastudy.families.base import Family
from metastudy.families.sinusoid import Sinusoid
from metastudy.methods import training_batches, validation_tasks
from metastudy.mixture import MetaLearner
from metastudy.tasks import collate
from metastudy.train import TrainConfig, Trained, meta_train, minimise, rng_for, torch_generator

TOY = ToyFamily()
QUICK = TrainConfig(steps=12, tasks_per_step=4, validate_every=4)


def train(seed: int, config: TrainConfig = QUICK, family: Family = TOY) -> Trained:
    fold = family.folds()[0]
    validation = [collate(tasks) for tasks in validation_tasks(family, fold).values()]
    g = MetaLearner(family.model(), (GradientSteps(1), RidgeHead()))
    return meta_train(g, training_batches(family, fold, config), validation, config, rng_for(seed), "toy")


def line(target: float = 0.0):
    """One parameter w at 1 and the loss (w - target)², so that every step is known to go down."""
    return {"theta.w": torch.tensor(1.0)}, lambda params, _: (params["theta.w"] - target) ** 2


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
        return fall(params, rng) * (math.nan if len(calls) == 4 else 1)

    with pytest.raises(TrainingError, match=r"toy: the loss is nan at step 3 with learning rate 0\.003"):
        minimise(params, breaks, None, QUICK, rng_for(0), "toy")


def test_a_diverging_learner_is_stopped_by_name() -> None:
    with pytest.raises(TrainingError, match=r"toy: the loss is (nan|inf) at step \d+ with learning rate 1e\+30"):
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


def test_one_step_is_that_of_adamw_with_a_faster_alpha() -> None:
    config = TrainConfig(steps=1, learning_rate=0.01, weight_decay=0.1, rate_of_alpha=3.0)
    params = {k: torch.tensor(2.0) for k in ("theta.w", "alpha.m.a", "beta.bias")}
    trained = minimise(params, lambda p, _: sum(p.values()), None, config, rng_for(0))
    # AdamW's first step is the learning rate times the sign; decay multiplies by 1 - rate * decay
    decayed = 2.0 * (1 - 0.01 * 0.1) - 0.01
    expected = {"theta.w": decayed, "alpha.m.a": 2.0 - 0.03, "beta.bias": decayed}
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
