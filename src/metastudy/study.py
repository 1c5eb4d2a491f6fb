"""What a notebook calls: its checked parameters, and writing tables, figures and a manifest of how they came.

run = study.start("04_text_summarization", globals())   # right after the tagged parameters cell
run.scores(df, "summarization")
run.figure(fig, "summarization_curves")
run.finish()
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import resource
import sys
import time
import tomllib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from metastudy import parameters as declared
from metastudy import tables
from metastudy.errors import DataError, ParameterError
from metastudy.project import KEY_VARIABLE, STEPS, Project, find_root, sha256, write_atomic
from metastudy.staleness import read_manifest

__all__ = ["STEPS", "Run", "find_root", "results_root", "start"]

LITERALS = (bool, int, float, str, list, dict, type(None))
IPYTHON_NAMES = {"In", "Out", "exit", "quit", "get_ipython", "open"}
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def results_root() -> Path:
    """Where results go: METASTUDY_RESULTS, else results/ in the project."""
    return Project.at().results


def one_thread() -> None:
    """One thread for every library of this process and its workers: float sums then repeat exactly."""
    from threadpoolctl import threadpool_limits

    for variable in THREAD_LIMITS:
        os.environ[variable] = "1"
    threadpool_limits(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def literals(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of a notebook's namespace: what its parameters cell, and papermill, have set."""
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and name not in IPYTHON_NAMES and isinstance(value, LITERALS)
    }


class Run:
    """One execution of a notebook. Files it writes are whole or absent, and listed in its manifest."""

    def __init__(self, step: str, parameters: declared.Parameters, project: Project):
        self.step = step
        self.parameters: Any = parameters  # the notebook's own subclass of Parameters
        self.project = project
        self._started = time.perf_counter()
        self._key = os.environ.get(KEY_VARIABLE)
        self._inputs: dict[str, str] = {}
        self._outputs: dict[str, str] = {}

    @property
    def folder(self) -> Path:
        """results/<profile>, wherever that is on this machine."""
        return self.project.results / self.parameters.profile

    def scores(self, frame: pd.DataFrame, study: str) -> Path:
        """Write raw scores, one row per (study, family, task, method, shots, seed, metric)."""
        content = tables.to_bytes(tables.tidy(frame, "scores", study))
        plain, packed = self._score_paths(study)
        large = len(content) > tables.COMPRESS_ABOVE
        path, other = (packed, plain) if large else (plain, packed)
        other.unlink(missing_ok=True)
        self._outputs.pop(self.project.name(other), None)
        return self._write(path, tables.compress(content) if large else content)

    def table(self, frame: pd.DataFrame, name: str, free: bool = False) -> Path:
        """Write a table: a study table (columns `tables.TABLE`), or of any form with `free=True`."""
        content = tables.to_bytes(tables.tidy(frame, "free" if free else "table", name))
        return self._write(self.folder / "tables" / f"{name}.csv", content)

    def verdicts(self, frame: pd.DataFrame, name: str = "verdicts") -> Path:
        """Write A/B verdicts (columns `tables.VERDICTS`)."""
        content = tables.to_bytes(tables.tidy(frame, "verdicts", name))
        return self._write(self.folder / "tables" / f"{name}.csv", content)

    def figure(self, figure: Figure, name: str) -> Path:
        """Write a PNG that holds no time and no version, so that equal figures are equal bytes."""
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
        return self._write(self.folder / "figures" / f"{name}.png", buffer.getvalue())

    def read_scores(self, study: str) -> pd.DataFrame:
        """Scores that an earlier notebook wrote. Raises DataError naming what to run where there are none."""
        plain, packed = self._score_paths(study)
        return self._read(plain if plain.is_file() or not packed.is_file() else packed, f"scores of {study!r}")

    def read_table(self, name: str) -> pd.DataFrame:
        """A table that an earlier notebook wrote. Raises DataError naming what to run where there is none."""
        return self._read(self.folder / "tables" / f"{name}.csv", f"table {name!r}")

    def input(self, path: Path) -> Path:
        """Record a file of the project that this notebook reads; a change of it makes the notebook stale."""
        if not path.is_file():
            raise DataError(f"input {self.project.name(path)} is missing; expected a file")
        self._inputs[self.project.name(path)] = sha256(path)
        return path

    def finish(self) -> None:
        """Write the manifest and print what was written."""
        outputs = sorted(self._outputs)
        manifest = {
            "step": self.step,
            "parameters": self.parameters.model_dump(),
            "seed": self.parameters.seed,
            "key": self._key,
            "code": code_version(self.project),
            "packages": package_versions(self.project.root),
            "platform": f"{platform.system()} {platform.machine()}",
            "inputs": dict(sorted(self._inputs.items())),
            "outputs": {name: self._outputs[name] for name in outputs},
            "wall_seconds": round(time.perf_counter() - self._started, 2),
            "peak_rss_mb": peak_rss_mb(),
        }
        content = (json.dumps(manifest, indent=2) + "\n").encode()
        write_atomic(self.project.manifest(self.parameters.profile, self.step), content)
        figures = sum(name.endswith(".png") for name in outputs)
        print(f"{len(outputs) - figures} tables, {figures} figures written to results/{self.parameters.profile}")

    def _score_paths(self, study: str) -> tuple[Path, Path]:
        folder = self.folder / "scores"
        return folder / f"{study}.csv", folder / f"{study}.csv.gz"

    def _write(self, path: Path, content: bytes) -> Path:
        """Write and record; the path returned is the portable one, safe to show in a notebook."""
        if not re.fullmatch(r"[a-z0-9_.-]+", path.name):
            raise ParameterError(f"result name {path.name!r}: expected small letters, digits, _ and - only")
        write_atomic(path, content)
        name = self.project.name(path)
        self._outputs[name] = sha256(path)
        return Path(name)

    def _read(self, path: Path, what: str) -> pd.DataFrame:
        if not path.is_file():
            profile = self.parameters.profile
            upstream = self.project.steps.get(self.step, ())
            found = sorted(p.name for p in path.parent.glob("*.csv*")) or ["nothing"]
            raise DataError(
                f"{what} not found in results/{profile}/{path.parent.name} (there: {', '.join(found)}); "
                f"run {' or '.join(upstream) or 'the notebook that writes it'}, "
                f"or `make reproduce PROFILE={profile}`"
            )
        if self.project.name(path) not in self._outputs:
            self._check_origin(path, what)
            self.input(path)
        return pd.read_csv(path)

    def _check_origin(self, path: Path, what: str) -> None:
        """Raises DataError where the manifest of the notebook that wrote a file records another file, or task lists
        that have changed since: numbers on different lists must never be compared."""
        name = self.project.name(path)
        for step in self.project.steps.get(self.step, ()):
            manifest = read_manifest(self.project.manifest(self.parameters.profile, step)) or {}
            recorded = manifest.get("outputs", {}).get(name)
            if recorded is None:
                continue
            inputs = {n: d for n, d in manifest.get("inputs", {}).items() if n.startswith("data/tasks/")}
            for changed, digest in {name: recorded, **inputs}.items():
                file = self.project.path(changed)
                if not file.is_file() or sha256(file) != digest:
                    raise DataError(
                        f"{what} were written by {step} when {changed} had another content; run {step} again, or "
                        f"`make reproduce PROFILE={self.parameters.profile}`"
                    )


