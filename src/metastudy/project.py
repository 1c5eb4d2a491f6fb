"""Where a study lives on disk, and which notebook needs which. Light to import: standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from metastudy.errors import DataError, ParameterError

STEPS: dict[str, tuple[str, ...]] = {
    "00_start_here": (),
    "01_data_preparation": (),
    "02_base_model": (),
    "03_meta_training": (),
    "04_text_summarization": ("01_data_preparation",),
    "05_medical_diagnosis": ("01_data_preparation",),
    "06_semantic_search": ("01_data_preparation",),
    "07_ab_comparison": (
        "03_meta_training",
        "04_text_summarization",
        "05_medical_diagnosis",
        "06_semantic_search",
    ),
    "08_your_own_data": (),
}
"""Notebook to the notebooks whose results it reads; written in an order in which they can run."""

MARKER = "pyproject.toml"
KEY_VARIABLE = "METASTUDY_STEP_KEY"
"""Set by `make reproduce` for the notebook it runs; a run by hand has no key and is never taken for fresh."""


def find_root() -> Path:
    """The project's folder: METASTUDY_ROOT, else the first folder with a pyproject.toml above this file,
    else above the working directory. Raises DataError where none has one."""
    if named := os.environ.get("METASTUDY_ROOT"):
        return Path(named).resolve()
    for start in (Path(__file__).resolve(), Path.cwd() / "here"):
        for folder in start.parents:
            if (folder / MARKER).is_file():
                return folder
    raise DataError(f"no {MARKER} above this package or the working directory; run inside a clone of the project")


@dataclass(frozen=True)
class Project:
    """One checkout: its root, where results go, and its graph of notebooks.

    Files inside `results` are named "results/<profile>/..." everywhere, wherever that folder really is.
    """

    root: Path
    results: Path
    steps: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType(STEPS))

    @classmethod
    def at(cls, root: Path | None = None, steps: Mapping[str, tuple[str, ...]] | None = None) -> Project:
        """The project at `root` (default: found); results go to METASTUDY_RESULTS where that is set."""
        root = root or find_root()
        results = Path(os.environ.get("METASTUDY_RESULTS") or root / "results").resolve()
        return cls(root, results, steps or MappingProxyType(STEPS))

    def notebook(self, step: str) -> Path:
        return self.root / "notebooks" / f"{step}.ipynb"

    def executed(self, profile: str, step: str) -> Path:
        return self.results / profile / "notebooks" / f"{step}.ipynb"

    def failed(self, profile: str, step: str) -> Path:
        return self.results / profile / "notebooks" / f"{step}.failed.ipynb"

    def manifest(self, profile: str, step: str) -> Path:
        return self.results / profile / "manifests" / f"{step}.json"

    def profiles(self) -> list[str]:
        """Names of the profiles that have a parameter file."""
        folder = self.root / "notebooks" / "parameters"
        return sorted(p.stem for p in folder.glob("*.yaml") if not p.stem.startswith("plan"))

    def name(self, path: Path) -> str:
        """A file's portable name: relative to the root, or "results/..."."""
        path = path.resolve()
        if path.is_relative_to(self.results):
            return f"results/{path.relative_to(self.results).as_posix()}"
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        raise DataError(f"{path.name} lies outside the project; keep inputs and outputs under its root")

    def path(self, name: str) -> Path:
        """The file of a portable name."""
        if name.startswith("results/"):
            return self.results / name.removeprefix("results/")
        return self.root / name

    def check_step(self, step: str) -> None:
        """Raises ParameterError where no such notebook is declared."""
        if step not in self.steps:
            raise ParameterError(f"step {step!r} is unknown; expected one of {', '.join(self.steps)}")

    def git(self, *arguments: str) -> bytes | None:
        """What `git` prints, run in the root; None where it fails (no checkout, no git, no such object)."""
        try:
            done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes) -> None:
    """All of `content` or nothing, even when the process is killed: a temporary neighbour, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
