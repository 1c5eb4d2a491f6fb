"""Mappings for tables: what every way of adapting keeps, on columns, and their closed forms against slow ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew
from sklearn.kernel_ridge import KernelRidge as Reference
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from helpers import batch_of, in_double, moved, random_params, small_mlp
from metastudy.errors import TaskError
from metastudy.families.diagnosis import channels, lean, standardise
from metastudy.model import ColumnNet
from metastudy.tabular.column_prior import ColumnPrior
from metastudy.tabular.kernel_ridge import KernelRidge
from metastudy.tabular.learner import TableLearner
from metastudy.tabular.statistics import STATISTICS, column_statistics
from metastudy.tasks import Task, TaskBatch, collate

P_MAX = 6
MODEL = ColumnNet(channels=4, n_columns=P_MAX, hidden=5, width=3)
MAPPINGS = {m.name: m for m in (ColumnPrior(hidden=7), KernelRidge())}
every_mapping = pytest.mark.parametrize("name", MAPPINGS)
some = settings(max_examples=6, deadline=None)


def table(seed: int, shots: int = 3, n_columns: int = 4, n_query: int = 5) -> Task:
    """A drawn table with a binary column, its first."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0.0, 1.0], shots)
    y_query = (rng.random(n_query) < 0.5).astype(float)
    x = rng.normal(size=(2 * shots + n_query, n_columns)) + np.concatenate([y, y_query])[:, None] * rng.normal(
        size=n_columns
    )
    x[:, 0] = x[:, 0] > 0
    seen, asked = standardise(x[: 2 * shots], x[2 * shots :])
    x_s, x_q = (channels(rows, lean(seen), P_MAX) for rows in (seen, asked))
    as_tensor = lambda v: torch.tensor(v, dtype=torch.float32)  # noqa: E731
    return Task(f"t{seed}", "toy", "binary", x_s, as_tensor(y), x_q, as_tensor(y_query))


def batch(*tasks: Task) -> TaskBatch:
    return in_double(collate(tasks))


def parameters(name: str, seed: int = 0):
    alpha = moved(MAPPINGS[name].init(MODEL, torch.Generator().manual_seed(seed)), seed)
    return MODEL.untied(random_params(MODEL, seed)), alpha


def scores(name: str, given: TaskBatch, seed: int = 0) -> torch.Tensor:
    return MAPPINGS[name](MODEL, *parameters(name, seed), given).detach()


def close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


@every_mapping
@some
@given(seed=st.integers(0, 999), shots=st.integers(1, 5))
def test_order_of_rows_and_columns_is_nothing(name, seed, shots) -> None:
    task = table(seed, shots)
    before = scores(name, batch(task))
    rows = torch.randperm(2 * shots, generator=torch.Generator().manual_seed(seed))
    turned = replace(task, support_x=task.support_x[rows], support_y=task.support_y[rows])
    close(scores(name, batch(turned)), before)
    columns = torch.randperm(P_MAX, generator=torch.Generator().manual_seed(seed))
    turned = replace(task, support_x=task.support_x[:, columns], query_x=task.query_x[:, columns])
    close(scores(name, batch(turned)), before)


@every_mapping
def test_a_task_is_answered_alone_as_among_others(name) -> None:
    small, large = table(1, shots=1, n_columns=3), table(2, shots=4, n_columns=6, n_query=8)
    both = scores(name, batch(small, large))
    close(both[:1, :5], scores(name, batch(small)))
    close(both[1:], scores(name, batch(large)))


@every_mapping
def test_a_patient_is_answered_alone_as_among_others(name) -> None:
    task = table(3)
    alone = replace(task, query_x=task.query_x[:1], query_y=task.query_y[:1])
    close(scores(name, batch(alone)), scores(name, batch(task))[:, :1])


