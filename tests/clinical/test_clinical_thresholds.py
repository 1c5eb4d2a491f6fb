"""Sensitivity, specificity and net benefit against scikit-learn's curve and plain counting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_curve

from metastudy.clinical.thresholds import (
    THRESHOLDS,
    TREAT_ALL,
    TREAT_NONE,
    decision_curves,
    net_benefit,
    net_benefits,
    operating_points,
    sensitivity_at,
    specificity_at,
)
from metastudy.errors import ParameterError

scores = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
patients = st.lists(st.tuples(st.booleans(), scores), min_size=2, max_size=40).filter(
    lambda d: len({t for t, _ in d}) == 2
)


def arrays(drawn: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([t for t, _ in drawn]), np.array([p for _, p in drawn])


def slow_sensitivity(truth: np.ndarray, p: np.ndarray, specificity: float) -> float:
    """The upper edge of scikit-learn's ROC curve at the false alarms allowed, by going through its pieces."""
    alarms, hits, _ = roc_curve(truth, p, drop_intermediate=False)
    allowed, best = 1 - specificity, 0.0
    for a0, h0, a1, h1 in zip(alarms, hits, alarms[1:], hits[1:], strict=False):
        if a0 - 1e-9 <= allowed <= a1 + 1e-9:
            best = max(best, h1 if a1 - a0 < 1e-9 or allowed > a1 else h0 + (h1 - h0) * (allowed - a0) / (a1 - a0))
    return best


@settings(max_examples=100, deadline=None)
@given(patients, st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_sensitivity_is_read_off_the_roc_curve(drawn: list, specificity: float) -> None:
    truth, p = arrays(drawn)
    assert sensitivity_at(truth, p, specificity) == pytest.approx(slow_sensitivity(truth, p, specificity), abs=1e-7)
    assert specificity_at(truth, p, specificity) == sensitivity_at(~truth, 1 - p, specificity) or len(set(p)) != len(
        set(1 - p)
    ), "the same question with the classes exchanged"


@settings(max_examples=60, deadline=None)
@given(patients, st.integers(0, 10))
def test_a_specificity_that_a_threshold_has_needs_no_interpolation(drawn: list, cut: int) -> None:
    truth, p = arrays(drawn)
    called = p >= np.sort(p)[cut % len(p)]
    (tn, fp), (fn, tp) = confusion_matrix(truth, called, labels=[False, True])
    assert sensitivity_at(truth, p, tn / (tn + fp)) >= tp / (tp + fn) - 1e-12
    assert specificity_at(truth, p, tp / (tp + fn)) >= tn / (tn + fp) - 1e-12


def test_sensitivity_by_hand() -> None:
    truth = np.array([0] * 10 + [1] * 4)
    p = np.array([*np.arange(10) / 10, 0.95, 0.85, 0.75, 0.05])
    assert sensitivity_at(truth, p, 1.0) == 0.25
    assert sensitivity_at(truth, p, 0.9) == 0.5, "1 - .9 is 1 of 10 healthy, not a little less"
    assert sensitivity_at(truth, p, 0.85) == 0.5, "a straight line between 1 and 2 false alarms, .5 at both"
    assert specificity_at(truth, p, 0.5) == 0.9 and specificity_at(truth, p, 0.6) == pytest.approx(0.8)
    tied = np.full(14, 0.3)
    assert sensitivity_at(truth, tied, 0.9) == pytest.approx(0.1), "a coin"
    assert np.isnan(sensitivity_at(np.ones(3), np.arange(3), 0.9)) and np.isnan(specificity_at([0, 0], [1, 2], 0.9))
    with pytest.raises(ParameterError, match=r"1\.5"):
        sensitivity_at(truth, p, 1.5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), scores), min_size=1, max_size=40), st.lists(st.floats(0.01, 0.99), max_size=5))
