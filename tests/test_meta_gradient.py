"""A batch in parts has the loss and the gradient of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from helpers import in_double, make_task, small_mlp
from metastudy.adapt import MAML, Attention, FirstOrderMAML, GradientSteps, Mapping, Prototypes, RidgeHead, Unadapted
from metastudy.meta_gradient import loss_and_gradient
from metastudy.mixture import MetaLearner
from metastudy.model import MLP, Conv4, Params
from metastudy.models import conv4, first_block, image_chunks
from metastudy.tasks import Kind, Task, TaskBatch, collate


@dataclass(frozen=True)
class OneByOne(MLP):
    tasks_at_once: ClassVar[int | None] = 1


@dataclass(frozen=True)
class InPairs(MLP):
    tasks_at_once: ClassVar[int | None] = 2


MIXTURES: dict[str, tuple[Kind, tuple[Mapping, ...]]] = {
    "maml": ("classification", (MAML(n_steps=2),)),
    "first order": ("regression", (FirstOrderMAML(n_steps=2),)),
    "ridge": ("binary", (RidgeHead(),)),
    "prototypes": ("classification", (Prototypes(),)),
    "mixture": ("ranking", (GradientSteps(n_steps=1), RidgeHead(), Unadapted())),
    "mixture of classifiers": ("classification", (GradientSteps(n_steps=2), Attention(), Prototypes())),
}


def toy_batch(kind: Kind) -> TaskBatch:
    """Five tasks of unequal size, so that parts are unequal and padded."""
    tasks = [make_task(kind, seed, n_support=6 + seed, n_query=4 + 2 * seed, ways=3 + seed % 2) for seed in range(5)]
    return in_double(collate(tasks))


def image_task(seed: int) -> Task:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(13, 1, 8, 8, generator=generator)
    y = torch.arange(13) % 3
    return Task(f"t{seed}", "toy", "classification", x[:6], y[:6], x[6:], y[6:], n_classes=3)


def moved_params(learner: MetaLearner, dtype: torch.dtype = torch.float64) -> Params:
    generator = torch.Generator().manual_seed(0)
    start = learner.init(generator)
    return {k: (v + 0.2 * torch.randn(v.shape, generator=generator)).to(dtype) for k, v in start.items()}


def of_the_whole(learner: MetaLearner, params: Params, batch: TaskBatch, objective: str) -> tuple[Tensor, Params]:
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    loss = learner.training_loss(leaves, batch) if objective == "training" else learner.query_loss(leaves, batch)
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return loss.detach(), {k: g for k, g in zip(leaves, gradients, strict=True) if g is not None}


def assert_same(found: tuple[Tensor, Params], expected: tuple[Tensor, Params]) -> None:
    assert not found[0].requires_grad
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-10)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("objective", ["training", "query"])
@pytest.mark.parametrize("model", [MLP, OneByOne, InPairs])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_parts_add_up_to_the_whole(mixture, model, objective, threads) -> None:
    kind, mappings = MIXTURES[mixture]
    learner = MetaLearner(model(in_dim=3, hidden=(7, 5)), mappings)
    params, batch = moved_params(learner), toy_batch(kind)
    threads(2)
    assert_same(loss_and_gradient(learner, params, batch, objective), of_the_whole(learner, params, batch, objective))
    assert torch.get_num_threads() == 2


CONV4 = Conv4(side=8, channels=3, n_blocks=2)


@pytest.fixture
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(conv4, "FEW_IMAGES", 6)  # the support of a task stays whole, its query does not
    monkeypatch.setattr(first_block, "IMAGES", 2)
    monkeypatch.setattr(image_chunks, "IMAGES", 4)


@pytest.mark.parametrize("n_tasks", [1, 3])
@pytest.mark.parametrize(
    "mappings", [(MAML(n_steps=2),), (Prototypes(),), (MAML(n_steps=1), RidgeHead(), Prototypes())], ids=len
)
def test_conv4_has_the_gradient_of_one_batch(mappings, n_tasks, threads, small_pieces) -> None:
    learner = MetaLearner(CONV4, mappings)
    params, batch = moved_params(learner), in_double(collate([image_task(i) for i in range(n_tasks)]))
    threads(2)
    found = loss_and_gradient(learner, params, batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv4, "FEW_IMAGES", 1000)
        patch.setattr(image_chunks, "IMAGES", 1000)
        assert_same(found, of_the_whole(learner, params, batch, "training"))


@pytest.mark.parametrize("n_tasks", [1, 5])
def test_the_number_of_threads_changes_no_bit(n_tasks, threads, small_pieces) -> None:
    learner = MetaLearner(Conv4(side=28, channels=16), (MAML(n_steps=1), RidgeHead()))
    generator = torch.Generator().manual_seed(1)
    tasks = []
    for i in range(n_tasks):
        x, y = torch.randn(45, 1, 28, 28, generator=generator), torch.arange(45) % 5
        tasks.append(Task(f"t{i}", "toy", "classification", x[:5], y[:5], x[5:], y[5:], n_classes=5))
    params, batch = moved_params(learner, torch.float32), collate(tasks)
    results = []
    for number in (1, 2, 3):
        threads(number)
        results.append(loss_and_gradient(learner, params, batch))
    for loss, gradient in results[1:]:
        assert torch.equal(loss, results[0][0])
        assert all(torch.equal(gradient[k], g) for k, g in results[0][1].items())


def test_entries_without_influence_are_left_out_and_the_given_ones_stay_as_they_are() -> None:
    learner = MetaLearner(OneByOne(in_dim=3, hidden=(4,)), (Prototypes(),))
    params = moved_params(learner) | {"alpha.prototypes.count": torch.tensor(3)}
    before = {k: v.clone() for k, v in params.items()}
    _, gradient = loss_and_gradient(learner, params, toy_batch("classification"))
    assert gradient.keys() == {"theta.layer0.weight", "theta.layer0.bias", "alpha.prototypes.log_temperature"}
    assert all(torch.equal(params[k], v) and not params[k].requires_grad for k, v in before.items())


def test_memory_is_not_trained() -> None:
    class Shifting(Unadapted):
        """Scores plus something remembered and something learned."""

        def adapt(self, model, theta, alpha, batch):
            return super().adapt(model, theta, alpha, batch) + alpha["memory.shift"] + alpha["shift"]

    learner = MetaLearner(OneByOne(in_dim=3, hidden=(4,)), (Shifting(),))
    names = [f"alpha.{Shifting.name}.{part}" for part in ("shift", "memory.shift")]
    params = moved_params(learner) | {name: torch.zeros((), dtype=torch.float64) for name in names}
    _, gradient = loss_and_gradient(learner, params, toy_batch("regression"))
    assert names[0] in gradient and names[1] not in gradient


def test_a_loss_without_parameters_has_no_gradient() -> None:
    class Nothing(Unadapted):
        def adapt(self, model, theta, alpha, batch):
            return torch.zeros_like(batch.query_y)[..., None]

    learner = MetaLearner(OneByOne(in_dim=3, hidden=(4,)), (Nothing(),))
    batch = toy_batch("regression")
    loss, gradient = loss_and_gradient(learner, moved_params(learner), batch)
    assert gradient == {} and float(loss) == pytest.approx(float(learner.query_loss(moved_params(learner), batch)))


def test_it_works_where_gradients_are_off() -> None:
    learner, batch = MetaLearner(small_mlp(), (RidgeHead(),)), toy_batch("regression")
    params = moved_params(learner)
    with torch.no_grad():
        found = loss_and_gradient(learner, params, batch)
    assert_same(found, of_the_whole(learner, params, batch, "training"))


def test_a_failing_task_is_heard(threads) -> None:
    class Failing(Unadapted):
        def adapt(self, model, theta, alpha, batch):
            if batch.tasks[0].id == "bad":
                raise ArithmeticError("task bad cannot be adapted to")
            return super().adapt(model, theta, alpha, batch)

    learner = MetaLearner(OneByOne(in_dim=3, hidden=(4,)), (Failing(),))
    batch = in_double(collate([make_task("regression", i, name="bad" if i == 3 else "good") for i in range(5)]))
    threads(2)
    with pytest.raises(ArithmeticError, match="task bad"):
        loss_and_gradient(learner, moved_params(learner), batch)
    assert torch.get_num_threads() == 2
