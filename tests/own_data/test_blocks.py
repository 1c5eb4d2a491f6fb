"""Blocks share no row and no group, hold every class, and say what is missing where they cannot be made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.errors import DataError
from metastudy.own_data import blocks


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(12, 70), min_size=2, max_size=4), per_group=st.integers(1, 2), shots=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_a_draw_takes_no_group_twice(counts: list[int], per_group: int, shots: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    groups = np.concatenate([c * 1000 + np.arange(n) // per_group for c, n in enumerate(counts)])
    n = blocks.n_blocks(labels, groups, shots, [f"c{c}" for c in range(len(counts))], "t")
    block_of = blocks.deal(labels, groups, n, rng)
    assert blocks.FEWEST <= n <= blocks.MOST
    assert set(block_of.tolist()) == set(range(n))
    for g in np.unique(groups):
        assert len(set(block_of[groups == g].tolist())) == 1
    for block in range(n):
        assert set(labels[block_of == block].tolist()) == set(range(len(counts)))
        support, query = blocks.draw(labels, groups, block_of, block, shots, 9, rng)
        assert [len(own) for own in support] == [shots] * len(counts)
        assert all(set(labels[own]) == {c} for c, own in enumerate(support))
        rows = [row for own in support for row in own]
        assert len(set(groups[rows].tolist())) == len(rows)
        assert not set(groups[rows].tolist()) & set(groups[query].tolist())
        assert len(query) <= 9 and set(labels[query].tolist()) == set(range(len(counts)))


def test_as_many_blocks_as_the_rarest_class_fills_twice() -> None:
    labels = np.repeat([0, 1], [500, 31])
    assert blocks.n_blocks(labels, np.arange(531), 10, ("a", "b"), "t") == 15
    labels = np.repeat([0, 1], [500, 7])
    assert blocks.n_blocks(labels, np.arange(507), 1, ("a", "b"), "t") == blocks.FEWEST


def test_too_few_say_what_would_do() -> None:
    labels = np.repeat([0, 1], [50, 8])
    with pytest.raises(DataError, match=r"class 'sick' has 8 examples.*--shots 10.*12 of each class.*--shots up to 6"):
        blocks.n_blocks(labels, np.arange(58), 10, ("well", "sick"), "table")
    with pytest.raises(DataError, match=r"has 3 examples.*6 of each class are the fewest"):
        blocks.n_blocks(np.repeat([0, 1], [50, 3]), np.arange(53), 1, ("well", "sick"), "table")


@pytest.mark.parametrize("shots", [1, 4, 10, 25])
def test_what_is_asked_for_is_just_enough(shots: int) -> None:
    n = blocks._enough(shots)
    labels = np.repeat([0, 1], [n, n])
    assert blocks.n_blocks(labels, np.arange(2 * n), shots, ("a", "b"), "t") >= blocks.FEWEST
    with pytest.raises(DataError):
        blocks.n_blocks(labels[1:], np.arange(2 * n - 1), shots, ("a", "b"), "t")
