"""Which patients form a task, and how a frozen task names them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from metastudy.errors import DataError
from metastudy.families.base import Ids, TaskSpec
from metastudy.families.encoded import Encoded

TRIES = 1000


def pack(rows: Iterable[int]) -> Ids:
    """Row numbers as one short text: a bit for each row, in base64. 200 of 400 rows are 68 letters, not 800."""
    numbers = np.array(sorted(rows))
    bits = np.zeros(numbers[-1] + 1, dtype=bool)
    bits[numbers] = True
    return (base64.b64encode(np.packbits(bits).tobytes()).decode(),)


def unpack(packed: Ids) -> np.ndarray:
    """The row numbers in ascending order. Raises DataError where this is nothing that `pack` gave."""
    try:
        held = base64.b64decode(str(packed[0]), validate=True) if len(packed) == 1 else b""
    except binascii.Error:
        held = b""
    rows = np.flatnonzero(np.unpackbits(np.frombuffer(held, dtype=np.uint8)))
    if not len(rows):
        raise DataError(f"{str(packed)[:40]} is no packed list of rows; draw the task list anew")
    return rows


def class_limits(table: Encoded, shots: int) -> tuple[int, int]:
    """How many patients of each class a support may hold: `shots`, but at most half of those there are, so that the
    others can be diagnosed."""
    people = [len(np.unique(table.patients[table.diagnosis == c])) for c in (0, 1)]
    return min(shots, people[0] // 2), min(shots, people[1] // 2)


def check_classes(table: Encoded, shots: int) -> None:
    """Raises DataError where a class has too few patients for `shots` in support and as many to diagnose."""
    for c, limit in enumerate(class_limits(table, shots)):
        if limit < shots:
            people = len(np.unique(table.patients[table.diagnosis == c]))
            raise DataError(
                f"table {table.name!r} has {people} patients of class {c}, expected at least {2 * shots}: {shots} in "
                "support and as many to diagnose; ask for fewer shots, or leave the table out"
            )


def others(table: Encoded, chosen: Iterable[int], rows: np.ndarray) -> np.ndarray:
    """Those of `rows`, in their order, that belong to no chosen patient."""
    return rows[~np.isin(table.patients[rows], table.patients[list(chosen)])]


def one_row_each(table: Encoded, rows: np.ndarray) -> np.ndarray:
    """Of `rows`, in their order, the first of every patient."""
    return rows[np.sort(np.unique(table.patients[rows], return_index=True)[1])]


def draw_balanced(table: Encoded, shots: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """`shots` healthy and `shots` sick patients, one row of each, fewer where `class_limits` says so."""
    rows = one_row_each(table, rng.permutation(len(table.diagnosis)))
    healthy, sick = (
        rows[table.diagnosis[rows] == c][:limit].tolist() for c, limit in enumerate(class_limits(table, shots))
    )
    return healthy, sick


def draw_random(table: Encoded, size: int, rng: np.random.Generator) -> list[int]:
    """A random sample of patients, one row of each, at the natural prevalence: it may hold one class only."""
    return one_row_each(table, rng.permutation(len(table.diagnosis)))[:size].tolist()


def draw_query(
    table: Encoded, chosen: Iterable[int], size: int, rng: np.random.Generator, at_least: int = 1
) -> list[int]:
    """Up to `size` rows of other patients than the chosen ones, at the natural prevalence of what is left.

    Drawn again until `at_least` of each class are among them. Raises DataError where there are not so many.
    """
    left = others(table, chosen, np.arange(len(table.diagnosis)))
    if min(np.bincount(table.diagnosis[left], minlength=2)) >= at_least:
        for _ in range(TRIES):
            query = rng.permutation(left)[:size]
            if min(np.bincount(table.diagnosis[query], minlength=2)) >= at_least:
                return query.tolist()
    raise DataError(
        f"table {table.name!r}: a query of {size} rows with at least {at_least} of each class cannot be drawn from the "
        f"{len(left)} rows of other patients ({int(table.diagnosis[left].sum())} sick)"
    )


def check_rows(spec: TaskSpec, table: Encoded, rows: Sequence[int]) -> None:
    """Raises DataError for a row, or a column, that the table does not have."""
    if max(rows) >= len(table.diagnosis) or min(rows) < 0:
        raise DataError(f"task {spec.id} asks for row {max(rows)} of {len(table.diagnosis)}; draw the task list anew")
    if spec.columns and max(spec.columns) >= len(table.columns):
        raise DataError(
            f"task {spec.id} asks for column {max(spec.columns)} of {len(table.columns)}; draw the list anew"
        )


def labels(table: Encoded, rows: Sequence[int]) -> Tensor:
    """(N,) float32 diagnoses."""
    return torch.tensor(table.diagnosis[list(rows)], dtype=torch.float32)
