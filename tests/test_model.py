"""Base models against slow, literal ways of writing them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers import random_params
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, MLP, ColumnNet, ConvNet, is_head, n_parameters, per_task

MODELS = {
    "mlp": (MLP(4, (6, 5)), (4,)),
    "conv": (ConvNet(side=8, channels=(3, 2)), (1, 8, 8)),
    "columns": (ColumnNet(channels=3, n_columns=4, hidden=5, width=3), (4, 3)),
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


def table(n_columns: int = 4, seed: int = 0) -> torch.Tensor:
    x = data((n_columns, 3), seed=seed)
    x[..., -1] = 1
    return x


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_a_shared_head_does_not_see_the_order_of_columns(order) -> None:
    model, x = MODELS["columns"][0], table()
    params = model.untied(random_params(model))
    torch.testing.assert_close(model(params, x[:, :, list(order)]), model(params, x), rtol=0, atol=1e-12)


def test_an_untied_head_tells_columns_apart() -> None:
    model, x = MODELS["columns"][0], table()
    shared = random_params(model)
    params = model.untied(shared)
    assert shared[HEAD_WEIGHT].shape == (3, 1) and params[HEAD_WEIGHT].shape == (model.feature_dim, 1) == (12, 1)
    params[HEAD_WEIGHT] = params[HEAD_WEIGHT] * torch.linspace(0, 1, 12)[:, None]
    assert not torch.allclose(model(params, x.flip(2)), model(params, x))


def test_padding_columns_have_no_influence() -> None:
    model, x = MODELS["columns"][0], table()
    narrow = ColumnNet(channels=3, n_columns=2, hidden=5, width=3)
    shared = random_params(model)
    padded = x.clone()
    padded[:, :, 2:, -1] = 0  # the last two columns are padding; what stands in their other channels is not read
    expected = narrow(narrow.untied(shared), x[:, :, :2])
    torch.testing.assert_close(model(model.untied(shared), padded), expected, rtol=0, atol=1e-12)


def test_the_first_feature_of_a_column_is_its_plain_value() -> None:
    model, x = MODELS["columns"][0], table()
    phi = model.features(random_params(model), x).reshape(2, 3, 4, 3)
    torch.testing.assert_close(phi[..., 0], x[..., 0] / 2, rtol=0, atol=1e-12)  # four columns: divided by sqrt(4)
