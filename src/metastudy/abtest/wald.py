"""Wald's sequential probability ratio test of a success rate: the fewest trials between two named rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from metastudy.errors import DataError, ParameterError


def bernoulli_sprt(
    successes: Sequence[bool] | np.ndarray, p0: float, p1: float, alpha: float = 0.05, beta: float = 0.2
) -> tuple[Literal["p0", "p1", "undecided"], int]:
    """Wald's test (1945, Annals of Mathematical Statistics 16) of success rate p0 against p1: decision and trials used.

    Stops when the likelihood ratio leaves (beta / (1 - alpha), (1 - beta) / alpha). For decided queries of an
    interleaving: p0 = .5. Raises DataError unless successes are one or more of 0 / 1, ParameterError for rates
    outside (0, 1) or equal, or errors alpha, beta <= 0 or adding up to 1.
    """
    trials = np.asarray(successes, dtype=float)
    if trials.ndim != 1 or not len(trials) or not np.isin(trials, (0, 1)).all():
        raise DataError(f"successes have shape {trials.shape}; expected one or more trials, each 0 or 1")
    if not (0 < p0 < 1 and 0 < p1 < 1 and p0 != p1):
        raise ParameterError(f"success rates {p0} and {p1}; expected two different ones between 0 and 1")
    if not (alpha > 0 and beta > 0 and alpha + beta < 1):
        raise ParameterError(f"alpha {alpha} and beta {beta}; expected two positive errors with a sum below 1")
    log_ratio = np.cumsum(np.where(trials == 1, math.log(p1 / p0), math.log((1 - p1) / (1 - p0))))
    upper, lower = math.log((1 - beta) / alpha), math.log(beta / (1 - alpha))
    outside = np.flatnonzero((log_ratio >= upper) | (log_ratio <= lower))
    if not len(outside):
        return "undecided", len(trials)
    return ("p1" if log_ratio[outside[0]] >= upper else "p0"), int(outside[0]) + 1
