"""Files as people have them, and one clear line for those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastudy.errors import DataError, ParameterError
from metastudy.own_data.csv_file import as_text, read_csv, two_values, with_columns_of, without


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "age,name,sick\n63,Ann,1\n,Bob,0\n",
        "age;name;sick\r\n63;Ann;1\r\n;Bob;0\r\n",
        "age\tname\tsick\n63\tAnn\t1\n\tBob\t0",
        "\ufeffage, name, sick\n63, Ann, 1\nNA, Bob, 0\n",
        'age,name,sick\n63,"Ann",1\n,"Bob",0\n',
    ],
)
def test_the_same_table_however_it_is_written(tmp_path: Path, content: str) -> None:
    frame = read_csv(_file(tmp_path, content))
    assert list(frame.columns) == ["age", "name", "sick"]
    assert frame["age"].tolist()[0] == 63 and np.isnan(frame["age"].tolist()[1])
    assert frame["name"].tolist() == ["Ann", "Bob"]
    assert frame.index.tolist() == [2, 3]  # lines of the file


def test_decimal_commas_where_semicolons_separate(tmp_path: Path) -> None:
    assert read_csv(_file(tmp_path, "a;b\n1,5;2\n-0,25;3\n"))["a"].tolist() == [1.5, -0.25]
    assert read_csv(_file(tmp_path, "a;b\n1.5;x, y\n2;z\n"))["a"].tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "first line is empty"),
        ("a,b\n", "no row below"),
        ("a,b,a\n1,2,3\n", "two columns are called 'a'"),
        ("a,b\n1,2\n1,2,3\n", "cannot be read.*line 3"),
        (b"a,b\n1,2\n\xe9,3\n", "line 3: byte 0xe9 is no UTF-8"),
        (b"a,b\n1,\x00\n", "line 2 holds a zero byte"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_csv(_file(tmp_path, content))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_csv(tmp_path)


def test_columns_are_named_with_the_nearest() -> None:
    frame = pd.DataFrame({"age": [1], "weight": [2]})
    assert list(without(frame, ["age"]).columns) == ["weight"]
    with pytest.raises(ParameterError, match="--drop 'wieght' is no column; did you mean 'weight'"):
        without(frame, ["wieght"])
    assert list(with_columns_of(frame, ["weight"], "new.csv").columns) == ["weight"]
    with pytest.raises(DataError, match="new.csv has no column 'height'"):
        with_columns_of(frame, ["age", "height"], "new.csv")


def test_the_larger_value_is_positive_unless_one_is_named() -> None:
    assert two_values(pd.Series([0.0, 1.0, np.nan]), "y", None) == ("0", "1")
    assert two_values(pd.Series(["no", "yes"]), "y", "no") == ("yes", "no")
    assert two_values(pd.Series([10, 9]), "y", None) == ("9", "10")
    assert two_values(pd.Series(["a", "b", "c"]), "y", "b") == ("not b", "b")
    with pytest.raises(DataError, match=r"holds only 'a' \(2x\)"):
        two_values(pd.Series(["a", "a"]), "y", None)
    with pytest.raises(DataError, match="holds 3 values.*--positive VALUE"):
        two_values(pd.Series(["a", "b", "c"]), "y", None)
    with pytest.raises(ParameterError, match="--positive 'd' is no value"):
        two_values(pd.Series(["a", "b"]), "y", "d")


def test_numbers_are_written_as_in_the_file() -> None:
    assert [as_text(v) for v in (1, 1.0, 1.5, " a ", True)] == ["1", "1", "1.5", "a", "True"]
