"""The network on frozen vectors."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from helpers import random_params
from metastudy.model import VectorNet

NET = VectorNet(6, hidden=5, n_blocks=2)


def vectors() -> torch.Tensor:
    return torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_an_untrained_network_is_the_normalised_vector() -> None:
    x = vectors()
    start = {k: v.double() for k, v in NET.init(torch.Generator().manual_seed(0)).items()}
    centred = x - x.mean(-1, keepdim=True)
    expected = centred / (centred.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(NET.features(start, x), expected, rtol=0, atol=1e-12)


def test_learning_starts_at_once() -> None:
    start = {k: v.requires_grad_() for k, v in NET.init(torch.Generator().manual_seed(0)).items()}
    loss = NET.features(start, vectors().float()).square().sum()
    gradients = torch.autograd.grad(loss, [start["block0.out.weight"], start["block1.out.weight"]])
    assert all(float(g.abs().max()) > 0 for g in gradients)


def test_the_scale_of_an_encoder_does_not_matter() -> None:
    params, x = random_params(NET), vectors()
    torch.testing.assert_close(NET(params, 1000 * x), NET(params, x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(NET(params, x + 5), NET(params, x), rtol=1e-9, atol=1e-9)


def test_blocks_add_to_what_came_before() -> None:
    params, x = random_params(NET), vectors()
    h = F.layer_norm(x, (6,))
    for i in range(2):
        inner = F.relu(F.linear(h, params[f"block{i}.in.weight"].T, params[f"block{i}.in.bias"][0]))
        h = h + F.linear(inner, params[f"block{i}.out.weight"].T, params[f"block{i}.out.bias"][0])
    torch.testing.assert_close(NET.features(params, x), h, rtol=0, atol=1e-12)
