"""Check results: files against the hashes in their manifests, and tables against the committed ones.

    python -m metastudy.verify --profile quick [--rtol 0.01] [--atol 0.005]

Words, names and counts must be equal. Measured numbers may differ a little, because sums of floats differ
between processors. Raw scores are compared as means over tasks and seeds: one task may well flip.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from metastudy.errors import DataError, MetastudyError
from metastudy.plan import clear
from metastudy.project import Project, sha256
from metastudy.reproduce import read_profile
from metastudy.staleness import read_manifest
from metastudy.tables import SCORES

RTOL, ATOL = 5e-2, 5e-3
EXACT = {"shots", "seed", "n_tasks", "n_seeds", "n_clusters"}
ESTIMATES = {"mean", "difference", "low", "high"}
GAINS = {"gain", "gain_low", "gain_high"}
P_VALUES = {"p", "p_adjusted"}
SPREADS = {"detectable": 0.2, "needed": 0.45}  # a spread moves by a fifth, and a number of units with its square
FORM = (
    "study", "family", "task", "a", "b", "comparison", "procedure", "user", "method", "shots", "seed", "metric",
    "n_tasks", "n_clusters", "units", "tasks", "replays", "model", "learner", "n", "k", "against",
)  # fmt: skip
MAX_PROBLEMS = 3
LOOSE = {
    f"tables/{name}.csv"
    for name in (
        "same_method", "search_answers", "interleaving", "online", "false_alarms", "margins", "ranks",
        "classic_models", "classic_cost", "classic_labels_curves", "classic_labels_saved",
    )
}  # fmt: skip
"""Tables of single trained models, ranks, counts and times, which jump on another processor: rows and columns are
compared."""


@dataclass(frozen=True)
class Comparison:
    """What comparing two tables found; no problem means that they agree."""

    rows: int
    max_difference: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def _mean_scores(frame: pd.DataFrame) -> pd.DataFrame:
    """Raw scores pooled over tasks and seeds, with two standard errors either way; any other table as it is."""
    if tuple(frame.columns) != SCORES:
        return frame
    keys = ["study", "family", "method", "shots", "metric"]
    pooled = frame.groupby(keys, dropna=False)["value"].agg(mean="mean", n_tasks="size", error="sem").reset_index()
    error = 2 * pooled.pop("error").fillna(0)
    return pooled.assign(low=pooled["mean"] - error, high=pooled["mean"] + error)


def _slack(column: str, expected: pd.DataFrame) -> np.ndarray | float:
    """What a column may move by beyond rounding, because training amplifies the last digits of another processor.

    An estimate and its interval: half of the interval's width. A p-value: a tenth. A detectable difference, which
    is a spread: a fifth of it. Measured by a run with other vector instructions (AVX2 for AVX-512): one gradient
    step on the sinusoid moved by 6%, and by 0.6 of the half-width of a paired interval; the same machine repeats
    every digit.
    """
    if column in P_VALUES:
        return 0.1
    if column in SPREADS:
        return SPREADS[column] * expected[column].abs().to_numpy(float)
    if column in ESTIMATES and {"low", "high"} <= set(expected):
        return (0.5 * (expected["high"] - expected["low"])).fillna(0).to_numpy(float)
    if column in GAINS and set(expected) >= GAINS:
        return (0.5 * (expected["gain_high"] - expected["gain_low"])).fillna(0).to_numpy(float)
    return 0.0


def compare_tables(a: pd.DataFrame, b: pd.DataFrame, rtol: float = RTOL, atol: float = ATOL) -> Comparison:
    """Compare found `a` with expected `b` row by row: |a - b| <= atol + rtol * |b| + slack, all else exactly.

    A verdict's word may differ only where its row is a near call (see `plan.clear`).
    """
    if list(a.columns) != list(b.columns):
        return Comparison(len(a), problems=[f"columns {list(a.columns)}, expected {list(b.columns)}"])
    if len(a) != len(b):
        return Comparison(len(a), problems=[f"{len(a)} rows, expected {len(b)}"])
    problems, largest = [], 0.0
    for column in a.columns:
        found, expected = a[column], b[column]
        if column not in EXACT and is_numeric_dtype(found) and is_numeric_dtype(expected):
            x, y = found.to_numpy(float), expected.to_numpy(float)
            allowed = np.nan_to_num(atol + rtol * np.abs(y)) + _slack(column, b)
            with np.errstate(invalid="ignore"):
                differing = ~((np.abs(x - y) <= allowed) | (x == y) | (np.isnan(x) & np.isnan(y)))
            finite = np.abs(x - y)[np.isfinite(x) & np.isfinite(y)]
            largest = max(largest, float(finite.max(initial=0.0)))
        else:
            x, y = found.to_numpy(object), expected.to_numpy(object)
            both_empty = pd.isna(found).to_numpy() & pd.isna(expected).to_numpy()
            differing = (x != y) & ~both_empty
            if column == "verdict" and {"low", "high", "p_adjusted"} <= set(b):
                differing &= b.index.isin(clear(b).index)
        for row in np.flatnonzero(differing)[:MAX_PROBLEMS]:
            differs = f"{_show(x[row])}, expected {_show(y[row])}"
            problems.append(f"row {row + 1}, column {column}: {differs}{_name_row(b, row)}")
    return Comparison(len(a), largest, problems)


def _show(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _name_row(frame: pd.DataFrame, row: int) -> str:
    words = [f"{c}={frame[c].iloc[row]}" for c in frame if c in EXACT or not is_numeric_dtype(frame[c])]
    return f" ({', '.join(words)})" if words else ""


def read_csv(content: bytes, name: str) -> pd.DataFrame:
    """A table from the bytes of a .csv or .csv.gz, ready to compare. Raises DataError for a damaged one."""
    try:
        return _mean_scores(pd.read_csv(BytesIO(gzip.decompress(content) if name.endswith(".gz") else content)))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{name} is damaged ({error}); restore it from git, or run `make reproduce`") from None


def table_names(folder: Path) -> list[str]:
    """Scores and tables of one profile's results, as "scores/x.csv" (a packed one too)."""
    found = [p for kind in ("scores", "tables") for p in folder.glob(f"{kind}/*.csv*") if p.name[0] != "."]
    return sorted(p.relative_to(folder).as_posix().removesuffix(".gz") for p in found)


