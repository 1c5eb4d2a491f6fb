"""One update is AdamW's, after a schedule and a clip; what has no gradient, or is memory, stays."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from helpers import batch_of, double, random_params, small_mlp
from metastudy.adapt.gradient import gradient_steps
from metastudy.errors import TrainingError
from metastudy.losses import loss, predict
from metastudy.model import Params
from metastudy.optimise import Optimizer, TrainConfig, global_norm, with_gradient
from metastudy.train import minimise, rng_for


def start() -> Params:
    generator = torch.Generator().manual_seed(0)
    shapes = {"theta.w": (4, 3), "alpha.m.a": (), "beta.bias": (2,), "theta.v": (5,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def gradients(params: Params, n: int, scale: float) -> list[Params]:
    generator = torch.Generator().manual_seed(1)
    return [{k: scale * torch.randn(v.shape, generator=generator) for k, v in params.items()} for _ in range(n)]


@pytest.mark.parametrize("scale", [0.1, 10.0], ids=["short", "clipped"])
def test_steps_are_those_of_torchs_own_adamw_schedule_and_clip(scale: float) -> None:
    config = TrainConfig(steps=20, learning_rate=0.05, weight_decay=0.1, rate_of_alpha=3.0, clip_norm=2.0)
    config = replace(config, rate_of_beta=2.0)
    params, expected = start(), {k: v.clone().requires_grad_() for k, v in start().items()}
    optimizer = Optimizer(params, config)
    theirs = torch.optim.AdamW(
        [
            {"params": [expected["theta.w"], expected["theta.v"]], "weight_decay": 0.1},
            {"params": [expected["alpha.m.a"]], "weight_decay": 0.0, "lr": 0.15},
            {"params": [expected["beta.bias"]], "weight_decay": 0.1, "lr": 0.1},
        ],
        lr=0.05,
        fused=False,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=20)
    for step, gradient in enumerate(gradients(params, 20, scale)):
        assert (global_norm(gradient) > config.clip_norm) == (scale == 10.0)
        optimizer.step(gradient, global_norm(gradient), step)
        for name, parameter in expected.items():
            parameter.grad = gradient[name].clone()
        torch.nn.utils.clip_grad_norm_(expected.values(), config.clip_norm)
        theirs.step()
        schedule.step()
    for name in params:
        torch.testing.assert_close(params[name], expected[name].detach(), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(params[name], start()[name], atol=1e-2)


def test_the_rate_grows_in_a_line_and_falls_by_a_cosine() -> None:
    config = TrainConfig(steps=14, warmup=4)
    assert [config.rate(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert config.rate(9) == pytest.approx(0.5) and config.rate(14) == pytest.approx(0.0)
    rates = [config.rate(step) for step in range(4, 15)]
    assert rates == sorted(rates, reverse=True)
    plain = TrainConfig(steps=10)
    assert [plain.rate(s) for s in (0, 5, 10)] == pytest.approx([1.0, 0.5, 0.0])


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warm_up_that_leaves_no_step_is_refused(warmup: int) -> None:
    with pytest.raises(TrainingError, match=f"warmup is {warmup}; expected from 0 to below the 10 steps"):
        TrainConfig(steps=10, warmup=warmup)


def test_what_has_no_gradient_or_is_memory_stays_as_it_is() -> None:
    params = start() | {"alpha.m.memory.y": torch.arange(3), "alpha.m.memory.x": torch.ones(2)}
    optimizer = Optimizer(params, TrainConfig(weight_decay=0.5))
    optimizer.step({"theta.w": torch.ones(4, 3), "alpha.m.memory.x": torch.ones(2)}, 1.0, 0)
    changed = {name for name, v in start().items() if not torch.equal(params[name], v)}
    assert changed == {"theta.w"}, "no decay either"
    assert params["alpha.m.memory.x"].tolist() == [1, 1] and params["alpha.m.memory.y"].tolist() == [0, 1, 2]
    assert {name.split("/")[0] for name in optimizer.tensors()} == {"theta.w"}


@pytest.mark.parametrize("scale", [0.1, 10.0], ids=["short", "clipped"])
def test_the_layout_of_a_gradient_in_memory_has_no_influence(scale: float) -> None:
    generator = torch.Generator().manual_seed(2)
    turned = scale * torch.randn(3, 4, generator=generator).T
    repeated = scale * torch.randn(1, 3, generator=generator).expand(4, 3)
    for strange in (turned, repeated):
        before, found = strange.clone(), []
        for gradient in (strange, strange.clone(memory_format=torch.contiguous_format)):
            params = start()
            optimizer = Optimizer(params, TrainConfig())
            for step in range(3):
                optimizer.step({"theta.w": gradient}, global_norm({"theta.w": gradient}), step)
            found.append(params["theta.w"])
        assert torch.equal(*found) and not torch.equal(found[0], start()["theta.w"])
        assert torch.equal(strange, before), "what was passed in is untouched"


def test_a_view_as_a_parameter_is_refused_and_training_copies_it() -> None:
    params = {"theta.w": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).T}
    with pytest.raises(TrainingError, match=r"cannot train \['theta.w'\] in place: views of other tensors"):
        Optimizer(params, TrainConfig())
    falls = with_gradient(lambda p, _: (p["theta.w"] ** 2).sum())
    config = TrainConfig(steps=3, learning_rate=0.01, weight_decay=0.0)
    found = minimise(params, falls, None, config, rng_for(0)).params["theta.w"]
    assert torch.equal((params["theta.w"] - found).sign(), params["theta.w"].sign())


def test_names_that_no_rule_covers_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"cannot train \['gamma.x'\]; expected names that begin with theta"):
        Optimizer({"gamma.x": torch.zeros(1)}, TrainConfig())


def test_the_state_goes_into_another_optimizer_bit_for_bit() -> None:
    config, moves = TrainConfig(steps=9), gradients(start(), 6, 1.0)
    for gradient in moves[:3]:
        gradient.pop("theta.v")  # a parameter that gets its state later
    params = start()
    optimizer = Optimizer(params, config)
    for step in range(3):
        optimizer.step(moves[step], 1.0, step)
    copy = {k: v.clone() for k, v in params.items()}
    other = Optimizer(copy, config)
    other.restore({k: v.clone() for k, v in optimizer.tensors().items()})
    for step in range(3, 6):
        optimizer.step(moves[step], 1.0, step)
        other.step(moves[step], 1.0, step)
    assert all(torch.equal(params[k], copy[k]) for k in params)
    assert all(torch.equal(v, other.tensors()[k]) for k, v in optimizer.tensors().items())


def test_a_plain_loss_becomes_loss_and_gradient() -> None:
    params = start() | {"alpha.m.memory.x": torch.tensor(3.0)}

    def square(params: Params, rng) -> Tensor:
        return (params["theta.w"] ** 2).sum() * params["alpha.m.memory.x"] + rng.integers(1, 2)

    value, gradient = with_gradient(square)(params, rng_for(0))
    assert value.item() == pytest.approx(3 * float((params["theta.w"] ** 2).sum()) + 1, rel=1e-6)
    assert not value.requires_grad and list(gradient) == ["theta.w"]
    torch.testing.assert_close(gradient["theta.w"], 6 * params["theta.w"])
    assert not any(v.requires_grad for v in params.values())


def test_a_loss_of_nothing_that_is_learned_has_no_gradient() -> None:
    value, gradient = with_gradient(lambda params, _: params["alpha.m.memory.x"].sum())(
        {"theta.w": torch.ones(2), "alpha.m.memory.x": torch.tensor([1.0, 2.0])}, rng_for(0)
    )
    assert value == 3 and gradient == {}


def saved_bytes(n_steps: int, create_graph: bool) -> int:
    """Bytes that the graph of an adaptation holds for its backward pass, by the general path."""
    model, batch = small_mlp(), batch_of("regression", range(3))
    theta = {k: v.requires_grad_() for k, v in double(random_params(model)).items()}
    sizes = {k: torch.tensor(0.1).double() for k in theta}
    held = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal held
        held += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        adapted = gradient_steps(model, theta, batch, sizes, n_steps, create_graph)
        prediction = predict("regression", model(adapted, batch.query_x), batch.class_mask)
        value = loss("regression", prediction, batch.query_y, batch.query_mask, batch.query_group).mean()
    assert value.requires_grad
    return held


def test_memory_of_second_order_grows_by_the_same_amount_with_each_inner_step() -> None:
    held = [saved_bytes(n, create_graph=True) for n in range(1, 7)]
    growth = {b - a for a, b in zip(held[1:], held[2:], strict=False)}
    assert len(growth) == 1 and held[1] > held[0]
    assert growth.pop() > saved_bytes(0, create_graph=True), "a step holds more than a forward pass"


def test_infinite_gradients_have_no_finite_norm() -> None:
    assert math.isinf(global_norm({"theta.w": torch.tensor([1.0, math.inf])}))
    assert global_norm({"theta.w": torch.tensor([3.0]), "theta.v": torch.tensor([[4.0]])}) == 5
