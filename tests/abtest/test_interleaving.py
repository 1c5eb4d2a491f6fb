"""Interleaving is fair to both rankers, users click as their probabilities say, and queries are what is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metastudy.abtest.click_users import USERS, CascadeUser, user
from metastudy.abtest.interleaving import credit, interleave_many, preference, team_draft
from metastudy.errors import DataError, ParameterError

DOCUMENTS = list(range(20))
rankings = st.permutations(range(7)).map(list)


class Coin:
    """Stands in for a generator: the coin falls as told."""

    def __init__(self, *falls: int) -> None:
        self.falls = list(falls)

    def integers(self, sides: int) -> int:
        assert sides == 2
        return self.falls.pop(0)


def test_drafts_by_hand() -> None:
    a, b = ["x", "y", "z", "w"], ["y", "u", "x", "v"]
    # a takes x, b its best, y; b takes u, a its best that is left, z; a takes w and has nothing left: the end
    shown, teams = team_draft(a, b, Coin(0, 1, 0))
    assert shown == ["x", "y", "u", "z", "w"] and teams.tolist() == [0, 1, 1, 0, 0]
    # b takes y, a x; b takes u, a z; b takes v and has nothing left
    shown, teams = team_draft(a, b, Coin(1, 1, 1))
    assert shown == ["y", "x", "u", "z", "v"] and teams.tolist() == [1, 0, 1, 0, 1]
    shown, teams = team_draft(a, b, Coin(1, 0), depth=3)
    assert shown == ["y", "x", "z"] and teams.tolist() == [1, 0, 0]
    assert team_draft(["x"], ["x"], Coin(1))[0] == ["x"]


@settings(max_examples=60, deadline=None)
@given(rankings, rankings, st.integers(0, 1000))
def test_each_pick_is_the_best_that_its_ranker_has_left(a, b, seed) -> None:
    shown, teams = team_draft(a, b, np.random.default_rng(seed))
    assert sorted(shown) == list(range(7))
    for i, (document, team) in enumerate(zip(shown, teams, strict=True)):
        assert document == next(d for d in (a, b)[team] if d not in shown[:i])
        assert abs(int((teams[: i + 1] == 0).sum()) - int((teams[: i + 1] == 1).sum())) <= 1
    assert team_draft(a, b, np.random.default_rng(seed), depth=4)[0] == shown[:4]


def test_either_ranker_leads_as_often() -> None:
    rng = np.random.default_rng(0)
    first = np.array([team_draft([1, 2, 3], [3, 2, 1], rng)[1] for _ in range(1000)])
    for position in range(3):
        assert stats.binomtest(int(first[:, position].sum()), 1000).pvalue > 0.001


def test_clicks_follow_the_cascade() -> None:
    """P(reach i) is the product of 1 - click · stop over the places above, P(click i) that times click."""
    visitor = CascadeUser({0: 0.3, 1: 0.8}, {0: 0.2, 1: 0.6})
    grades, rng = [1, 0, 1, 1, 0], np.random.default_rng(0)
    clicked = np.array([visitor.clicks(grades, rng) for _ in range(6000)])
    reach = 1.0
    for i, grade in enumerate(grades):
        click, stop = visitor.click[grade], visitor.stop[grade]
        assert stats.binomtest(int(clicked[:, i].sum()), 6000, reach * click).pvalue > 0.001
        reach *= 1 - click * stop


def test_users_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    assert user("perfect").clicks([0, 1, 1, 0, 1], rng).tolist() == [False, True, True, False, True]
    assert user("navigational") == CascadeUser({0: 0.05, 1: 0.95}, {0: 0.2, 1: 0.9})
    assert user("informational", 3).click == {0: 0.4, 1: 0.7, 2: 0.9}
    assert list(user("informational", 5).stop.values()) == [0.1, 0.2, 0.3, 0.4, 0.5]
    for name in USERS:
        for grades in (2, 3, 5):
            found = user(name, grades)
            ends = user(name, 2)  # more grades only fill in between the two
            assert (found.click[0], found.click[grades - 1]) == (ends.click[0], ends.click[1])
            assert (found.stop[0], found.stop[grades - 1]) == (ends.stop[0], ends.stop[1])
            assert list(found.click.values()) == sorted(found.click.values()) and list(found.click) == list(
                range(grades)
            )
    always = CascadeUser({0: 0.5, 1: 0.5}, {0: 1, 1: 1})  # the cascade of Craswell et al. has one click
    assert max(always.clicks([1] * 10, rng).sum() for _ in range(50)) == 1


def test_credit_by_hand() -> None:
    teams = np.array([0, 1, 1, 0, 0])
    assert credit(teams, np.array([1, 0, 0, 0, 1])) == 2 and credit(teams, np.array([0, 1, 0, 1, 0])) == 0
    assert credit(teams, np.array([1, 1, 1, 0, 0])) == -1 and credit(teams, np.zeros(5)) == 0


def test_preference_by_hand() -> None:
    found = preference([3, 1, 1, 2, 1, 1, 1, 5, -1, -4, 0, 0])
    assert (found.wins, found.losses, found.ties, found.share) == (8, 2, 2, 0.8)
    assert found.p == pytest.approx(2 * (45 + 10 + 1) / 1024)  # 8, 9 or 10 of 10, on either side
    assert found.delta == pytest.approx(9 / 12 - 0.5)
    z, n = 1.959964, 10
    centre, half = (0.8 + z**2 / 20) / (1 + z**2 / n), z / (1 + z**2 / n) * (0.16 / n + z**2 / 400) ** 0.5
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    turned = preference([-1] * 8 + [1] * 2 + [0] * 2)
    assert (turned.share, turned.p, turned.delta) == pytest.approx((0.2, found.p, -found.delta))
    narrow = preference([1, 1, -1], confidence=0.5)
    assert preference([1, 1, -1]).low < narrow.low < 2 / 3


def test_nothing_decided() -> None:
    found = preference([0, 0, 0])
    assert np.isnan(found.share) and (found.low, found.high, found.p, found.delta) == (0, 1, 1, 0)
    blind = [{0: 0, 1: 0}] * 4
    credits = interleave_many([([0, 1], [1, 0])] * 4, blind, user("perfect"), np.random.default_rng(0))
    assert credits.tolist() == [0] * 4


def queries(n: int, noise: tuple[float, float], rng: np.random.Generator):
    """Rankings a and b of n queries that see each document's grade through noise, and the grades."""
    grades = [dict(zip(DOCUMENTS, map(int, rng.random(20) < 0.25), strict=True)) for _ in range(n)]

    def ranking(judged: dict[int, int], sd: float) -> list[int]:
        seen = [-judged[d] + rng.normal(0, sd) for d in DOCUMENTS]
        return sorted(DOCUMENTS, key=seen.__getitem__)

    return [(ranking(g, noise[0]), ranking(g, noise[1])) for g in grades], grades


