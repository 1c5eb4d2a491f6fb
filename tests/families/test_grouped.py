"""Groups stay on one side of a task."""

import numpy as np
import pytest

from metastudy.errors import DataError
from metastudy.families.base import Fold
from metastudy.families.draws import disjoint_draws
from metastudy.families.grouped import apart, grouped_draws

FOLD = Fold("fold0", (), (), ("x",))


def test_draws_of_documents_on_their_own_are_disjoint_draws():
    """The committed lists were drawn by `disjoint_draws`; groups of one document change nothing."""
    ids = tuple(f"d{i}" for i in range(47))
    for draws, queries in ((3, 40), (2, 5), (4, 11)):
        plain = disjoint_draws("x", FOLD, ids, draws, 20, queries, np.random.default_rng(7))
        grouped = grouped_draws("x", FOLD, {i: i for i in ids}, draws, 20, queries, np.random.default_rng(7))
        assert grouped == plain


def test_grouped_draws_keep_groups_on_one_side():
    groups = {f"{g}{i}": g for g in "abcdefghij" for i in range(1 + ord(g) % 5)}  # 1 to 5 documents each
    for seed in range(20):
        specs = grouped_draws("x", FOLD, groups, 3, 8, 40, np.random.default_rng(seed))
        queries = [{groups[i] for i in spec.query} for spec in specs]
        assert sum(map(len, queries)) == len(set.union(*queries)), "no group is asked about twice"
        for spec, asked in zip(specs, queries, strict=True):
            assert len(set(spec.support[0])) == 8 and not asked & {groups[i] for i in spec.support[0]}
            assert set(spec.query) == {i for i in groups if groups[i] in asked}, "queries are whole groups"
    with pytest.raises(DataError, match="x: 30 documents in 10 groups are too few for 3 draws with 25"):
        grouped_draws("x", FOLD, groups, 3, 25, 40, np.random.default_rng(0))


def test_apart_takes_whole_groups_as_query_and_none_of_them_as_support():
    groups = {"a1": "a", "b1": "b", "c1": "c", "a2": "a", "d1": "d", "c2": "c", "e1": "e"}
    assert apart("x", groups, 2, 10) == (("b1", "e1"), ("c1", "c2", "a1", "a2", "d1"))  # with e, one would be left
    assert apart("x", groups, 2, 1) == (("a1", "b1"), ("c1",)), "c2 is neither"
    assert apart("x", {i: i for i in "abcdef"}, 2, 3) == (("a", "b"), ("c", "d", "e"))
    with pytest.raises(DataError, match="x: 3 documents in 1 groups are too few for 1 in support"):
        apart("x", {"a": "g", "b": "g", "c": "g"}, 1, 10)
