"""Interleaving on written answers: paired, by query, and even where nobody should be preferred."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metastudy import clicks
from metastudy.errors import DataError

PAGES = [f"page{i}" for i in range(12)]


def answer(order: list[int], relevant: set[int]) -> str:
    return " ".join(f"{PAGES[i]}:{2 if i in relevant else 0}" for i in order)


def answers(queries: int = 60) -> pd.DataFrame:
    """ "good" has the two relevant pages first, "bad" last; "good" has two seeds, which differ in irrelevant pages."""
    rng = np.random.default_rng(0)
    rows = []
    for q in range(queries):
        irrelevant = rng.permutation(np.arange(2, 10)).tolist()
        for method, seed, order in (
            ("good", 0, [0, 1, *irrelevant]),
            ("good", 1, [1, 0, *irrelevant[::-1]]),
            ("bad", 0, [*irrelevant, 0, 1]),
        ):
            rows.append(("f", f"f/0:q{q}", method, 10, seed, answer(order, {0, 1})))
    return pd.DataFrame(rows, columns=["family", "task", "method", "shots", "seed", "answer"])


def test_an_answer_is_read_as_pages_and_grades() -> None:
    assert clicks.read("a.b:2 c:0 d:e:1") == (["a.b", "c", "d:e"], {"a.b": 2, "c": 0, "d:e": 1})
    for wrong in ("a", "a:", ":1", "a:x", "a:1 b"):
        with pytest.raises(DataError, match="no page:grade"):
            clicks.read(wrong)


def test_users_who_see_relevance_prefer_the_better_ranker_and_one_who_does_not_prefers_none() -> None:
    found = clicks.compare(answers(), ("good", 0), ("bad", 0), n_grades=3, visits=5, seed=0).set_index("user")
    assert list(found.columns) == [c for c in clicks.COLUMNS if c != "user"]
    assert set(found["comparison"]) == {"good against bad"}
    assert (found[["wins", "losses", "ties"]].sum(axis=1) == 60).all()
    for name in ("perfect", "navigational", "informational"):
        assert found.loc[name, "low"] > 0.5 and found.loc[name, "p"] < 0.001
    assert found.loc["random", "low"] < 0.5 < found.loc["random", "high"]
    back = clicks.compare(answers(), ("bad", 0), ("good", 0), n_grades=3, visits=5, seed=0).set_index("user")
    assert back.loc["perfect", "high"] < 0.5


def test_a_method_against_itself_is_even_and_equal_rankings_are_ties() -> None:
    found = clicks.compare(answers(), ("good", 0), ("good", 1), n_grades=3, visits=1, seed=0)
    assert set(found["comparison"]) == {"good, seed 0 against good, seed 1"}
    assert ((found["low"] < 0.5) & (found["high"] > 0.5)).all()
    same = clicks.compare(answers(), ("good", 0), ("good", 0), n_grades=3, visits=1, seed=0)
    assert (same["ties"] == 60).all() and (same["p"] == 1).all()


def test_the_same_seed_gives_the_same_clicks() -> None:
    one, two, three = (clicks.compare(answers(), ("good", 0), ("bad", 0), 3, 1, seed) for seed in (0, 0, 1))
    assert one.equals(two) and not one.equals(three)


def test_methods_that_answered_other_queries_cannot_be_compared() -> None:
    table = answers()
    with pytest.raises(DataError, match="answered different queries"):
        clicks.compare(
            table[(table["method"] != "bad") | (table["task"] != "f/0:q3")], ("good", 0), ("bad", 0), 3, 1, 0
        )
    with pytest.raises(DataError, match="no answers of 'bad' with seed 1"):
        clicks.compare(table, ("good", 0), ("bad", 1), 3, 1, 0)


def test_only_what_is_asked_is_written_down() -> None:
    table = pd.concat([answers(2), answers(2).assign(shots=5), answers(2).assign(method="other")])
    found = clicks.shown(table.sample(frac=1, random_state=0), [("good", 1), ("bad", 0)], 10)
    assert set(zip(found["method"], found["seed"], strict=True)) == {("good", 1), ("bad", 0)}
    assert set(found["shots"]) == {10} and len(found) == 4
    assert found[["method", "seed", "task"]].apply(tuple, axis=1).is_monotonic_increasing
