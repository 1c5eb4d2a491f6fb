"""What all diagnosis families share: scaling learns from the support alone, and scores are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew

from metastudy.families.diagnosis import CHANNELS, CLIP, channels, impute, lean, scores, standardise
from metastudy.tasks import Task

NAN = float("nan")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 20), st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_standardising_equals_the_formula_and_forgets_units(seed, n_rows, unit, origin) -> None:
    rng = np.random.default_rng(seed)
    support, query = rng.normal(size=(n_rows, 3)), rng.normal(size=(5, 3))
    zs, zq = standardise(support, query)
    mean, deviation = support.mean(0), support.std(0)
    np.testing.assert_allclose(zs, 3 * np.tanh((support - mean) / deviation / 3), rtol=0, atol=1e-12)
    np.testing.assert_allclose(zq, 3 * np.tanh((query - mean) / deviation / 3), rtol=0, atol=1e-12)
    other = standardise(unit * support + origin, unit * query + origin)
    np.testing.assert_allclose(other[1], zq, rtol=0, atol=1e-5)


def test_standardising_learns_from_the_support_alone_and_clips_softly() -> None:
    rng = np.random.default_rng(0)
    support, query = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    zs, zq = standardise(support, query)
    far = query.copy()
    far[1:] = 1e6
    other_s, other_q = standardise(support, far)
    np.testing.assert_array_equal(other_s, zs)
    np.testing.assert_array_equal(other_q[0], zq[0])
    assert np.abs(other_q).max() <= CLIP and other_q[1].min() == pytest.approx(CLIP)
    assert np.all(np.diff(standardise(support, np.linspace(-9, 9, 50)[:, None].repeat(3, 1))[1], axis=0) > 0)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9, -1e-9])
def test_a_column_that_is_constant_in_the_support_tells_nothing(value) -> None:
    support = np.c_[np.full(4, value), np.arange(4.0)]
    zs, zq = standardise(support, np.array([[value + 1, 2.0], [value - 1e6, 1.0]]))
    assert not zs[:, 0].any() and not zq[:, 0].any()
    assert np.abs(zq[:, 1]).min() > 0


def test_missing_values_become_the_median_of_the_support() -> None:
    support = np.array([[1.0, NAN, NAN], [NAN, 4.0, NAN], [2.0, NAN, NAN], [9.0, 5.0, NAN]])
    filled = impute(support, support)
    np.testing.assert_array_equal(filled, [[1, 4.5, 0], [2, 4, 0], [2, 4.5, 0], [9, 5, 0]])
    query = impute(support, np.array([[NAN, NAN, 7.0], [100.0, 100.0, NAN]]))
    np.testing.assert_array_equal(query, [[2, 4.5, 7], [100, 100, 0]])


def test_a_column_that_the_support_never_measured_tells_nothing() -> None:
    support, query = np.array([[NAN, 1.0], [NAN, 2.0]]), np.array([[7.0, 1.5]])
    zs, zq = standardise(impute(support, support), impute(support, query))
    assert not zs[:, 0].any() and not zq[:, 0].any()


def test_skewness_of_columns() -> None:
    support = np.array([[0.0, 1.0, 5.0], [0.0, 2.0, 5.0], [9.0, 3.0, 5.0]])
    found = lean(support)
    assert found[0] == pytest.approx(math.tanh(skew([0, 0, 9]))) and found[0] > 0
    assert found[1] == pytest.approx(0) and found[2] == 0


def test_channels_of_a_cell_and_of_padding() -> None:
    rows, leaning = np.array([[0.5, -2.0]]), np.array([0.1, -0.2])
    expected = torch.tensor([[[0.5, -0.5, 0.1, 1.0], [-2.0, 1.0, -0.2, 1.0]]])
    assert torch.equal(channels(rows, leaning), expected)
    padded = channels(rows, leaning, 5)
    assert padded.shape == (1, 5, CHANNELS) and torch.equal(padded[:, :2], expected) and not padded[:, 2:].any()


def test_scores_by_hand() -> None:
    y = torch.tensor([0.0, 1.0, 0.0, 1.0])
    task = Task("t", "disease", "binary", torch.zeros(4, 1), y, torch.zeros(4, 1), y)
    sick = torch.tensor([0.1, 0.4, 0.5, 0.9])  # of four pairs, sick above healthy in three
    found = {s.metric: s.value for s in scores(task, torch.stack([1 - sick, sick], 1), ("auroc", "log_loss", "brier"))}
    assert found["auroc"] == 0.75
    assert found["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.5) + math.log(0.9)) / 4)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.25 + 0.01) / 4)
    certain = torch.tensor([1.0, 0, 1, 0])
    (loss,) = scores(task, torch.stack([1 - certain, certain], 1), ("log_loss",))
    assert (loss.task, loss.value) == ("t", pytest.approx(-math.log(1e-7)))
