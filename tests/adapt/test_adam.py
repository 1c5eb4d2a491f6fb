"""From scratch and fine-tuned: what one Adam per task gives, and nothing of it flows into θ."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from helpers import double, in_double, make_task, random_params, small_mlp
from metastudy.adapt import FineTuned, FromScratch, Unadapted
from metastudy.adapt.adam import train_on_support
from metastudy.losses import loss, predict
from metastudy.mixture import MetaLearner
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT
from metastudy.tasks import KINDS, Task, collate

MODEL = small_mlp()
SCRATCH, TUNED = FromScratch(n_steps=5, learning_rate=0.03, seed=4), FineTuned(n_steps=5, learning_rate=0.03)
CASES = [*((SCRATCH, kind) for kind in KINDS), *((TUNED, kind) for kind in KINDS if kind in TUNED.kinds)]
every_case = pytest.mark.parametrize(("mapping", "kind"), CASES)


def tasks_of(kind: str) -> list[Task]:
    return [make_task(kind, 0, 5, 4, ways=2), make_task(kind, 1, 8, 6, n_groups=3)]


def by_torch(task: Task, theta):
    """Scores of one task's query from a module of torch and its own optimizer; the task may be of any kind."""
    outputs = task.n_classes
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 7), torch.nn.ReLU(), torch.nn.Linear(7, 5), torch.nn.ReLU(), torch.nn.Linear(5, outputs)
    ).double()
    layers, names = (net[0], net[2], net[4]), ("layer0", "layer1", "head")
    with torch.no_grad():
        for layer, name in zip(layers, names, strict=True):
            layer.weight.copy_(theta[f"{name}.weight"].T.expand_as(layer.weight))
            layer.bias.copy_(theta[f"{name}.bias"][0].expand_as(layer.bias))
        if task.kind == "classification":  # what all classes share changes no score
            net[4].weight.zero_()
            net[4].bias.zero_()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    x, y = task.support_x.double(), task.support_y
    for _ in range(5):
        optimizer.zero_grad()
        out = net(x)
        if task.kind == "classification":
            value = F.cross_entropy(out, y)
        elif task.kind == "binary":
            value = F.binary_cross_entropy_with_logits(out[:, 0], y.double())
        elif task.kind == "regression":
            value = F.mse_loss(out[:, 0], y.double())
        else:
            rows = [task.support_group == g for g in set(task.support_group.tolist())]
            rows = [r for r in rows if y[r].sum() > 0]
            value = sum(-(y[r].double() / y[r].sum()) @ F.log_softmax(out[r, 0], 0) for r in rows) / len(rows)
        value.backward()
        optimizer.step()
    return net(task.query_x.double()).detach()


@every_case
def test_each_task_is_trained_as_by_an_optimizer_of_its_own(mapping, kind) -> None:
    tasks, theta = tasks_of(kind), random_params(MODEL)
    alpha = double(mapping.init(MODEL, torch.Generator()))
    found = mapping(MODEL, theta, alpha, in_double(collate(tasks)))
    start = double(MODEL.init(torch.Generator().manual_seed(4))) if mapping is SCRATCH else theta
    for t, task in enumerate(tasks):
        expected = by_torch(task, start)
        ours = found[t, : len(expected), : expected.shape[1]]
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-7)


@every_case
def test_without_a_step_it_is_f(mapping, kind) -> None:
    batch, theta = in_double(collate(tasks_of(kind))), random_params(MODEL)
    still = type(mapping)(n_steps=0)
    found = still(MODEL, theta, double(still.init(MODEL, torch.Generator())), batch)
    start = theta if mapping is TUNED else double(MODEL.init(torch.Generator().manual_seed(0)))
    if kind == "classification":
        assert float(found.abs().max()) == 0
    else:
        torch.testing.assert_close(found, Unadapted()(MODEL, start, {}, batch), rtol=0, atol=1e-12)


@every_case
def test_nothing_flows_into_theta_from_the_scores(mapping, kind) -> None:
    batch = in_double(collate(tasks_of(kind)))
    theta = {k: v.requires_grad_() for k, v in random_params(MODEL).items()}
    scores = mapping(MODEL, theta, double(mapping.init(MODEL, torch.Generator())), batch)
    assert not scores.requires_grad and all(v.grad is None for v in theta.values())


def test_weights_from_scratch_depend_on_the_seed_alone() -> None:
    batch, alpha = in_double(collate(tasks_of("regression"))), {"log_scale": torch.tensor(0.0).double()}
    first, again = (SCRATCH(MODEL, random_params(MODEL, seed), alpha, batch) for seed in (0, 1))
    other = FromScratch(n_steps=5, learning_rate=0.03, seed=5)(MODEL, random_params(MODEL), alpha, batch)
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize("kind", sorted(TUNED.kinds))
def test_what_is_tuned_was_trained_as_pooled(kind) -> None:
    """Alone in a mixture it gives θ the very gradient of the unadapted model's query loss."""
    batch = in_double(collate(tasks_of(kind)))
    params = {f"theta.{k}": v for k, v in random_params(MODEL).items()}
    tuned, pooled = MetaLearner(MODEL, (TUNED,)), MetaLearner(MODEL, (Unadapted(),))
    gradients = []
    for learner in (tuned, pooled):
        own = {k: v.clone().requires_grad_() for k, v in params.items()}
        alpha = {"alpha.fine_tuned.log_scale": torch.tensor(0.1).double().requires_grad_()}
        learner.training_loss(own | alpha, batch).backward()
        gradients.append([v.grad for v in own.values()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    prediction = predict(kind, MODEL(random_params(MODEL), batch.query_x), batch.class_mask)
    expected = loss(kind, prediction, batch.query_y, batch.query_mask, batch.query_group).mean()
    assert float(TUNED.outer_loss(MODEL, random_params(MODEL), {}, batch)) == pytest.approx(float(expected))


def test_training_leaves_theta_alone() -> None:
    batch, theta = in_double(collate(tasks_of("regression"))), random_params(MODEL)
    before = {k: v.clone() for k, v in theta.items()}
    trained = train_on_support(MODEL, theta, batch, 0.1, 3)
    assert all(torch.equal(theta[k], before[k]) for k in theta)
    assert trained[HEAD_WEIGHT].shape == (2, 5, 1) and trained[HEAD_BIAS].shape == (2, 1, 1)
    assert not any(v.requires_grad for v in trained.values())
