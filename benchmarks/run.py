"""`make bench`: one meta-training step of ours beside other implementations, on identical tensors.

For each work, every implementation that can be imported runs in a process of its own. Before anything is timed, its
meta-gradient is compared with that of the plainest implementation: in float64 on two tasks, then in float32 on all.
Then all are timed in turn. Writes results/bench/speed.csv and speed.png.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.figure import save
from benchmarks.forms import IMPLEMENTATIONS
from benchmarks.timing import BUSY, Turns, Worker, WorkerError, interleave
from benchmarks.works import WORKS, Work
from metastudy.project import Project, write_atomic

COLUMNS = (
    "work", "implementation", "ms_per_step", "ratio_to_higher", "ratio_to_learn2learn", "baseline",
    "ratio_to_baseline", "target", "gradient_error", "gradient_error_float64", "peak_rss_mb", "warm_up_s",
    "cores_taken_by_others", "version", "machine",
)  # fmt: skip
"""Ratios are speed-ups: how many steps this one makes while the other makes one. `target` is the ratio to `baseline`
that the study means to reach. `warm_up_s` is the
first meta-gradient and the first step together: what a compiler needs. Errors are relative to the plain form in
float64."""
TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
SLACK = 3
"""In float32 a form may also be off by so many times what the plain form is off by: where one rounding decides which
pixel a max-pool takes, gradients jump."""


class GradientsDiffer(RuntimeError):
    """Two implementations do not compute the same meta-gradient: comparing their speed would mean nothing."""


def gradient_error(found: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> float:
    """The largest relative error of a tensor, ||a - b|| / ||b||.

    Tensors with less than a hundredth of the largest norm are measured against that: the gradient of a head that all
    classes share is zero (softmax does not feel what it adds to all scores), and rounding is not an error.
    """
    if set(found) != set(reference):
        raise GradientsDiffer(f"gradients of {sorted(found)}; expected {sorted(reference)}")
    norms = {name: float(np.linalg.norm(value)) for name, value in reference.items()}
    floor = max(norms.values()) / 100
    return max(float(np.linalg.norm(found[n] - reference[n])) / max(norms[n], floor) for n in reference)


@dataclass(frozen=True)
class Reference:
    """The plain form's meta-gradients in float64, on the small work and the full one, and its own float32 error."""

    small: dict[str, np.ndarray]
    full: dict[str, np.ndarray]
    rounding: float

    @classmethod
    def of(cls, plain: Worker) -> Reference:
        small, full = plain.gradient("float64", small=True), plain.gradient("float64")
        return cls(small, full, gradient_error(plain.gradient("float32"), full))

    def errors(self, worker: Worker) -> tuple[float, float]:
        """The errors of a worker's meta-gradient in float64 and float32. Raises GradientsDiffer beyond tolerance."""
        double = gradient_error(worker.gradient("float64", small=True), self.small)
        single = gradient_error(worker.gradient("float32"), self.full)
        allowed = {"float64": TOLERANCE["float64"], "float32": max(TOLERANCE["float32"], SLACK * self.rounding)}
        for dtype, error in (("float64", double), ("float32", single)):
            if not error <= allowed[dtype]:
                raise GradientsDiffer(
                    f"{worker.work}: the meta-gradient of {worker.name} in {dtype} is off by {error:.1e}; expected at "
                    f"most {allowed[dtype]:.0e}. Nothing was timed: mend it, or leave it out of benchmarks/forms.py"
                )
        return double, single


