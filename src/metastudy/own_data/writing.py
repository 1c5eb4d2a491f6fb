"""What a comparison leaves in its folder: scores, table, figure, page, and a manifest that says how they came."""

from __future__ import annotations

import hashlib
import json
import platform
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from metastudy import tables
from metastudy.errors import DataError, ParameterError
from metastudy.own_data import drawing, page
from metastudy.own_data.keeping import FOLDER
from metastudy.project import Project, sha256, write_atomic
from metastudy.study import code_version, package_versions

if TYPE_CHECKING:
    from metastudy.own_data.comparing import Compared

MANIFEST = "manifest.json"
SCORES, TABLE, FIGURE, PAGE, DRAWS = "scores.csv", "summary.csv", "figure.png", "report.html", "draws.csv"


def check_folder(folder: Path) -> None:
    """Raises ParameterError where something else would be overwritten: only an earlier comparison may be."""
    if folder.is_file():
        raise ParameterError(f"--out {folder.name} is a file; expected a folder, which may not exist yet")
    if folder.is_dir() and {p.name for p in folder.iterdir()} - {FOLDER} and not (folder / MANIFEST).is_file():
        raise ParameterError(f"--out {folder.name} holds files, but no earlier comparison; name another folder")


def write(found: Compared) -> None:
    """Write all files, each whole; the manifest last, so that a folder without one is no comparison."""
    figure = BytesIO()
    drawing.draw(found.prepared, found.table).savefig(
        figure, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None}
    )
    contents = {
        SCORES: tables.to_bytes(tables.tidy(found.scores, "scores", found.prepared.family.study)),
        TABLE: tables.to_bytes(found.table),
        DRAWS: tables.to_bytes(_draws(found)),
        FIGURE: figure.getvalue(),
        PAGE: page.page(found, figure.getvalue()).encode(),
    }
    (found.folder / MANIFEST).unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomic(found.folder / name, content)
    outputs = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifest = json.dumps(_manifest(found) | {"outputs": outputs}, indent=2) + "\n"
    write_atomic(found.folder / MANIFEST, manifest.encode())


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A CSV, whole or not at all. Raises DataError where its folder does not exist."""
    if not path.resolve().parent.is_dir():
        raise DataError(f"--out {path.name}: its folder does not exist; make it first")
    write_atomic(path, tables.to_bytes(table))


def _draws(found: Compared) -> pd.DataFrame:
    """Which examples each task had, so that anybody can build it again."""
    rows = [(s.id, s.family, " ".join(map(str, ids)), c) for s in found.specs for c, ids in enumerate(s.support)]
    return pd.DataFrame(rows, columns=["task", "family", "support", "class"])


def _manifest(found: Compared) -> dict[str, object]:
    project, options = Project.at(), found.options.model_dump(mode="json")
    return {
        "kind": found.kind,
        "options": options | {"path": found.options.path.name, "out": None},
        "data": {name: sha256(path) for name, path in _files(found.options.path)},
        "content": found.prepared.family.content_hash(),
        "read": dict(found.prepared.facts),
        "methods": [m.name for m in found.prepared.methods],
        "reference": found.prepared.reference,
        "metric": found.prepared.metric,
        "advice": [a.sentence for a in found.advice],
        "notes": list(found.notes),
        "code": code_version(project),
        "packages": package_versions(project.root),
        "platform": f"{platform.system()} {platform.machine()}",
        "seconds": round(found.seconds, 1),
        "seconds_of_methods": {m: {"fit": round(t.fit, 2), "draw": round(t.draw, 3)} for m, t in found.took.items()},
    }


def _files(path: Path) -> list[tuple[str, Path]]:
    files = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
    return [(p.relative_to(path).as_posix() if path.is_dir() else p.name, p) for p in files]
