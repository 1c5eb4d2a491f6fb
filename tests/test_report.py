"""What is read aloud stands in the table, and a row that is not there is no silent gap."""

from __future__ import annotations

import pandas as pd
import pytest

from metastudy import report
from metastudy.errors import DataError


def table() -> pd.DataFrame:
    """Two methods at 1 and 10 shots, in a family and pooled; rows in no order."""
    rows = [
        ("g", 10, "accuracy", "all", 0.9, 0.85, 0.95),
        ("g", 1, "accuracy", "all", 0.5, 0.4, 0.6),
        ("ridge", 1, "accuracy", "all", 0.6, 0.55, 0.65),
        ("ridge", 10, "accuracy", "all", 0.8, 0.7, 0.9),
        ("ridge", 10, "accuracy", "f0", 0.95, 0.9, 1.0),
        ("g", 10, "accuracy", "f0", 0.7, 0.6, 0.8),
        ("g", 10, "log_loss", "all", 0.3, 0.2, 0.4),
        ("ridge", 10, "log_loss", "all", 0.2, 0.1, 0.3),
    ]
    return pd.DataFrame(rows, columns=["method", "shots", "metric", "family", "mean", "low", "high"])


def test_the_one_row_asked_for() -> None:
    assert report.row(table(), "g", 10, "accuracy")["mean"] == 0.9
    assert report.row(table(), "g", 10, "accuracy", "f0")["mean"] == 0.7
    assert report.row(table(), "g", 10, "log_loss")["high"] == 0.4


@pytest.mark.parametrize(
    ("asked", "n"), [(("g", 5, "accuracy"), 0), (("gg", 1, "accuracy"), 0), (("g", 1, "accuracy", "f0"), 0)]
)
def test_a_missing_row_is_refused(asked: tuple, n: int) -> None:
    with pytest.raises(DataError, match=rf"{n} rows for '{asked[0]}', {asked[1]} shots, accuracy.*expected one"):
        report.row(table(), *asked)


def test_a_doubled_row_is_refused() -> None:
    with pytest.raises(DataError, match="2 rows for 'g', 1 shots, accuracy, family 'all'"):
        report.row(pd.concat([table(), table()]), "g", 1, "accuracy")


def test_methods_by_shots() -> None:
    found = report.wide(table(), "accuracy", ["ridge", "g"])
    assert found.index.tolist() == ["ridge", "g"] and found.columns.tolist() == [1, 10]
    assert (found.index.name, found.columns.name) == ("method", "accuracy at k examples")
    assert found.loc["g"].tolist() == ["0.500 [0.400, 0.600]", "0.900 [0.850, 0.950]"]
    assert found.loc["ridge", 1] == "0.600 [0.550, 0.650]"
    assert report.wide(table(), "accuracy", ["g"], "f0", digits=1).to_dict() == {10: {"g": "0.7 [0.6, 0.8]"}}


def test_a_missing_cell_of_a_wide_table_is_named() -> None:
    with pytest.raises(DataError, match="no accuracy for"):
        report.wide(table(), "accuracy", ["ridge", "nobody"])
