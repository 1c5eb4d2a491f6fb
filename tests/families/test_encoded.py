"""Tables as columns of numbers: written out by the schema, nothing twice, nothing that says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from metastudy.families.encoded import content_hash, encode
from metastudy.loaders.medical import MedicalTable

NAN = float("nan")


def table(**columns: object) -> MedicalTable:
    values = pd.DataFrame(columns)
    n = len(values)
    rest = {"sites": None, "age": None, "sex": None, "counts": {}, "rows_removed": {}, "cells_repaired": {}}
    return MedicalTable("toy", values, np.arange(n) % 2, np.array(["x"] * n), np.arange(n), **rest)


def column(found, name: str) -> list[float]:
    return found.x[:, found.columns.index(name)].tolist()


def test_two_categories_are_one_column_and_more_are_one_each() -> None:
    found = encode(
        table(
            sex=pd.Categorical(["m", "m", "f", "f"], categories=["f", "m"]),
            pus=pd.Categorical(["present", "notpresent", "present", "present"], categories=["present", "notpresent"]),
            pain=pd.Categorical(["none", "dull", "sharp", "dull"], categories=["none", "dull", "sharp", "other"]),
        )
    )
    assert found.columns == ("sex=m", "pus=present", "pain=none", "pain=dull", "pain=sharp")  # nobody has the other
    assert column(found, "sex=m") == [1, 1, 0, 0] and column(found, "pus=present") == [1, 0, 1, 1]
    assert column(found, "pain=dull") == [0, 1, 0, 1]


def test_ordered_categories_are_ranks() -> None:
    size = pd.Categorical(["10-19", "0-9", None, "20-29"], categories=["0-9", "10-19", "20-29"], ordered=True)
    found = encode(table(size=size), flags=False)
    assert found.columns == ("size",)
    np.testing.assert_array_equal(found.x[:, 0], [1, 0, NAN, 2])


def test_a_missing_value_stays_missing_and_gets_a_flag() -> None:
    pain = pd.Categorical(["no", None, "yes", "no"], categories=["no", "yes"])
    held = table(pulse=[60.0, 70.0, NAN, 80.0], pain=pain, age=[1.0, 2.0, 3.0, 4.0])
    found = encode(held)
    assert found.columns == ("pulse", "pain=yes", "age", "pulse missing", "pain missing")
    np.testing.assert_array_equal(found.x[1], [70, NAN, 2, 0, 1])
    np.testing.assert_array_equal(found.x[2], [NAN, 1, 3, 1, 0])
    assert encode(held, flags=False).columns == ("pulse", "pain=yes", "age")


def test_columns_that_say_nothing_or_the_same_are_left_out() -> None:
    measured = pd.Categorical(["t", "f", "t", "t"], categories=["t", "f"])
    found = encode(
        table(
            measured=measured, tsh=[1.0, NAN, 2.0, 3.0], t3=[4.0, NAN, 2.0, 3.0], never=[NAN] * 4, same=[7.0, 7, 7, NAN]
        )
    )
    # `measured` is the complement of both flags; `same` holds one value, and its flag is of use
    assert found.columns == ("measured=t", "tsh", "t3", "same missing")


def test_hash_is_of_everything_that_tasks_refer_to() -> None:
    held = table(pulse=[60.0, 70.0, NAN, 80.0])
    known = content_hash([encode(held)])
    assert content_hash([encode(table(pulse=[60.0, 70.0, -NAN, 80.0]))]) == known  # one NaN is as good as another
    others = (
        table(pulse=[60.0, 71.0, NAN, 80.0]),
        table(puls=[60.0, 70.0, NAN, 80.0]),
        replace(held, name="other"),
        replace(held, diagnosis=1 - held.diagnosis),
        replace(held, patients=np.zeros(4, dtype=int)),
    )
    assert len({known, *(content_hash([encode(other)]) for other in others)}) == 6
