"""Which of two rankings do users prefer? Team-draft interleaving and the sign test over queries.

Team draft: Radlinski, Kurup and Joachims (2008, CIKM, "How does clickthrough data reflect retrieval quality?").
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from metastudy.abtest.click_users import CascadeUser
from metastudy.errors import DataError, ParameterError

Ranking = Sequence[Hashable]
A, B = 0, 1  # the teams


def team_draft(
    a: Ranking, b: Ranking, rng: np.random.Generator, depth: int | None = None
) -> tuple[list[Hashable], np.ndarray]:
    """Interleave two rankings: documents in the order shown, (n,), and whose pick each was, (n,) of 0 (a) and 1 (b).

    The team with fewer picks chooses its highest document not yet taken; a fair coin decides between equals. As in
    the paper, it ends once either ranking has no document left to pick, or at `depth` documents.

    Raises DataError for an empty ranking or one that names a document twice, ParameterError for depth < 1.
    """
    if depth is not None and depth < 1:
        raise ParameterError(f"depth is {depth}; expected 1 or more documents to show, or None for all")
    for name, ranking in (("a", a), ("b", b)):
        if not len(ranking) or len(set(ranking)) < len(ranking):
            raise DataError(f"ranking {name} of {len(ranking)} documents is empty or repeats one; expected each once")
    left = [list(reversed(a)), list(reversed(b))]  # the best at the end, where it can be popped
    shown: dict[Hashable, int] = {}
    counts = [0, 0]
    while True:
        for ranking in left:
            while ranking and ranking[-1] in shown:
                ranking.pop()
        if not (left[A] and left[B]) or len(shown) == depth:
            return list(shown), np.array(list(shown.values()), dtype=np.int64)
        team = int(rng.integers(2)) if counts[A] == counts[B] else int(counts[B] < counts[A])
        shown[left[team].pop()] = team
        counts[team] += 1


def credit(teams: np.ndarray, clicked: np.ndarray) -> int:
    """Clicks on a's picks minus clicks on b's, of one visit; both (n,). Raises DataError for unequal lengths."""
    teams, clicked = np.asarray(teams), np.asarray(clicked, dtype=bool)
    if teams.shape != clicked.shape:
        raise DataError(f"{teams.shape} picks and {clicked.shape} clicks; expected one of each for each document")
    return int((teams[clicked] == A).sum() - (teams[clicked] == B).sum())


@dataclass(frozen=True)
class Preference:
    """Queries that preferred a (wins), b (losses) or neither (ties).

    `share` of the wins among decided queries, with its Wilson interval `low` to `high`, and the two-sided sign test's
    exact p. `delta` counts ties as half: (wins + ties / 2) / queries - 1/2, above 0 where a is preferred (Chapelle,
    Joachims, Radlinski and Yue 2012). Without a decided query share is nan, the interval 0 to 1 and p 1.
    """

    wins: int
    losses: int
    ties: int
    share: float
    low: float
    high: float
    p: float

    @property
    def delta(self) -> float:
        """Preference for a between -1/2 and 1/2, ties counted as half."""
        return (self.wins + self.ties / 2) / (self.wins + self.losses + self.ties) - 0.5


def preference(outcomes: Sequence[int] | np.ndarray, confidence: float = 0.95) -> Preference:
    """Sign test over queries, (n,): above 0 a won, below 0 b won, 0 a tie. Raises DataError where there is none."""
    outcomes = np.asarray(outcomes, dtype=float)
    if outcomes.ndim != 1 or not len(outcomes) or not np.isfinite(outcomes).all():
        raise DataError(
            f"outcomes have shape {outcomes.shape}; expected one finite number for each of 1 or more queries"
        )
    if not 0 < confidence < 1:
        raise ParameterError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
    wins, losses = int((outcomes > 0).sum()), int((outcomes < 0).sum())
    ties = len(outcomes) - wins - losses
    if wins + losses == 0:
        return Preference(wins, losses, ties, float("nan"), 0.0, 1.0, 1.0)
    test = stats.binomtest(wins, wins + losses, 0.5)
    ends = test.proportion_ci(confidence, method="wilson")
    share = wins / (wins + losses)
    return Preference(wins, losses, ties, share, float(ends.low), float(ends.high), float(test.pvalue))


def interleave_many(
    pairs: Sequence[tuple[Ranking, Ranking]],
    grades: Sequence[Mapping[Hashable, int]],
    visitor: CascadeUser,
    rng: np.random.Generator,
    visits: int = 1,
    depth: int = 10,
) -> np.ndarray:
    """Credit of each query, (queries,) of int: above 0 the visitors of that query preferred a; see `preference`.

    `pairs` holds rankings a and b of each query, `grades` its judged documents (others have grade 0). Each query is
    drafted anew for each of `visits` and cut at `depth` documents. Credits of one query are added, because a query and
    not a visit is the unit that the sign test may count. Equal rankings still give wins and losses, by the coin alone.

    Raises DataError for unequal lengths or no query, ParameterError for visits < 1, and what `team_draft` and
    `CascadeUser.clicks` raise.
    """
    if len(pairs) != len(grades) or not len(pairs):
        raise DataError(
            f"{len(pairs)} pairs of rankings and {len(grades)} sets of grades; expected one of each a query"
        )
    if visits < 1:
        raise ParameterError(f"{visits} visits; expected 1 or more of each query")
    total = np.zeros(len(pairs), dtype=np.int64)
    for i, ((a, b), judged) in enumerate(zip(pairs, grades, strict=True)):
        for _ in range(visits):
            shown, teams = team_draft(a, b, rng, depth)
            seen = [judged.get(document, 0) for document in shown]
            total[i] += credit(teams, visitor.clicks(seen, rng))
    return total
