"""A line on the log odds: the logistic regression of one score, and what it says about calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from metastudy.errors import DataError

CLIP = 1e-7
"""Probabilities of 0 and 1 count as this far from them: their log odds would be infinite."""
FLAT = 1e-9
"""Scores that differ by no more than this count as equal."""
TOLERANCE = 1e-9  # of the mean gradient, in units of the standardised score


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, clipped to `CLIP` from 0 and 1."""
    return logit(np.clip(np.asarray(probability, dtype=float), CLIP, 1 - CLIP))


def logistic_line(score: np.ndarray, target: np.ndarray, steps: int = 200) -> tuple[float, float]:
    """Intercept and slope of maximum likelihood: target ~ expit(intercept + slope score); (n,) each, targets 0 to 1.

    Newton's method with halved steps. The scores must vary and the maximum must exist, which the caller makes sure of
    (hard targets that a threshold tells apart have none). Raises DataError if it is not found in `steps`.
    """
    centre, scale = score.mean(), score.std()
    design = np.stack([np.ones_like(score), (score - centre) / scale], axis=1)
    weights = np.array([logit(target.mean()), 0.0])

    def loss(w: np.ndarray) -> float:
        eta = design @ w
        return float(np.mean(np.logaddexp(0, eta) - target * eta))

    now = loss(weights)
    for _ in range(steps):
        fitted = expit(design @ weights)
        gradient = design.T @ (fitted - target) / len(score)
        if np.abs(gradient).max() < TOLERANCE:
            slope = weights[1] / scale
            return float(weights[0] - slope * centre), float(slope)
        curvature = (design.T * (fitted * (1 - fitted))) @ design / len(score)
        step = np.linalg.solve(curvature + 1e-14 * np.eye(2), gradient)
        while (then := loss(weights - step)) > now + 1e-12:
            step = step / 2
        weights, now = weights - step, then
    raise DataError(
        f"the logistic regression of {len(score)} scores (from {score.min():.3g} to {score.max():.3g}) did not settle "
        f"in {steps} steps; look for scores that nearly separate the classes"
    )


@dataclass(frozen=True)
class Cox:
    """Cox 1958 (Biometrika 45, 562): log odds of being sick = intercept + slope * predicted log odds.

    Well calibrated: 0 and 1. A slope below 1: too sure, too high and too low alike. `at_slope_one` is the intercept
    where the slope is held at 1 ("calibration in the large"): above 0, more are sick than predicted.
    """

    slope: float
    intercept: float
    at_slope_one: float


def cox(truth: np.ndarray, probability: np.ndarray) -> Cox:
    """Calibration line of (n,) truths and probabilities; probabilities are clipped (`CLIP`).

    All are missing (nan) where there is one class only; slope and intercept also where a threshold tells the classes
    apart or all probabilities are equal: then no likelihood has a maximum.
    """
    sick, x = np.asarray(truth, dtype=bool), log_odds(probability)
    if sick.all() or not sick.any():
        return Cox(np.nan, np.nan, np.nan)
    rate = logit(sick.mean())
    # the mean of expit(a + x) grows with a; at one end every summand is below the rate, at the other every one above
    ends = rate - x.max() - 1e-6, rate - x.min() + 1e-6
    large = brentq(lambda a: expit(a + x).mean() - sick.mean(), *ends, xtol=1e-12)
    told_apart = x[~sick].max() <= x[sick].min() or x[sick].max() <= x[~sick].min()
    if told_apart or np.ptp(x) <= FLAT:
        return Cox(np.nan, np.nan, float(large))
    intercept, slope = logistic_line(x, sick.astype(float))
    return Cox(slope, intercept, float(large))