def start(step: str, namespace: Mapping[str, Any], project: Project | None = None) -> Run:
    """Check a notebook's parameters and begin its run; call it right after the parameters cell.

    Raises ParameterError for a name that is no declared parameter (a typing error handed in by
    `papermill -p` would otherwise be ignored), a wrong type, or a value out of range.
    """
    values = literals(namespace)
    if any(isinstance(value, Run) for value in namespace.values()):
        # the cell is run again in a live session: later variables of the notebook are no parameters
        known = declared.MODELS[step].model_fields if step in declared.MODELS else {}
        values = {name: value for name, value in values.items() if name in known}
    checked = declared.validate(step, values)
    one_thread()
    return Run(step, checked, project or Project.at())


def code_version(project: Project) -> dict[str, Any]:
    """The commit, and whether anything but results differs from it; None outside a git checkout."""
    commit = project.git("rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "modified": None}
    changes = project.git("status", "--porcelain", "--", ".", ":!results", ":!notebooks/*.ipynb")
    return {"commit": commit.decode().strip(), "modified": bool(changes)}


def package_versions(root: Path) -> dict[str, str]:
    """Versions of Python and of the project's direct dependencies, as installed."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    names = [re.match(r"[\w.-]+", line).group() for line in project.get("dependencies", ())]
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def peak_rss_mb() -> int:
    """The most memory this process, or one of its finished workers, has held."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, kilobytes elsewhere
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(w).ru_maxrss for w in who) * unit / 2**20)
