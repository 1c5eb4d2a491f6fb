"""Looking at the data as often as one likes: an always-valid test, and what naive peeking costs instead.

The test is the normal mixture (Robbins 1970): under "no difference" the likelihood ratio of a difference drawn from
N(0, tau²) against 0 is a martingale that starts at 1, so it ever reaches 1 / alpha with probability alpha at most
(Ville). With estimate d of variance v that ratio is sqrt(v / (v + tau²)) exp(tau² d² / (2 v (v + tau²))). Its inverse
is the p of the mSPRT (Johari, Koomen, Pekelis and Walsh 2022, Operations Research 70); the differences for which it
stays below 1 / alpha are the confidence sequence (Howard, Ramdas, McAuliffe and Sekhon 2021, Annals of Statistics 49,
two-sided normal mixture).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from metastudy.errors import DataError, ParameterError

Vector = np.ndarray | Sequence[float]
TAU = 0.1  # the difference in standard deviations that the test is tuned to: small, as between good methods
MINIMUM = 30  # no claim before: the standard deviation is estimated, and too small too often from fewer values


@dataclass(frozen=True)
class ConfidenceSequence:
    """What is known after each step n = 1 .. N. All vectors are (N,).

    `estimate` mean difference so far, `error` its standard error, `low` and `high` the confidence sequence (all N
    intervals hold at once with probability 1 - alpha; unbounded before the burn-in or while nothing varies), and `p`
    the always-valid p: the smallest so far, so it never rises. The intervals are not intersected over time: an
    intersection is as valid, but can be empty where the difference drifts.
    """

    estimate: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    alpha: float

    @property
    def stop(self) -> int | None:
        """The first step n (from 1) at which p <= alpha; None where the data ended undecided."""
        found = np.flatnonzero(self.p <= self.alpha)
        return int(found[0]) + 1 if len(found) else None

    def frame(self) -> pd.DataFrame:
        """Columns n, estimate, low, high, p, naive_low, naive_high; the naive interval is for one look alone."""
        half = stats.norm.ppf(1 - self.alpha / 2) * self.error
        return pd.DataFrame(
            {
                "n": np.arange(1, len(self.p) + 1), "estimate": self.estimate, "low": self.low, "high": self.high,
                "p": self.p, "naive_low": self.estimate - half, "naive_high": self.estimate + half,
            }
        )  # fmt: skip


def confidence_sequence(
    values: Vector, tau: float = TAU, alpha: float = 0.05, minimum: int = MINIMUM
) -> ConfidenceSequence:
    """Mean of a stream of paired differences, (N,) in order of arrival, with an interval and p valid at every n.

    `tau` is the spread of the mixture in standard deviations of one difference: choose it before the data, near the
    effect you expect. It decides when the test is sharp, not whether it is valid.

    Deviation: the variance is the one of the data so far, not known, so validity is asymptotic (as in Waudby-Smith et
    al. 2024, Annals of Statistics 52); before `minimum` values nothing is claimed. Without a difference, 1.5 to 4% of
    normal, tied, zero-inflated and beta-distributed studies reject by n = 2,000 at tau 0.1, but about 10% of strongly
    one-sided ones (a rare gain of fixed size and a small constant loss, or lognormal): use a fixed horizon there.

    The price at tau 0.1 and a true 0.1 standard deviations: 2,000 differences find it in 96% of studies instead of 99%,
    and half of them stop by 700.

    Raises DataError for fewer than two values, values that are not finite or a wrong shape, and ParameterError for
    tau <= 0, alpha outside (0, 1) or minimum < 2. Differences that are all equal, zero or not, show no scale to judge
    them by: unbounded interval and p = 1.
    """
    mean, variance = _running(_checked(values, "values"))
    _check(tau, alpha, minimum)
    n = np.arange(1, len(mean) + 1)
    return _mixture(mean, variance / n, tau**2 * variance, n >= minimum, alpha)


def two_arm_sequence(
    control: Vector, treatment: Vector, tau: float = TAU, alpha: float = 0.05, minimum: int = MINIMUM
) -> ConfidenceSequence:
    """Difference of means, treatment - control, of unpaired units in order of arrival: (N,) and (M,).

    Step n has seen the first n units of each arm (as in Johari et al. 2022); what a longer arm has left follows
    at the end, so there are max(N, M) steps. `tau` is in pooled standard deviations sqrt((s_c² + s_t²) / 2), and
    `minimum` counts units of each arm. Errors and deviations as for `confidence_sequence`. With 2,000 a side, a
    difference of 0.1 standard deviations is found in 66% of studies at tau 0.1, instead of 89% at a fixed horizon.
    """
    arms = [_checked(control, "control"), _checked(treatment, "treatment")]
    _check(tau, alpha, minimum)
    steps = np.arange(1, max(map(len, arms)) + 1)
    seen = [np.minimum(steps, len(arm)) for arm in arms]
    (mean_c, var_c), (mean_t, var_t) = ([x[n - 1] for x in _running(arm)] for arm, n in zip(arms, seen, strict=True))
    enough = np.minimum(*seen) >= minimum
    return _mixture(mean_t - mean_c, var_c / seen[0] + var_t / seen[1], tau**2 * (var_c + var_t) / 2, enough, alpha)


def _mixture(
    estimate: np.ndarray, variance: np.ndarray, spread: np.ndarray, enough: np.ndarray, alpha: float
) -> ConfidenceSequence:
    """estimate ~ N(difference, variance) at each step, mixed over difference ~ N(0, spread)."""
    usable = enough & (variance > 0)
    v, t, d = (np.where(usable, x, 1.0) for x in (variance, spread, estimate))
    log_ratio = 0.5 * np.log(v / (v + t)) + t * d**2 / (2 * v * (v + t))
    half = np.sqrt(v * (v + t) / t * (2 * math.log(1 / alpha) + np.log((v + t) / v)))  # solves log_ratio = log(1/alpha)
    half = np.where(usable, half, np.inf)
    p = np.minimum.accumulate(np.where(usable, np.exp(-np.maximum(log_ratio, 0)), 1.0))
    return ConfidenceSequence(estimate, np.sqrt(variance), estimate - half, estimate + half, p, alpha)


def _running(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (n - 1 below) of the first n values, for every n; the variance of one value is 0."""
    n = np.arange(1, len(values) + 1)
    moved = values - values[0]  # keeps the sums of squares accurate, and those of equal values exactly zero
    mean = np.cumsum(moved) / n
    variance = np.clip(np.cumsum(moved**2) - n * mean**2, 0, None) / np.maximum(n - 1, 1)
    return mean + values[0], variance


