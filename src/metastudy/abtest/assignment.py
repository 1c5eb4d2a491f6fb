"""Who gets which arm: a pure function of experiment, salt and unit, as in PlanOut (Bakshy, Eckles, Bernstein 2014)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from metastudy.errors import ParameterError


def assign(unit: str, experiment: str, salt: str, arms: Sequence[str], shares: Sequence[float] | None = None) -> str:
    """The arm of a unit: the same forever, independent of all other units and of other experiments or salts.

    `shares` of the arms (default: equal) need not sum to 1. Raises ParameterError for fewer than two or repeated arms,
    or shares that are not positive.
    """
    if len(arms) < 2 or len(set(arms)) < len(arms):
        raise ParameterError(f"arms are {list(arms)}; expected two or more different names")
    weights = np.ones(len(arms)) if shares is None else np.asarray(shares, dtype=float)
    if weights.shape != (len(arms),) or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ParameterError(f"shares are {shares}; expected one positive number for each of {len(arms)} arms")
    key = "\0".join((experiment, salt, unit)).encode()
    point = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64
    ends = np.cumsum(weights) / weights.sum()
    return arms[min(int(np.searchsorted(ends, point, side="right")), len(arms) - 1)]
