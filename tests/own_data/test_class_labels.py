"""Classes, and blocks of rows that share nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metastudy.errors import DataError, ParameterError
from metastudy.own_data.blocks import deal
from metastudy.own_data.class_labels import check_blocks, check_draws, check_shots, classes_of


def test_classes_are_by_alphabet_and_missing_labels_are_none() -> None:
    classes, y = classes_of(pd.Series(["b", "a", "", "b", "NA"]), "kind")
    assert classes == ("a", "b")
    assert y.tolist() == [1, 0, -1, 1, -1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a", "a", ""], "'kind' is 'a' in every row"),
        (["", ""], "empty in every row"),
        ([str(i) for i in range(40)], "number to estimate"),
        ([f"c{i}" for i in range(31)], "31 different values"),
    ],
)
def test_targets_that_are_no_classes_are_refused(labels: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        classes_of(pd.Series(labels), "kind")


def test_single_rows_are_spread_evenly_over_blocks() -> None:
    y = np.repeat([0, 1, 2], [50, 23, 7])
    blocks = deal(y, np.arange(80), 10, np.random.default_rng(0))
    counts = np.stack([np.bincount(blocks[y == c], minlength=10) for c in range(3)])
    assert (np.ptp(counts, axis=1) <= 1).all()
    assert np.ptp(counts.sum(0)) <= 1
    assert (blocks != deal(y, np.arange(80), 10, np.random.default_rng(1))).any()


def test_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    y, groups = rng.integers(3, size=200), rng.integers(25, size=200)
    blocks = deal(y, groups, 8, rng)
    assert all(len(set(blocks[groups == g])) == 1 for g in set(groups))
    assert set(blocks) == set(range(8))


def test_too_few_groups_and_too_few_draws_are_refused() -> None:
    assert check_blocks(range(8), 10, "rows") == 8
    with pytest.raises(DataError, match="5 different values of 'farm'; expected at least 6"):
        check_blocks(range(5), 10, "different values of 'farm'")
    with pytest.raises(ParameterError, match="--draws 5"):
        check_draws(5)


@pytest.mark.parametrize(
    ("n_rare", "shots", "said"),
    [
        (7, (1, 5, 10), "--shots 1 5 would do"),
        (7, (10,), "--shots 6 would do"),
        (1, (1, 5), "join it with another class"),
    ],
)
def test_a_rare_class_is_refused_with_the_shots_that_would_do(n_rare: int, shots: tuple[int, ...], said: str) -> None:
    y = np.repeat([0, 1], [60, n_rare])
    blocks = deal(y, np.arange(len(y)), 10, np.random.default_rng(0))
    with pytest.raises(DataError, match=f"class 'rare' has {n_rare} row.*{said}"):
        check_shots(("common", "rare"), y, blocks, shots)


def test_a_class_with_one_row_more_than_its_largest_block_holds_is_enough() -> None:
    y = np.repeat([0, 1], [60, 7])
    blocks = deal(y, np.arange(len(y)), 10, np.random.default_rng(0))
    check_shots(("common", "rare"), y, blocks, (6,))
    with pytest.raises(DataError):
        check_shots(("common", "rare"), y, blocks, (7,))