def read_table(folder: Path, name: str) -> pd.DataFrame | None:
    """A table of one profile's results, packed or not; None where there is none."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return read_csv(candidate.read_bytes(), candidate.name)
    return None


def compare_named(name: str, a: pd.DataFrame | None, b: pd.DataFrame, rtol: float, atol: float) -> Comparison:
    """Compare a result by its name: a missing one is a problem, one about single models is compared in form:
    the rows that it has, whatever their order and their measured values."""
    if a is None:
        return Comparison(0, problems=["missing"])
    if name in LOOSE:
        form = [column for column in FORM if column in b]
        if list(a.columns) != list(b.columns) or not form:
            return compare_tables(a, b)
        found, expected = (frame[form].sort_values(form).reset_index(drop=True) for frame in (a, b))
        return compare_tables(found, expected)
    return compare_tables(a, b, rtol, atol)


def compare_folders(found: Path, expected: Path, rtol: float = RTOL, atol: float = ATOL) -> dict[str, Comparison]:
    """Compare every table of `expected` (results/<profile>) with that of `found`."""
    result = {}
    for name in table_names(expected):
        a, b = read_table(found, name), read_table(expected, name)
        result[name] = compare_named(name, a, b, rtol, atol)
    return result


def committed_tables(project: Project, profile: str) -> dict[str, pd.DataFrame] | None:
    """Tables of the last commit by name, or None outside a git checkout."""
    folder = f"results/{profile}"
    listing = project.git("ls-tree", "-r", "--name-only", "HEAD", "--", folder)
    if listing is None:
        return None
    found = {}
    for path in listing.decode().splitlines():
        name = path.removeprefix(f"{folder}/")
        if name.startswith(("scores/", "tables/")):
            content = project.git("show", f"HEAD:{path}")
            found[name.removesuffix(".gz")] = read_csv(content or b"", path)
    return found


def check_manifests(project: Project, profile: str) -> Iterator[str]:
    """Each output that is missing, or not what its manifest says."""
    for step in read_profile(project, profile)[1]:
        manifest = read_manifest(project.manifest(profile, step))
        if manifest is None:
            yield f"{step}: no manifest; run `make reproduce PROFILE={profile}`"
            continue
        for name, digest in manifest["outputs"].items():
            path = project.path(name)
            if not path.is_file():
                yield f"{step}: {name} is missing"
            elif sha256(path) != digest:
                yield f"{step}: {name} is not the file that its manifest records"


def verify(project: Project, profile: str, rtol: float = RTOL, atol: float = ATOL) -> bool:
    """Print what was compared and found; True when everything agrees."""
    problems = list(check_manifests(project, profile))
    folder = project.results / profile
    committed = committed_tables(project, profile)
    names = sorted(set(table_names(folder)) | set(committed or ()))
    print(f"{'file':44} {'rows':>6} {'max difference':>15}  state")
    for name in names:
        found = read_table(folder, name)
        if committed is None or name not in committed:
            print(f"{name:44} {len(found):6} {'-':>15}  not committed")
            continue
        expected = committed[name]
        outcome = compare_named(name, found, expected, rtol, atol)
        print(f"{name:44} {outcome.rows:6} {outcome.max_difference:15.3g}  {'ok' if outcome.ok else 'DIFFERS'}")
        problems += [f"{name}: {problem}" for problem in outcome.problems]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if committed is None:
        print("no git checkout here: only the hashes of the manifests were checked")
    return not problems


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> int:
    """Exit code: 0 all agree, 1 something differs, 2 refused."""
    parser = argparse.ArgumentParser(prog="python -m metastudy.verify", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--rtol", type=float, default=RTOL, help=f"relative tolerance (default {RTOL})")
    parser.add_argument("--atol", type=float, default=ATOL, help=f"absolute tolerance (default {ATOL})")
    options = parser.parse_args(arguments)
    try:
        return 0 if verify(project or Project.at(), options.profile, options.rtol, options.atol) else 1
    except MetastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
