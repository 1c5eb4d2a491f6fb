"""Reptile's rule: the start moves towards where gradient steps on a task's support lead."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from helpers import batch_of, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt.gradient import FirstOrderMAML, widen_head
from metastudy.adapt.reptile import Reptile
from metastudy.losses import loss, predict
from metastudy.mixture import MetaLearner
from metastudy.tasks import KINDS, collate

MODEL = small_mlp()


def leaves(params):
    return {k: v.clone().requires_grad_() for k, v in params.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_rule_is_the_mean_way_to_the_adapted_weights_by_a_plain_loop(kind) -> None:
    tasks = [make_task(kind, i, 4 + i, 5, ways=3) for i in range(3)]
    mapping, theta = Reptile(n_steps=4), leaves(random_params(MODEL))
    alpha = moved(mapping.init(MODEL, torch.Generator()))
    rule = mapping.outer_loss(MODEL, theta, alpha, in_double(collate(tasks)))
    found = dict(zip(theta, torch.autograd.grad(rule, list(theta.values())), strict=True))
    for name in theta:
        ways = []
        for task in tasks:
            batch = in_double(collate([task]))
            own = {k: v.detach().clone() for k, v in widen_head(theta, batch.n_classes).items()}
            start = dict(own)
            for _ in range(4):
                own = leaves(own)
                prediction = predict(kind, MODEL(own, batch.support_x), batch.class_mask)
                value = loss(kind, prediction, batch.support_y, batch.support_mask, batch.support_group).sum()
                gradients = torch.autograd.grad(value, list(own.values()), allow_unused=True)
                sizes = [alpha[f"log_step.{k}"].exp() for k in own]
                own = {
                    k: (v if g is None else v - a * g).detach()
                    for (k, v), g, a in zip(own.items(), gradients, sizes, strict=True)
                }
            way = (start[name] - own[name]) / alpha[f"log_step.{name}"].exp()
            ways.append(way.mean(1, keepdim=True) if name.startswith("head") else way)
        torch.testing.assert_close(found[name], torch.stack(ways).mean(0), rtol=1e-8, atol=1e-8)
    assert max(float(g.abs().max()) for g in found.values()) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_first_order_steps_and_give_the_start_no_gradient(kind) -> None:
    batch, theta = batch_of(kind), leaves(random_params(MODEL))
    alpha = leaves(moved(Reptile().init(MODEL, torch.Generator())))
    found = Reptile()(MODEL, theta, alpha, batch)
    expected = FirstOrderMAML(n_steps=5)(MODEL, theta, alpha, batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    given = torch.autograd.grad(found.square().sum(), list(theta.values()), allow_unused=True)
    assert all(g is None or not g.any() for g in given)


def test_meta_training_alone_follows_the_rule() -> None:
    learner, batch = MetaLearner(MODEL, (Reptile(),)), batch_of("regression")
    params = leaves({k: v.double() for k, v in learner.init(torch.Generator().manual_seed(0)).items()})
    theta = {k: v for k, v in params.items() if k.startswith("theta.")}
    total = learner.training_loss(params, batch)
    found = torch.autograd.grad(total, list(theta.values()))
    own = {k.removeprefix("theta."): v for k, v in theta.items()}
    alpha = {k.removeprefix("alpha.reptile."): v for k, v in params.items() if k.startswith("alpha.")}
    expected = torch.autograd.grad(Reptile().outer_loss(MODEL, own, alpha, batch), list(own.values()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    other = dataclasses.replace(batch, query_y=batch.query_y + 1)
    assert not torch.equal(learner.training_loss(params, other), total)
