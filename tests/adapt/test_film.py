"""The set encoder: averages over rows, per class, written out in a loop; near f before it has learned."""

from __future__ import annotations

import math

import pytest
import torch

from helpers import batch_of, double, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt import FiLM, Unadapted
from metastudy.losses import predict
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT
from metastudy.tasks import KINDS, Task, collate

MODEL, MAPPING = small_mlp(), FiLM(width=6)


def alpha_of(seed: int = 0):
    return moved(MAPPING.init(MODEL, torch.Generator().manual_seed(seed)), seed)


def layer(alpha, name, x):
    return x @ alpha[f"{name}.weight"] + alpha[f"{name}.bias"][0]


def labels(task: Task):
    """What is said to the encoder about each row."""
    y = task.support_y.double().tolist()
    if task.kind == "classification":
        return [0.0] * len(y)
    if task.kind == "binary":
        return [1.0 if v else -1.0 for v in y]
    if task.kind == "regression":
        return y
    group = task.support_group.tolist()
    share = [
        v / max(sum(w for w, h in zip(y, group, strict=True) if h == g), 1e-12) for v, g in zip(y, group, strict=True)
    ]
    return [2 * s / max(share) - 1 for s in share]


def one_task(task: Task, theta, alpha):
    """Scores of the query, row by row and class by class."""
    phi_s, phi_q = (MODEL.features(theta, x.double()[None])[0] for x in (task.support_x, task.query_x))
    encoder_x = phi_s.clone()
    if task.kind == "ranking":
        for g in set(task.support_group.tolist()):
            encoder_x[task.support_group == g] -= phi_s[task.support_group == g].mean(0)
    encoded = []
    for x, label in zip(encoder_x, labels(task), strict=True):
        hidden = layer(alpha, "encode0", torch.cat([x, torch.tensor([label], dtype=torch.float64)])).clamp(min=0)
        encoded.append(layer(alpha, "encode1", hidden))
    n = task.n_classes
    of_class = task.support_y if task.kind == "classification" else torch.zeros(len(phi_s))
    r = []
    for c in range(n):
        mine = [e for e, y in zip(encoded, of_class.tolist(), strict=True) if y == c]
        r.append(torch.cat([sum(mine) / len(mine), torch.tensor([math.log(1 + len(mine))], dtype=torch.float64)]))
    whole = sum(r) / n
    film = layer(alpha, "to_film", whole.clamp(min=0))
    gamma, delta = film[: MODEL.feature_dim], film[MODEL.feature_dim :]
    columns = []
    for c in range(n):
        head = layer(alpha, "to_head", torch.cat([r[c], whole]).clamp(min=0))
        weight, bias = head[:-1], head[-1]
        if task.kind != "classification":
            weight, bias = weight + theta[HEAD_WEIGHT][:, 0], bias + theta[HEAD_BIAS][0, 0]
        columns.append(((1 + gamma) * phi_q + delta) @ weight + bias)
    return torch.stack(columns, -1)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_loop_over_tasks_classes_and_rows(kind) -> None:
    tasks = [make_task(kind, 0, 5, 4, ways=2), make_task(kind, 1, 9, 6, ways=4, n_groups=3)]
    theta, alpha = random_params(MODEL), alpha_of()
    found = MAPPING(MODEL, theta, alpha, in_double(collate(tasks)))
    for t, task in enumerate(tasks):
        expected = one_task(task, theta, alpha)
        ours = found[t, : len(task.query_y), : expected.shape[1]]
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_near_f(kind) -> None:
    batch, theta = batch_of(kind), random_params(MODEL)
    alpha = double(MAPPING.init(MODEL, torch.Generator().manual_seed(0)))
    found = predict(kind, MAPPING(MODEL, theta, alpha, batch), batch.class_mask)
    if kind == "classification":
        expected = torch.full_like(found, -math.log(3))
    else:
        expected = predict(kind, Unadapted()(MODEL, theta, {}, batch), batch.class_mask)
    assert 0 < float((found - expected).abs().max()) < 0.1


def test_more_rows_of_the_same_are_told_from_fewer() -> None:
    task = make_task("regression", 0, 3)
    twice = Task(
        "t", "f", "regression", task.support_x.repeat(2, 1), task.support_y.repeat(2), task.query_x, task.query_y
    )
    theta, alpha = random_params(MODEL), alpha_of()
    once, again = (MAPPING(MODEL, theta, alpha, in_double(collate([t]))) for t in (task, twice))
    assert not torch.allclose(once, again, atol=1e-3)
    blind = alpha | {k: alpha[k] * mask for k, mask in silent().items()}
    once, again = (MAPPING(MODEL, theta, blind, in_double(collate([t]))) for t in (task, twice))
    torch.testing.assert_close(once, again, rtol=0, atol=1e-12)


def silent():
    """Masks that take the number of rows away from the last layers."""
    film, head = torch.ones(7, 1).double(), torch.ones(14, 1).double()
    film[6] = head[6] = head[13] = 0
    return {"to_film.weight": film, "to_head.weight": head}
