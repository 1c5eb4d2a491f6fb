"""Seeds as a random factor: a method is what it does on average over seeds, and few seeds tell that only roughly.

Averaging over seeds and then comparing tasks asks whether *these trained models* differ. A second training would give
other models; where seeds differ much, that comparison finds winners between a method and itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metastudy.abtest.estimate import Estimate, by_t, checked_labels
from metastudy.errors import DataError


@dataclass(frozen=True)
class SeedAware(Estimate):
    """`seed_share`: how much of the variance of the difference comes from seeds (0 to 1); `df` degrees of freedom."""

    seed_share: float
    df: float


def _units(values: np.ndarray, cluster: Sequence[str] | None) -> np.ndarray:
    """(n, s) scores to (units, s): clusters' means, where clusters are given."""
    if cluster is None:
        return values
    return pd.DataFrame(values).groupby(checked_labels(cluster, len(values)), sort=True).mean().to_numpy()


def seed_aware(
    a: np.ndarray,
    b: np.ndarray,
    cluster: Sequence[str] | None = None,
    deterministic: tuple[bool, bool] = (False, False),
    alpha: float = 0.05,
) -> SeedAware:
    """Mean difference of two methods' scores, (n tasks, seeds) each; numbers of seeds may differ.

    Var = var of the units' seed-averaged differences / units + var over a's seeds of their mean over units / s_a + the
    same for b: units are paired, seeds are nested in methods. With the Satterthwaite (1946) degrees of freedom. The
    interaction of units and seeds enters twice, on purpose: in simulations with 2 or 4 seeds, 10 to 300 units and seeds
    that differ not at all or much, equal methods are told apart in 1 to 6% of studies; taking the interaction out once
    gives 3 to 8%. Against a deterministic method it errs more often: up to 13% with two seeds and 8% with three, if
    seeds differ about as much as the units tell; 7% with four: use four or more. The price is power: .65 instead of .90
    in a study whose four seeds do not differ (tests). A `deterministic` method has one column and no variance over
    seeds. With `cluster` (n labels), cluster means are the units.

    Raises DataError for shapes that do not fit, values that are not finite, fewer than two units, or a method with one
    seed that is not deterministic.
    """
    a, b = (np.asarray(x, dtype=float) for x in (a, b))
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2 or not x.shape[1] or not np.isfinite(x).all():
            raise DataError(f"scores of {name} have shape {x.shape}; expected finite ones, tasks x seeds")
    if len(a) != len(b):
        raise DataError(f"scores of {len(a)} and {len(b)} tasks; expected the same tasks")
    units = [_units(x, cluster) for x in (a, b)]
    if len(units[0]) < 2:
        raise DataError(f"{len(units[0])} unit; a comparison needs at least two tasks or clusters")
    paired = units[0].mean(1) - units[1].mean(1)
    parts = [(paired.var(ddof=1) / len(paired), len(paired) - 1)]
    for name, x, fixed in zip("ab", units, deterministic, strict=True):
        if fixed:
            if x.shape[1] > 1:
                raise DataError(f"{name} is called deterministic and has {x.shape[1]} seeds; expected one column")
            continue
        if x.shape[1] < 2:
            raise DataError(f"{name} has one seed; seeds are random and need two or more: raise `seeds`")
        parts.append((x.mean(0).var(ddof=1) / x.shape[1], x.shape[1] - 1))
    variance = sum(v for v, _ in parts)
    used = sum(v**2 / df for v, df in parts)
    df = variance**2 / used if used > 0 else float(len(paired) - 1)
    found = by_t(float(paired.mean()), float(np.sqrt(variance)), df, len(paired), "seed-aware t", alpha)
    share = 1 - parts[0][0] / variance if variance > 0 else 0.0
    ends = (found.difference, found.low, found.high, found.p, found.n, found.method)
    return SeedAware(*ends, float(share), float(df))
