"""Two arms of different units, as online: Welch's t, proportions, CUPED, and whether the split itself is sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from metastudy.abtest.estimate import Estimate, Vector, by_t, check_share, checked, moments
from metastudy.errors import DataError, ParameterError

BROKEN = 0.001  # p of the sample-ratio check below which nothing measured on the split is believed


def welch(control: Vector, treatment: Vector, alpha: float = 0.05) -> Estimate:
    """Difference of means, treatment - control, with unequal variances (Welch 1947), by statsmodels."""
    check_share(alpha, "alpha")
    c, t = checked(control, "control"), checked(treatment, "treatment")
    (mean_c, var_c), (mean_t, var_t) = moments(c), moments(t)
    error = math.sqrt(var_t / len(t) + var_c / len(c))
    df = CompareMeans(DescrStatsW(t), DescrStatsW(c)).dof_satt() if error else math.inf
    return by_t(mean_t - mean_c, error, df, len(c) + len(t), "Welch", alpha)


def two_proportions(successes: Sequence[int], trials: Sequence[int], alpha: float = 0.05) -> Estimate:
    """Share of the second group - share of the first: z-test with pooled variance, Newcombe's interval, by statsmodels.

    Raises DataError for counts that are no counts. Where nobody or everybody succeeds, p is 1.
    """
    check_share(alpha, "alpha")
    if len(successes) != 2 or len(trials) != 2 or any(x != x // 1 for x in (*successes, *trials)):
        raise DataError(f"successes {list(successes)} of {list(trials)}; expected two whole numbers each")
    (s_c, s_t), (n_c, n_t) = successes, trials
    if not (0 <= s_c <= n_c and 0 <= s_t <= n_t and n_c > 0 and n_t > 0):
        raise DataError(f"successes {list(successes)} of {list(trials)}; expected counts with 0 <= successes <= trials")
    low, high = confint_proportions_2indep(s_t, n_t, s_c, n_c, method="newcomb", alpha=alpha)
    constant = s_c + s_t in (0, n_c + n_t)
    p = 1.0 if constant else float(proportions_ztest([s_t, s_c], [n_t, n_c])[1])
    return Estimate(s_t / n_t - s_c / n_c, float(low), float(high), p, n_c + n_t, "two proportions")


@dataclass(frozen=True)
class Cuped(Estimate):
    """`theta` as used, and the share of variance that knowing the past has removed (0 to 1)."""

    theta: float
    variance_reduction: float


def cuped(
    control: Vector, treatment: Vector, control_before: Vector, treatment_before: Vector, alpha: float = 0.05
) -> Cuped:
    """Deng, Xu, Kohavi and Walker 2013 (WSDM): outcomes minus theta (before - mean before), then Welch.

    theta = cov(outcome, before) / var(before), pooled within arms. `before` must have been measured before the arms
    differed. A constant `before` tells nothing: theta is 0, and the answer is Welch's. Errors as `estimate.checked`.
    """
    arms = [(checked(y, n), checked(x, f"{n}_before")) for y, x, n in (
        (control, control_before, "control"), (treatment, treatment_before, "treatment"))]  # fmt: skip
    for (y, x), name in zip(arms, ("control", "treatment"), strict=True):
        if len(y) != len(x):
            raise DataError(f"{len(y)} outcomes and {len(x)} earlier values of {name}; expected one of each a unit")
    inside = [(y - moments(y)[0], x - moments(x)[0]) for y, x in arms]
    scatter = sum(float(x @ x) for _, x in inside)
    theta = sum(float(y @ x) for y, x in inside) / scatter if scatter > 0 else 0.0
    centre = float(np.concatenate([x for _, x in arms]).mean())
    adjusted = [y - theta * (x - centre) for y, x in arms]
    found = welch(*adjusted, alpha=alpha)
    before = sum(y.var(ddof=1) / len(y) for y, _ in arms)
    after = sum(y.var(ddof=1) / len(y) for y in adjusted)
    reduction = 1 - after / before if before > 0 else 0.0
    ends = (found.difference, found.low, found.high, found.p, found.n)
    return Cuped(*ends, "CUPED", theta, float(reduction))


def sample_ratio(counts: Sequence[int], shares: Sequence[float] | None = None) -> float:
    """Chi-square p that units were split as intended (default: equally).

    Raises DataError below `BROKEN`: then units are lost or assigned wrongly in one arm, and no difference between the
    arms means anything.
    """
    found = np.asarray(counts, dtype=float)
    whole = np.isfinite(found).all() and (found >= 0).all() and (found == np.floor(found)).all()
    if found.ndim != 1 or len(found) < 2 or not whole or not found.sum():
        raise DataError(f"counts are {list(counts)}; expected the number of units in each of two or more arms")
    expected = np.ones(len(found)) if shares is None else np.asarray(shares, dtype=float)
    if expected.shape != found.shape or not ((expected > 0).all() and np.isfinite(expected).all()):
        raise ParameterError(f"shares are {shares}; expected one positive number for each of {len(found)} arms")
    p = float(stats.chisquare(found, expected / expected.sum() * found.sum()).pvalue)
    if p < BROKEN:
        raise DataError(
            f"arms have {[int(n) for n in found]} units, p = {p:.1g} under the intended split: the assignment is "
            "broken; find out where units are lost before looking at any outcome"
        )
    return p


def ab_test(
    control: Vector,
    treatment: Vector,
    control_before: Vector | None = None,
    treatment_before: Vector | None = None,
    shares: Sequence[float] | None = None,
    alpha: float = 0.05,
) -> Estimate:
    """The sample-ratio check, then CUPED where earlier values are given, else Welch. Errors as of each."""
    sample_ratio([len(control), len(treatment)], shares)
    if (control_before is None) != (treatment_before is None):
        raise ParameterError("earlier values of one arm only; expected those of both, or of neither")
    if control_before is None or treatment_before is None:
        return welch(control, treatment, alpha)
    return cuped(control, treatment, control_before, treatment_before, alpha)
