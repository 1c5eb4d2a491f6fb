"""The formulas: which columns they weigh, what is known of them in general, and their order of pages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.errors import ParameterError
from metastudy.feedback.components import NAMES, standardised
from metastudy.feedback.rocchio import (
    DIGITS,
    GRIDS,
    NONE,
    both_rocchio,
    combined,
    dense_rocchio,
    feedback_scores,
    matrix,
    rank,
    rm3,
    with_lsa,
)

GRID = {name: make() for name, make in GRIDS.items()}
numbers = st.floats(-3, 3).map(lambda v: round(v, 2))
columns = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(size=(12, len(NAMES))))


def test_grids_are_as_large_as_they_say_and_hardly_repeat():
    sizes = {"none": 1, "D": 120, "RM3": 450, "F": 1200, "F+L": 1728}
    for name, size in sizes.items():
        assert len(GRID[name]) == size, name
        assert f"{size:,} settings" in (GRIDS[name].__doc__ or f"{size:,} settings"), name
    different = {name: len(np.unique(matrix(grid), axis=0)) for name, grid in GRID.items()}
    assert different == sizes | {"D": 105}, "those of D coincide where relevant pages have no weight"


def test_what_each_formula_looks_at():
    used = {name: {n for s in grid for n, w in s.items() if w} for name, grid in GRID.items()}
    dense = {"bm25", "dense", "dense_positive", "dense_negative"}
    words = {f"{space}_{side}" for space in ("bm25", "tfidf") for side in ("positive", "negative")}
    assert used["none"] == {"bm25", "dense"} and used["D"] == dense and used["F"] == dense | words
    assert used["F+L"] == used["F"] | {"lsa", "lsa_positive", "lsa_negative"}
    assert used["RM3"] == {"dense", "dense_positive"} | {n for n in NAMES if n.startswith("rm3")}


@pytest.mark.parametrize("name", GRIDS)
def test_the_query_counts_and_what_is_not_wanted_never_adds(name):
    for s in GRID[name]:
        assert s.get("bm25") == 1 or any(n.startswith("rm3") and w == 1 for n, w in s.items())
        assert all(w <= 0 if n.endswith("negative") else w >= 0 for n, w in s.items())


def test_formulas_by_hand():
    row = dict(zip(NAMES, np.arange(1.0, len(NAMES) + 1), strict=True))

    def score(weights):
        return feedback_scores(np.array([list(row.values())]), weights, positives=True)[0]

    d = row["bm25"] + 0.5 * row["dense"] + 2 * row["dense_positive"] - 0.5 * row["dense_negative"]
    f = d + 3 * row["tfidf_positive"] - 0.75 * row["tfidf_negative"]
    assert score(dense_rocchio(0.5, 2, 0.25)) == d
    assert score(both_rocchio(0.5, 2, 3, "tfidf", 0.25)) == f
    lsa = 0.5 * row["lsa"] + 4 * row["lsa_positive"] - row["lsa_negative"]
    assert score(with_lsa(both_rocchio(0.5, 2, 3, "tfidf", 0.25), 0.5, 4, 0.25)) == f + lsa
    assert score(rm3(30, 0.5, 1, 2)) == row["rm3_30_0.5"] + row["dense"] + 2 * row["dense_positive"]


@settings(deadline=None, max_examples=30)
@given(columns, st.sampled_from(GRID["F+L"]), st.randoms(use_true_random=False))
def test_a_score_depends_on_its_own_page_alone(x, weights, random):
    order = list(range(len(x)))
    random.shuffle(order)
    whole = feedback_scores(x, weights, positives=True)
    assert np.array_equal(feedback_scores(x[order], weights, positives=True), whole[order])
    assert np.array_equal(feedback_scores(x[:5], weights, positives=True), whole[:5])


@settings(deadline=None, max_examples=30)
@given(columns, st.sampled_from(GRID["F"]), st.sampled_from(range(len(NAMES))), numbers)
def test_a_constant_added_to_a_column_changes_nothing(x, weights, which, constant):
    """Not after standardising, which removes it; and not before, where it moves all pages alike."""
    moved = x.copy()
    moved[:, which] += constant
    assert np.allclose(standardised(moved, moved), standardised(x, x), atol=1e-9)
    before, after = (feedback_scores(v, weights, positives=True) for v in (x, moved))
    assert np.allclose(after - before, (after - before)[0], atol=1e-8)


def test_a_constant_column_is_nothing():
    x = np.full((5, 2), 0.1) * np.array([1, 0])
    assert not standardised(x, x).any()
    assert not standardised(x * (1 + 1e-15 * np.arange(5))[:, None], x).any()


@settings(deadline=None, max_examples=20)
@given(columns, st.sampled_from([s for grid in GRID.values() for s in grid]))
def test_without_a_relevant_page_it_is_the_first_stage(x, weights):
    assert np.array_equal(feedback_scores(x, weights, positives=False), feedback_scores(x, NONE, positives=True))


def test_all_settings_at_once_are_each_alone():
    x = np.random.default_rng(0).normal(size=(7, len(NAMES)))
    some = GRID["RM3"][::50]
    every = combined(x, matrix(some))
    assert every.shape == (len(some), 7)
    assert all(
        np.allclose(row, feedback_scores(x, s, True), atol=2 * 10**-DIGITS) for row, s in zip(every, some, strict=True)
    )


def test_ties_keep_the_order_of_pages_and_judged_pages_are_no_results():
    x = np.zeros((4, len(NAMES)))
    x[[1, 3], NAMES.index("bm25")] = 1, 1 + 1e-12
    scores = feedback_scores(x, NONE, positives=True)
    assert rank(scores) == [1, 3, 0, 2] and rank(scores, judged=[3, 0]) == [1, 2]
    assert rank(scores, judged=range(4)) == []


def test_an_unknown_column_is_refused():
    with pytest.raises(ParameterError, match="column 'bm52' is unknown; expected one of bm25, dense"):
        matrix([{"bm52": 1.0}])
