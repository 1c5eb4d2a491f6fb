"""Tables that nobody measured: a few hidden causes of a disease, and columns that see them through noise.

Meta-training has tables of a dozen diseases, which is few. Drawn tables say nothing about which way real columns
point, but much about what noise does to a handful of rows. Drawing from such a prior is what prior-fitted networks
train on alone (Müller et al. 2022; Hollmann et al. 2023, TabPFN); here it is a share of the training tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from metastudy.families.diagnosis import channels, lean, standardise
from metastudy.tasks import Task

FAMILY = "synthetic"


@dataclass(frozen=True)
class SyntheticTables:
    """Draws tasks with up to `n_columns` columns, padded to so many, and `n_query` rows to diagnose.

    Prevalence is Beta(2, 2). Up to five causes differ between sick and healthy by a normal size times a gamma one. A
    column is a share of one cause, upwards with a probability that is drawn for each table (mostly above one half: in
    medicine a larger value is sicker more often than not), sometimes of a second one too, or of how far the cause is
    from its middle; then one of: as it is, skewed to the right or left, a sign that is present or absent, a grade.
    """

    n_columns: int
    n_query: int = 60

    def task(self, shots: int, rng: np.random.Generator) -> Task:
        """A task with `shots` labelled rows of each class."""
        n_rows, support = 2 * shots + 3 * self.n_query, slice(0, 2 * shots)
        while True:
            sick = rng.random(n_rows) < rng.beta(2, 2)
            sick[support] = np.arange(2 * shots) >= shots
            query = 2 * shots + rng.permutation(n_rows - 2 * shots)[: self.n_query]
            if 0 < sick[query].sum() < self.n_query:
                break
        table = self.table(sick, rng)
        seen, asked = standardise(table[support], table[query])
        leaning = lean(seen)
        x = [channels(rows, leaning, self.n_columns) for rows in (seen, asked)]
        y = [torch.tensor(sick[rows], dtype=torch.float32) for rows in (support, query)]
        return Task("drawn", FAMILY, "binary", x[0], y[0], x[1], y[1])

    def table(self, sick: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Columns for rows that are `sick` (N,) or not: (N, P)."""
        n_columns = int(np.clip(np.exp(rng.normal(2.6, 0.6)), 4, self.n_columns))
        n_causes = int(rng.integers(1, 6))
        size = np.abs(rng.normal(size=n_causes)) * rng.gamma(1.2, 0.8, n_causes)
        size *= np.where(rng.random(n_causes) < 0.9, 1, -1)
        causes = rng.normal(size=(len(sick), n_causes)) + np.outer(sick - 0.5, size)
        both_sides = rng.random(n_causes) < 0.06
        upwards = rng.beta(4, 1.6)
        columns = []
        for cause in rng.integers(n_causes, size=n_columns):
            seen = causes[:, cause]
            if both_sides[cause]:  # too little is as sick as too much
                seen = np.abs(seen - 0.3 * rng.normal()) * np.where(rng.random(len(sick)) < 0.5, 1, -1)
            share, sign = rng.beta(1, 1.3), 1 if rng.random() < upwards else -1
            column = sign * share * seen + np.sqrt(1 - 0.8 * share**2) * rng.normal(size=len(sick))
            if rng.random() < 0.3:
                column = column + 0.5 * sign * causes[:, rng.integers(n_causes)]
            columns.append(written(column, rng))
        return np.stack(columns, 1)


def written(column: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As measurements are written down: (N,) as it is, skewed, present or absent, or graded."""
    kind = rng.random()
    if kind < 0.25:
        return np.exp(column * rng.uniform(0.3, 1.2))
    if kind < 0.33:
        return -np.exp(-column * rng.uniform(0.3, 1.0))
    if kind < 0.60:
        return (column > np.quantile(column, rng.beta(2, 1.2))).astype(float)
    if kind < 0.75:
        return np.digitize(column, np.quantile(column, np.sort(rng.random(int(rng.integers(2, 5)))))).astype(float)
    return column
