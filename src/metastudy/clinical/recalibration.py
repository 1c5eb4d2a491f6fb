"""Mend probabilities: for another prevalence than the one learned from, or by what the support says about its scores.

A support with as many sick as healthy teaches that half are sick. Where the prevalence is known, `prior_shift` puts it
in; `platt` and `temperature` first mend how sure the method is, from scores of support patients that it was not fitted
on (out of fold). Nothing here sees a query, except what is called transductive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from metastudy.clinical.logistic import FLAT, logistic_line
from metastudy.errors import DataError, ParameterError

COOLEST, HOTTEST = 1 / 20, 20.0  # temperatures: a handful of patients cannot tell what lies beyond


def _inside(**rates: float | np.ndarray) -> None:
    for name, rate in rates.items():
        if not np.all((np.asarray(rate) > 0) & (np.asarray(rate) < 1)):
            raise ParameterError(
                f"{name} {rate}; expected a share of sick patients above 0 and below 1 (`prevalence_of` gives one)"
            )


def prevalence_of(labels: np.ndarray) -> float:
    """Share of sick among (n,) labels 0 or 1 that were sampled as they come: (sick + 1/2) / (n + 1).

    The posterior mean under Jeffreys' prior: never 0 or 1, even where one class is all there is.
    """
    return float((np.sum(labels) + 0.5) / (len(labels) + 1))


def prior_shift(
    probability: np.ndarray, trained: float | np.ndarray, prevalence: float | np.ndarray
) -> np.ndarray:  # fmt: skip
    """Saerens, Latinne and Decaestecker 2002 (Neural Computation 14, 21), eq. 4: `trained` p_t(w), `prevalence` p(w).

    Probabilities learned where a share `trained` is sick, for patients of whom a share `prevalence` is; right if the
    sick (and the healthy) look alike in both places. 0 stays 0 and 1 stays 1. Arrays broadcast. Raises ParameterError
    for shares that are not inside 0 to 1.
    """
    _inside(trained=trained, prevalence=prevalence)
    p = np.asarray(probability, dtype=float)
    sick = prevalence / trained * p
    return sick / (sick + (1 - prevalence) / (1 - trained) * (1 - p))


def transductive_prevalence(
    query_probability: np.ndarray, trained: float, steps: int = 1000, tolerance: float = 1e-9
) -> float:
    """TRANSDUCTIVE: the prevalence among the unlabelled queries themselves, (n,), by expectation maximisation.

    Saerens et al. 2002, eq. 7-10: start at `trained`; set the prevalence to the mean of the shifted probabilities until
    it moves by less than `tolerance`, or for `steps`; the queries never become less likely. A prediction that uses
    it depends on the other queries, and its method must say transductive in its name. Queries that all look alike
    drive it towards 0 or 1. Raises ParameterError if `trained` is not inside 0 to 1, DataError without queries.
    """
    _inside(trained=trained)
    if not len(query_probability):
        raise DataError("no queries; the prevalence among them needs at least one")
    prevalence, edge = trained, np.finfo(float).eps
    for _ in range(steps):
        found = float(np.clip(prior_shift(query_probability, trained, prevalence).mean(), edge, 1 - edge))
        moved, prevalence = abs(found - prevalence), found
        if moved < tolerance:
            break
    return prevalence


def transductive_prior_shift(query_probability: np.ndarray, trained: float) -> np.ndarray:
    """TRANSDUCTIVE: `prior_shift` of the queries to the prevalence that they show together."""
    return prior_shift(query_probability, trained, transductive_prevalence(query_probability, trained))


@dataclass(frozen=True)
class Calibrator:
    """probability = expit(slope score + intercept)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        return expit(self.slope * np.asarray(scores, dtype=float) + self.intercept)


def _targets(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(n,) scores and Platt's targets (1999, section 2.2), or None for one class only.

    Sick (n1 + 1) / (n1 + 2), healthy 1 / (n0 + 2): so that scores which tell the classes apart do not drive the slope
    to infinity.
    """
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape or not len(scores):
        raise DataError(f"scores have shape {scores.shape}, labels {labels.shape}; expected two equally long vectors")
    if not np.isfinite(scores).all() or not np.isin(labels, (0, 1)).all():
        raise DataError("scores must be finite (log odds of clipped probabilities) and labels 0 or 1; mend them before")
    sick = labels.astype(bool)
    n1, n0 = sick.sum(), (~sick).sum()
    return scores, np.where(sick, (n1 + 1) / (n1 + 2), 1 / (n0 + 2)) if n1 and n0 else None


def platt(scores: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Platt 1999: slope and intercept from out-of-fold support scores (log odds) and labels 0 or 1, (n,) each.

    Deviation: a slope below 0 is held at 0: a few patients whose scores happen to run the wrong way must not turn the
    ranking round. Equal scores give slope 0. One class says nothing about either: the scores stay as they are. Raises
    DataError for unequal lengths, no scores, scores that are not finite, or other labels.
    """
    scores, targets = _targets(scores, labels)
    if targets is None:
        return Calibrator()
    flat = Calibrator(0.0, float(logit(targets.mean())))
    if np.ptp(scores) <= FLAT:
        return flat
    intercept, slope = logistic_line(scores, targets)
    return Calibrator(slope, intercept) if slope > 0 else flat


def temperature(scores: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Temperature scaling (Guo et al. 2017, section 4.2): slope 1 / T from out-of-fold support scores; intercept 0.

    The ranking stays. T is kept from 1/20 to 20; the targets are Platt's, a deviation: Guo et al. have thousands of
    labels, here a handful would often be told apart and T become 0. One class, or scores that are all 0: T = 1.
    Raises DataError as `platt`.
    """
    scores, targets = _targets(scores, labels)
    if targets is None or not scores.any():
        return Calibrator()

    def gradient(slope: float) -> float:
        return float(np.mean((expit(slope * scores) - targets) * scores))

    # the loss is convex in the slope: its gradient crosses 0 once, or the best slope is at an end
    low, high = 1 / HOTTEST, 1 / COOLEST
    if gradient(low) >= 0:
        return Calibrator(low)
    return Calibrator(high) if gradient(high) <= 0 else Calibrator(float(brentq(gradient, low, high)))
