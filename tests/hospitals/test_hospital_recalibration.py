"""Recalibration is the posterior mean that a slow integral gives, keeps the order of patients, and shrinks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from helpers import Linear, batch_of, in_double, make_task, moved, random_params
from metastudy.errors import TaskError
from metastudy.hospitals import Recalibration
from metastudy.tasks import TaskBatch, collate

MODEL = Linear()
THETA = random_params(MODEL, 1, 1.0)
ALPHA = {
    "log_offset_spread": torch.tensor(0.8).double().log(),
    "log_slope": torch.tensor(0.3).double(),
    "log_slope_spread": torch.tensor(0.2).double().log(),
}


def probabilities(mapping: Recalibration, batch: TaskBatch, alpha: dict | None = None) -> torch.Tensor:
    return torch.sigmoid(mapping(MODEL, THETA, alpha or ALPHA, batch)[..., 0])


def of_labels(y: list[int], n_query: int = 7) -> TaskBatch:
    """These labels on the first of twenty patients, and always the same query."""
    task = make_task("binary", 3, 20, n_query)
    labels = torch.tensor(y, dtype=torch.float32)
    return in_double(collate([dataclasses.replace(task, support_x=task.support_x[: len(y)], support_y=labels)]))


def test_offset_alone_is_the_integral_over_its_posterior() -> None:
    mapping, batch = Recalibration(slope=False), batch_of("binary", (0, 1, 2))
    found = probabilities(mapping, batch).numpy()
    f_s, f_q = (MODEL(THETA, x)[..., 0].numpy() for x in (batch.support_x, batch.query_x))

    def density(delta: float, t: int) -> float:
        sign = 2 * batch.support_y[t].numpy() - 1
        return stats.t.pdf(delta / 0.8, 3) * np.prod(1 / (1 + np.exp(-sign * (f_s[t] + delta))))

    for t in range(3):
        total = integrate.quad(density, -15, 15, args=(t,), points=[0])[0]
        for q, f in enumerate(f_q[t]):
            sick = integrate.quad(lambda d, t=t, f=f: density(d, t) / (1 + np.exp(-f - d)), -15, 15, points=[0])[0]
            assert found[t, q] == pytest.approx(sick / total, abs=2e-4)


def test_with_a_slope_it_is_the_integral_over_both() -> None:
    mapping, batch = Recalibration(), batch_of("binary", (5,))
    rng = np.random.default_rng(0)
    delta, slope = 0.8 * rng.standard_t(3, 200_000), np.exp(0.3 + 0.2 * rng.normal(size=200_000))
    f_s, f_q = (MODEL(THETA, x)[0, :, 0].numpy() for x in (batch.support_x, batch.query_x))
    sign = 2 * batch.support_y[0].numpy() - 1
    weight = np.prod(1 / (1 + np.exp(-sign * (np.outer(slope, f_s) + delta[:, None]))), axis=1)
    sick = weight @ (1 / (1 + np.exp(-(np.outer(slope, f_q) + delta[:, None])))) / weight.sum()
    np.testing.assert_allclose(probabilities(mapping, batch)[0].numpy(), sick, rtol=0, atol=0.01)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=20), st.integers(0, 10), st.booleans())
def test_the_order_of_patients_is_that_of_f(y: list[int], seed: int, slope: bool) -> None:
    batch, mapping = of_labels(y), Recalibration(slope=slope)
    alpha = moved(mapping.init(MODEL, torch.Generator()), seed, 0.7)
    found = mapping(MODEL, THETA, alpha, batch)[0, :, 0]
    assert torch.equal(found.argsort(), MODEL(THETA, batch.query_x)[0, :, 0].argsort())


def test_patients_of_one_class_move_all_probabilities_and_more_of_them_move_more() -> None:
    mapping = Recalibration(slope=False)
    none = probabilities(mapping, dataclasses.replace(of_labels([1]), support_mask=torch.zeros(1, 1).double()))
    one, many = (probabilities(mapping, of_labels([1] * n)) for n in (1, 20))
    assert (none < one).all() and (one < many).all() and (many < 1).all()
    assert (probabilities(mapping, of_labels([0] * 20)) < none).all()


def test_a_narrow_prior_is_f_itself() -> None:
    alpha = dict(zip(ALPHA, torch.tensor([-12.0, 0.0, -12.0]).double(), strict=True))
    batch = batch_of("binary")
    torch.testing.assert_close(
        Recalibration()(MODEL, THETA, alpha, batch), MODEL(THETA, batch.query_x), rtol=1e-3, atol=1e-3
    )


def test_padding_and_other_queries_change_nothing() -> None:
    long, short = make_task("binary", 0, 9, 6), make_task("binary", 1, 4, 3)
    together = probabilities(Recalibration(), in_double(collate([long, short])))
    alone = probabilities(Recalibration(), in_double(collate([short])))
    torch.testing.assert_close(together[1, :3], alone[0])
    one = dataclasses.replace(short, query_x=short.query_x[:1], query_y=short.query_y[:1])
    torch.testing.assert_close(probabilities(Recalibration(), in_double(collate([one])))[0, 0], alone[0, 0])


def test_gradients_reach_f_and_every_alpha() -> None:
    batch, mapping = batch_of("binary"), Recalibration()
    alpha = {k: v.clone().requires_grad_() for k, v in ALPHA.items()}

    def scores(*values: torch.Tensor) -> torch.Tensor:
        return mapping(MODEL, THETA, dict(zip(ALPHA, values, strict=True)), batch)

    assert torch.autograd.gradcheck(scores, tuple(alpha.values()))


def test_other_kinds_are_refused() -> None:
    with pytest.raises(TaskError, match="'recalibrated' cannot adapt to regression"):
        Recalibration()(MODEL, THETA, ALPHA, batch_of("regression"))
