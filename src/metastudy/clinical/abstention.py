"""Knowing when to ask someone else: the error among the patients that a method dares to diagnose.

A patient is called sick from a probability of .5 on; the confidence is that of the called class. Everything is measured
within a draw, since every draw is a model of its own, then averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metastudy.clinical.averages import DRAWS, groups, measured, over_families
from metastudy.clinical.predictions import check_predictions
from metastudy.errors import ParameterError

COVERAGES = tuple(np.round(np.arange(0.1, 1.01, 0.1), 1).tolist())


def risk_coverage(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(n,) error of the 1, 2, ..., n most confident diagnoses of (n,) patients.

    Equally confident patients each carry the mean error of all of them: what to expect of any order.
    """
    p = np.asarray(probability, dtype=float)
    wrong = (p >= 0.5) != np.asarray(truth, dtype=bool)
    # rounded, since .9 and 1 - .1 are the same confidence
    _, place, count = np.unique(np.round(-np.maximum(p, 1 - p), 12), return_inverse=True, return_counts=True)
    error = np.repeat(np.bincount(place, wrong) / count, count)
    return np.cumsum(error) / np.arange(1, len(p) + 1)


def aurc(truth: np.ndarray, probability: np.ndarray) -> float:
    """Area under the risk-coverage curve: the mean of `risk_coverage` (Geifman et al. 2019, ICLR).

    0 is perfect; confidences that say nothing give about the error rate.
    """
    return float(risk_coverage(truth, probability).mean())


def abstention_measures(predictions: pd.DataFrame) -> pd.DataFrame:
    """`aurc` and `error` (at full coverage) of every draw: columns of `DRAWS`, metric, value."""
    rows = []
    for key, truth, p in groups(check_predictions(predictions), DRAWS):
        curve = risk_coverage(truth, p)
        rows.append((*key, curve.mean(), curve[-1]))
    return measured(rows, DRAWS, ["aurc", "error"])


def coverage_curves(predictions: pd.DataFrame, coverages: Sequence[float] = COVERAGES) -> pd.DataFrame:
    """Error among the share `coverage` of most confident patients: method, shots, coverage, mean and interval.

    A share of n patients is rounded up to whole ones. Raises ParameterError for coverages not above 0 and up to 1.
    """
    share = np.asarray(coverages, dtype=float)
    if not ((share > 0) & (share <= 1)).all():
        raise ParameterError(f"coverages {share.tolist()}; expected each above 0 and up to 1")
    rows = []
    for key, truth, p in groups(check_predictions(predictions), DRAWS):
        taken = np.ceil(np.round(share * len(p), 9)).astype(int) - 1
        errors = risk_coverage(truth, p)[taken]
        rows += [(*key, c, error) for c, error in zip(coverages, errors.tolist(), strict=True)]
    return over_families(measured(rows, DRAWS, ["error"], by=["coverage"]), by=["coverage"]).drop(columns="metric")
