"""Parameters are strict: a wrong name, type or value is refused in one message that helps."""

from __future__ import annotations

from typing import Any

import pytest

from metastudy import parameters
from metastudy.errors import ParameterError
from metastudy.project import STEPS


class Toy(parameters.Parameters):
    shots: parameters.Counts
    rate: float


GOOD: dict[str, Any] = {"profile": "quick", "seed": 0, "jobs": 1, "shots": [1, 5], "rate": 0.5}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parameters.MODELS, "99_toy", Toy)


def test_good_values_come_back_typed() -> None:
    checked = parameters.validate("99_toy", GOOD)
    assert (checked.seed, checked.shots, checked.rate) == (0, [1, 5], 0.5)
    assert parameters.validate("99_toy", {**GOOD, "rate": 1}).rate == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 3}, "unknown parameter 'sed'; did you mean 'seed'"),
        ({"seed": "3"}, "seed = '3' (str)"),
        ({"seed": True}, "seed = True (bool)"),
        ({"seed": 3.0}, "seed = 3.0 (float)"),
        ({"seed": -1}, "seed = -1 (int)"),
        ({"jobs": 0}, "jobs = 0 (int)"),
        ({"shots": [1, "5"]}, "shots[1] = '5' (str)"),
        ({"shots": [True]}, "shots[0] = True (bool)"),
        ({"shots": []}, "shots = []"),
        ({"shots": 5}, "shots = 5 (int)"),
        ({"rate": None}, "rate = None"),
        ({"rate": float("nan")}, "rate = nan"),
        ({"profile": "../up"}, "profile = '../up'"),
    ],
)
def test_bad_values_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters.validate("99_toy", {**GOOD, **change})
    assert message in str(caught.value)
    assert "Valid parameters: profile, seed, jobs, shots, rate" in str(caught.value)


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ParameterError, match="'rate' is missing"):
        parameters.validate("99_toy", {k: v for k, v in GOOD.items() if k != "rate"})


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ParameterError, match=r"seed = 'x'.*unknown parameter 'shot'"):
        parameters.validate("99_toy", {**GOOD, "seed": "x", "shot": [1]})


def test_an_unknown_notebook_is_refused() -> None:
    with pytest.raises(ParameterError, match="did you mean '99_toy'"):
        parameters.validate("99_tpy", GOOD)


def test_every_notebook_has_a_model() -> None:
    assert set(STEPS) == set(parameters.MODELS) - {"99_toy"}
