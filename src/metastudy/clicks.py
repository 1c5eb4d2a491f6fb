"""Search interleaving on real rankings: whose results do simulated users click, g's or its rival's?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metastudy.abtest.click_users import USERS, user
from metastudy.abtest.interleaving import interleave_many, preference
from metastudy.errors import DataError

COLUMNS = ("comparison", "user", "wins", "losses", "ties", "share", "low", "high", "p")


def read(answer: str) -> tuple[list[str], dict[str, int]]:
    """ "page:grade page:grade ..." as pages, best first, and the grade of each. Raises DataError for another form."""
    pages, grades = [], {}
    for result in answer.split():
        page, colon, grade = result.rpartition(":")
        if not colon or not page or not grade.isdigit():
            raise DataError(f"answer {answer[:60]!r}: {result!r} is no page:grade; run the search notebook again")
        pages.append(page)
        grades[page] = int(grade)
    return pages, grades


def of_method(answers: pd.DataFrame, method: str, seed: int) -> pd.Series:
    """Answers of one trained method by task. Raises DataError where there is none."""
    chosen = answers[(answers["method"] == method) & (answers["seed"] == seed)]
    if chosen.empty:
        found = sorted(set(zip(answers["method"], answers["seed"], strict=True)))
        raise DataError(f"no answers of {method!r} with seed {seed}; there are {found}")
    return chosen.set_index("task")["answer"]


def compare(
    answers: pd.DataFrame, a: tuple[str, int], b: tuple[str, int], n_grades: int, visits: int, seed: int
) -> pd.DataFrame:
    """Two trained methods, each (method, seed), before every kind of user; a query is the unit of the sign test.

    Each query is visited `visits` times, its rankings interleaved anew. Queries with the same ranking by both are ties
    without being asked: a coin would decide them. Raises DataError where the two did not answer the same queries.
    """
    one, other = of_method(answers, *a), of_method(answers, *b)
    if set(one.index) != set(other.index):
        raise DataError(f"{a} and {b} answered different queries; only answers on one frozen list can be compared")
    other = other[one.index]
    pairs, grades = [], []
    for first, second in zip(one, other, strict=True):
        (left, known), (right, more) = read(first), read(second)
        if left != right:
            pairs.append((left, right))
            grades.append(known | more)
    rows = []
    for name in USERS:
        rng = np.random.default_rng([seed, USERS.index(name)])
        outcomes = interleave_many(pairs, grades, user(name, n_grades), rng, visits) if pairs else np.zeros(0, int)
        found = preference(np.concatenate([outcomes, np.zeros(len(one) - len(pairs), int)]))
        shown = f"{label(a, b)} against {label(b, a)}"
        rows.append((shown, name, found.wins, found.losses, found.ties, found.share, found.low, found.high, found.p))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def label(method: tuple[str, int], rival: tuple[str, int]) -> str:
    """The method's name, with its seed where the rival has the same name."""
    return f"{method[0]}, seed {method[1]}" if method[0] == rival[0] else method[0]


def shown(answers: pd.DataFrame, methods: Sequence[tuple[str, int]], shots: int) -> pd.DataFrame:
    """Answers of some trained methods, each (method, seed), at one number of shots, in a fixed order: what the search
    notebook writes down."""
    chosen = answers[answers["shots"] == shots]
    wanted = [pair in set(methods) for pair in zip(chosen["method"], chosen["seed"], strict=True)]
    return chosen[wanted].sort_values(["method", "seed", "task"], kind="stable").reset_index(drop=True)
