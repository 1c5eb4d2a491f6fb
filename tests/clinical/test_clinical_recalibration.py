"""Recalibration against Bayes' rule, likelihoods that are maximised otherwise, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from metastudy.clinical.logistic import cox
from metastudy.clinical.recalibration import (
    Calibrator,
    platt,
    prevalence_of,
    prior_shift,
    temperature,
    transductive_prevalence,
    transductive_prior_shift,
)
from metastudy.errors import DataError, ParameterError

shares = st.floats(0.01, 0.99)
supports = st.lists(st.tuples(st.floats(-8, 8), st.booleans()), min_size=1, max_size=20)


def gaussian(n: int, prevalence: float, seed: int, trained: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Truths, and exact probabilities under `trained`, of patients with x ~ N(1, 1) if sick, N(-1, 1) if not."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < prevalence
    x = rng.normal(np.where(truth, 1.0, -1.0))
    return truth, expit(2 * x + logit(trained))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), shares, shares, shares)
def test_a_shift_is_bayes_rule_and_can_be_undone(p: list[float], trained: float, middle: float, then: float) -> None:
    found = prior_shift(np.array(p), trained, then)
    for before, after in zip(p, found, strict=True):
        ill, well = before / trained * then, (1 - before) / (1 - trained) * (1 - then)
        assert after == pytest.approx(ill / (ill + well))
    assert prior_shift(prior_shift(np.array(p), trained, middle), middle, then) == pytest.approx(found)
    assert prior_shift(np.array(p), trained, trained) == pytest.approx(p)
    assert prior_shift(np.array([0.0, 1.0]), trained, then).tolist() == [0, 1]
    assert prior_shift(trained, trained, then) == pytest.approx(then), "who was average is average"


def test_a_shift_calibrates_where_only_the_prevalence_differs() -> None:
    truth, p = gaussian(20_000, 0.15, 0)
    before, after = cox(truth, p), cox(truth, prior_shift(p, 0.5, 0.15))
    assert before.at_slope_one < -1.4 and abs(after.at_slope_one) < 0.08 and after.slope == pytest.approx(1, abs=0.06)


def test_shares_broadcast_and_must_be_inside() -> None:
    found = prior_shift(np.full((2, 3), 0.4), np.array([[0.5], [0.4]]), np.array([0.1, 0.5, 0.9]))
    assert found.shape == (2, 3) and found[1, 1] == pytest.approx(0.5)
    for trained, prevalence in ((0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0), (0.5, np.nan)):
        with pytest.raises(ParameterError, match="above 0 and below 1"):
            prior_shift(np.array([0.5]), trained, prevalence)


def test_an_estimated_prevalence_is_never_0_or_1() -> None:
    assert prevalence_of(np.array([1, 1, 1])) == 3.5 / 4 and prevalence_of(np.array([0])) == 0.25
    assert prevalence_of(np.array([1, 0, 0, 0])) == pytest.approx(0.3) and prevalence_of(np.array([])) == 0.5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_the_transductive_prevalence_maximises_the_likelihood(seed: int, prevalence: float, trained: float) -> None:
    _, p = gaussian(150, prevalence, seed, trained)
    found = transductive_prevalence(p, trained, steps=20_000, tolerance=1e-13)

    def minus(q: float) -> float:  # p(x) / p_trained(x) is this ratio
        return -np.sum(np.log(q / trained * p + (1 - q) / (1 - trained) * (1 - p)))

    best = minimize_scalar(minus, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10})
    assert minus(found) <= best.fun + 1e-7
    assert found == pytest.approx(best.x, abs=2e-3)


def test_the_transductive_prevalence_finds_the_true_one() -> None:
    truth, p = gaussian(20_000, 0.2, 1)
    assert transductive_prevalence(p, 0.5) == pytest.approx(truth.mean(), abs=0.02)
    shifted = transductive_prior_shift(p, 0.5)
    assert abs(cox(truth, shifted).at_slope_one) < 0.15
    assert shifted.mean() == pytest.approx(transductive_prevalence(p, 0.5), abs=1e-6), "a fixed point"


def test_queries_that_look_alike_have_a_defined_prevalence() -> None:
    assert transductive_prevalence(np.array([0.9, 0.8, 0.99]), 0.5) > 0.999
    assert transductive_prevalence(np.zeros(3), 0.5) < 1e-6 < 1 - 1e-6 < transductive_prevalence(np.ones(3), 0.5)
    assert transductive_prevalence(np.array([0.3]), 0.3) == pytest.approx(0.3)
    assert transductive_prior_shift(np.zeros(3), 0.5).tolist() == [0, 0, 0]
    with pytest.raises(DataError, match="no queries"):
        transductive_prevalence(np.array([]), 0.5)
    with pytest.raises(ParameterError, match="trained 1"):
        transductive_prevalence(np.array([0.5]), 1)


def platt_loss(w: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> float:
    n1, n0 = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    eta = w[0] * scores + w[1]
    return float(np.sum(np.logaddexp(0, eta) - targets * eta))


@settings(max_examples=30, deadline=None)
@given(supports)
def test_platt_minimises_his_loss_over_slopes_from_0(drawn: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([s for s, _ in drawn]), np.array([int(y) for _, y in drawn])
    found = platt(scores, labels)
    if len(set(labels)) < 2:
        assert found == Calibrator(1.0, 0.0)
        return
    assert found.slope >= 0
    here = platt_loss(np.array([found.slope, found.intercept]), scores, labels)
    if np.ptp(scores) > 1e-3:
        other = minimize(platt_loss, [0.5, 0.0], (scores, labels), bounds=[(0, None), (None, None)])
        assert here <= other.fun + 1e-6
    assert here <= platt_loss(np.array([0.0, logit(found(scores).mean())]), scores, labels) + 1e-7, "at best flat"


def test_platt_is_logistic_regression_with_his_targets() -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random(300) < 0.4).astype(int)
    scores = rng.normal(3 * labels, 2)
    n1, n0 = labels.sum(), (1 - labels).sum()
    up, down = (n1 + 1) / (n1 + 2), 1 / (n0 + 2)
    # a soft target t is a sick patient of weight t and a healthy one of weight 1 - t
    soft = np.where(labels == 1, up, down)
    weights = np.concatenate([soft, 1 - soft])
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.tile(scores, 2)[:, None], np.repeat([1, 0], 300), weights
    )
    found = platt(scores, labels)
    assert (found.slope, found.intercept) == pytest.approx((other.coef_[0, 0], other.intercept_[0]), abs=1e-5)
    assert found(scores) == pytest.approx(other.predict_proba(scores[:, None])[:, 1], abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(supports)
def test_temperature_is_the_best_of_a_fine_grid(drawn: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([s for s, _ in drawn]), np.array([int(y) for _, y in drawn])
    found = temperature(scores, labels)
    assert found.intercept == 0 and 1 / 20 <= found.slope <= 20
    if len(set(labels)) < 2 or not scores.any():
        assert found.slope == 1
        return
    grid = np.geomspace(1 / 20, 20, 400)
    losses = [platt_loss(np.array([slope, 0.0]), scores, labels) for slope in grid]
    assert platt_loss(np.array([found.slope, 0.0]), scores, labels) <= min(losses) + 1e-9


def test_calibrators_mend_a_method_that_is_too_sure() -> None:
    truth, p = gaussian(4000, 0.5, 6)
    scores = 3 * logit(p)
    for fit in (platt, temperature):
        found = fit(scores[:2000], truth[:2000].astype(int))
        assert found.slope == pytest.approx(1 / 3, abs=0.04)
        assert cox(truth[2000:], found(scores[2000:])).slope == pytest.approx(1, abs=0.12)


def test_small_and_odd_supports_are_defined() -> None:
    apart = np.array([-2.0, -1, 1, 2]), np.array([0, 0, 1, 1])
    assert 0 < platt(*apart).slope < 20 and 1 / 20 < temperature(*apart).slope < 20, "told apart, yet finite"
    wrong = platt(-apart[0], apart[1])
    assert wrong.slope == 0 and wrong(np.array([-5.0, 5.0])) == pytest.approx([0.5, 0.5]), "never turned round"
    assert temperature(-apart[0], apart[1]).slope == 1 / 20
    assert platt(np.full(3, 2.5), np.array([0, 1, 1])).slope == 0
    assert temperature(np.zeros(3), np.array([0, 1, 1])) == Calibrator()
    for fit in (platt, temperature):
        assert fit(np.array([0.3, 4.0]), np.array([1, 1])) == Calibrator(), "one class leaves the scores alone"
        with pytest.raises(DataError, match="equally long"):
            fit(np.zeros(3), np.zeros(2))
        with pytest.raises(DataError, match="equally long"):
            fit(np.zeros(0), np.zeros(0))
        with pytest.raises(DataError, match="finite"):
            fit(np.array([np.inf, 0]), np.array([0, 1]))
        with pytest.raises(DataError, match="labels 0 or 1"):
            fit(np.zeros(2), np.array([1, 2]))
