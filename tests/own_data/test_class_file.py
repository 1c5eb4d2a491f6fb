"""CSV files that people might have, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastudy.errors import DataError
from metastudy.own_data import class_file
from metastudy.own_data.class_file import Numbers, missing, read_table


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_fields_are_text_and_the_index_is_the_line(tmp_path: Path, delimiter: str) -> None:
    lines = ["\ufeffid,text,label", "007,one ,NA", "", '008,"two', 'lines",b', "009,three,c"]
    frame = read_table(written(tmp_path, "\r\n".join(line.replace(",", delimiter) for line in lines)))
    assert list(frame.columns) == ["id", "text", "label"]
    assert list(frame.index) == [2, 4, 6]
    assert frame.loc[2].tolist() == ["007", "one", "NA"]
    assert frame.loc[4, "text"].split() == ["two", "lines"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n3,\xff\n", "line 3"),
        ("", "empty"),
        ("a,b\n", "no row"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 fields, but there are 2 columns"),
        ("a,b\n1,2\n1\n", "line 3: 1 fields"),
        ("a,a\n1,2\n", "'a' comes 2 times"),
        ("a,\n1,2\n", "no name"),
        ('a,b\n1,"2\n', "expected a CSV file"),
        (b"PK\x03\x04\x00\x00", "zero byte"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_place(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_table(written(tmp_path, content))


def test_what_is_not_there_and_what_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="is no file"):
        read_table(tmp_path / "nothing.csv")
    monkeypatch.setattr(class_file, "MAX_ROWS", 2)
    assert len(read_table(written(tmp_path, "a,b\n1,2\n1,2\n"))) == 2
    with pytest.raises(DataError, match="more than 2 rows"):
        read_table(written(tmp_path, "a,b\n1,2\n1,2\n1,2\n"))


def frame(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=object)


def test_numbers_are_standardised_and_missing_ones_become_the_median() -> None:
    seen = frame(size=["1", "2", "?", "3"], same=["5", "5", "5", "5"], colour=["red", "blue", "", "red"])
    numbers = Numbers.of(seen)
    x = numbers.rows(seen)
    assert x.shape == (4, numbers.dim) == (4, 2)  # the constant column is gone; two colours are one column
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-5)
    assert x[2, 0] == x[1, 0]  # the median of 1, 2, 3
    assert x[0, 1] == x[3, 1] != x[1, 1] == x[2, 1]


def test_a_new_row_does_not_depend_on_others_and_a_new_category_is_none_of_those_known() -> None:
    numbers = Numbers.of(frame(a=["1", "2", "4"], c=["x", "y", "z"]))
    both = numbers.rows(frame(a=["10", ""], c=["w", "y"]))
    np.testing.assert_array_equal(both[:1], numbers.rows(frame(a=["10"], c=["w"])))
    assert (both[0, 1:] < 0).all() and (both[1, 1:] > 0).sum() == 1


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "no column is left"),
        ({"a": ["1", "1"]}, "constant"),
        ({"a": [f"word {i}" for i in range(30)]}, "--text 'a' reads it as a text"),
    ],
)
def test_columns_that_say_nothing_are_refused(columns: dict[str, list[str]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Numbers.of(frame(**columns))


def test_a_word_among_new_numbers_is_refused_with_its_line() -> None:
    numbers = Numbers.of(frame(a=["1", "2"]))
    for wrong in ("two", "inf", "1e99"):
        with pytest.raises(DataError, match=f"line 1: '{wrong}'"):
            numbers.rows(frame(a=["1", wrong]))


def test_too_many_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_file, "MAX_COLUMNS", 3)
    with pytest.raises(DataError, match="4 numbers a row"):
        Numbers.of(frame(a=["1", "2", "3"], c=["x", "y", "z"]))


def test_what_stands_for_missing() -> None:
    assert missing(pd.Series(["NaN", "", "0", "n/a", "none of these"])).tolist() == [True, True, False, True, False]
