"""Folds test each name once; frozen draws share no query."""

import numpy as np
import pytest

from metastudy.errors import DataError
from metastudy.families.base import Fold
from metastudy.families.draws import disjoint_draws, rotate


def test_every_name_is_tested_once_and_parts_share_no_name():
    names = tuple("abcdefgh")
    folds = rotate(names, 2)
    assert sorted(n for f in folds for n in f.test) == list(names)
    for fold in folds:
        assert sorted((*fold.train, *fold.validation, *fold.test)) == list(names)


def test_draws():
    fold = Fold("fold0", (), (), ("a",))
    ids = tuple(f"id{i}" for i in range(50))
    specs = disjoint_draws("a", fold, ids, 3, 20, 40, np.random.default_rng(1))
    queries = [i for s in specs for i in s.query]
    assert len(queries) == len(set(queries)) == 3 * 16
    for spec in specs:
        assert len(set(spec.support[0])) == 20 and not set(spec.support[0]) & set(spec.query)
    assert specs == disjoint_draws("a", fold, ids, 3, 20, 40, np.random.default_rng(1))
    assert specs != disjoint_draws("a", fold, ids, 3, 20, 40, np.random.default_rng(2))


def test_too_few_items_are_an_error():
    with pytest.raises(DataError, match="too few"):
        disjoint_draws("a", Fold("f", (), (), ("a",)), tuple("abc"), 3, 20, 40, np.random.default_rng(0))
