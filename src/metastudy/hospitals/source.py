"""f from the hospitals that have labels: logistic regression, as it is or with an intercept a hospital."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from metastudy.families.base import Fold
from metastudy.families.hospitals import Hospitals
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, Params

FREE = 10.0  # size of the columns that name hospitals: their coefficients are hardly penalised


def regression(C: float) -> LogisticRegression:
    return LogisticRegression(C=C, max_iter=5000)


def source_head(family: Hospitals, fold: Fold, hospitals: Sequence[str], C: float, intercepts: bool) -> Params:
    """Head of a linear f, weight (P, 1) and bias (1, 1), fitted on all patients of `hospitals` in the fold's scaling.

    With `intercepts` every hospital has its own while coefficients are fitted: otherwise columns that tell hospitals
    apart stand in for their prevalence, which says nothing about a new one. Then one slope and one intercept, fitted
    without penalty on all of them, make probabilities of the penalised sum again.
    """
    x = np.concatenate([family.rows(fold)[name] for name in hospitals])
    y = np.concatenate([family.data[name].diagnosis for name in hospitals])
    if not intercepts:
        fitted = regression(C).fit(x, y)
        weight, bias = fitted.coef_[0], fitted.intercept_[0]
    else:
        of = np.repeat(np.arange(len(hospitals)), [len(family.data[name].diagnosis) for name in hospitals])
        own = FREE * np.eye(len(hospitals))[of]
        weight = regression(C).set_params(fit_intercept=False).fit(np.hstack([x, own]), y).coef_[0, : x.shape[1]]
        pooled = regression(np.inf).fit((x @ weight)[:, None], y)
        weight, bias = pooled.coef_[0, 0] * weight, pooled.intercept_[0]
    return {
        HEAD_WEIGHT: torch.tensor(weight, dtype=torch.float32)[:, None],
        HEAD_BIAS: torch.tensor([[bias]], dtype=torch.float32),
    }
