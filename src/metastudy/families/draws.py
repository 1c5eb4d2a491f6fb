"""Choosing which names are tested when, and which items form a frozen task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metastudy.errors import DataError
from metastudy.families.base import Fold, Ids, TaskSpec


def rotate(names: Sequence[str], n_test: int) -> tuple[Fold, ...]:
    """Folds that test each name once: `n_test` neighbours at a time; the next ones validate, the rest train."""
    folds = []
    for start in range(0, len(names), n_test):
        turned = (*names[start:], *names[:start])
        test, validation, train = turned[:n_test], turned[n_test : 2 * n_test], turned[2 * n_test :]
        folds.append(Fold(f"fold{start // n_test}", tuple(train), tuple(validation), tuple(test)))
    return tuple(folds)


def disjoint_draws(
    family: str, fold: Fold, ids: Ids, draws: int, support: int, queries: int, rng: np.random.Generator
) -> list[TaskSpec]:
    """`draws` tasks over `ids`: query sets share no id, so each is scored once; support is drawn from all others."""
    size = min(queries, len(ids) // draws)
    if size < 1 or len(ids) - size < support:
        raise DataError(f"{family}: {len(ids)} items are too few for {draws} draws with {support} in support")
    order = [ids[i] for i in rng.permutation(len(ids))]
    specs = []
    for draw in range(draws):
        query = order[draw * size : (draw + 1) * size]
        others = [i for i in order if i not in set(query)]
        chosen = tuple(others[i] for i in rng.permutation(len(others))[:support])
        specs.append(TaskSpec(f"{family}/{draw}", family, fold.name, (chosen,), tuple(query)))
    return specs
