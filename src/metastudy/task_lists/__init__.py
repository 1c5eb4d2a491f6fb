"""Frozen evaluation tasks: committed lists of ids with a hash, made by one command and refused when they differ.

    python -m metastudy.task_lists --profile quick     draws the lists of a profile anew into data/tasks/<profile>/

A list also holds the splits over tasks (its family's folds) and the hash of the data that its ids refer to.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from metastudy.errors import DataError
from metastudy.families.base import Family, TaskSpec
from metastudy.project import write_atomic

SEED = 20261123  # of the draw; part of the file, never tuned


def rng() -> np.random.Generator:
    """The random stream that all lists are drawn from."""
    return np.random.default_rng(SEED)


def _digest(payload: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_name(family: Family) -> str:
    """The name of the family's list in its profile's folder."""
    return f"{family.task_list or family.study}.json"


def freeze(family: Family) -> dict[str, object]:
    """Draw a family's evaluation tasks; the same data and seed give the same list."""
    specs = family.freeze(rng())
    payload = {
        "study": family.study,
        "seed": SEED,
        "content_hash": family.content_hash(),
        "folds": [asdict(fold) for fold in family.folds()],
        "tasks": [asdict(spec) for spec in specs],
    }
    payload = json.loads(json.dumps(payload))  # tuples become lists, as they will be read
    return payload | {"sha256": _digest(payload)}


def _lines(rows: object) -> str:
    """A list as JSON, one element a line so that a change shows in a diff."""
    return "[\n" + ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows) + "\n]"


def write(family: Family, folder: Path) -> Path:
    """Freeze and write one list, a fold or a task a line."""
    lines = [
        f"{json.dumps(k)}: {_lines(v) if isinstance(v, list) else json.dumps(v)}" for k, v in freeze(family).items()
    ]
    path = folder / file_name(family)
    write_atomic(path, ("{\n" + ",\n".join(lines) + "}\n").encode())
    return path


def read(family: Family, folder: Path) -> list[TaskSpec]:
    """The frozen tasks of a family.

    Raises DataError where the file is missing, was edited, or was drawn from other data than is installed.
    """
    path = folder / file_name(family)
    again = "draw it anew with `python -m metastudy.task_lists` if the change is meant"
    if not path.exists():
        raise DataError(f"no task list {path.name} in data/tasks; expected one for study {family.study!r}: {again}")
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"task list {path.name} was changed: it cannot be read as JSON ({error}); {again}") from error
    recorded = payload.pop("sha256", None)
    if _digest(payload) != recorded:
        raise DataError(f"task list {path.name} was changed: its content does not match its sha256; {again}")
    folds = json.loads(json.dumps([asdict(fold) for fold in family.folds()]))
    if payload.get("folds") != folds:
        raise DataError(f"task list {path.name} was drawn for other splits than {family.study!r} has now; {again}")
    found = family.content_hash()
    if payload["content_hash"] != found:
        raise DataError(
            f"task list {path.name} was drawn from data with hash {payload['content_hash'][:12]}, found {found[:12]}: "
            f"install the pinned packages (`make env`) and the registered files (`make data`), or {again}"
        )
    return [
        TaskSpec(
            id=t["id"],
            family=t["family"],
            fold=t["fold"],
            support=tuple(tuple(ids) for ids in t["support"]),
            query=tuple(t["query"]),
            columns=tuple(t["columns"]),
        )
        for t in payload["tasks"]
    ]
