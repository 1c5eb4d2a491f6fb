"""Calibration against slow definitions, scikit-learn and statsmodels."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from metastudy.abtest import t_interval
from metastudy.clinical.calibration import (
    METRICS,
    bin_of,
    brier_parts,
    calibration_error,
    calibration_measures,
    reliability_table,
)
from metastudy.clinical.logistic import CLIP, Cox, cox, log_odds, logistic_line
from metastudy.errors import DataError, ParameterError

KINDS = ["mass", "width"]
patients = st.lists(
    st.tuples(st.booleans(), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))),
    min_size=1, max_size=60,
)  # fmt: skip


def arrays(drawn: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([t for t, _ in drawn]), np.array([p for _, p in drawn])


def slow_bins(p: np.ndarray, n_bins: int, kind: str) -> list[np.ndarray]:
    """Members of each bin (a, b], the first [a, b], in words of edges and inequalities."""
    inner = [i / n_bins if kind == "width" else np.quantile(p, i / n_bins) for i in range(1, n_bins)]
    edges = [-np.inf, *inner, np.inf]
    return [np.array([i for i in range(len(p)) if a < p[i] <= b], dtype=int) for a, b in itertools.pairwise(edges)]


@settings(max_examples=60, deadline=None)
@given(patients, st.integers(1, 12), st.sampled_from(KINDS))
def test_the_error_is_the_weighted_gap_of_the_bins(drawn: list, n_bins: int, kind: str) -> None:
    truth, p = arrays(drawn)
    assume(kind == "mass" or np.abs(p[:, None] * n_bins - np.arange(n_bins + 1)).min() > 1e-9)  # i / n is not linspace
    slow = sum(len(m) / len(p) * abs(p[m].mean() - truth[m].mean()) for m in slow_bins(p, n_bins, kind) if len(m))
    assert calibration_error(truth, p, n_bins, kind) == pytest.approx(slow)
    order = np.random.default_rng(0).permutation(len(p))
    assert calibration_error(truth[order], p[order], n_bins, kind) == pytest.approx(slow), "whatever the order"


@pytest.mark.parametrize(("kind", "strategy"), [("mass", "quantile"), ("width", "uniform")])
def test_bins_are_scikit_learns(kind: str, strategy: str) -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(0.5, 0.8, 500)
    truth = rng.random(500) < p**2
    sick, mean = calibration_curve(truth, p, n_bins=8, strategy=strategy)
    bins = bin_of(p, 8, kind)
    assert [p[bins == b].mean() for b in range(8)] == pytest.approx(mean)
    gap = sum((bins == b).mean() * abs(mean[b] - sick[b]) for b in range(8))
    assert calibration_error(truth, p, 8, kind) == pytest.approx(gap)


def test_errors_by_hand() -> None:
    truth, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.7, 0.9])
    assert calibration_error(truth, p, 2, "width") == pytest.approx(0.2)
    assert calibration_error(truth, p, 1, "mass") == pytest.approx(0), "one bin sees the mean only"
    assert bin_of(np.array([0, 0.5, 0.51, 1.0]), 2, "width").tolist() == [0, 0, 1, 1], "an edge belongs below"
    assert set(bin_of(np.full(9, 0.3), 10, "mass")) == {0}, "equal probabilities share a bin"
    for bad in ((0, "mass"), (10, "equal")):
        with pytest.raises(ParameterError, match="expected 1 or more of mass or width"):
            calibration_error(truth, p, *bad)


@settings(max_examples=60, deadline=None)
@given(patients, st.integers(1, 12), st.sampled_from(KINDS))
def test_the_parts_add_up_to_the_brier_score(drawn: list, n_bins: int, kind: str) -> None:
    truth, p = arrays(drawn)
    parts = brier_parts(truth, p, n_bins, kind)
    assert parts.brier == pytest.approx(brier_score_loss(truth, p, labels=[False, True]))
    assert parts.brier == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty + parts.within)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0
    slow_reliability = slow_resolution = slow_within = 0.0
    for members in (np.flatnonzero(bin_of(p, n_bins, kind) == b) for b in range(n_bins)):
        if len(members):
            q, y = p[members], truth[members]
            slow_reliability += len(q) / len(p) * (q.mean() - y.mean()) ** 2
            slow_resolution += len(q) / len(p) * (y.mean() - truth.mean()) ** 2
            # Stephenson et al. 2008: variance within minus twice the covariance within
            slow_within += (np.sum((q - q.mean()) ** 2) - 2 * np.sum((q - q.mean()) * (y - y.mean()))) / len(p)
    assert parts.reliability == pytest.approx(slow_reliability)
    assert parts.resolution == pytest.approx(slow_resolution)
    assert parts.within == pytest.approx(slow_within, abs=1e-12)


def test_murphys_three_parts_are_exact_for_a_few_distinct_forecasts() -> None:
    rng = np.random.default_rng(2)
    p = rng.choice([0.05, 0.35, 0.55, 0.95], 400)
    truth = rng.random(400) < p
    assert brier_parts(truth, p, 10, "width").within == pytest.approx(0, abs=1e-12)
    assert brier_parts(truth, p, 1, "width").within != pytest.approx(0, abs=1e-3)
    assert brier_parts(np.tile([0, 1], 5), np.tile([0.0, 1.0], 5)).resolution == pytest.approx(0.25)


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.7, 0.4), (-1.0, 2.0), (0.3, -0.5)])
def test_the_calibration_line_is_that_of_logistic_regression(a: float, b: float) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1.5, 3000)
    truth = rng.random(3000) < expit(a + b * x)
    found = cox(truth, expit(x))
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], truth)
    assert (found.slope, found.intercept) == pytest.approx((other.coef_[0, 0], other.intercept_[0]), abs=1e-5)
    held = sm.GLM(truth.astype(float), np.ones((3000, 1)), family=sm.families.Binomial(), offset=x).fit()
    assert found.at_slope_one == pytest.approx(held.params[0], abs=1e-7)
    assert (found.slope, found.intercept) == pytest.approx((b, a), abs=0.25)


@settings(max_examples=60, deadline=None)
@given(patients)
def test_the_gradient_of_the_calibration_line_is_zero(drawn: list) -> None:
    truth, p = arrays(drawn)
    found, x = cox(truth, p), log_odds(p)
    assert np.abs(x).max() <= logit(1 - CLIP) + 1e-9
    if len(set(truth)) < 2:
        assert np.isnan([found.slope, found.intercept, found.at_slope_one]).all()
        return
    assert np.mean(expit(found.at_slope_one + x) - truth) == pytest.approx(0, abs=1e-7)
    if np.isnan(found.slope):
        ill, well = x[truth], x[~truth]
        assert np.isnan(found.intercept)
        assert well.max() <= ill.min() or ill.max() <= well.min() or np.ptp(x) < 1e-8
        return
    left = expit(found.intercept + found.slope * x) - truth
    assert np.mean(left) == pytest.approx(0, abs=1e-6) and np.mean(left * x) == pytest.approx(0, abs=1e-5)


def test_where_no_line_exists_it_is_missing() -> None:
    apart = cox(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.2, 0.9]))
    assert np.isnan([apart.slope, apart.intercept]).all() and np.isfinite(apart.at_slope_one)
    flat = cox(np.array([0, 0, 0, 1]), np.full(4, 0.5))
    assert np.isnan(flat.slope) and flat.at_slope_one == pytest.approx(logit(0.25))
    assert isinstance(cox([1, 0, 1, 0], [0.0, 1.0, 1.0, 0.4]), Cox), "0 and 1 are clipped"
    with pytest.raises(DataError, match=r"4 scores \(from -1 to 2\) did not settle in 1 steps"):
        logistic_line(np.array([-1.0, 0, 1, 2]), np.array([0.0, 1, 0, 1]), steps=1)


def toy() -> pd.DataFrame:
    """Two methods on three tables of two families, two draws each of 200 patients; g tells the truth."""
    rng = np.random.default_rng(4)
    parts = []
    for family, table, task in itertools.product(["heart"], ["va", "zurich"], ["d0", "d1"]):
        parts.append((family, table, task))
    parts += [("liver", "ilpd", "d0"), ("liver", "ilpd", "d1")]
    frames = []
    for family, table, task in parts:
        x = rng.normal(0.5, 1.5, 200)
        truth = (rng.random(200) < expit(x)).astype(int)
        for method, slope in (("g", 1.0), ("sure", 3.0)):
            columns = {"method": method, "family": family, "table": table, "task": task, "shots": 5, "truth": truth}
            frames.append(pd.DataFrame(columns | {"row": np.arange(200), "probability": expit(slope * x)}))
    return pd.concat(frames, ignore_index=True)


def test_measures_pool_the_draws_of_a_table() -> None:
    frame = toy()
    found = calibration_measures(frame, n_bins=5)
    assert len(found) == 2 * 3 * len(METRICS) and set(found["metric"]) == set(METRICS)
    values = found.set_index(["method", "table", "metric"])["value"]
    part = frame[(frame["method"] == "sure") & (frame["table"] == "va")]
    truth, p = part["truth"].to_numpy(), part["probability"].to_numpy()
    assert len(part) == 400
    line = cox(truth, p)
    expected = {
        "ece_mass": calibration_error(truth, p, 5, "mass"), "ece_width": calibration_error(truth, p, 5, "width"),
        "brier": np.mean((p - truth) ** 2), "in_the_large": p.mean() - truth.mean(),
        "calibration_slope": line.slope, "calibration_intercept": line.at_slope_one,
        "resolution": brier_parts(truth, p, 5).resolution,
    }  # fmt: skip
    for metric, value in expected.items():
        assert values["sure", "va", metric] == pytest.approx(value), metric
    assert values["g", "va", "ece_mass"] < values["sure", "va", "ece_mass"]
    assert values["sure", "va", "calibration_slope"] == pytest.approx(1 / 3, abs=0.1)


def test_the_reliability_diagram_by_a_slow_loop() -> None:
    frame = toy()
    found = reliability_table(frame, n_bins=4, at_least=30).set_index(["method", "bin"])
    assert len(found) == 8
    for method, b in itertools.product(["g", "sure"], range(4)):
        families: dict[str, list[list[float]]] = {}
        shares: dict[str, list[float]] = {}
        for (family, _), part in frame[frame["method"] == method].groupby(["family", "table"]):
            here = part[(part["probability"] > b / 4) & (part["probability"] <= (b + 1) / 4)]
            shares.setdefault(family, []).append(len(here) / len(part))
            if len(here) >= 30:
                families.setdefault(family, []).append([here["probability"].mean(), here["truth"].mean()])
        row = found.loc[(method, b)]
        assert row["share"] == pytest.approx(np.mean([np.mean(v) for v in shares.values()]))
        means = np.array([np.mean(v, axis=0) for v in families.values()])
        assert row["n_families"] == len(means) and row["n_tables"] == sum(map(len, families.values()))
        assert [row["probability"], row["mean"]] == pytest.approx(means.mean(0))
        assert [row["low"], row["high"]] == pytest.approx(t_interval(means[:, 1]), nan_ok=True)


def test_bins_with_too_few_are_missing_but_counted() -> None:
    frame = toy()
    found = reliability_table(frame[frame["method"] == "g"], n_bins=4, at_least=110)
    empty = found[found["n_tables"] == 0]
    assert len(empty) and empty["mean"].isna().all() and (empty["share"] > 0).all() and len(found) == 4
    assert found["share"].sum() == pytest.approx(1)
    with pytest.raises(ParameterError, match="no bin of a table has 9999"):
        reliability_table(frame, at_least=9999)
