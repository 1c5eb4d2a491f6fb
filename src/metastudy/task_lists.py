"""Frozen evaluation tasks: committed lists of ids with a hash, made by one command and refused when they differ.

`python -m metastudy.task_lists` draws the lists of the quick profile anew into `data/tasks/quick/`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from metastudy.errors import DataError
from metastudy.families.base import Family, TaskSpec

SEED = 20261123  # of the draw; part of the file, never tuned


def rng() -> np.random.Generator:
    """The random stream that all lists are drawn from."""
    return np.random.default_rng(SEED)


def _digest(payload: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def freeze(family: Family) -> dict[str, object]:
    """Draw a family's evaluation tasks; the same data and seed give the same list."""
    specs = family.freeze(rng())
    payload = {
        "study": family.study,
        "seed": SEED,
        "content_hash": family.content_hash(),
        "tasks": [asdict(spec) for spec in specs],
    }
    payload = json.loads(json.dumps(payload))  # tuples become lists, as they will be read
    return payload | {"sha256": _digest(payload)}


def write(family: Family, folder: Path) -> Path:
    """Freeze and write one list, one task per line so that a change shows in a diff."""
    payload = freeze(family)
    tasks = ",\n".join(json.dumps(t, ensure_ascii=False, separators=(",", ":")) for t in payload.pop("tasks"))
    head = json.dumps(payload, indent=1, ensure_ascii=False)[:-2]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{family.study}.json"
    path.write_text(f'{head},\n "tasks": [\n{tasks}\n]}}\n', encoding="utf-8")
    return path


def read(family: Family, folder: Path) -> list[TaskSpec]:
    """The frozen tasks of a family.

    Raises DataError where the file is missing, was edited, or was drawn from other data than is installed.
    """
    path = folder / f"{family.study}.json"
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
    found = family.content_hash()
    if payload["content_hash"] != found:
        raise DataError(
            f"task list {path.name} was drawn from data with hash {payload['content_hash'][:12]}, found {found[:12]}: "
            f"install the pinned packages (`make env`), or {again}"
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


def main() -> None:
    """Draw the lists of the quick profile anew."""
    from metastudy.families.digits import Digits
    from metastudy.families.search import DocumentationSearch
    from metastudy.families.sinusoid import Sinusoid
    from metastudy.families.summarization import DocumentationSummaries
    from metastudy.families.tables import MedicalTables
    from metastudy.project import find_root
    from metastudy.study import one_thread

    one_thread()
    for family in (Sinusoid(), Digits(), DocumentationSummaries(), MedicalTables(), DocumentationSearch()):
        path = write(family, find_root() / "data" / "tasks" / "quick")
        print(f"data/tasks/quick/{path.name}: {len(read(family, path.parent))} tasks")


if __name__ == "__main__":
    main()