@dataclass(frozen=True)
class Peeking:
    """A naive t-test at each look: how many values each had seen, their p, and the first p < alpha, if any."""

    looks: np.ndarray
    p: np.ndarray
    stop: int | None


def naive_peeking(values: Vector, looks: int = 20, alpha: float = 0.05) -> Peeking:
    """Negative control: t-test a stream of differences, (N,), at evenly spaced looks and stop at the first p < alpha.

    With no difference and alpha .05 this rejects 14% at 5 looks, 19% at 10 and 25% at 20 (Armitage, McPherson and Rowe
    1969, Journal of the Royal Statistical Society A 132). Never use it to decide anything.

    Raises ParameterError for looks < 1 or fewer than two values a look, and DataError as `confidence_sequence`.
    Where nothing varies, p is 1.
    """
    values = _checked(values, "values")
    _check(1, alpha, 2)
    if not 1 <= looks <= len(values) // 2:
        raise ParameterError(
            f"{looks} looks at {len(values)} values; expected 1 to {len(values) // 2}, 2 values a look"
        )
    n = np.round(np.linspace(0, len(values), looks + 1)[1:]).astype(int)
    mean, variance = (x[n - 1] for x in _running(values))
    error = np.sqrt(variance / n)
    p = np.where(error > 0, 2 * stats.t.sf(np.abs(mean) / np.where(error > 0, error, 1), n - 1), 1.0)
    found = np.flatnonzero(p < alpha)
    return Peeking(n, p, int(n[found[0]]) if len(found) else None)


def _checked(values: Vector, name: str) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or len(found) < 2:
        raise DataError(f"{name} have shape {found.shape}; expected one stream of two or more numbers")
    if not np.isfinite(found).all():
        first = int(np.flatnonzero(~np.isfinite(found))[0])
        raise DataError(f"{name}[{first}] is {found[first]}; expected finite numbers: mend the score or drop the unit")
    return found


def _check(tau: float, alpha: float, minimum: int) -> None:
    if not 0 < tau < math.inf:
        raise ParameterError(f"tau is {tau}; expected a positive number of standard deviations, such as {TAU}")
    if not 0 < alpha < 1:
        raise ParameterError(f"alpha is {alpha}; expected an error rate between 0 and 1, such as 0.05")
    if minimum < 2:
        raise ParameterError(f"minimum is {minimum}; expected 2 or more: one value has no standard deviation")
