"""Draws from one pile of labelled rows: blocks share no row, a draw asks about one block and learns from the others.

Blocks are then the independent units of every interval. Rows of one group (a patient, a household) stay together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metastudy.errors import DataError

MOST, FEWEST = 20, 6
"""Blocks. Fewer than six cannot decide anything at the 5% level, and ten not among twenty methods; with more, each has
too few rows for a ranking to be judged."""
EACH = 2  # rows of each class that a block should have, where that leaves `FEWEST` blocks


def groups_of_classes(labels: np.ndarray, groups: np.ndarray) -> list[int]:
    """How many groups hold each class 0, 1, ...; a group with several classes counts for each."""
    return [len(np.unique(groups[labels == c])) for c in range(int(labels.max()) + 1)]


def n_blocks(labels: np.ndarray, groups: np.ndarray, shots: int, names: Sequence[str], what: str) -> int:
    """How many blocks: `MOST`, or so many that each has `EACH` of every class (or one), and the others `shots`.

    Raises DataError where these are fewer than `FEWEST`: it says what would do.
    """
    counts = groups_of_classes(labels, groups)
    smallest = int(np.argmin(counts))
    if found := _possible(counts[smallest], shots):
        return found
    left = max((k for k in range(1, shots) if _possible(counts[smallest], k)), default=0)
    hint = f"with so few, --shots up to {left} would do" if left else f"{FEWEST} of each class are the fewest"
    raise DataError(
        f"{what}: class {names[smallest]!r} has {counts[smallest]} examples; for --shots {shots}, {FEWEST} parts that "
        f"share none need at least {_enough(shots)} of each class; {hint}"
    )


def _possible(n: int, shots: int) -> int:
    """The most blocks for a class of n groups; 0 where there are none."""
    for blocks in range(min(MOST, max(FEWEST, n // EACH)), FEWEST - 1, -1):
        if n >= blocks and n - -(-n // blocks) >= shots:
            return blocks
    return 0


def _enough(shots: int) -> int:
    """How many groups of a class are enough."""
    return next(n for n in range(FEWEST, 2 * shots + 2 * FEWEST) if _possible(n, shots))


def deal(labels: np.ndarray, groups: np.ndarray, blocks: int, rng: np.random.Generator) -> np.ndarray:
    """Block (0, 1, ...) of each row: every class is spread as evenly as whole groups allow. (N,) -> (N,).

    Groups of the rarest class are dealt first, large ones before small ones, in random order among their likes; each
    goes to the block that has fewest rows of that class, of several to the smallest.
    """
    members = _members(groups)
    own = np.stack([np.bincount(labels[rows], minlength=int(labels.max()) + 1) for rows in members])
    found = np.full(len(labels), -1)
    held = np.zeros((blocks, own.shape[1]), dtype=int)
    waiting = np.ones(len(members), dtype=bool)
    for c in np.argsort((own > 0).sum(0), kind="stable"):
        some = rng.permutation(np.flatnonzero(waiting & (own[:, c] > 0)))
        for group in some[np.argsort(-own[some, c], kind="stable")].tolist():
            block = np.lexsort((held.sum(1), held[:, c]))[0]
            found[members[group]] = block
            held[block] += own[group]
        waiting[some] = False
    return found


def check_both(labels: np.ndarray, block_of: np.ndarray, what: str) -> None:
    """Raises DataError where a block lacks a class, since its groups hold several: then nothing can be ranked in it."""
    n_classes = int(labels.max()) + 1
    for block in range(int(block_of.max()) + 1):
        if len(np.unique(labels[block_of == block])) < n_classes:
            raise DataError(
                f"{what}: groups that hold several classes leave a part without one of them; expected more groups: ask "
                "for less with --shots, or leave --group out if rows are independent"
            )


def _members(groups: np.ndarray) -> list[np.ndarray]:
    """The rows of each group."""
    _, code = np.unique(groups, return_inverse=True)
    order = np.argsort(code, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)


def draw(
    labels: np.ndarray, groups: np.ndarray, block_of: np.ndarray, block: int, shots: int, most: int,
    rng: np.random.Generator,
) -> tuple[list[list[int]], list[int]]:  # fmt: skip
    """Support, `shots` rows of each class from other blocks and different groups, and at most `most` rows of `block`.

    The query keeps one row of each class at least. Raises DataError where a class has too few groups outside.
    """
    support, taken = [], set()
    for c in range(int(labels.max()) + 1):
        rows = rng.permutation(np.flatnonzero((labels == c) & (block_of != block)))
        own = []
        for row in rows.tolist():
            if groups[row] not in taken and len(own) < shots:
                own.append(row)
                taken.add(groups[row])
        if len(own) < shots:
            raise DataError(f"class {c} has {len(own)} groups outside of a part, {shots} are asked for; lower --shots")
        support.append(own)
    query = rng.permutation(np.flatnonzero(block_of == block))
    if len(query) > most:
        first = [query[np.flatnonzero(labels[query] == c)[0]] for c in np.unique(labels[query])]
        query = np.concatenate([first, [row for row in query if row not in set(first)]])[:most]
    return support, sorted(int(row) for row in query)