@every_mapping
def test_the_support_matters_and_gradients_are_finite(name) -> None:
    given = batch(table(4), table(5, shots=1))
    theta, alpha = parameters(name)
    alpha = {k: v.requires_grad_() for k, v in alpha.items()}
    found = MAPPINGS[name](MODEL, theta, alpha, given)
    assert not torch.allclose(found, scores(name, replace(given, support_y=1 - given.support_y)))
    gradient = torch.autograd.grad(found.square().sum(), list(alpha.values()))
    assert all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in gradient), list(alpha)


@every_mapping
def test_tasks_that_are_no_tables_are_refused(name) -> None:
    with pytest.raises(TaskError, match=f"'{name}' cannot adapt to ranking tasks"):
        MAPPINGS[name](MODEL, {}, {}, batch_of("ranking"))


def test_a_model_without_columns_is_refused() -> None:
    with pytest.raises(TaskError, match="column_prior reads columns, and f is MLP; expected a ColumnNet"):
        ColumnPrior().init(small_mlp(), torch.Generator())


@pytest.mark.parametrize("shots", [1, 4])
def test_the_head_solves_its_ridge_problem(shots) -> None:
    """Zero gradient at the optimum, written out with loops for one task."""
    mapping, given = MAPPINGS["column_prior"], batch(table(6, shots))
    theta, alpha = parameters("column_prior")
    mean, width, log_scale = mapping.prior(alpha, given)
    phi, y = MODEL.features(theta, given.support_x)[0], 2 * given.support_y[0] - 1
    said = (phi @ mean[0])[:, 0]
    agreement = (said @ y) / (said.norm() * y.norm())
    a, b, c = alpha["gate"]
    gate = 1 / (1 + torch.exp(-(a + b * agreement + c * (np.log(2 * shots) - 1))))
    weight, scale = mapping.head(MODEL, theta, alpha, given)
    w = weight[0, :-1, 0].clone().requires_grad_()
    intercept = weight[0, -1, 0].clone().requires_grad_()
    penalty = (((w - gate * mean[0, :, 0]) / width[0, :, 0]) ** 2).sum() + intercept**2
    cost = ((phi @ w + intercept - y) ** 2).sum() + alpha["log_penalty"].exp() * penalty
    gradients = torch.autograd.grad(cost, (w, intercept))
    assert all(g.abs().max() < 2e-5 for g in gradients), "TINY in the gate's correlation is all that may differ"
    expected = (alpha["log_scale"] + log_scale).exp()
    assert torch.allclose(scale.exp(), expected)


def test_kernel_ridge_is_that_of_scikit_learn() -> None:
    given = batch(table(7, shots=4))
    theta, alpha = parameters("kernel_ridge")
    z_s, z_q = given.support_x[0, :, :, 0].numpy(), given.query_x[0, :, :, 0].numpy()
    gamma = float(alpha["log_width"].exp()) / 4  # four real columns
    reference = Reference(alpha=float(alpha["log_penalty"].exp()), kernel="rbf", gamma=gamma)
    raw = reference.fit(z_s, 2 * given.support_y[0].numpy() - 1).predict(z_q)
    scale = float((alpha["log_scale"] + alpha["by_count"] * (np.log(8) - 2)).exp())
    close(scores("kernel_ridge", given)[0, :, 0], scale * raw + float(alpha["offset"]))


