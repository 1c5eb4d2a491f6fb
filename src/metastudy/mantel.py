"""Do two square matrices over the same things agree? Rank correlation with a test that respects rows and columns.

Entries that share a row or a column are not independent, so the usual p-value of a correlation over all entries is
far too small. Mantel (1967) permutes the *things*: rows and columns of one matrix together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from metastudy.errors import DataError


class Agreement(NamedTuple):
    """Spearman's ρ over the off-diagonal, the one-sided p-value (ρ above chance), and how many orders gave it."""

    rho: float
    p_value: float
    permutations: int


def interaction(table: pd.DataFrame) -> pd.DataFrame:
    """Off-diagonal entries less an effect of their row and one of their column (least squares); NaN on the diagonal.

    What is left says which pairs fit: not that some things are good to all others, or easy for all others.
    """
    off = ~np.eye(len(table), dtype=bool)
    rows, columns = np.nonzero(off)
    design = np.hstack([np.eye(len(table))[rows], np.eye(len(table))[columns]])
    values = table.to_numpy(float)
    out = np.full(values.shape, np.nan)
    out[off] = values[off] - design @ np.linalg.lstsq(design, values[off], rcond=None)[0]
    return pd.DataFrame(out, table.index, table.columns)


def _ranks(table: pd.DataFrame) -> NDArray[np.float64]:
    """Centred ranks of the off-diagonal entries, in place; 0 on the diagonal."""
    off = ~np.eye(len(table), dtype=bool)
    # rounded: entries that are equal but for the last bits share a rank
    values = rankdata(np.round(table.to_numpy(float)[off], 10))
    ranks = np.zeros(off.shape)
    ranks[off] = values - values.mean()
    return ranks


def _orders(n: int, n_permutations: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Every order of n things where that is no more than asked for, else random ones."""
    if math.factorial(n) <= n_permutations:
        yield from (np.array(order) for order in itertools.permutations(range(n)))
    else:
        rng = np.random.default_rng(seed)
        yield np.arange(n)  # the order that was seen is one of them, so that p is never 0
        yield from (rng.permutation(n) for _ in range(n_permutations))


def mantel(
    a: pd.DataFrame, b: pd.DataFrame, pairs_only: bool = True, n_permutations: int = 9999, seed: int = 0
) -> Agreement:
    """Spearman's ρ between off-diagonal entries of two square tables, tested by permuting rows and columns together.

    `pairs_only` compares what is left without the effects of rows and of columns (`interaction`). Neither table need
    be symmetric. Raises DataError for tables that are not square over the same four or more names in one order, that
    hold NaN off their diagonal, or of which one is constant there.
    """
    names, off = list(a.index), ~np.eye(len(a), dtype=bool)
    same = all(list(part) == names for part in (a.columns, b.index, b.columns))
    if not same or len(names) < 4 or not all(np.isfinite(m.to_numpy(float)[off]).all() for m in (a, b)):
        raise DataError(
            f"cannot compare tables of {a.shape} and {b.shape} entries: expected finite entries and the same four or "
            "more names, in the same order, in the rows and columns of both"
        )
    left, right = (_ranks(interaction(m) if pairs_only else m) for m in (a, b))
    scale = math.sqrt((left**2).sum() * (right**2).sum())
    if scale == 0:
        raise DataError("one of the tables leaves nothing to order off its diagonal; all its entries there are equal")
    found = np.array([(left * right[np.ix_(o, o)]).sum() for o in _orders(len(names), n_permutations, seed)]) / scale
    return Agreement(float(found[0]), float((found >= found[0] - 1e-12).mean()), len(found))
