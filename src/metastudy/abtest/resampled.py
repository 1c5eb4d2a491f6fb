"""Tests over repeated cross-validation of one data set, whose training sets overlap.

A plain t-test over such folds takes them for independent: over 10 x 10 folds it finds a winner in about half of all
comparisons of equal methods (`make calibrate` measures it).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from metastudy.abtest.estimate import Estimate, Vector, by_t, checked, moments
from metastudy.errors import DataError, ParameterError


def corrected_resampled_t(differences: Vector, n_train: int, n_test: int, alpha: float = 0.05) -> Estimate:
    """Nadeau and Bengio 2003 (Machine Learning 52, eq. 9): mean difference over J folds or random splits, (J,).

    Its variance is (1/J + n_test/n_train) s², with J - 1 degrees of freedom: more repetitions cannot drive it to zero.
    Raises ParameterError for sizes below 1, DataError for fewer than two folds or values that are not finite.
    """
    values = checked(differences, "fold differences")
    if not (n_train >= 1 and n_test >= 1):
        raise ParameterError(f"n_train {n_train} and n_test {n_test}; expected sizes of 1 or more")
    mean, variance = moments(values)
    error = math.sqrt((1 / len(values) + n_test / n_train) * variance)
    return by_t(mean, error, len(values) - 1, len(values), "corrected resampled t", alpha)


def five_by_two_f(differences: np.ndarray) -> tuple[float, float]:
    """Alpaydin 1999 (Neural Computation 11): 5 repetitions of 2-fold cross-validation, (5, 2) -> F(10, 5) and p.

    F = sum of squares / (2 sum of the repetitions' variances). All differences zero: F = 0, p = 1.
    """
    values = np.asarray(differences, dtype=float)
    if values.shape != (5, 2) or not np.isfinite(values).all():
        raise DataError(f"differences have shape {values.shape}; expected finite ones of 5 repetitions x 2 folds")
    spread = ((values - values.mean(1, keepdims=True)) ** 2).sum()
    if spread == 0:
        return (0.0, 1.0) if not values.any() else (math.inf, 0.0)
    f = float((values**2).sum() / (2 * spread))
    return f, float(stats.f.sf(f, 10, 5))
