"""Base models against slow, literal ways of writing them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from helpers import DIM, batch_of, moved, random_params
from metastudy.adapt import ANIL, MAML, FirstOrderMAML
from metastudy.adapt.gradient import gradient_steps, widen_head
from metastudy.model import (
    HEAD_BIAS,
    HEAD_WEIGHT,
    MLP,
    ColumnNet,
    Conv4,
    ConvNet,
    SetNet,
    VectorNet,
    WideMLP,
    is_head,
    n_parameters,
    per_task,
)
from metastudy.tasks import KINDS

MODELS = {
    "mlp": (MLP(4, (6, 5)), (4,)),
    "wide mlp": (WideMLP(4, (6, 5)), (4,)),
    "conv": (ConvNet(side=8, channels=(3, 2)), (1, 8, 8)),
    "conv4": (Conv4(side=17, channels=3), (1, 17, 17)),
    "conv4, colours": (Conv4(side=9, in_channels=3, channels=3, n_blocks=2), (3, 9, 9)),
    "columns": (ColumnNet(channels=3, n_columns=4, hidden=5, width=3), (4, 3)),
    "set": (SetNet(channels=3, hidden=6, width=5), (4, 3)),
    "vectors": (VectorNet(6, hidden=5, n_blocks=2), (6,)),
}


def data(shape: tuple[int, ...], n_tasks: int = 2, n_rows: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_tasks, n_rows, *shape, generator=generator, dtype=torch.float64)


@pytest.fixture(params=MODELS, ids=str)
def case(request):
    model, shape = MODELS[request.param]
    return model, model.untied(random_params(model)), data(shape)


def test_f_is_literally_the_weighted_sum_of_its_features(case) -> None:
    model, params, x = case
    phi, w, b = model.features(params, x), params[HEAD_WEIGHT], params[HEAD_BIAS]
    assert phi.shape == (2, 3, model.feature_dim)
    for t in range(2):
        for n in range(3):
            total = sum(float(w[i, 0]) * float(phi[t, n, i]) for i in range(model.feature_dim)) + float(b)
            assert float(model(params, x)[t, n, 0]) == pytest.approx(total, abs=1e-12)


def test_parameters_of_each_task_are_used_for_that_task_alone(case) -> None:
    model, params, x = case
    other = {k: v + 0.1 * torch.randn(v.shape, generator=torch.Generator().manual_seed(5)) for k, v in params.items()}
    torch.testing.assert_close(model(per_task(params, 2), x), model(params, x), rtol=0, atol=1e-12)
    both = model({k: torch.stack([params[k], other[k]]) for k in params}, x)
    torch.testing.assert_close(both[:1], model(params, x[:1]), rtol=0, atol=1e-12)
    torch.testing.assert_close(both[1:], model(other, x[1:]), rtol=0, atol=1e-12)
    assert not torch.allclose(both[1:], model(params, x[1:]))


def test_rows_do_not_look_at_each_other(case) -> None:
    model, params, x = case
    torch.testing.assert_close(model(params, x[:, 1:2]), model(params, x)[:, 1:2], rtol=0, atol=1e-12)
    others = torch.cat([7 * x[:, :1], x[:, 1:2], x[:, 2:] - 3], 1)
    torch.testing.assert_close(model(params, others)[:, 1:2], model(params, x)[:, 1:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("copies", [None, 2], ids=["shared", "per task"])
def test_single_precision_stays_single_and_agrees(case, copies) -> None:
    model, params, x = case
    params = per_task(params, copies) if copies else params
    found = model({k: v.float() for k, v in params.items()}, x.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), model(params, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("copies", [None, 2], ids=["shared", "per task"])
def test_everything_stays_on_the_device_of_its_inputs(case, copies) -> None:
    """On the device that only knows shapes: an operation with a tensor of the CPU fails there."""
    model, params, x = case
    params = per_task(params, copies) if copies else params
    phi = model.features({k: v.to("meta") for k, v in params.items()}, x.to("meta"))
    assert phi.device.type == "meta" and phi.shape == (2, 3, model.feature_dim)


def test_same_generator_same_start(case) -> None:
    model = case[0]
    first, again, other = (model.init(torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first[HEAD_WEIGHT], other[HEAD_WEIGHT])
    assert {k for k in first if is_head(k)} == {HEAD_WEIGHT, HEAD_BIAS} != set(first)


def test_mlp_equals_a_stack_of_layers() -> None:
    model, shape = MODELS["mlp"]
    params, x = random_params(model), data(shape)
    h = x
    for i in range(2):
        h = F.relu(F.linear(h, params[f"layer{i}.weight"].T, params[f"layer{i}.bias"][0]))
    torch.testing.assert_close(model.features(params, x), h, rtol=0, atol=1e-12)
    assert n_parameters(params) == 4 * 6 + 6 + 6 * 5 + 5 + 5 + 1


def test_skip_puts_the_input_in_front_of_what_the_network_makes_of_it() -> None:
    plain, model, x = MODELS["mlp"][0], MODELS["wide mlp"][0], data((4,))
    params = random_params(model)
    found = model.features(params, x)
    assert model.feature_dim == found.shape[-1] == 4 + 5
    torch.testing.assert_close(found[..., :4], 0.3 * x, rtol=0, atol=1e-12)
    torch.testing.assert_close(found[..., 4:], plain.features(params, x), rtol=0, atol=0)
    head = torch.zeros(9, 1).double()
    head[:4, 0] = torch.tensor([1.0, -2.0, 0.0, 3.0])
    linear = params | {HEAD_WEIGHT: head, HEAD_BIAS: torch.zeros(1, 1).double()}
    torch.testing.assert_close(model(linear, x), 0.3 * x @ head[:4], rtol=0, atol=1e-12)
    tables = x.reshape(2, 3, 2, 2)
    assert torch.equal(model.features(params, tables), found), "rows of any shape are read flat"
    assert WideMLP(4, (), skip=0.5).feature_dim == 8 and MLP(4, ()).feature_dim == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mapping", [MAML(2), ANIL(2), FirstOrderMAML(2)], ids=lambda m: m.name)
def test_gradient_steps_see_the_whole_of_a_network_with_skip(mapping, kind) -> None:
    """The written-out steps are of plain chains of layers; whatever is used here must equal autograd's."""
    model, batch = WideMLP(DIM, (6, 5)), batch_of(kind)
    theta, alpha = random_params(model), moved(mapping.init(model, torch.Generator().manual_seed(0)))
    found = mapping(model, theta, alpha, batch)
    sizes = {k.removeprefix("log_step."): v.exp() for k, v in alpha.items() if k.startswith("log_step.")}
    expected = model(gradient_steps(model, widen_head(theta, batch.n_classes), batch, sizes, 2, False), batch.query_x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("side", [8, 7, 5])
def test_patches_times_a_matrix_are_a_convolution(side: int) -> None:
    model = ConvNet(side=side, channels=(3, 2))
    params, x = random_params(model), data((1, side, side))
    h, n_in = x.flatten(0, 1), 1
    for i, channels in enumerate(model.channels):
        kernel = params[f"conv{i}.weight"].T.reshape(channels, n_in, 3, 3)
        h = F.conv2d(h, kernel, params[f"conv{i}.bias"][0], stride=2, padding=1)
        h = F.relu(F.layer_norm(h, h.shape[1:]))
        n_in = channels
    assert h[0].numel() == model.feature_dim
    torch.testing.assert_close(model.features(params, x), h.reshape(2, 3, -1), rtol=0, atol=1e-11)
