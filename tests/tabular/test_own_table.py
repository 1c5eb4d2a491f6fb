"""A user's table is read as the study writes tables out, from the labelled patients alone."""

from __future__ import annotations

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.families.diagnosis import channels, impute, lean, standardise
from metastudy.families.encoded import encode
from metastudy.loaders.medical import MedicalTable
from metastudy.tabular.own_table import OwnTable, OwnTableError

NAN = float("nan")
STAGES = pd.CategoricalDtype(["I", "II", "III"], ordered=True)


def seen(frame: pd.DataFrame) -> np.ndarray:
    """What is kept of the labelled patients, in their own units."""
    table = OwnTable.of(frame)
    return table.seen * table.unit


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [63.0, 41.0, NAN, 70.0, 55.0],
            "smokes": pd.Categorical(["no", "yes", "yes", "no", "no"], categories=["no", "yes"]),
            "pain": pd.Categorical(["dull", "none", "sharp", None, "dull"], categories=["none", "dull", "sharp"]),
            "stage": pd.Categorical(["I", None, "III", "II", "I"], dtype=STAGES),
            "pulse": [60, 80, 75, 90, 66],
        }
    )


def test_columns_are_written_as_the_study_writes_them():
    values, n = frame(), 5
    rest = {"sites": None, "age": None, "sex": None, "counts": {}, "rows_removed": {}, "cells_repaired": {}}
    table = MedicalTable("toy", values, np.arange(n) % 2, np.array(["x"] * n), np.arange(n), **rest)
    expected = encode(table).x
    np.testing.assert_array_equal(seen(values), expected)
    rows = OwnTable.of(values.iloc[:4]).rows(values.iloc[4:])
    own, asked = standardise(impute(expected[:4], expected[:4]), impute(expected[:4], expected[4:]))
    np.testing.assert_allclose(rows.numpy(), channels(asked, lean(own)).numpy(), atol=1e-6)


