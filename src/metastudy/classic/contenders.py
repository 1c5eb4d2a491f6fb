"""Trained models on frozen tasks: scores of every contender, cached by what they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import joblib
import pandas as pd

from metastudy import checkpoint
from metastudy.classic.artefacts import Artefact
from metastudy.classic.views import over_views, together
from metastudy.evaluate import score_tasks
from metastudy.families.base import Family, TaskSpec
from metastudy.families.warps import Warp
from metastudy.methods import Fitted
from metastudy.project import sha256, write_atomic
from metastudy.staleness import code_hash
from metastudy.study import one_thread


@dataclass(frozen=True)
class Contender:
    """A name in a table: one trained model, or several whose predictions are averaged, over `views` looks at a task."""

    name: str
    artefacts: tuple[Artefact, ...]
    views: int = 1
    warp: Warp = Warp()

    def fitted(self, folder: Path) -> Fitted:
        """Loaded from a folder of models. Errors as in `Artefact.load`."""
        return over_views(together([a.load(folder)[0] for a in self.artefacts]), self.warp, self.views)

    def key(self, folder: Path) -> str:
        """All that its scores depend on: files, settings, and the name that stands beside them.

        Errors as in `Artefact.load`.
        """
        files = [sha256(a.file(folder)) for a in self.artefacts]
        return f"{self.name}{files}{self.artefacts[0].seed}{self.views}{self.warp}"


def _score(contender: Contender, folder: Path, family: Family, specs: Sequence[TaskSpec], path: Path) -> pd.DataFrame:
    if path.exists():
        return joblib.load(path)
    one_thread()
    fold = family.folds()[0]
    found, _ = score_tasks(family, fold, specs, contender.fitted(folder), contender.name, contender.artefacts[0].seed)
    buffer = BytesIO()
    joblib.dump(found, buffer)
    write_atomic(path, buffer.getvalue())
    return found


def scores(
    contenders: Sequence[Contender],
    folder: Path,
    family: Family,
    specs: Sequence[TaskSpec],
    cache: Path,
    jobs: int = 1,
) -> pd.DataFrame:
    """Tidy scores of all contenders on one family's frozen tasks, one after another in the order given.

    Work is one contender on the tasks of one test family; each is kept in `cache`, so that an interrupted evaluation
    goes on. `jobs` changes the time alone.
    """
    code = code_hash("metastudy.classic.contenders", type(family).__module__)
    work = []
    for contender in contenders:
        for name in dict.fromkeys(spec.family for spec in specs) if not family.clustered else (None,):
            own = [s for s in specs if name is None or s.family == name]
            described = f"{code}{contender.key(folder)}{family!r}{family.content_hash()}{checkpoint.description(own)}"
            path = cache / f"{hashlib.sha256(described.encode()).hexdigest()[:20]}.joblib"
            work.append((contender, folder, family, own, path))
    found = joblib.Parallel(n_jobs=jobs)(joblib.delayed(_score)(*one) for one in work)
    return pd.concat(found, ignore_index=True)
