"""Conv4 against PyTorch's own layers, and its meta-gradient against a plain loop in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import random_params
from metastudy.errors import TaskError
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, Conv4, Params, per_task
from metastudy.models import conv4, first_block, image_chunks

MODEL = Conv4(side=9, in_channels=2, channels=4, n_blocks=2)


def images(n_tasks: int = 2, n_rows: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_tasks, n_rows, 2, 9, 9, generator=generator, dtype=torch.float64)


def textbook(params: Params, x: Tensor) -> Tensor:
    """φ of one task's images (N, 2, 9, 9), as the network is usually written: layers in order, channels first."""
    for i in range(2):
        kernel = params[f"conv{i}.weight"].permute(0, 3, 1, 2).contiguous()
        z = F.conv2d(x, kernel, params[f"conv{i}.bias"][0], padding=1)
        normal = (z - z.mean((1, 2, 3), keepdim=True)) / (z.var((1, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
        z = normal * params[f"norm{i}.weight"][0, :, None, None] + params[f"norm{i}.bias"][0, :, None, None]
        x = F.max_pool2d(F.relu(z), 2)
    return x.flatten(1)


@pytest.fixture(params=["whole", "in pieces"])
def pieces(request, monkeypatch) -> None:
    """The network as it runs on few images, and on many."""
    if request.param == "in pieces":
        monkeypatch.setattr(conv4, "FEW_IMAGES", 2)
        monkeypatch.setattr(first_block, "IMAGES", 2)
        monkeypatch.setattr(image_chunks, "IMAGES", 2)


def different(params: Params) -> Params:
    """Per-task parameters, each task its own."""
    generator = torch.Generator().manual_seed(5)
    return {
        k: v * (1 + 0.3 * torch.randn(v.shape, generator=generator, dtype=v.dtype))
        for k, v in per_task(params, 2).items()
    }


def test_it_is_the_network_of_the_papers(pieces) -> None:
    params, x = random_params(MODEL), images()
    expected = torch.stack([textbook(params, task) for task in x])
    assert expected.shape == (2, 3, MODEL.feature_dim) == (2, 3, 16)
    torch.testing.assert_close(MODEL.features(params, x), expected, rtol=0, atol=1e-12)


def test_a_scale_below_zero_turns_the_order_of_activations_round() -> None:
    """Where pooling before the scale, a tempting short cut, would be wrong."""
    params, x = random_params(MODEL), images()
    params["norm0.weight"] = -params["norm0.weight"].abs()
    torch.testing.assert_close(MODEL.features(params, x)[0], textbook(params, x[0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_are_those_of_the_textbook(pieces, shared: bool) -> None:
    x = images()
    params = random_params(MODEL) if shared else different(random_params(MODEL))
    params = {k: v.requires_grad_() for k, v in params.items() if not k.startswith("head")}
    found = torch.autograd.grad(MODEL.features(params, x).sin().sum(), list(params.values()))
    own = [params if shared else {k: v[t] for k, v in params.items()} for t in range(2)]
    value = torch.stack([textbook(p, task) for p, task in zip(own, x, strict=True)]).sin().sum()
    for a, b in zip(found, torch.autograd.grad(value, list(params.values())), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_second_derivatives_are_those_of_the_textbook(pieces) -> None:
    """Gradient of a squared gradient: what MAML needs, for weights per task; shared ones can do it too."""
    x, start = images(), random_params(MODEL)

    def twice(features, params: Params) -> tuple[Tensor, ...]:
        first = torch.autograd.grad(features(params).sin().sum(), list(params.values()), create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in first), list(params.values()))

    body = {k: v for k, v in start.items() if not k.startswith("head")}
    for params in (body, different(body)):
        params = {k: v.clone().requires_grad_() for k, v in params.items()}
        own = [{k: v if v.shape == body[k].shape else v[t] for k, v in params.items()} for t in range(2)]
        found = twice(lambda p: MODEL.features(p, x), params)
        expected = twice(lambda _, own=own: torch.stack([textbook(p, t) for p, t in zip(own, x, strict=True)]), params)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_tasks_as_groups_are_tasks_one_by_one() -> None:
    """The form for other devices, computed here."""
    params, x = different(random_params(MODEL)), images()
    grouped = conv4.embed(x.transpose(0, 1).flatten(1, 2), MODEL._weights(params))  # (N, T*d)
    expected = MODEL.features(params, x)
    torch.testing.assert_close(grouped.reshape(3, 2, -1).transpose(0, 1), expected, rtol=0, atol=1e-12)


def test_gradients_into_images_pass(pieces) -> None:
    params, x = random_params(MODEL), images().requires_grad_()
    for weights in (params, per_task(params, 2)):
        found = torch.autograd.grad(MODEL.features(weights, x).sin().sum(), x)[0]
        expected = torch.autograd.grad(torch.stack([textbook(params, t) for t in x]).sin().sum(), x)[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_channels_lie_side_by_side(in_channels: int) -> None:
    """Else pooling takes 20 times as long; one grey channel is both layouts at once, and torch takes the slow one."""
    model = Conv4(side=8, in_channels=in_channels, channels=4, n_blocks=2)
    seen = []
    pooled = torch.ops.aten.max_pool2d_with_indices.default

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is pooled:
                seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
            return function(*args, **(kwargs or {}))

    params = {k: v.requires_grad_() for k, v in model.init(torch.Generator().manual_seed(0)).items()}
    for weights in (params, per_task(params, 2)):
        for n_rows in (3, 30):
            with Watching():
                model(weights, torch.randn(2, n_rows, in_channels, 8, 8))
    assert len(seen) >= 8 and all(seen)


REAL = Conv4(channels=16)
HALVED = Conv4(channels=16, bfloat16=True)


def pictures(n_tasks: int = 2, n_rows: int = 12) -> Tensor:
    return torch.rand(n_tasks, n_rows, 1, 28, 28, generator=torch.Generator().manual_seed(3))


def weights_of(shared: bool) -> Params:
    """Those of a network of 28 x 28 images, in single precision."""
    params = {k: v.float() for k, v in random_params(REAL, scale=0.05).items() if not k.startswith("head")}
    return params if shared else different(params)


def share(found: Tensor, expected: Tensor) -> float:
    """The size of a difference as a share of what is expected."""
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("shared", [True, False])
def test_half_the_digits_change_little(shared: bool) -> None:
    params, x = weights_of(shared), pictures()
    exact, found = REAL.features(params, x), HALVED.features(params, x)
    assert found.dtype == torch.float32 and found.shape == exact.shape
    assert 0 < share(found, exact) < 0.02
    per_image = (found - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert float(per_image.max()) < 0.02, "of every image"


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_through_half_the_digits_are_finite_and_parameters_stay_as_they_are(shared: bool) -> None:
    params, x = {k: v.requires_grad_() for k, v in weights_of(shared).items()}, pictures()
    before = {k: v.detach().clone() for k, v in params.items()}
    found, exact = (
        torch.autograd.grad(model.features(params, x).sin().sum(), list(params.values())) for model in (HALVED, REAL)
    )
    for name, own, other in zip(params, found, exact, strict=True):
        assert own.dtype == torch.float32 and torch.isfinite(own).all(), name
        if not (name.startswith("conv") and name.endswith("bias")):  # nearly nothing: the norm takes most of it away
            assert share(own, other) < 0.1, name
    assert {v.dtype for v in params.values()} == {torch.float32}
    assert all(torch.equal(params[k], before[k]) for k in params)


def test_convolutions_after_the_first_and_nothing_else_have_half_the_digits() -> None:
    convolutions, norms = [], []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is torch.ops.aten.convolution.default:
                convolutions.append((args[0].dtype, args[1].dtype))
            if function is torch.ops.aten.native_group_norm.default:
                norms.append((args[0].dtype, args[1].dtype))
            return function(*args, **(kwargs or {}))

    with Watching():
        HALVED.features(weights_of(True), pictures(1, 2))
    assert [pair for pair in convolutions if pair[0] is torch.bfloat16] == [(torch.bfloat16, torch.bfloat16)] * 3
    assert len(convolutions) == 4 and (torch.float32, torch.float32) in convolutions
    assert norms and set(norms) == {(torch.float32, torch.float32)}


def test_all_digits_are_kept_unless_asked() -> None:
    assert not Conv4().bfloat16
    start = [model.init(torch.Generator().manual_seed(0)) for model in (REAL, HALVED)]
    assert all(torch.equal(start[0][k], start[1][k]) for k in start[0]) and len(start[0]) == len(start[1])


def test_start() -> None:
    params = Conv4().init(torch.Generator().manual_seed(0))
    assert params[HEAD_WEIGHT].shape == (64, 1) and params[HEAD_BIAS].shape == (1, 1)
    assert float(params["conv1.weight"].std()) == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    assert (params["norm2.weight"] == 1).all() and not params["norm2.bias"].any() and not params["conv3.bias"].any()


def test_images_too_small_for_the_blocks_are_refused() -> None:
    with pytest.raises(TaskError, match="side 8 vanish: 4 blocks .* at least 16"):
        Conv4(side=8)
    assert Conv4(side=16, channels=5).feature_dim == 5
