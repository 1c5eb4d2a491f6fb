"""The prior-centred head is the optimum that a general minimiser finds, and differentiates as the optimum does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from helpers import Linear, batch_of, in_double, make_task, random_params
from metastudy.hospitals import PriorCentred
from metastudy.hospitals.prior_centred import solve_logistic
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT
from metastudy.tasks import collate

MODEL = Linear()
THETA = random_params(MODEL, 2, 1.0)
ALPHA = {"log_penalty": torch.tensor(1.5).double(), "log_intercept_penalty": torch.tensor(-0.5).double()}


def random_problem(seed: int, n: int = 8, d: int = 3, scale: float = 1.0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(2, n, d, generator=generator).double()
    y = torch.randint(0, 2, (2, n), generator=generator).double()
    centre = scale * torch.randn(d, generator=generator).double()
    penalty = torch.rand(d, generator=generator).double() + 0.05
    mask = torch.ones(2, n).double()
    mask[1, n // 2 :] = 0
    return x, y, mask, centre, penalty


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.3, 1.0, 6.0]))
def test_the_gradient_is_zero_at_the_solution(seed: int, scale: float) -> None:
    x, y, mask, centre, penalty = random_problem(seed, scale=scale)
    w = solve_logistic(x, y, mask, centre, penalty)
    p = torch.sigmoid((x @ w[..., None])[..., 0])
    gradient = (x * ((p - y) * mask)[..., None]).sum(1) + penalty * (w - centre)
    assert gradient.abs().max() < 1e-6


def test_where_f_is_sure_of_what_is_wrong_it_still_arrives() -> None:
    x, y = torch.ones(1, 20, 1).double(), torch.ones(1, 20).double()
    w = solve_logistic(x, y, torch.ones(1, 20).double(), torch.tensor([-30.0]).double(), torch.tensor([1e-3]).double())
    assert abs(float(20 * (torch.sigmoid(w) - 1) + 1e-3 * (w + 30))) < 1e-8, "full steps would cycle"


def test_it_is_what_a_general_minimiser_finds() -> None:
    batch = batch_of("binary", (0, 1))
    found = PriorCentred()(MODEL, THETA, ALPHA, batch)[..., 0].numpy()
    centre = torch.cat([THETA[HEAD_WEIGHT], THETA[HEAD_BIAS]])[:, 0].numpy()
    penalty = np.exp([1.5] * (len(centre) - 1) + [-0.5])
    for t in range(2):
        x = np.c_[batch.support_x[t].numpy(), np.ones(batch.support_x.shape[1])]
        sign = 2 * batch.support_y[t].numpy() - 1

        def objective(w: np.ndarray, x: np.ndarray = x, sign: np.ndarray = sign) -> float:
            return np.logaddexp(0, -sign * (x @ w)).sum() + (penalty * (w - centre) ** 2).sum() / 2

        w = minimize(objective, centre, method="BFGS", options={"gtol": 1e-9}).x
        expected = np.c_[batch.query_x[t].numpy(), np.ones(batch.query_x.shape[1])] @ w
        np.testing.assert_allclose(found[t], expected, rtol=0, atol=1e-5)


def test_the_derivative_is_that_of_the_optimum() -> None:
    x, y, mask, centre, penalty = random_problem(4)
    inputs = (centre.clone().requires_grad_(), penalty.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda c, p: solve_logistic(x, y, mask, c, p), inputs)


def test_without_support_and_with_a_strong_prior_it_is_f() -> None:
    batch = batch_of("binary")
    f = MODEL(THETA, batch.query_x)
    none = dataclasses.replace(batch, support_mask=torch.zeros_like(batch.support_mask))
    torch.testing.assert_close(PriorCentred()(MODEL, THETA, ALPHA, none), f)
    strong = {name: torch.tensor(25.0).double() for name in ALPHA}
    torch.testing.assert_close(PriorCentred()(MODEL, THETA, strong, batch), f)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_support_of_one_class_is_answered(label: float) -> None:
    task = make_task("binary", 0, 6, 5)
    batch = in_double(collate([dataclasses.replace(task, support_y=torch.full((6,), label))]))
    moved = PriorCentred()(MODEL, THETA, ALPHA, batch) - MODEL(THETA, batch.query_x)
    assert torch.isfinite(moved).all() and float((2 * label - 1) * moved.mean()) > 0
