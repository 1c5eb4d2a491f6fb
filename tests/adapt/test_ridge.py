"""The closed-form head: at its optimum the gradient is zero, and it is what scikit-learn finds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from helpers import Linear, batch_of, in_double, make_task, random_params, small_mlp
from metastudy.adapt import RidgeHead, Unadapted
from metastudy.adapt.ridge import solve_ridge, targets
from metastudy.tasks import collate

MODEL = small_mlp()


def problem(seed: int, n_rows: int, dim: int, n_outputs: int, n_tasks: int = 2):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_tasks, n_rows, dim, generator=generator, dtype=torch.float64)
    return x, torch.randn(n_tasks, n_rows, n_outputs, generator=generator, dtype=torch.float64)


def alpha(penalty: float, scale: float = 1.0):
    return {
        "log_penalty": torch.tensor(penalty, dtype=torch.float64).log(),
        "log_scale": torch.tensor(scale, dtype=torch.float64).log(),
    }


shapes = st.tuples(st.integers(0, 999), st.integers(1, 8), st.integers(1, 8), st.integers(1, 3))


@settings(max_examples=30, deadline=None)
@given(shapes, st.floats(0.01, 100))
def test_the_objective_is_flat_at_the_solution(shape, penalty) -> None:
    x, y = problem(*shape)
    weight = solve_ridge(x, y, torch.tensor(penalty, dtype=torch.float64)).requires_grad_()
    objective = ((x @ weight - y) ** 2).sum() + penalty * (weight**2).sum()
    (gradient,) = torch.autograd.grad(objective, weight)
    assert weight.shape == (2, shape[2], shape[3])
    assert float(gradient.abs().max()) < 1e-9


@settings(max_examples=30, deadline=None)
@given(shapes, st.floats(0.01, 100))
def test_both_forms_agree(shape, penalty) -> None:
    x, y = problem(*shape)
    n_rows, dim = x.shape[1:]
    zeros = max(0, dim - n_rows) + 1  # rows of zeros change nothing, but make the primal form the smaller one
    more = (torch.cat([v, v.new_zeros(2, zeros, v.shape[2])], 1) for v in (x, y))
    found = solve_ridge(*more, torch.tensor(penalty, dtype=torch.float64))
    xt = x.transpose(1, 2)
    dual = xt @ torch.linalg.solve(x @ xt + penalty * torch.eye(n_rows).double(), y)
    torch.testing.assert_close(found, dual, rtol=0, atol=1e-9)
    torch.testing.assert_close(solve_ridge(x, y, torch.tensor(penalty, dtype=torch.float64)), dual, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_support", [2, 9])
@pytest.mark.parametrize("kind", ["classification", "binary", "regression"])
def test_equals_scikit_learn(kind, n_support) -> None:
    model, batch = Linear(), batch_of(kind, n_support=n_support)
    theta = {k: torch.zeros_like(v).double() for k, v in model.init(torch.Generator()).items()}
    found = RidgeHead()(model, theta, alpha(0.7, scale=2.0), batch)
    for t in range(batch.n_tasks):
        rows = [np.c_[x.numpy(), np.ones(len(x))] for x in (batch.support_x[t], batch.query_x[t])]
        y = batch.support_y[t].numpy()
        target = {"classification": lambda y=y: np.eye(3)[y] - 1 / 3, "binary": lambda y=y: 2 * y - 1}.get(kind)
        ridge = Ridge(0.7, fit_intercept=False).fit(rows[0], target() if target else y)
        expected = 2 * ridge.predict(rows[1]).reshape(len(rows[1]), -1)
        np.testing.assert_allclose(found[t].numpy(), expected, rtol=0, atol=1e-9)


def test_ranking_equals_scikit_learn_within_groups() -> None:
    model, task = Linear(), make_task("ranking", 4, n_support=9, n_groups=3)
    theta = {k: torch.zeros_like(v).double() for k, v in model.init(torch.Generator()).items()}
    found = RidgeHead()(model, theta, alpha(0.7), in_double(collate([task])))[0, :, 0]
    x, y, group = task.support_x.double().numpy().copy(), task.support_y.double().numpy(), task.support_group.numpy()
    for g in range(3):
        x[group == g] -= x[group == g].mean(0)
        y[group == g] /= max(y[group == g].sum(), 1e-12)
        y[group == g] -= y[group == g].mean()
    ridge = Ridge(0.7, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(found.numpy(), ridge.predict(task.query_x.double().numpy()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["binary", "regression", "ranking"])
def test_without_trust_in_the_support_the_answer_is_that_of_f(kind) -> None:
    theta, batch = random_params(MODEL), batch_of(kind)
    unadapted = Unadapted()(MODEL, theta, {}, batch)
    torch.testing.assert_close(RidgeHead()(MODEL, theta, alpha(1e12), batch), unadapted, rtol=0, atol=1e-9)
    assert not torch.allclose(RidgeHead()(MODEL, theta, alpha(1.0), batch), unadapted, atol=1e-3)


def test_without_trust_in_the_support_no_class_is_preferred() -> None:
    found = RidgeHead()(MODEL, random_params(MODEL), alpha(1e12), batch_of("classification"))
    assert float(found.abs().max()) < 1e-9


def test_a_small_penalty_fits_a_small_support_exactly() -> None:
    batch = batch_of("regression", n_support=3)
    on_support = dataclasses.replace(batch, query_x=batch.support_x)
    found = RidgeHead()(Linear(), random_params(Linear()), alpha(1e-12), on_support)
    torch.testing.assert_close(found[..., 0], batch.support_y, rtol=0, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999))
def test_only_differences_within_a_group_matter_in_ranking(seed) -> None:
    model, batch = Linear(), batch_of("ranking", (seed, seed + 1), n_support=7, n_groups=2)
    theta = random_params(model, seed)
    shift = 5 * torch.randn(2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)  # per group
    found = RidgeHead()(model, theta, alpha(1.0), batch)
    shifted = dataclasses.replace(batch, support_x=batch.support_x + shift[batch.support_group])
    torch.testing.assert_close(RidgeHead()(model, theta, alpha(1.0), shifted), found, rtol=0, atol=1e-9)
    shifted = dataclasses.replace(batch, query_x=batch.query_x + shift[batch.query_group])
    moved = (RidgeHead()(model, theta, alpha(1.0), shifted) - found)[..., 0]
    for t in range(2):
        for g in range(2):
            assert float(moved[t, batch.query_group[t] == g].std(unbiased=False)) < 1e-9


def test_targets_by_hand() -> None:
    first, second = make_task("classification", 0, 2, ways=2), make_task("classification", 1, 4, ways=4)
    batch = in_double(collate([first, second]))
    assert targets(batch)[0, :2].sum(0).tolist() == [0.0] * 4
    assert sorted(targets(batch)[0, 0].tolist()) == [-0.5, 0.0, 0.0, 0.5]
    binary = batch_of("binary")
    assert torch.equal(targets(binary)[..., 0], torch.where(binary.support_y == 1, 1.0, -1.0).double())