def test_net_benefit_by_counting(drawn: list, thresholds: list[float]) -> None:
    truth, p = arrays(drawn)
    thresholds = [*thresholds, 0.2, 0.5]
    for t, found in zip(thresholds, net_benefit(truth, p, thresholds), strict=True):
        hits = sum(1 for y, q in drawn if q >= t and y)
        alarms = sum(1 for y, q in drawn if q >= t and not y)
        assert found == pytest.approx(hits / len(p) - alarms / len(p) * t / (1 - t))


def test_net_benefit_of_the_two_simple_policies() -> None:
    truth = np.array([1, 0, 0, 0])
    t = np.array([0.1, 0.25, 0.5])
    everyone = net_benefit(truth, np.ones(4), t)
    assert everyone == pytest.approx(0.25 - 0.75 * t / (1 - t)) and everyone[1] == pytest.approx(0)
    assert (net_benefit(truth, np.zeros(4), t) == 0).all()
    assert net_benefit(truth, truth.astype(float), t) == pytest.approx([0.25] * 3), "the prevalence is the most"
    for bad in (0, 1, np.nan):
        with pytest.raises(ParameterError, match="above 0 and below 1"):
            net_benefit(truth, truth, [0.5, bad])


def toy() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frames = []
    for method in ("g", "logistic"):
        for table, prevalence in (("va", 0.7), ("ilpd", 0.2)):
            for task in ("d0", "d1"):
                truth = (rng.random(80) < prevalence).astype(int)
                p = np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0, 1)
                columns = {"method": method, "family": table, "table": table, "task": task, "shots": 5, "truth": truth}
                frames.append(pd.DataFrame(columns | {"row": np.arange(80), "probability": p}))
    return pd.concat(frames, ignore_index=True)


def test_operating_points_stay_within_a_draw() -> None:
    frame = toy()
    frame.loc[frame["task"] == "d1", "probability"] /= 10  # another scale: pooling would mix them up
    found = operating_points(frame, 0.8, 0.95)
    assert len(found) == 2 * 2 * 2 * 2
    part = frame[(frame["method"] == "g") & (frame["table"] == "va") & (frame["task"] == "d1")]
    row = found[(found["method"] == "g") & (found["table"] == "va") & (found["task"] == "d1")].set_index("metric")
    truth, p = part["truth"].to_numpy(), part["probability"].to_numpy()
    assert row["value"]["sensitivity at specificity 0.8"] == sensitivity_at(truth, p, 0.8)
    assert row["value"]["specificity at sensitivity 0.95"] == specificity_at(truth, p, 0.95)


def test_decision_curves_pool_draws_and_know_the_simple_policies() -> None:
    frame = toy()
    by_table = net_benefits(frame)
    assert set(by_table["method"]) == {"g", "logistic", TREAT_ALL, TREAT_NONE}
    assert len(by_table) == 4 * 2 * len(THRESHOLDS), "one treat-all a table, however many methods"
    part = frame[(frame["method"] == "g") & (frame["table"] == "va")]
    row = by_table.query("method == 'g' and table == 'va' and threshold == 0.3")
    assert row["value"].item() == pytest.approx(net_benefit(part["truth"], part["probability"], [0.3])[0])
    rate = part["truth"].mean()
    row = by_table.query(f"method == '{TREAT_ALL}' and table == 'va' and threshold == 0.3")
    assert row["value"].item() == pytest.approx(rate - (1 - rate) * 3 / 7)
    curves = decision_curves(frame, [0.3, 0.6])
    assert list(curves.columns[:4]) == ["method", "shots", "threshold", "mean"] and len(curves) == 8
    expected = by_table.query("method == 'logistic' and threshold == 0.6")["value"].mean()
    assert curves.query("method == 'logistic' and threshold == 0.6")["mean"].item() == pytest.approx(expected)
    assert (curves.loc[curves["method"] == TREAT_NONE, ["mean", "low", "high"]] == 0).all().all()
