"""Which rows can be examples: labels that are there, enough of each class, and blocks of rows that share nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metastudy.errors import DataError, ParameterError
from metastudy.own_data.class_file import missing

MAX_CLASSES = 30
MIN_BLOCKS = 6  # fewer decide nothing at the 5% level (`abtest.paired`)


def classes_of(labels: pd.Series, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes by alphabet, and the number of each row's class (N,); -1 where a label is missing.

    Raises DataError for one class only and for more than MAX_CLASSES.
    """
    there = ~missing(labels)
    found = tuple(sorted(set(labels[there])))
    if len(found) < 2:
        held = f"is {found[0]!r} in every row" if found else "is empty in every row"
        raise DataError(f"the target {name!r} {held}; expected at least 2 classes")
    if len(found) > MAX_CLASSES:
        number = pd.to_numeric(labels[there], errors="coerce").notna().all()
        hint = "it looks like a number to estimate, which is no class" if number else "join rare classes, or split it"
        raise DataError(
            f"the target {name!r} has {len(found):,} different values ({', '.join(map(repr, found[:4]))}, ...); "
            f"expected 2 to {MAX_CLASSES} classes: {hint}"
        )
    place = {label: i for i, label in enumerate(found)}
    return found, np.array([place.get(label, -1) for label in labels.where(there, None)])


def check_blocks(groups: Sequence[object], n_blocks: int, grouped: str) -> int:
    """How many blocks there will be: no more than groups. Raises DataError where that is below MIN_BLOCKS."""
    n = len(set(groups))
    if n < MIN_BLOCKS:
        raise DataError(
            f"{n} {grouped}; expected at least {MIN_BLOCKS}, since a comparison needs so many blocks of the data that "
            "share none"
        )
    return min(n_blocks, n)


def check_shots(classes: Sequence[str], y: np.ndarray, blocks: np.ndarray, shots: Sequence[int]) -> None:
    """Raises DataError where a class has fewer rows outside of a block than a task of that block takes.

    The message says how many are needed, and what smaller `shots` would do.
    """
    counts = np.bincount(y, minlength=len(classes))
    inside = np.zeros((int(blocks.max()) + 1, len(classes)), dtype=int)
    np.add.at(inside, (blocks, y), 1)
    outside = (counts - inside).min(0)  # of each class, in the block that takes most of it
    scarce = int(outside.argmin())
    if outside[scarce] >= max(shots):
        return
    most = int(outside[scarce])
    possible = [k for k in shots if k <= most] or [most]
    advice = (
        f"--shots {' '.join(map(str, possible))} would do" if most else "join it with another class, or leave it out"
    )
    n_scarce, rows = int((outside < max(shots)).sum()), "row" if counts[scarce] == 1 else "rows"
    others = f" (one of {n_scarce} such classes)" if n_scarce > 1 else ""
    raise DataError(
        f"class {classes[scarce]!r} has {counts[scarce]} {rows}, {most} of them outside of the block that holds most "
        f"of it{others}; --shots {max(shots)} takes {max(shots)} there: {advice}"
    )


def check_draws(draws: int) -> None:
    """Raises ParameterError for fewer draws than blocks that decide anything."""
    if draws < MIN_BLOCKS:
        raise ParameterError(
            f"--draws {draws}; expected at least {MIN_BLOCKS}: each asks about another block of the data, and fewer "
            "blocks decide nothing"
        )