@pytest.mark.parametrize("name", ["perfect", "navigational", "informational"])
def test_the_clearly_better_ranker_wins(name: str) -> None:
    rng = np.random.default_rng(0)
    pairs, grades = queries(100, (0.2, 3.0), rng)
    found = preference(interleave_many(pairs, grades, user(name), rng, visits=4))
    assert found.low > 0.55 and found.p < 0.01 and found.delta > 0.1
    turned = preference(interleave_many([(b, a) for a, b in pairs], grades, user(name), rng, visits=4))
    assert turned.high < 0.45


@pytest.mark.parametrize(("name", "noise"), [("random", (0.2, 3.0)), ("navigational", (1.0, 1.0)), ("perfect", None)])
def test_without_a_preference_rankers_win_alike(name: str, noise: tuple[float, float] | None) -> None:
    """A blind user, two rankers of equal skill, and one ranking against itself: p below .05 in few of 60 studies."""
    rng, p, wins = np.random.default_rng(1), [], np.zeros(2)
    for _ in range(60):
        pairs, grades = queries(25, noise or (0.5, 0.5), rng)
        found = preference(
            interleave_many([(a, a) for a, _ in pairs] if noise is None else pairs, grades, user(name), rng)
        )
        p.append(found.p)
        wins += found.wins, found.losses
    assert np.sum(np.array(p) < 0.05) <= stats.binom.ppf(0.999, 60, 0.05)
    assert wins.min() > 200 and stats.binomtest(int(wins[0]), int(wins.sum())).pvalue > 0.001


def test_visits_of_a_query_are_added_and_unjudged_documents_have_grade_zero() -> None:
    # a shows the only relevant document, b never: each visit's click is a's
    pairs = [(["hit", "x", "y"], ["u", "v", "w"])]
    credits = interleave_many(pairs, [{"hit": 1}], user("perfect"), np.random.default_rng(0), visits=7)
    assert credits.tolist() == [7]
    deep = [(["x", "y", "z", "hit"], ["u", "v", "w", "t"])]
    assert interleave_many(deep, [{"hit": 1}], user("perfect"), np.random.default_rng(0), depth=6).tolist() == [0]
    one, two = (interleave_many(*queries(9, (0.5, 2), np.random.default_rng(3)), user("random"),
                                np.random.default_rng(s)) for s in (4, 4))  # fmt: skip
    assert one.tolist() == two.tolist()


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: team_draft([], [1], RNG), DataError, "ranking a of 0 documents is empty"),
        (lambda: team_draft([1], [1, 2, 1], RNG), DataError, "ranking b of 3 documents is empty or repeats"),
        (lambda: team_draft([1], [1], RNG, depth=0), ParameterError, "depth is 0"),
        (lambda: CascadeUser({0: 1.2}, {0: 0}), ParameterError, r"click probabilities \{0: 1.2\}"),
        (lambda: CascadeUser({0: 0.5}, {0: float("nan")}), ParameterError, "stop probabilities"),
        (lambda: CascadeUser({0: 0.5, 1: 1}, {0: 0}), ParameterError, r"grades \[0, 1\] to click, \[0\] to stop"),
        (lambda: CascadeUser({}, {}), ParameterError, "expected the same"),
        (lambda: user("perfect").clicks([0, 2], RNG), DataError, r"grades \[2\] have no click probability"),
        (lambda: user("perfect", 4), ParameterError, "no user 'perfect' for 4 grades"),
        (lambda: user("bored"), ParameterError, "no user 'bored'"),
        (lambda: credit(np.zeros(2), np.zeros(3)), DataError, r"\(2,\) picks and \(3,\) clicks"),
        (lambda: preference([]), DataError, r"outcomes have shape \(0,\)"),
        (lambda: preference([1, np.nan]), DataError, "one finite number"),
        (lambda: preference([1], confidence=95), ParameterError, "confidence is 95"),
        (lambda: interleave_many([], [], user("perfect"), RNG), DataError, "0 pairs"),
        (lambda: interleave_many([([1], [1])], [], user("perfect"), RNG), DataError, "1 pairs of rankings and 0"),
        (lambda: interleave_many([([1], [1])], [{}], user("perfect"), RNG, visits=0), ParameterError, "0 visits"),
    ],
)
def test_what_cannot_be_interleaved_is_refused(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
