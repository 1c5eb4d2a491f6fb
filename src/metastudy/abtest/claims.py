"""What a test promises of a share of simulated studies, and how often it was so: one row a claim."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from metastudy.errors import DataError, ParameterError

Quantity = Literal["rejects", "covers", "power"]
COLUMNS = ["check", "shape", "n", "quantity", "low", "high", "found", "replicates", "kind", "ok", "note"]
SURE = 0.999  # of an exact test to lie inside the band of the fast version


@dataclass(frozen=True)
class Claim:
    """One yes or no about a simulated study: its share of all studies must lie from `low` to `high`, ends included.

    `nominal` is the share if all is exact. An end of 0 or 1 is open. A `control` is a known mistake: its band lies
    where only a mistake can be, so it is ok when it fails. `note` says why a band is not the usual one.
    """

    check: str
    quantity: Quantity
    nominal: float
    low: float
    high: float
    note: str = ""
    control: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1 or not 0 <= self.nominal <= 1:
            raise ParameterError(
                f"{self.check}: band {self.low} to {self.high}, nominal {self.nominal}; expected shares"
            )

    def band(self, replicates: int | None = None) -> tuple[float, float]:
        """The promised band; for few replicates, where the share of an exact test lies with probability SURE instead.

        Open ends stay open, and the band of a control stays what it is.
        """
        if replicates is None or self.control:
            return self.low, self.high
        low, high = stats.binom.interval(SURE, replicates, self.nominal)
        return float(low / replicates) if self.low > 0 else 0.0, float(high / replicates) if self.high < 1 else 1.0


@dataclass(frozen=True)
class Study:
    """Data of one shape with n units: `once` draws one study and answers every claim, in their order.

    `full` and `fast` are the numbers of replicates of the two versions; 0 leaves the study out.
    """

    shape: str
    n: int
    once: Callable[[np.random.Generator], Sequence[bool]]
    claims: tuple[Claim, ...]
    full: int = 2_000
    fast: int = 300


def measure(study: Study, replicates: int, fast: bool, seed: int) -> list[dict[str, object]]:
    """The rows of one study. Its random numbers depend on `seed` and on its own name, not on the other studies.

    Raises DataError where `once` does not answer each claim, or answers with something else than yes or no.
    """
    name = f"{study.shape} {study.n} {study.claims[0].check}"
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    total = np.zeros(len(study.claims), dtype=int)
    gc.freeze()  # statsmodels' multipletests collects garbage at every call: 30 ms each among all that is imported
    try:
        with threadpool_limits(1):  # sums that repeat, whatever the number of cores
            for _ in range(replicates):
                total += _answers(study, rng, name)
    finally:
        gc.unfreeze()
    rows = []
    for claim, count in zip(study.claims, total, strict=True):
        low, high = claim.band(replicates if fast else None)
        found = float(count / replicates)
        kind = "negative control" if claim.control else "test"
        row = (claim.check, study.shape, study.n, claim.quantity, low, high, found, replicates, kind)
        rows.append(dict(zip(COLUMNS, (*row, bool(low <= found <= high), claim.note), strict=True)))
    return rows


def _answers(study: Study, rng: np.random.Generator, name: str) -> np.ndarray:
    found = np.asarray(study.once(rng))
    if found.shape != (len(study.claims),) or found.dtype != bool:
        raise DataError(f"{name}: {found.shape} answers of {found.dtype} to {len(study.claims)} claims; expected bool")
    return found


def measure_all(studies: Sequence[Study], fast: bool = False, jobs: int = 2, seed: int = 0) -> pd.DataFrame:
    """One row a claim, with COLUMNS, in the order of the studies: the same table for any number of `jobs`.

    `low`, `high` and `found` are shares of `replicates`. Raises ParameterError for jobs < 1.
    """
    if jobs < 1:
        raise ParameterError(f"jobs is {jobs}; expected the number of processes, 1 or more")
    chosen = [(s, s.fast if fast else s.full) for s in studies]
    chosen = [(s, replicates) for s, replicates in chosen if replicates]
    calls = (joblib.delayed(measure)(s, replicates, fast, seed) for s, replicates in chosen)
    found = joblib.Parallel(n_jobs=jobs, return_as="generator")(calls)
    parts = list(tqdm(found, total=len(chosen), desc="calibrate", unit="study", leave=False, disable=None))
    return pd.DataFrame([row for part in parts for row in part], columns=COLUMNS)
