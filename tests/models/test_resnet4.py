"""ResNet4 against PyTorch's own layers in the usual order, for shared weights and for weights per task."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers import random_params
from metastudy.model import Params, ResNet4, per_task
from metastudy.models import image_chunks

MODEL = ResNet4(side=9, in_channels=2, channels=(3, 4), n_blocks=2)


def images(n_tasks: int = 2, n_rows: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n_tasks, n_rows, 2, 9, 9, generator=generator, dtype=torch.float64)


def textbook(params: Params, x: Tensor) -> Tensor:
    """φ of one task's images (N, 2, 9, 9), channels first."""

    def layer(x: Tensor, i: str) -> Tensor:
        kernel = params[f"conv{i}.weight"].permute(0, 3, 1, 2).contiguous()
        z = F.layer_norm(z := F.conv2d(x, kernel, params[f"conv{i}.bias"][0], padding=1), z.shape[1:])
        return z * params[f"norm{i}.weight"][0, :, None, None] + params[f"norm{i}.bias"][0, :, None, None]

    for i in ("0", "1"):
        h = F.relu(layer(x, i))
        x = F.max_pool2d(F.relu(h + layer(h, f"{i}b")), 2)
    return x.flatten(1)


def different(params: Params) -> Params:
    """Per-task parameters, each task its own."""
    generator = torch.Generator().manual_seed(5)
    noise = {k: 1 + 0.3 * torch.randn(2, *v.shape, generator=generator, dtype=v.dtype) for k, v in params.items()}
    return {k: v * noise[k] for k, v in per_task(params, 2).items()}


@pytest.mark.parametrize("shared", [True, False])
def test_values_and_gradients_are_those_of_the_textbook(monkeypatch, shared: bool) -> None:
    monkeypatch.setattr(image_chunks, "IMAGES", 2)
    x, params = images(), random_params(MODEL)
    params = params if shared else different(params)
    params = {k: v.requires_grad_() for k, v in params.items() if not k.startswith("head")}
    own = [params if shared else {k: v[t] for k, v in params.items()} for t in range(2)]
    expected = torch.stack([textbook(p, task) for p, task in zip(own, x, strict=True)])
    found = MODEL.features(params, x)
    assert found.shape == (2, 3, MODEL.feature_dim) == (2, 3, 16)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    gradients = (torch.autograd.grad(v.sin().sum(), list(params.values())) for v in (found, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_tasks_as_groups_give_what_one_task_after_another_gives() -> None:
    """The way of other devices than a CPU."""
    x, params = images(), different(random_params(MODEL))
    weights = MODEL._weights(params)
    together = MODEL.embed(x.transpose(0, 1).flatten(1, 2), weights)
    apart = torch.cat([MODEL.embed(x[t], [w[t : t + 1] for w in weights]) for t in range(2)], 1)
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)


def test_second_kernels_start_at_half_the_size() -> None:
    params = ResNet4(side=16, channels=64).init_features(torch.Generator().manual_seed(0))
    assert len(params) == 2 * 4 * 4
    for i in range(1, 4):
        assert 0.45 < params[f"conv{i}b.weight"].std() / params[f"conv{i}.weight"].std() < 0.55


def test_bfloat16_is_near() -> None:
    x = images().float()
    params = {k: v.float() for k, v in random_params(MODEL).items()}
    exact = MODEL.features(params, x)
    near = ResNet4(side=9, in_channels=2, channels=(3, 4), n_blocks=2, bfloat16=True).features(params, x)
    assert 0 < (near - exact).norm() / exact.norm() < 0.02