def measure(work: Work, rounds: int, seconds: float, threads: int) -> list[dict[str, object]]:
    """The rows of one work. Raises GradientsDiffer; what cannot be imported or dies is told and left out."""
    print(f"{work.title}", flush=True)
    with Worker(work.reference, work.name, threads) as plain:
        reference = Reference.of(plain)
    rows: dict[str, dict[str, object]] = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, implementation in IMPLEMENTATIONS.items():
            if work.name not in implementation.works:
                continue
            try:
                worker = stack.enter_context(Worker(name, work.name, threads))
                if missing := worker.ready.get("missing"):
                    print(f"  left out: {missing}", flush=True)
                    continue
                double, single = reference.errors(worker)
                warm_up = worker.gradient_seconds + worker.steps(1)["seconds"]
            except WorkerError as error:
                if name in ("metastudy", work.reference):
                    raise
                print(f"  left out: {error}", flush=True)
                continue
            workers[name] = worker
            rows[name] = {
                "implementation": implementation.label,
                "gradient_error": f"{single:.0e}",
                "gradient_error_float64": f"{double:.0e}",
                "warm_up_s": round(warm_up, 2),
                "version": worker.ready["version"],
            }
            print(f"  {implementation.label}: gradient off by {single:.0e}, in float64 {double:.0e}", flush=True)
        turns = interleave(workers, rounds, seconds)
    for name, row in rows.items():
        row |= timings(work, name, turns)
    return list(rows.values())


def speed_up(turns: dict[str, Turns], name: str, baseline: str) -> float | None:
    """How many times faster `name` is, the median of the rounds' own ratios; None without the baseline."""
    if baseline not in turns:
        return None
    pairs = zip(turns[baseline].seconds, turns[name].seconds, strict=True)
    return float(f"{statistics.median(a / b for a, b in pairs):.3g}")


def timings(work: Work, name: str, turns: dict[str, Turns]) -> dict[str, object]:
    """The columns that come from the timed rounds."""
    baseline = work.baseline
    if baseline not in turns:
        baseline = "higher" if "higher" in turns else work.reference
    own = turns[name]
    return {
        "work": work.title,
        "ms_per_step": float(f"{1000 * statistics.median(own.seconds):.4g}"),
        "ratio_to_higher": speed_up(turns, name, "higher"),
        "ratio_to_learn2learn": speed_up(turns, name, "learn2learn"),
        "baseline": IMPLEMENTATIONS[baseline].label,
        "ratio_to_baseline": speed_up(turns, name, baseline),
        "target": work.target if baseline == work.baseline else None,
        "peak_rss_mb": own.peak_rss_mb,
        "cores_taken_by_others": round(statistics.median(own.others), 2),
    }


def machine(threads: int) -> str:
    """Processor, cores, threads and versions, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return (
        f"{model}, {os.cpu_count()} cores, {threads} threads, {platform.system()}, Python {platform.python_version()}"
    )


def merged(rows: list[dict[str, object]], path: Path) -> pd.DataFrame:
    """The rows as a table, with those of works that were not measured now as they stand in the file."""
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    if path.is_file():
        earlier = pd.read_csv(path)
        if list(earlier.columns) == list(COLUMNS):
            table = pd.concat([earlier[~earlier["work"].isin(table["work"])], table])
    order = [work.title for work in WORKS.values()]
    table = table[table["work"].isin(order)]
    return table.sort_values("work", key=lambda titles: titles.map(order.index), kind="stable", ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), help="default: all")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each implementation")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of a turn, at least one step")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    rows = []
    try:
        for name in arguments.works:
            rows += measure(WORKS[name], arguments.rounds, arguments.seconds, arguments.threads)
    except (GradientsDiffer, WorkerError) as error:
        raise SystemExit(f"error: {error}") from error
    rows = [row | {"machine": machine(arguments.threads)} for row in rows]
    project = Project.at()
    path = project.results / "bench" / "speed.csv"
    table = merged(rows, path)
    write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())
    save(table, path.with_suffix(".png"))
    measured = table[table["work"].isin([row["work"] for row in rows])]
    print(measured.drop(columns=["machine", "work", "version"]).to_string(index=False, na_rep=""))
    busy = measured[measured["cores_taken_by_others"] >= BUSY]
    if len(busy):
        print(
            f"warning: other programs took {busy['cores_taken_by_others'].max():.2f} cores during {len(busy)} of "
            f"{len(measured)} measurements (retaken once); stop them and run again before comparing"
        )
    print(f"written to {project.name(path)} and {project.name(path.with_suffix('.png'))}; {machine(arguments.threads)}")


if __name__ == "__main__":
    main()