def test_text_mixed_and_bool_columns():
    values = pd.DataFrame(
        {
            "sex": ["m", "f", "f", None],
            "known": [True, False, True, True],
            "numbers": pd.Series([1, 2.5, None, 3], dtype=object),
            "mixed": pd.Series(["x", 1, "y", 1], dtype=object),
            "whole": pd.array([1, None, 3, 4], dtype="Int64"),
        }
    )
    found = seen(values)
    np.testing.assert_array_equal(found[:, 0], [1, 0, 0, NAN])  # the second of two, sorted
    np.testing.assert_array_equal(found[:, 1], [1, 0, 1, 1])
    np.testing.assert_array_equal(found[:, 2], [1, 2.5, NAN, 3])
    np.testing.assert_array_equal(found[:, 3:6], [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(found[:, 6], [1, NAN, 3, 4])
    np.testing.assert_array_equal(found[:, 7:], [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])  # sex, numbers, whole


def test_a_category_that_no_labelled_patient_has_is_missing():
    table = OwnTable.of(frame().iloc[:4])
    asked = frame().iloc[[3, 3]].copy()
    asked["pain"] = ["stabbing", None]
    rows = table.rows(asked)
    np.testing.assert_array_equal(rows[0], rows[1])
    asked["pain"] = ["dull", None]
    rows = table.rows(asked)
    assert (rows[0] != rows[1]).any()
    declared = pd.CategoricalDtype(["none", "dull", "sharp", "stabbing"])
    again = OwnTable.of(frame().iloc[:4].astype({"pain": declared}))
    assert again.sources == table.sources
    rows = again.rows(frame().iloc[[3, 3]].assign(pain=pd.Categorical(["stabbing", None], dtype=declared)))
    np.testing.assert_array_equal(rows[0], rows[1])


def test_columns_that_are_missing_together_share_a_flag_which_is_shared_out():
    values = pd.DataFrame({"a": [1, NAN, 2, 3], "b": [5, NAN, 7, 6.0], "c": [NAN, 1, 2, 3]})
    table = OwnTable.of(values)
    assert table.sources == ((0,), (1,), (2,), (0, 1), (2,))
    asked = pd.DataFrame({"a": [1, NAN], "b": [5.0, 5], "c": [1.0, NAN]})
    np.testing.assert_array_equal(table.rows(asked)[:, 3, 0] > table.rows(values)[0, 3, 0], [False, True])
    np.testing.assert_array_equal(table.by_source(np.array([[1.0, 2, 4, 8, 16]])), [[5, 6, 20]])


def test_no_flag_where_all_or_no_labelled_patient_lacks_a_value():
    table = OwnTable.of(pd.DataFrame({"a": [1.0, 2, 3], "empty": [NAN, NAN, NAN], "none": [None, None, None]}))
    assert table.sources == ((0,), (1,), (2,))
    asked = table.rows(pd.DataFrame({"a": [NAN, 2.0], "empty": [1.0, NAN], "none": ["x", None]}))
    assert (asked[0] == asked[1]).all()  # the median, and nothing can be learned from what nobody had


def test_a_constant_column_says_nothing_whatever_a_query_has_there():
    table = OwnTable.of(pd.DataFrame({"a": [1.0, 2, 3], "same": [0.1, 0.1, 0.1]}))
    asked = table.rows(pd.DataFrame({"a": [2.0, 2.0], "same": [0.1, 1e9]}))
    assert (asked[0] == asked[1]).all() and (asked[:, 1, 0] == 0).all()
    assert (asked[:, 1, -1] == 1).all()  # but it counts as a column


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-300, 300))
def test_units_do_not_matter(seed, exponent):
    rng = np.random.default_rng(seed)
    values, asked = (pd.DataFrame(rng.normal((0, 1, 0), size=(n, 3))) for n in (6, 4))
    scale = np.array([1, 10.0**exponent, 2])
    for rows in (None, asked):
        expected = OwnTable.of(values).rows(rows)
        found = OwnTable.of(values * scale).rows(None if rows is None else rows * scale)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_largest_numbers_are_no_trouble():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = OwnTable.of(pd.DataFrame({"a": [1e308, -1e308, 5e307], "b": [1e-300, 2e-300, 3e-300]}))
        rows = table.rows(pd.DataFrame({"a": [-1.7e308], "b": [1e300]}))
    assert rows[0, 0, 0] < 0 and abs(rows[0, 1, 0] - 3) < 1e-6  # as far out as the soft clip goes


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_row_does_not_depend_on_the_others(data):
    cell = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0]))
    label = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d"]))
    rows = data.draw(st.lists(st.tuples(cell, label, cell), min_size=7, max_size=7))
    values = pd.DataFrame(rows, columns=["x", "kind", "z"]).astype({"x": float, "z": float})
    table, asked = OwnTable.of(values.iloc[:4]), values.iloc[4:]
    together = table.rows(asked)
    assert np.isfinite(together.numpy()).all()
    for i in range(3):
        np.testing.assert_array_equal(table.rows(asked.iloc[[i]])[0], together[i])


def test_what_cannot_be_read_is_refused_by_name():
    values = pd.DataFrame({"age": [1.0, 2.0, 3.0]}, index=["ann", "bob", "eve"])
    for infinite in (np.inf, -np.inf):
        with pytest.raises(OwnTableError, match="'age' is infinity in row 'bob'"):
            OwnTable.of(values.replace(2.0, infinite))
        with pytest.raises(ValueError, match="'age' is infinity in row 'bob'"):
            OwnTable.of(values).rows(values.replace(2.0, infinite))
    with pytest.raises(OwnTableError, match="'age' held numbers in fit, but now: .*old"):
        OwnTable.of(values).rows(pd.DataFrame({"age": ["old"]}))
    born = pd.Series(pd.to_datetime(["2001-01-01", "2002-01-01"]))
    for column in (born, born - born[0], pd.Series([1j, 2.0])):
        with pytest.raises(OwnTableError, match="'born' is of type .*; expected numbers, categories or text"):
            OwnTable.of(pd.DataFrame({"born": column}))
    with pytest.raises(OwnTableError, match="'born': .*unhashable"):
        OwnTable.of(pd.DataFrame({"born": [[1], [2]]}))


def test_dates_among_objects_are_categories_like_any_other():
    days = [datetime.date(2001, 1, d) for d in (1, 2, 2)]
    np.testing.assert_array_equal(seen(pd.DataFrame({"day": days}))[:, 0], [0, 1, 1])
