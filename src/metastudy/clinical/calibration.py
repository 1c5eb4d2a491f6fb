"""Do the probabilities mean what they say? Calibration error, Brier score and its parts, and the reliability diagram.

All of it is about the probability of being sick, and pools the draws of a table: a draw has too few patients for bins.
A patient who is in the queries of several draws counts in each.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Literal, get_args

import numpy as np
import pandas as pd

from metastudy.clinical.averages import TABLES, groups, measured, over_families
from metastudy.clinical.logistic import cox
from metastudy.clinical.predictions import check_predictions
from metastudy.errors import ParameterError

Bins = Literal["mass", "width"]


def bin_of(probability: np.ndarray, n_bins: int, kind: Bins) -> np.ndarray:
    """(n,) bins 0 to n_bins - 1 of (n,) probabilities: edges belong to the bin below.

    "mass": edges are quantiles, so that bins are about equally full; equal probabilities share a bin, so that some may
    stay empty. "width": edges 0, 1/n_bins, ..., 1, as in Guo et al. 2017. Raises ParameterError for another kind, or
    no bin.
    """
    if kind not in get_args(Bins) or n_bins < 1:
        raise ParameterError(f"{n_bins} bins of kind {kind!r}; expected 1 or more of {' or '.join(get_args(Bins))}")
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = inner if kind == "width" else np.quantile(probability, inner)
    return np.searchsorted(edges, probability)


@dataclass(frozen=True)
class _Filled:
    """What the bins that hold anyone hold: share of the patients, mean probability and share of sick, (b,) each."""

    share: np.ndarray
    probability: np.ndarray
    sick: np.ndarray


def _fill(truth: np.ndarray, probability: np.ndarray, n_bins: int, kind: Bins) -> _Filled:
    bins = bin_of(probability, n_bins, kind)
    count, p, y = (np.bincount(bins, weights, n_bins) for weights in (None, probability, truth))
    full = count > 0
    return _Filled(count[full] / len(truth), p[full] / count[full], y[full] / count[full])


def calibration_error(truth: np.ndarray, probability: np.ndarray, n_bins: int = 10, kind: Bins = "mass") -> float:
    """Expected calibration error: mean over patients of their bin's |mean probability - share of sick|.

    Naeini et al. 2015 (AAAI), Guo et al. 2017 (ICML, eq. 3); of the probability of being sick, not, as theirs for many
    classes, of the likeliest class. Chance alone keeps it above 0, the more so the fewer patients: compare it on equal
    patients only.
    """
    filled = _fill(truth, probability, n_bins, kind)
    return float(filled.share @ np.abs(filled.probability - filled.sick))


@dataclass(frozen=True)
class BrierParts:
    """brier = reliability - resolution + uncertainty + within: Murphy 1973 (J. Applied Meteorology 12, 595).

    Murphy's three parts are exact where a bin's probabilities are equal; `within` is what their spread within bins
    adds (Stephenson et al. 2008, Weather and Forecasting 23, 752).
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(truth: np.ndarray, probability: np.ndarray, n_bins: int = 10, kind: Bins = "mass") -> BrierParts:
    """Brier score, the mean square of probability minus truth, and its parts over bins."""
    filled = _fill(truth, probability, n_bins, kind)
    rate = np.mean(truth)
    brier = float(np.mean((probability - truth) ** 2))
    reliability = float(filled.share @ (filled.probability - filled.sick) ** 2)
    resolution = float(filled.share @ (filled.sick - rate) ** 2)
    uncertainty = float(rate * (1 - rate))
    return BrierParts(brier, reliability, resolution, uncertainty, brier - reliability + resolution - uncertainty)


METRICS = (
    "ece_mass", "ece_width", *(field.name for field in fields(BrierParts)),
    "in_the_large", "calibration_slope", "calibration_intercept",
)  # fmt: skip


def calibration_measures(predictions: pd.DataFrame, n_bins: int = 10) -> pd.DataFrame:
    """Each of `METRICS` for every method, shots and table: columns method, shots, family, table, metric, value.

    `in_the_large` is mean probability minus share of sick; `calibration_slope` is Cox's, `calibration_intercept` the
    one at slope 1 (`logistic.cox`, which says when they are missing). Parts of the Brier score are over bins of equal
    mass. `averages.over_families` gives the means.
    """
    rows = []
    for key, truth, p in groups(check_predictions(predictions), TABLES):
        errors = (calibration_error(truth, p, n_bins, kind) for kind in get_args(Bins))
        line = cox(truth, p)
        parts = astuple(brier_parts(truth, p, n_bins))
        rows.append((*key, *errors, *parts, p.mean() - truth.mean(), line.slope, line.at_slope_one))
    return measured(rows, TABLES, METRICS)


def reliability_table(predictions: pd.DataFrame, n_bins: int = 10, at_least: int = 20) -> pd.DataFrame:
    """The reliability diagram: one row for every method, shots and bin of equal width.

    Columns method, shots, bin (from 0), probability (mean prediction), mean, low, high (share of sick, with its
    interval over families), share (of all predictions), n_families, n_tables. Bins are filled table by table and
    tables averaged alike; a table with fewer than `at_least` predictions in a bin is left out of that point, but never
    of `share`.
    """
    rows = []
    for key, truth, p in groups(check_predictions(predictions), TABLES):
        bins = bin_of(p, n_bins, "width")
        count, total, sick = (np.bincount(bins, weights, n_bins) for weights in (None, p, truth))
        shown = np.where(count >= max(at_least, 1), count, np.nan)
        rows += [(*key, *row) for row in zip(range(n_bins), total / shown, sick / shown, count / len(p), strict=True)]
    long = measured(rows, TABLES, ["probability", "sick", "share"], by=["bin"])
    averages = over_families(long, by=["bin"]).set_index(["method", "shots", "bin"])
    by_metric = {name: part.drop(columns="metric") for name, part in averages.groupby("metric")}
    if "sick" not in by_metric:
        raise ParameterError(f"no bin of a table has {at_least} predictions; lower `at_least`")
    table = by_metric["sick"].join(by_metric["probability"]["mean"].rename("probability"))
    table = table.join(by_metric["share"]["mean"].rename("share"), how="right")
    return table.reset_index()[
        ["method", "shots", "bin", "probability", "mean", "low", "high", "share", "n_families", "n_tables"]
    ].fillna({"n_families": 0, "n_tables": 0}).astype({"n_families": int, "n_tables": int})  # fmt: skip
