"""Proto-MAML: prototypes written as a head, and then gradient steps that move the features too."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from helpers import batch_of, double, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt import ProtoMAML, Prototypes
from metastudy.adapt.detached import mean_query_loss
from metastudy.losses import predict
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, MLP
from metastudy.tasks import collate

MODEL = small_mlp()
KINDS = ["classification", "binary", "ranking"]


class PlainMLP(MLP):
    """The same model, of a type whose steps are not written out: autograd differentiates them."""


MODELS = [MODEL, PlainMLP(MODEL.in_dim, MODEL.hidden)]


def alpha_of(mapping: ProtoMAML, seed: int = 0):
    return moved(mapping.init(MODEL, torch.Generator().manual_seed(seed)), seed)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_step_it_is_prototypes(kind, model) -> None:
    batch = in_double(collate([make_task(kind, 0, 5, 4, ways=2), make_task(kind, 1, 9, 6, ways=4, n_groups=3)]))
    theta, mapping = random_params(MODEL), ProtoMAML(n_steps=0)
    alpha = alpha_of(mapping)
    found, expected = (predict(kind, m(model, theta, alpha, batch), batch.class_mask) for m in (mapping, Prototypes()))
    found, expected = (p.clamp(min=-1e6) for p in (found, expected))  # a class that a task lacks has -1e9
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def phi(w, x):
    """The small MLP, written out."""
    h = F.relu(x @ w["layer0.weight"] + w["layer0.bias"])
    return F.relu(h @ w["layer1.weight"] + w["layer1.bias"])


def one_task(kind, theta, alpha, x, y, query, n_steps, create_graph):
    """Scores of one task's query: the paper's steps in the order of the paper."""
    tau = alpha["log_temperature"].exp()
    means = [phi(theta, x)[y == c].mean(0) for c in range(3 if kind == "classification" else 2)]
    weight = torch.stack([2 * tau * m for m in means], 1)
    bias = torch.stack([-tau * m @ m for m in means])[None]
    if kind == "binary":
        weight, bias = weight[:, 1:] - weight[:, :1], bias[:, 1:] - bias[:, :1] + alpha["offset"]
    # copies, so that the inner gradient takes the head as a start and not as a function of the features
    w = {k: v * 1 for k, v in (theta | {HEAD_WEIGHT: weight, HEAD_BIAS: bias}).items()}
    for _ in range(n_steps):
        out = phi(w, x) @ w[HEAD_WEIGHT] + w[HEAD_BIAS]
        if kind == "classification":
            value = F.cross_entropy(out, y)
        else:
            value = F.binary_cross_entropy_with_logits(out[:, 0], y)
        gradients = torch.autograd.grad(value, list(w.values()), create_graph=create_graph, retain_graph=True)
        w = {n: v - alpha[f"log_step.{n}"].exp() * g for (n, v), g in zip(w.items(), gradients, strict=True)}
    return phi(w, query) @ w[HEAD_WEIGHT] + w[HEAD_BIAS]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("kind", ["classification", "binary"])
def test_scores_and_meta_gradients_equal_a_loop_over_tasks(kind, first_order, model) -> None:
    batch, mapping = batch_of(kind, n_support=7), ProtoMAML(n_steps=2, first_order=first_order)
    theta = {k: v.requires_grad_() for k, v in random_params(MODEL).items()}
    alpha = {k: v.requires_grad_() for k, v in alpha_of(mapping).items()}
    rows = zip(batch.support_x, batch.support_y, batch.query_x, strict=True)
    expected = torch.stack([one_task(kind, theta, alpha, *r, n_steps=2, create_graph=not first_order) for r in rows])
    found = mapping(model, theta, alpha, batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    leaves = [*theta.values(), *alpha.values()]
    probe = torch.randn(found.shape, generator=torch.Generator().manual_seed(0)).double()
    ours, theirs = (torch.autograd.grad((s * probe).sum(), leaves, allow_unused=True) for s in (found, expected))
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)  # f's own head, and the offset with classes
        if a is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def test_the_first_step_already_moves_the_features() -> None:
    """Unlike with one shared head column, where what the features would learn cancels out."""
    batch, theta, mapping = batch_of("classification"), random_params(MODEL), ProtoMAML(n_steps=1)
    alpha = alpha_of(mapping)
    still = alpha | {k: torch.tensor(-torch.inf).double() for k in alpha if k.startswith("log_step.layer")}
    found, expected = (mapping(MODEL, theta, a, batch) for a in (alpha, still))
    assert not torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_lower_the_loss_on_the_support(kind) -> None:
    batch, theta = batch_of(kind, n_support=12), random_params(MODEL)
    parts = {f"query_{part}": getattr(batch, f"support_{part}") for part in ("x", "y", "mask", "group")}
    on_support = dataclasses.replace(batch, **parts)
    losses = []
    for n_steps in (0, 5):
        mapping = ProtoMAML(n_steps)
        alpha = double(mapping.init(MODEL, torch.Generator()))
        losses.append(mean_query_loss(mapping(MODEL, theta, alpha, on_support), on_support).item())
    assert losses[1] < losses[0]
