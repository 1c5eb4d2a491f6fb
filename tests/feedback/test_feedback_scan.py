"""The scan against products of all vectors in double precision, where rounding, ties and blocks could go wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.errors import ParameterError
from metastudy.feedback.scan import BLOCK, LONGEST, nearest, recall, rounding


def slowly(vectors: np.ndarray, queries: np.ndarray, k: int) -> list[list[int]]:
    """Ids by products that are summed one by one, exactly."""
    found = []
    for query in queries.astype(np.float32).tolist():
        products = [sum(a * b for a, b in zip(row, query, strict=True)) for row in vectors.astype(float).tolist()]
        found.append(sorted(range(len(vectors)), key=lambda i: (-products[i], i))[:k])
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.integers(1, 12),
    st.integers(1, 70),
)  # fmt: skip
def test_the_same_as_all_products_sorted_also_where_many_are_equal(seed, n, d, q, k, block):
    rng = np.random.default_rng(seed)
    vectors, queries = rng.integers(-2, 3, (n, d)).astype(np.float16), rng.integers(-2, 3, (q, d))
    ids, products = nearest(vectors, queries, k, longest=2 * d**0.5, block=block)
    assert ids.shape == products.shape == (q, min(k, n))
    assert ids.tolist() == slowly(vectors, queries, k)
    assert np.array_equal(products, np.take_along_axis(queries @ vectors.astype(float).T, ids, 1))


def test_double_precision_decides_where_single_precision_errs():
    rng = np.random.default_rng(0)
    tiny = np.float64(2.0**-24)  # the least number of half precision: lost beside larger ones in single precision
    steps = rng.permutation(500)
    signs = np.stack([rng.permutation(np.repeat([-64.0, 64.0], 32)) for _ in steps])  # they add up to 0
    vectors = np.concatenate([signs, tiny * steps[:, None]], axis=1).astype(np.float16)
    vectors = vectors[:, rng.permutation(65)]
    queries = np.ones((1, 65))
    single = vectors.astype(np.float32).cumsum(1, dtype=np.float32)[:, -1]
    best = np.argsort(-steps)[:10]
    assert not np.array_equal(np.argsort(-single, kind="stable")[:10], best), "single precision is to be wrong here"
    for block in (7, 100, BLOCK):
        ids, products = nearest(vectors, queries, 10, longest=513, block=block)
        assert ids[0].tolist() == best.tolist() and products[0].tolist() == (tiny * steps[best]).tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_single_precision_is_never_further_off_than_said(seed, d):
    rng = np.random.default_rng(seed)
    rows, q = rng.standard_normal((50, d)).astype(np.float16), rng.standard_normal(d).astype(np.float32)
    exact = (rows.astype(np.float64) * q).sum(1)
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1) * np.linalg.norm(q.astype(np.float64))
    for off in (rows.astype(np.float32) @ q - exact, (rows.astype(np.float32) * q).cumsum(1)[:, -1] - exact):
        assert (np.abs(off) <= rounding(d) * lengths).all()


def unit(n: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def test_queries_do_not_depend_on_those_beside_them_nor_on_blocks():
    vectors, queries = unit(3000, 48, 0), unit(5, 48, 1)
    assert np.linalg.norm(vectors.astype(float), axis=1).max() < LONGEST
    together = nearest(vectors, queries)
    for block in (1, 999, 5000):
        alone = [nearest(vectors, query[None], block=block) for query in queries]
        for i in (0, 1):
            assert np.array_equal(np.concatenate([found[i] for found in alone]), together[i])
    assert together[0].tolist() == slowly(vectors, queries, 10)


def test_equal_vectors_come_in_their_order():
    vectors = np.repeat(unit(1, 384, 0), 5000, axis=0)
    ids, products = nearest(vectors, unit(1, 384, 0), 10, block=64)
    assert ids[0].tolist() == list(range(10)) and len(set(products[0])) == 1


def test_a_file_opened_for_reading_gives_the_same_without_a_warning(tmp_path):
    vectors = unit(500, 16, 0)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = nearest(mapped[100:], vectors[:2], 3)
    assert np.array_equal(found[0], nearest(vectors[100:], vectors[:2], 3)[0])
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), vectors)


def test_nothing_to_find_or_nobody_asking():
    assert nearest(unit(0, 4, 0), unit(2, 4, 0), 3)[0].shape == (2, 0)
    assert nearest(unit(5, 4, 0), unit(0, 4, 0), 3)[0].shape == (0, 3)


def test_what_is_refused():
    vectors = unit(5, 4, 0)
    for bad, queries in ((vectors.astype(np.float32), vectors), (vectors[0], vectors), (vectors, vectors[0])):
        with pytest.raises(ParameterError, match=r"expected \(N, d\) of float16"):
            nearest(bad, queries)
    with pytest.raises(ParameterError, match=r"queries \(5, 3\)"):
        nearest(vectors, vectors[:, :3])
    for given_ in ({"k": 0}, {"block": 0}, {"queries": np.full((1, 4), np.nan)}):
        with pytest.raises(ParameterError, match="expected both at least 1, and queries that are finite"):
            nearest(**{"vectors": vectors, "queries": vectors} | given_)


def test_recall_by_hand():
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert recall(exact[:, ::-1], exact) == 1
    assert recall(np.array([[1, 2, 9, 9], [9, 9, 9, 5]]), exact) == 3 / 8
    assert recall(np.array([[4], [4]]), exact) == 1 / 8
    with pytest.raises(ParameterError, match="results of 1 queries beside 2"):
        recall(exact[:1], exact)
