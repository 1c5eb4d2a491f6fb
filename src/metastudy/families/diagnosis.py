"""What all diagnosis families share: columns centred and scaled, the channels of a cell, and the scores.

Every statistic comes from the rows it may be learned from: a task's own support, or the training hospitals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import skew
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor

from metastudy.families.base import Score
from metastudy.tasks import Task

CLIP = 3.0
CHANNELS = 4


def impute(support: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`rows` with medians of the support in the place of NaN; 0 where the support has no value at all."""
    medians = np.zeros(support.shape[1])
    there = ~np.isnan(support).all(0)
    medians[there] = np.nanmedian(support[:, there], axis=0)
    return np.where(np.isnan(rows), medians, rows)


def standardise(support: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale columns by the support alone, then clip softly: 3 tanh(z / 3).

    Without the clip two rows decide a scale that makes outliers of ordinary patients. A column that is constant in
    the support tells nothing and becomes 0.
    """
    centre, scale = support.mean(0), support.std(0)
    known = scale > 1e-9 * (1 + np.abs(centre))

    def transform(rows: np.ndarray) -> np.ndarray:
        return np.where(known, CLIP * np.tanh((rows - centre) / np.where(known, scale, 1) / CLIP), 0.0)

    return transform(support), transform(query)


def lean(support: np.ndarray) -> np.ndarray:
    """(P,) skewness of standardised columns, squeezed into -1 to 1; 0 where a column is constant."""
    varied = support.std(0) > 0
    return np.tanh(np.where(varied, skew(np.where(varied, support, np.arange(len(support))[:, None])), 0.0))


def channels(rows: np.ndarray, leaning: np.ndarray, n_columns: int | None = None) -> Tensor:
    """(N, P) values and (P,) skewness -> (N, P, 4): value, its size, the column's skewness, 1.

    With `n_columns`, columns of zeros follow until there are so many.
    """
    n, p = rows.shape
    out = np.zeros((n, n_columns or p, CHANNELS), dtype=np.float32)
    out[:, :p] = np.stack([rows, np.abs(rows) - 1, np.broadcast_to(leaning, rows.shape), np.ones_like(rows)], -1)
    return torch.from_numpy(out)


def scores(task: Task, prediction: Tensor, metrics: Sequence[str]) -> list[Score]:
    """`auroc`, `log_loss` and `brier` (mean square of probability minus outcome) of (Q, 2) probabilities."""
    truth, sick = task.query_y.numpy(), prediction[:, 1].double().clamp(1e-7, 1 - 1e-7).numpy()
    measured = {
        "auroc": lambda: roc_auc_score(truth, sick),
        "log_loss": lambda: log_loss(truth, sick, labels=[0, 1]),
        "brier": lambda: np.mean((sick - truth) ** 2),
    }
    return [Score(task.id, metric, float(measured[metric]())) for metric in metrics]
