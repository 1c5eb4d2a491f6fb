"""Frozen tasks: read back as drawn, refused when edited or met by other data."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from helpers import ToyFamily
from metastudy import task_lists
from metastudy.errors import DataError
from metastudy.families.base import Fold
from metastudy.families.digits import Digits
from metastudy.families.sinusoid import Sinusoid
from metastudy.families.tables import MedicalTables
from metastudy.project import find_root
from metastudy.task_lists import __main__ as command

FAMILY = ToyFamily()
COMMITTED = find_root() / "data" / "tasks" / "quick"


@dataclass(frozen=True)
class OtherData(ToyFamily):
    def content_hash(self) -> str:
        return "f" * 64


@dataclass(frozen=True)
class OtherSplits(ToyFamily):
    def folds(self) -> tuple[Fold, ...]:
        first, *rest = super().folds()
        return replace(first, train=first.train[::-1]), *rest


class Variant(ToyFamily):
    task_list = "toy_small"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = task_lists.write(FAMILY, tmp_path / "new")
    assert path == tmp_path / "new" / "toy.json"
    assert task_lists.read(FAMILY, path.parent) == FAMILY.freeze(np.random.default_rng(task_lists.SEED))


@pytest.mark.parametrize("family", [Digits(n_test=2), MedicalTables(n_test=2), Sinusoid(n_test=3)])
def test_real_lists_come_back_as_plain_numbers(family, tmp_path: Path) -> None:
    found = task_lists.read(family, task_lists.write(family, tmp_path).parent)
    assert found == family.freeze(np.random.default_rng(task_lists.SEED))
    assert all(type(i) is int for spec in found for ids in (*spec.support, spec.query, spec.columns) for i in ids)


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    first, again = (task_lists.write(FAMILY, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == again
    lines = first.decode().splitlines()  # a fold or a task a line
    assert sum(line.startswith('{"id"') for line in lines) == len(FAMILY.freeze(task_lists.rng()))
    assert sum(line.startswith('{"name"') for line in lines) == len(FAMILY.folds())


@pytest.mark.parametrize("edit", ["task", "seed", "hash", "dropped", "added"])
def test_an_edited_list_is_refused(edit: str, tmp_path: Path) -> None:
    path = task_lists.write(FAMILY, tmp_path)
    payload = json.loads(path.read_text())
    if edit == "task":
        payload["tasks"][0]["support"][0][0] += 1
    elif edit == "dropped":
        del payload["tasks"][-1]
    elif edit == "added":
        payload["note"] = "by hand"
    else:
        payload |= {"seed": 1} if edit == "seed" else {"sha256": "0" * 64}
    path.write_text(json.dumps(payload))
    with pytest.raises(DataError, match=r"toy\.json was changed: .* `python -m metastudy\.task_lists`"):
        task_lists.read(FAMILY, tmp_path)


def test_a_list_that_is_no_longer_json_is_refused(tmp_path: Path) -> None:
    path = task_lists.write(FAMILY, tmp_path)
    path.write_text("<<<<<<< ours\n" + path.read_text())
    with pytest.raises(DataError, match=r"toy\.json was changed"):
        task_lists.read(FAMILY, tmp_path)


def test_formatting_is_no_edit(tmp_path: Path) -> None:
    path = task_lists.write(FAMILY, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))
    assert len(task_lists.read(FAMILY, tmp_path)) == 6


def test_other_data_is_refused(tmp_path: Path) -> None:
    task_lists.write(FAMILY, tmp_path)
    with pytest.raises(DataError, match=r"drawn from data with hash toy, found ffffffffffff: .*make env"):
        task_lists.read(OtherData(), tmp_path)


def test_other_splits_are_refused(tmp_path: Path) -> None:
    task_lists.write(FAMILY, tmp_path)
    with pytest.raises(DataError, match=r"toy\.json was drawn for other splits than 'toy' has now"):
        task_lists.read(OtherSplits(), tmp_path)


def test_a_study_may_have_several_lists(tmp_path: Path) -> None:
    assert task_lists.write(Variant(), tmp_path).name == "toy_small.json"
    assert task_lists.read(Variant(), tmp_path) == FAMILY.freeze(np.random.default_rng(task_lists.SEED))


def test_the_command_draws_what_is_asked(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "find_root", lambda: tmp_path)
    assert command.main(["--only", "sinusoid"]) == 0
    assert capsys.readouterr().out == "data/tasks/quick/sinusoid.json: 500 tasks\n"
    assert [p.name for p in (tmp_path / "data/tasks/quick").iterdir()] == ["sinusoid.json"]
    assert command.main(["--profile", "no_such"]) == 2
    assert "expected one of quick, full" in capsys.readouterr().err


def test_a_missing_list_says_how_to_draw_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no task list toy\.json .* `python -m metastudy\.task_lists`"):
        task_lists.read(FAMILY, tmp_path)


@pytest.mark.parametrize("family", [Sinusoid(), Digits(), MedicalTables()], ids=lambda f: f.study)
def test_committed_lists_are_what_is_drawn_today(family) -> None:
    committed = json.loads((COMMITTED / f"{family.study}.json").read_text(encoding="utf-8"))
    assert committed == task_lists.freeze(family)
    assert len(task_lists.read(family, COMMITTED)) == len(committed["tasks"])


@pytest.mark.parametrize("family", [Sinusoid(), Digits(), MedicalTables()], ids=lambda f: f.study)
def test_committed_lists_do_not_depend_on_the_shots_of_a_run(family) -> None:
    few = type(family)(shots=(1, 2))
    assert task_lists.freeze(few) == task_lists.freeze(family)
