"""One call that compares every method on somebody's own data, and one that uses the chosen one.

    found = compare("diagnosis", "patients.csv", target="sick", shots=(3, 10))
    print(found)                                        # the sentences
    found.table                                         # the summary table
    predict("diagnosis", "patients.csv", "new_patients.csv", method=found.advice[0].use, target="sick")

`python -m metastudy compare` and `predict` are the same two calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metastudy.errors import DataError, ParameterError
from metastudy.families.base import TaskSpec
from metastudy.own_data import judging, writing
from metastudy.own_data.judging import Advice
from metastudy.own_data.keeping import Kept
from metastudy.own_data.kind import Options, Prepared, checked
from metastudy.own_data.kinds import kind_of
from metastudy.own_data.running import Took, run
from metastudy.study import one_thread


@dataclass(frozen=True, eq=False)
class Compared:
    """What a comparison found. `table` as `judging.table`, `scores` as `tables.SCORES`; `folder` holds all of it."""

    kind: str
    options: Options
    prepared: Prepared
    specs: tuple[TaskSpec, ...]
    scores: pd.DataFrame
    table: pd.DataFrame
    advice: tuple[Advice, ...]
    took: Mapping[str, Took]
    seconds: float
    folder: Path

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits the result."""
        return (*judging.too_few(self.prepared, self.scores), *self.prepared.notes)

    def __str__(self) -> str:
        return "\n".join(a.sentence for a in self.advice)

    __repr__ = __str__


def compare(kind: str, path: Path | str, say: Callable[[str], None] | None = None, **options: Any) -> Compared:
    """Compare every method on the data at `path`, and write what was found to `out`.

    `options` are those of the kind (`metastudy compare KIND --help`), with _ for -. `say` gets lines about the way.
    Where a run was interrupted, the same call goes on with the methods that had not finished. Raises ParameterError
    and DataError before anything long is computed; then nothing is written.
    """
    say = say or (lambda line: None)
    began = time.perf_counter()
    chosen = kind_of(kind)
    found: Options = checked(chosen.options, {"path": path, **options})
    folder = found.out or Path(f"compared_{kind}_{found.path.resolve().stem}")
    writing.check_folder(folder)
    one_thread()
    prepared = chosen.prepare(found)
    for name, value in prepared.facts.items():
        say(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")
    specs = tuple(prepared.family.freeze(np.random.default_rng(found.seed)))
    kept = Kept(folder, prepared, specs, found.seed)
    scores, took = run(prepared, specs, found.seed, found.jobs, say, kept)
    result = Compared(
        kind, found, prepared, specs, scores, judging.table(prepared, scores), tuple(judging.advice(prepared, scores)),
        took, time.perf_counter() - began, folder,
    )  # fmt: skip
    writing.write(result)
    kept.remove()
    return result


def predict(
    kind: str, path: Path | str, new: Path | str | None, method: str, out: Path | str | None = None, **options: Any
) -> pd.DataFrame:
    """What `method` says of `new`, having all labelled examples at `path`; written as CSV to `out`, if given.

    The method learns from earlier tasks as in the comparison (same seed, same parameters). Raises as `compare`.
    """
    chosen = kind_of(kind)
    if out is not None and Path(out).exists() and not Path(out).is_file():
        raise ParameterError(f"--out {Path(out).name} is a folder; expected a file to write")
    found: Options = checked(chosen.options, {"path": path, **options})
    if new is not None and not Path(new).exists():
        raise DataError(f"{Path(new).name} does not exist; expected what shall be predicted")
    one_thread()
    asked = chosen.ask(found, method, Path(new) if new is not None else None)
    fitted = asked.method.fit(asked.family, asked.family.folds()[0], asked.config, found.seed)
    table = asked.table(fitted.predict(asked.tasks, asked.shots))
    if out is not None:
        writing.write_table(Path(out), table)
    return table
