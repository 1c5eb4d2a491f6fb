"""The error of the surest against sorting by hand, whatever the order of equally sure ones."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.clinical.abstention import abstention_measures, aurc, coverage_curves, risk_coverage
from metastudy.errors import ParameterError

tenths = st.integers(0, 10).map(lambda i: i / 10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), tenths), min_size=1, max_size=5))
def test_ties_are_the_mean_over_all_orders(drawn: list[tuple[bool, float]]) -> None:
    truth, p = np.array([t for t, _ in drawn]), np.array([q for _, q in drawn])
    curves = []
    for order in itertools.permutations(range(len(p))):
        sure = sorted(order, key=lambda i: -round(abs(p[i] - 0.5), 9))  # stable: the order decides between equals
        wrong = [(p[i] >= 0.5) != truth[i] for i in sure]
        curves.append([np.mean(wrong[: i + 1]) for i in range(len(wrong))])
    assert risk_coverage(truth, p) == pytest.approx(np.mean(curves, axis=0))
    assert aurc(truth, p) == pytest.approx(np.mean(curves))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_curve_ends_at_the_error_rate_and_stays_a_rate(drawn: list[tuple[bool, float]]) -> None:
    truth, p = np.array([t for t, _ in drawn]), np.array([q for _, q in drawn])
    found = risk_coverage(truth, p)
    assert found[-1] == pytest.approx(np.mean((p >= 0.5) != truth))
    assert (found >= -1e-12).all() and (found <= 1 + 1e-12).all()
    wrong = np.sort((p >= 0.5) != truth)
    best = (np.cumsum(wrong) / np.arange(1, len(p) + 1)).mean()  # all wrong ones last
    assert aurc(truth, p) >= best - 1e-12


def test_by_hand() -> None:
    truth, p = np.array([1, 0, 0, 1]), np.array([0.99, 0.1, 0.7, 0.4])
    assert risk_coverage(truth, p) == pytest.approx([0, 0, 1 / 3, 1 / 2]), "both wrong ones are the least sure"
    assert aurc(truth, p) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert aurc(1 - truth, p) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    assert risk_coverage(np.array([1, 0]), np.array([0.5, 0.5])) == pytest.approx([0.5, 0.5]), ".5 is called sick"
    assert risk_coverage(np.array([0, 1]), np.array([0.1, 0.9])).tolist() == [0, 0]


def test_curves_average_draws_then_tables_then_families() -> None:
    rng = np.random.default_rng(0)
    frames, expected = [], {}
    for family, table, task, n in (("heart", "va", "d0", 30), ("heart", "va", "d1", 41), ("liver", "ilpd", "d0", 17)):
        truth, p = rng.integers(0, 2, n), rng.random(n)
        columns = {"method": "g", "family": family, "table": table, "task": task, "shots": 3, "truth": truth}
        frames.append(pd.DataFrame(columns | {"row": np.arange(n), "probability": p}))
        for c in (0.1, 0.3, 1.0):
            k = -(-round(c * n * 10) // 10)
            expected.setdefault(c, {}).setdefault(family, []).append(risk_coverage(truth, p)[k - 1])
    frame = pd.concat(frames)
    found = coverage_curves(frame, [0.1, 0.3, 1.0])
    means = [np.mean([np.mean(v) for v in expected[c].values()]) for c in (0.1, 0.3, 1.0)]
    assert found["mean"].tolist() == pytest.approx(means) and found["coverage"].tolist() == [0.1, 0.3, 1.0]
    measures = abstention_measures(frame).set_index(["task", "family", "metric"])["value"]
    part = frames[1]
    assert measures["d1", "heart", "aurc"] == pytest.approx(aurc(part["truth"], part["probability"]))
    assert measures["d1", "heart", "error"] == pytest.approx(np.mean((part["probability"] >= 0.5) != part["truth"]))
    for bad in (0.0, 1.1):
        with pytest.raises(ParameterError, match="up to 1"):
            coverage_curves(frame, [bad])


def test_a_share_is_rounded_up_to_whole_patients_but_not_by_a_rounding_error() -> None:
    assert 0.55 * 100 > 55
    p = np.linspace(1, 0.5, 100)
    columns = {"method": "g", "family": "f", "table": "t", "task": "d", "shots": 1, "probability": p}
    frame = pd.DataFrame(columns | {"row": np.arange(100), "truth": (np.arange(100) != 55).astype(int)})
    found = coverage_curves(frame, [0.55, 0.551])  # the 56th is the one that is wrong
    assert found["mean"].tolist() == pytest.approx([0, 1 / 56])
