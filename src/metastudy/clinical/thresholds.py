"""What a threshold does to patients: sensitivity at a fixed specificity, and the net benefit of acting on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metastudy.clinical.averages import DRAWS, TABLES, groups, measured, over_families
from metastudy.clinical.predictions import check_predictions
from metastudy.errors import ParameterError

TREAT_ALL, TREAT_NONE = "treat all", "treat none"
THRESHOLDS = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist())


def sensitivity_at(truth: np.ndarray, score: np.ndarray, specificity: float) -> float:
    """Share of the sick that are found by the threshold which clears a share `specificity` of the healthy, (n,) each.

    Between two thresholds the ROC curve is a straight line (a coin decides which one to use), and at a specificity of
    several sensitivities the highest counts. Missing (nan) with one class only. The threshold is read off these very
    patients: it says how well they can be told apart, not what a threshold chosen earlier would do. Raises
    ParameterError for a specificity outside 0 to 1.
    """
    if not 0 <= specificity <= 1:
        raise ParameterError(f"specificity, or sensitivity, {specificity}; expected a share from 0 to 1")
    truth = np.asarray(truth, dtype=bool)
    sick = int(truth.sum())
    healthy = len(truth) - sick
    if not sick or not healthy:
        return float("nan")
    order = np.argsort(-np.asarray(score), kind="stable")
    last = np.append(np.flatnonzero(np.diff(np.asarray(score)[order])), len(truth) - 1)  # of equal scores
    hits = np.concatenate([[0], np.cumsum(truth[order])[last]])
    alarms = np.concatenate([[0], last + 1]) - hits
    allowed = np.round((1 - specificity) * healthy, 9)  # 1 - .9 is a little less than .1
    return float(np.interp(allowed, alarms, hits) / sick)


def specificity_at(truth: np.ndarray, score: np.ndarray, sensitivity: float) -> float:
    """Share of the healthy that are cleared where a share `sensitivity` of the sick is found; as `sensitivity_at`."""
    return sensitivity_at(~np.asarray(truth, dtype=bool), -np.asarray(score), sensitivity)


def operating_points(predictions: pd.DataFrame, specificity: float = 0.9, sensitivity: float = 0.9) -> pd.DataFrame:
    """Sensitivity at a specificity and the reverse, one row a draw and metric: columns of `DRAWS`, metric, value.

    Within a draw, since every draw is a model of its own with a scale of its own.
    """
    names = [f"sensitivity at specificity {specificity:g}", f"specificity at sensitivity {sensitivity:g}"]
    rows = [
        (*key, sensitivity_at(truth, p, specificity), specificity_at(truth, p, sensitivity))
        for key, truth, p in groups(check_predictions(predictions), DRAWS)
    ]
    return measured(rows, DRAWS, names)


def net_benefit(truth: np.ndarray, probability: np.ndarray, thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """(m,) net benefit of treating whoever has a probability of t or more, at (m,) thresholds t.

    Vickers and Elkin 2006 (Medical Decision Making 26, 565): (found sick - t / (1 - t) treated healthy) / n: who treats
    from t on says that one sick patient found is worth (1 - t) / t healthy ones treated. In sick patients found, net,
    a patient. Raises ParameterError for thresholds that are not inside 0 to 1.
    """
    t = np.asarray(thresholds, dtype=float)
    if not ((t > 0) & (t < 1)).all():
        raise ParameterError(f"threshold probabilities {t.tolist()}; expected each above 0 and below 1")
    order = np.argsort(probability)
    spared = np.searchsorted(np.asarray(probability)[order], t)  # patients below t
    sick_below = np.concatenate([[0], np.cumsum(np.asarray(truth)[order])])
    hits = sick_below[-1] - sick_below[spared]
    return (hits - t / (1 - t) * (len(truth) - spared - hits)) / len(truth)


def net_benefits(predictions: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> pd.DataFrame:
    """Net benefit of every table and threshold, its draws pooled: columns of `TABLES`, threshold, metric, value.

    Two more methods, `TREAT_ALL` and `TREAT_NONE`, of the same patients: what a method must beat to be of use. Where
    methods were asked about different patients, those of the first in the alphabet count.
    """
    rows, done = [], set()
    for (method, shots, *of), truth, p in groups(check_predictions(predictions), TABLES):
        curves = {method: net_benefit(truth, p, thresholds)}
        if (shots, *of) not in done:
            done.add((shots, *of))
            curves[TREAT_ALL] = net_benefit(truth, np.ones(len(truth)), thresholds)
            curves[TREAT_NONE] = np.zeros(len(thresholds))
        for name, curve in curves.items():
            rows += [(name, shots, *of, t, value) for t, value in zip(thresholds, curve.tolist(), strict=True)]
    return measured(rows, TABLES, ["net_benefit"], by=["threshold"])


def decision_curves(predictions: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> pd.DataFrame:
    """Mean net benefit over tables and families by method, shots and threshold, with intervals over families."""
    return over_families(net_benefits(predictions, thresholds), by=["threshold"]).drop(columns="metric")
