"""The sketch does what it was proposed to do, and shows what it does not do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Generator, Tensor, nn

from metastudy.sketch import BaseModel, MetaLearning

torch.set_num_threads(1)  # on sums this small more threads only wait for each other


def sketch(seed: int = 0) -> MetaLearning:
    generator = Generator().manual_seed(seed)
    return MetaLearning(BaseModel(10, 5, generator=generator), 2, generator=generator)


def task(seed: int = 0, n: int = 12) -> tuple[Tensor, Tensor]:
    generator = Generator().manual_seed(seed)
    return torch.randn(n, 10, generator=generator), torch.randn(n, 2, generator=generator)


def by_hand(learner: MetaLearning, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        loss = ((learner(x) - y) ** 2).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def test_shapes() -> None:
    base = BaseModel(input_dim=7, output_dim=4)
    assert base(torch.randn(3, 7)).shape == (3, 4) and (base(torch.randn(9, 7)) >= 0).all()
    meta = MetaLearning(base, mapping_dim=3)
    assert meta(torch.randn(6, 7)).shape == (6, 3) and meta.mapping.in_features == 4
    assert BaseModel()(torch.randn(1, 10)).shape == (1, 5)


def test_the_mapping_is_linear_on_top_of_relu_features() -> None:
    learner, (x, _) = sketch(), task()
    features = (x @ learner.base_model.dense.weight.T + learner.base_model.dense.bias).clamp(min=0)
    expected = features @ learner.mapping.weight.T + learner.mapping.bias
    assert torch.allclose(learner(x), expected, atol=1e-6)


def test_the_loss_falls_and_is_given_back_for_every_step() -> None:
    x, y = task()
    learner = sketch()
    first = nn.functional.mse_loss(learner(x), y).item()
    losses = learner.learn_task(x, y)
    assert len(losses) == 100 and losses[0] == first and losses[-1] < 0.7 * losses[0]
    assert nn.functional.mse_loss(learner(x), y).item() < losses[-1] + 1e-3
    assert sketch().learn_task(x, y, steps=7) == losses[:7]


def test_both_layers_learn() -> None:
    learner, before = sketch(), sketch().state_dict()
    learner.learn_task(*task(), steps=1)
    assert set(before) == {"base_model.dense.weight", "base_model.dense.bias", "mapping.weight", "mapping.bias"}
    assert all(not torch.equal(value, before[name]) for name, value in learner.state_dict().items())


def test_the_optimizer_is_new_at_each_call() -> None:
    learner, carried = sketch(), sketch()
    learner.learn_task(*task(1), steps=20)
    fresh = copy.deepcopy(learner)
    second = learner.learn_task(*task(2), steps=20)
    assert second == by_hand(fresh, torch.optim.Adam(fresh.parameters(), lr=0.01), *task(2), 20)
    optimizer = torch.optim.Adam(carried.parameters(), lr=0.01)
    by_hand(carried, optimizer, *task(1), 20)
    with_memory = by_hand(carried, optimizer, *task(2), 20)
    assert with_memory[0] == pytest.approx(second[0]) and with_memory[-1] != pytest.approx(second[-1], rel=1e-4)


def test_only_weights_pass_from_task_to_task() -> None:
    learner, other = sketch(), sketch(seed=1)
    learner.learn_task(*task(1), steps=5)
    other.load_state_dict(learner.state_dict())
    assert learner.learn_task(*task(2), steps=5) == other.learn_task(*task(2), steps=5)


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(1)
    first = sketch().state_dict()
    torch.manual_seed(2)
    again = sketch().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["mapping.weight"], sketch(seed=1).state_dict()["mapping.weight"])
    assert first["mapping.bias"].tolist() == [0, 0]


def test_making_a_sketch_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    sketch()
    assert torch.equal(torch.get_rng_state(), before)
