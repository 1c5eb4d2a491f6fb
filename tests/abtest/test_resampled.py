"""Tests over overlapping training sets, by hand and against what goes wrong without them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metastudy.abtest.resampled import corrected_resampled_t, five_by_two_f
from metastudy.errors import DataError, ParameterError


def test_the_corrected_t_by_hand() -> None:
    # mean 3, s² 2.5, J 5, n_test / n_train 1/4: variance (1/5 + 1/4) 2.5 = 1.125
    found = corrected_resampled_t([1, 2, 3, 4, 5], n_train=80, n_test=20)
    t = 3 / math.sqrt(1.125)
    assert found.difference == 3 and found.n == 5
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4)) and found.p == pytest.approx(0.0474, abs=1e-4)
    assert found.high - 3 == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(1.125)) == pytest.approx(3 - found.low)


def test_more_repetitions_of_the_same_folds_prove_little_more() -> None:
    folds = np.random.default_rng(0).normal(0.5, 1, 10)
    once, often = (corrected_resampled_t(np.tile(folds, k), 90, 10) for k in (1, 1000))
    naive = stats.ttest_1samp(np.tile(folds, 1000), 0).pvalue
    assert naive < 1e-6 < often.p
    assert (often.high - often.low) > 0.5 * (once.high - once.low)


def test_all_zero_differences_and_constant_ones_have_a_documented_answer() -> None:
    assert corrected_resampled_t([0.0] * 10, 90, 10).p == 1
    constant = corrected_resampled_t([0.2] * 10, 90, 10)
    assert (constant.low, constant.high) == pytest.approx((0.2, 0.2)) and constant.p < 1e-6


def test_the_f_by_hand() -> None:
    differences = np.array([[1, 3], [2, 2], [0, 2], [1, 1], [4, 2]], dtype=float)
    # squares 1+9+4+4+0+4+1+1+16+4 = 44; variances 2+0+2+0+2 = 6; F = 44 / 12
    f, p = five_by_two_f(differences)
    assert f == pytest.approx(44 / 12) and p == pytest.approx(stats.f.sf(44 / 12, 10, 5))
    assert five_by_two_f(np.zeros((5, 2))) == (0.0, 1.0)
    assert five_by_two_f(np.ones((5, 2))) == (math.inf, 0.0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="two or more|vector of 2"):
        corrected_resampled_t([1.0], 90, 10)
    with pytest.raises(DataError, match=r"fold differences\[1\] is nan"):
        corrected_resampled_t([1.0, math.nan], 90, 10)
    with pytest.raises(ParameterError, match="n_train 0"):
        corrected_resampled_t([1.0, 2.0], 0, 10)
    with pytest.raises(DataError, match=r"\(4, 2\)"):
        five_by_two_f(np.zeros((4, 2)))
