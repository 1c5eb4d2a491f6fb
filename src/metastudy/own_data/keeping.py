"""What a comparison has finished, kept until it is written: one that was interrupted goes on with the next method."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import pandas as pd

from metastudy.families.base import TaskSpec
from metastudy.methods import Method
from metastudy.own_data.kind import Prepared
from metastudy.project import Project, sha256, write_atomic
from metastudy.staleness import code_hash

if TYPE_CHECKING:
    from metastudy.own_data.running import Took

FOLDER = ".partial"


class Kept:
    """Scores of finished methods in `folder`/.partial, each under a hash of all that they depend on."""

    def __init__(self, folder: Path, prepared: Prepared, specs: Sequence[TaskSpec], seed: int) -> None:
        self.folder = folder / FOLDER
        models = sorted((Project.at().results / "full" / "models").glob("*_g*.safetensors"))
        parts = (
            repr(prepared.family), prepared.family.content_hash(), prepared.config, tuple(specs), seed,
            [sha256(path) for path in models],
            code_hash("metastudy.own_data.running", *_modules(prepared)),
        )  # fmt: skip
        self._common = hashlib.sha256(repr(parts).encode()).hexdigest()

    def _path(self, method: Method) -> Path:
        return self.folder / f"{hashlib.sha256(f'{self._common}{method!r}'.encode()).hexdigest()[:20]}.joblib"

    def get(self, method: Method) -> tuple[pd.DataFrame, Took] | None:
        """What `put` kept, if anything."""
        path = self._path(method)
        return joblib.load(path) if path.is_file() else None

    def put(self, method: Method, scores: pd.DataFrame, took: Took) -> None:
        """Keep all scores of a method."""
        buffer = BytesIO()
        joblib.dump((scores, took), buffer)
        write_atomic(self._path(method), buffer.getvalue())

    def remove(self) -> None:
        """Forget everything: what it was kept for is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _modules(prepared: Prepared) -> list[str]:
    return sorted({type(prepared.family).__module__, *(type(m).__module__ for m in prepared.methods)})
