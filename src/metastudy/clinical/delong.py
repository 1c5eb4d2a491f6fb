"""AUROC with its uncertainty over patients, and two AUROCs on the same patients, without resampling.

Patients are taken for independent: one row a patient. What another support would have given is not in these intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from metastudy.errors import DataError


def auroc_covariance(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m,) AUROCs and their (m, m) covariance, of (m, n) scores of the same (n,) patients.

    DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44, 837), by midranks (Sun and Xu 2014, IEEE Signal Processing
    Letters 21, 1389, algorithm 2), in n log n. Raises DataError for other shapes, scores that are not numbers, truths
    other than 0 and 1, or fewer than two patients of a class.
    """
    truth, scores = np.asarray(truth), np.asarray(scores, dtype=float)
    if scores.ndim != 2 or truth.shape != scores.shape[1:]:
        raise DataError(f"truth has shape {truth.shape}, scores {scores.shape}; expected (n,) and (m, n)")
    if np.isnan(scores).any() or not np.isin(truth, (0, 1)).all():
        raise DataError("scores must be numbers and truths 0 or 1; drop the patients that have none for all methods")
    sick = truth.astype(bool)
    n1, n0 = int(sick.sum()), int((~sick).sum())
    if min(n1, n0) < 2:
        raise DataError(f"{n1} sick and {n0} healthy patients; a variance needs two or more of each")
    ranks = stats.rankdata(scores, axis=1)
    # V10 of Sun and Xu: of each sick patient, the share of healthy ones below; V01: of each healthy, of sick above
    above = (ranks[:, sick] - stats.rankdata(scores[:, sick], axis=1)) / n0  # (m, n1)
    below = 1 - (ranks[:, ~sick] - stats.rankdata(scores[:, ~sick], axis=1)) / n1  # (m, n0)
    return above.mean(1), np.atleast_2d(np.cov(above)) / n1 + np.atleast_2d(np.cov(below)) / n0


def auroc_interval(truth: np.ndarray, score: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """AUROC of (n,) patients, and its interval: normal on the log odds, so that it stays inside 0 to 1.

    The interval is missing (nan) for an AUROC of 0 or 1, whose variance is estimated as 0, and with fewer than two
    patients of a class; the AUROC too where a class is absent.
    """
    truth, score = np.asarray(truth), np.asarray(score, dtype=float)
    n1 = int(np.sum(truth))
    if min(n1, len(truth) - n1) < 2:
        if not 0 < n1 < len(truth):
            return float("nan"), float("nan"), float("nan")
        ranks = stats.rankdata(score)[truth.astype(bool)]
        return float((ranks.mean() - (n1 + 1) / 2) / (len(truth) - n1)), float("nan"), float("nan")
    found, covariance = auroc_covariance(truth, score[None])
    auroc = float(found[0])
    if not 0 < auroc < 1:
        return auroc, float("nan"), float("nan")
    half = stats.norm.ppf((1 + confidence) / 2) * math.sqrt(covariance[0, 0]) / (auroc * (1 - auroc))
    return auroc, float(expit(logit(auroc) - half)), float(expit(logit(auroc) + half))


@dataclass(frozen=True)
class AurocComparison:
    """AUROCs of a and b on the same patients, a - b with its interval, and the two-sided p of no difference."""

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float


def compare_aurocs(truth: np.ndarray, a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> AurocComparison:
    """DeLong's paired test of two AUROCs, (n,) scores each.

    Without any variance p is 1 for equal AUROCs, and p and the interval are missing (nan) for others: a normal p of 0
    would claim too much. Raises DataError as `auroc_covariance`.
    """
    found, covariance = auroc_covariance(truth, np.stack([np.asarray(a, dtype=float), np.asarray(b, dtype=float)]))
    difference = float(found[0] - found[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-14:
        same = abs(difference) < 1e-12
        end, p = (difference, 1.0) if same else (float("nan"), float("nan"))
        return AurocComparison(float(found[0]), float(found[1]), difference, end, end, p)
    error = math.sqrt(variance)
    half = stats.norm.ppf((1 + confidence) / 2) * error
    p = 2 * stats.norm.sf(abs(difference) / error)
    return AurocComparison(
        float(found[0]), float(found[1]), difference, difference - float(half), difference + float(half), float(p)
    )
