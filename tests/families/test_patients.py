"""Draws of patients: nobody is learned from and diagnosed, and a frozen task names its rows exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastudy.errors import DataError
from metastudy.families.base import TaskSpec
from metastudy.families.encoded import Encoded
from metastudy.families.patients import (
    check_classes,
    check_rows,
    class_limits,
    draw_balanced,
    draw_query,
    draw_random,
    pack,
    unpack,
)


def made(n_well: int, n_sick: int, rows_each: int = 1) -> Encoded:
    """Healthy patients first; each has `rows_each` neighbouring rows, and row i holds i."""
    diagnosis = np.repeat([0] * n_well + [1] * n_sick, rows_each)
    x = np.arange(len(diagnosis), dtype=float)[:, None]
    return Encoded("made", ("row",), x, diagnosis, np.repeat(np.arange(n_well + n_sick), rows_each))


@given(st.sets(st.integers(0, 4000), min_size=1, max_size=300))
def test_packed_rows_come_back(rows: set[int]) -> None:
    packed = pack(rows)
    assert unpack(packed).tolist() == sorted(rows)
    assert len(packed) == 1 and len(packed[0]) <= 4 * (max(rows) // 24 + 1)


def test_packing_by_hand() -> None:
    assert pack([9, 0, 2]) == ("oEA=",)  # bits 1010 0000 0100 0000


@pytest.mark.parametrize("packed", [(), ("oEA=", "oEA="), ("o?A=",), ("",), ("AAA=",), (3,)])
def test_what_was_never_packed_is_refused(packed: tuple) -> None:
    with pytest.raises(DataError, match="is no packed list of rows"):
        unpack(packed)


def test_a_support_takes_at_most_half_of_a_class() -> None:
    table = made(8, 100)
    assert class_limits(table, 3) == (3, 3) and class_limits(table, 10) == (4, 10)
    healthy, sick = draw_balanced(table, 10, np.random.default_rng(0))
    assert (len(healthy), len(sick)) == (4, 10)
    assert not table.diagnosis[healthy].any() and table.diagnosis[sick].all()


def test_a_class_too_small_for_the_shots_is_refused() -> None:
    check_classes(made(20, 20), 10)
    with pytest.raises(
        DataError, match=r"table 'made' has 19 patients of class 1, expected at least 20: 10 in support"
    ):
        check_classes(made(20, 19), 10)
    with pytest.raises(DataError, match="has 10 patients of class 0"):
        check_classes(made(10, 30, rows_each=2), 10)  # 20 rows, but 10 patients


@pytest.mark.parametrize("seed", range(5))
def test_patients_are_chosen_once_and_diagnosed_elsewhere(seed: int) -> None:
    table, rng = made(30, 30, rows_each=3), np.random.default_rng(seed)
    healthy, sick = draw_balanced(table, 10, rng)
    chosen = table.patients[[*healthy, *sick]]
    assert len(set(chosen)) == 20  # one row of each
    query = draw_query(table, [*healthy, *sick], 1000, rng)
    assert len(query) == len(set(query)) == 180 - 3 * 20
    assert not set(table.patients[query]) & set(chosen)


def test_every_row_of_a_patient_may_be_the_chosen_one() -> None:
    table = made(4, 4, rows_each=2)
    seen = {row for seed in range(40) for rows in draw_balanced(table, 2, np.random.default_rng(seed)) for row in rows}
    assert seen == set(range(16))


def test_a_random_sample_keeps_the_prevalence() -> None:
    table = made(10, 90)
    drawn = [table.diagnosis[draw_random(table, 20, np.random.default_rng(seed))].mean() for seed in range(200)]
    assert np.mean(drawn) == pytest.approx(0.9, abs=0.015) and max(drawn) == 1  # some see nobody healthy


def test_a_query_is_a_sample_of_what_is_left() -> None:
    table = made(300, 100)
    query = draw_query(table, [0, 399], 50, np.random.default_rng(0))
    assert len(set(query)) == 50 and not {0, 399} & set(query)
    many = [table.diagnosis[draw_query(table, [0, 399], 50, np.random.default_rng(s))].mean() for s in range(100)]
    assert np.mean(many) == pytest.approx(0.25, abs=0.02)


def test_a_query_has_enough_of_each_class_or_is_refused() -> None:
    table = made(3, 200)
    for seed in range(20):
        query = draw_query(table, [5, 6], 20, np.random.default_rng(seed))
        assert (table.diagnosis[query] == 0).any()
    assert len(draw_query(table, [0, 1, 2], 20, np.random.default_rng(0), at_least=0)) == 20
    with pytest.raises(DataError, match=r"a query of 20 rows with at least 2 of each class .* from the 201 rows"):
        draw_query(table, [0, 1], 20, np.random.default_rng(0), at_least=2)


def test_rows_and_columns_that_are_not_there_are_refused() -> None:
    table = made(5, 5)
    check_rows(TaskSpec("t", "f", "fold", (), ()), table, [0, 9])
    for rows in ([0, 10], [-1, 3]):
        with pytest.raises(DataError, match="task t asks for row"):
            check_rows(TaskSpec("t", "f", "fold", (), ()), table, rows)
    with pytest.raises(DataError, match="task t asks for column 1 of 1"):
        check_rows(TaskSpec("t", "f", "fold", (), (), (0, 1)), table, [0])
