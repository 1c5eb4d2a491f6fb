"""Intervals over the patients of one hospital: its draws share them, so draws are no independent units."""

from __future__ import annotations

import numpy as np

from metastudy.errors import DataError


def weights_by_class(y: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """How often each patient is in each of n samples with replacement, drawn within each diagnosis: (n, N).

    Within a diagnosis, so that no sample lacks one: Switzerland has eight healthy patients.
    """
    weights = np.zeros((n, len(y)))
    for c in (0, 1):
        rows = np.flatnonzero(y == c)
        weights[:, rows] = equal_weights(len(rows), n, rng)
    return weights


def equal_weights(size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of `size` units is in each of n samples with replacement: (n, size)."""
    return rng.multinomial(size, np.full(size, 1 / size), size=n).astype(float)


def auroc_of(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of scores p (N,) for diagnoses y (N,) under weights (B, N): (B,). Ties count half.

    Σ_ij v_i w_j [p_i > p_j] / (Σ v Σ w) over sick i and healthy j. NaN where a class weighs nothing.
    Raises DataError where a class is absent.
    """
    sick, well = y == 1, y == 0
    if not sick.any() or not well.any():
        raise DataError(f"{int(sick.sum())} sick patients of {len(y)}; AUROC needs both diagnoses")
    above = p[sick][:, None] - p[well]
    above = (above > 0) + 0.5 * (above == 0)
    v, w = weights[:, sick], weights[:, well]
    with np.errstate(invalid="ignore"):
        return ((v @ above) * w).sum(1) / (v.sum(1) * w.sum(1))


def log_loss_of(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log loss of probabilities p (N,) of y (N,) under weights (B, N): (B,), as the family scores it."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    with np.errstate(invalid="ignore"):
        return weights @ -np.log(np.where(y == 1, p, 1 - p)) / weights.sum(1)
