"""Classical tools work on two rows, and are scikit-learn's where that works too."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from metastudy.families.diagnosis import standardise
from metastudy.lineups.diseases import classical
from metastudy.tabular.classical import Discriminant, NaiveBayes, Neighbours, SupportVectors, plain_logistic, unclipped

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1], 6)
X = RNG.normal(size=(12, 4)) + Y[:, None] * [1.5, 0.5, 0, -1]
ASKED = RNG.normal(size=(7, 4))


@pytest.mark.parametrize("method", classical(), ids=lambda m: m.name)
@pytest.mark.parametrize("rows", [[0, 6], [0, 1, 6, 7], list(range(12))], ids=len)
def test_every_tool_answers_from_two_rows_on(method, rows) -> None:
    found = method.make(**method.grid[0]).fit(X[rows], Y[rows]).predict_proba(ASKED)
    assert found.shape == (7, 2) and np.isfinite(found).all() and np.allclose(found.sum(1), 1)
    assert (found >= 0).all()


@pytest.mark.parametrize("method", classical(), ids=lambda m: m.name)
def test_every_tool_answers_where_patients_of_both_classes_are_alike(method) -> None:
    found = method.make(**method.grid[0]).fit(np.zeros((2, 4)), Y[[0, 6]]).predict_proba(ASKED)
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_naive_bayes_is_that_of_scikit_learn_where_columns_vary() -> None:
    found, theirs = (made(var_smoothing=0.5).fit(X, Y).predict_proba(ASKED) for made in (NaiveBayes, GaussianNB))
    assert np.array_equal(found, theirs)


@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_discriminant_analysis_solves_its_equation(shrinkage) -> None:
    """(1 - s) W w + s m w = difference of the means; scikit-learn scales columns before it shrinks, so it differs."""
    within = X - np.array([X[c == Y].mean(0) for c in (0, 1)])[Y]
    covariance = within.T @ within / 12
    w = Discriminant(shrinkage).fit(X, Y).coef_
    difference = X[Y == 1].mean(0) - X[Y == 0].mean(0)
    found = (1 - shrinkage) * covariance @ w + shrinkage * np.trace(covariance) / 4 * w
    np.testing.assert_allclose(found, difference, atol=1e-9)


def test_hardly_shrunk_it_is_that_of_scikit_learn() -> None:
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(X, Y).decision_function(ASKED)
    p = Discriminant(1e-9).fit(X, Y).predict_proba(ASKED)
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), theirs, rtol=1e-5)


def test_without_any_spread_it_is_the_nearest_mean() -> None:
    found = Discriminant().fit(X[[0, 6]], Y[[0, 6]]).predict_proba(ASKED)[:, 1]
    nearer = np.linalg.norm(ASKED - X[6], axis=1) < np.linalg.norm(ASKED - X[0], axis=1)
    assert ((found > 0.5) == nearer).all()


def test_the_soft_clip_is_undone() -> None:
    rows = RNG.normal(size=(9, 3))
    plain = (rows - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(unclipped(standardise(rows, rows)[0]), plain, atol=1e-9)
    assert np.isfinite(unclipped(np.array([3.0, -3.0]))).all() and unclipped(np.array([3.0]))[0] > 20


def test_plain_logistic_regression_sees_plain_columns() -> None:
    seen, asked = standardise(X, ASKED)
    plain = (X - X.mean(0)) / X.std(0), (ASKED - X.mean(0)) / X.std(0)
    expected = LogisticRegression(C=0.5).fit(plain[0], Y).predict_proba(plain[1])
    np.testing.assert_allclose(plain_logistic(C=0.5).fit(seen, Y).predict_proba(asked), expected, atol=1e-6)


def test_there_may_be_fewer_neighbours_than_asked_for() -> None:
    found = Neighbours(n_neighbors=5).fit(X[[0, 6]], Y[[0, 6]]).predict_proba(ASKED)
    assert np.allclose(found, 0.5)


def test_margins_of_support_vectors_become_probabilities() -> None:
    margin = SVC().fit(X, Y).decision_function(ASKED)
    found = SupportVectors().fit(X, Y).predict_proba(ASKED)[:, 1]
    np.testing.assert_allclose(np.log(found / (1 - found)), 2 * margin, atol=1e-9)