@some
@given(seed=st.integers(0, 999), shots=st.integers(2, 6))
def test_statistics_are_what_they_say(seed, shots) -> None:
    task = table(seed, shots)
    found, real = column_statistics(batch(task))
    assert found.shape == (1, P_MAX, len(STATISTICS)) and real[0].tolist() == [1.0] * 4 + [0.0] * 2
    assert not found[0, 4:].any()
    named = dict(zip(STATISTICS, found[0, :4].T.numpy(), strict=True))
    z, sizes = (task.support_x[:, :4, c].double().numpy() for c in (0, 1))
    y = task.support_y.numpy()
    for what, v in (("value", z), ("size", sizes)):
        sick, healthy = v[y == 1], v[y == 0]
        close(named[f"difference of {what}"], sick.mean(0) - healthy.mean(0))
        close(named[f"spread of {what}"] ** 2, (sick.var(0) + healthy.var(0)) / 2)
        wins = [2 * roc_auc_score(y, np.round(v[:, j], 9)) - 1 for j in range(4)]
        np.testing.assert_allclose(named[f"wins of {what}"], wins, atol=1e-6)
    n = 2 * shots
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    ties = [np.mean([abs(z[i, c] - z[j, c]) < 1e-6 for i, j in pairs]) for c in range(4)]
    close(named["ties"], ties)
    varied = z.std(0) > 0
    np.testing.assert_allclose(named["lean"][varied], np.tanh(skew(z[:, varied])), atol=1e-6)
    rest = z.sum(1, keepdims=True) - z
    expected = [np.corrcoef(z[:, c], rest[:, c])[0, 1] if varied[c] else 0 for c in range(4)]
    np.testing.assert_allclose(named["correlation with the others"], expected, atol=1e-5)
    assert np.allclose(named["rows"], np.log(n) / 3) and np.allclose(named["columns"], np.log(4) / 3)
    assert not named["balance"].any()


def test_turning_labels_turns_what_differs_between_classes() -> None:
    task = table(8)
    names = np.array(STATISTICS)
    one, other = (
        column_statistics(batch(t))[0][0].numpy() for t in (task, replace(task, support_y=1 - task.support_y))
    )
    turned = np.array([n.startswith(("difference", "effect", "wins")) for n in names])
    close(other[:, turned], -one[:, turned])
    agreed = names == "correlation with the agreed"
    close(other[:, agreed], -one[:, agreed])
    close(other[:, ~turned & ~agreed], one[:, ~turned & ~agreed])


def test_support_of_one_class_is_answered() -> None:
    task = table(9)
    given = batch(replace(task, support_y=torch.ones_like(task.support_y)))
    for name in MAPPINGS:
        assert torch.isfinite(scores(name, given)).all()


def g_of(task: Task, places: int = P_MAX) -> tuple[torch.Tensor, torch.Tensor]:
    """β and the prediction of a g with random parameters, padded to some number of places."""
    model = replace(MODEL, n_columns=places)
    learner = TableLearner(model, tuple(MAPPINGS.values()))
    start = learner.init(torch.Generator().manual_seed(0))
    params = {k: v.double() for k, v in moved(start, 3).items()}
    given = batch(task)
    return learner.weights(params, given), learner.predict(params, given).exp()


def test_g_does_not_care_where_columns_stand() -> None:
    task = table(1)
    weights, found = g_of(task)
    assert torch.allclose(found.sum(-1), torch.ones(1, 5).double()) and 0.001 < weights[0, 0] < 0.999
    turned = replace(task, support_x=task.support_x.flip(1), query_x=task.query_x.flip(1))
    wider = replace(task, **{x: F.pad(getattr(task, x), (0, 0, 0, 3)) for x in ("support_x", "query_x")})
    for changed, places in ((turned, P_MAX), (wider, P_MAX + 3)):
        again = g_of(changed, places)
        close(again[0], weights)
        close(again[1], found)


def test_g_weighs_its_members_by_the_table() -> None:
    assert not torch.allclose(g_of(table(1))[0], g_of(table(2, shots=5, n_columns=6))[0])
    fresh = TableLearner(MODEL, tuple(MAPPINGS.values()))
    weights = fresh.weights(fresh.init(torch.Generator().manual_seed(0)), collate([table(1)]))
    assert torch.allclose(weights, torch.full((1, 2), 0.5)), "β begins uniform"
    fixed = replace(fresh, beta="global")
    assert "beta.weight" not in fixed.init(torch.Generator().manual_seed(0))
    alone = TableLearner(MODEL, (KernelRidge(),))
    assert alone.weights(alone.init(torch.Generator().manual_seed(0)), collate([table(1)])).tolist() == [[1.0]]
