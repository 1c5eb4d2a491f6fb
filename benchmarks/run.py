"""`make bench`: one meta-training step of ours beside other implementations, on identical tensors.

For each work, every implementation that can be imported runs in a process of its own. Before anything is timed, its
meta-gradient is compared with that of the plainest implementation: in float64 on two tasks, then in float32 on all.
Then all are timed in turn. Writes results/bench/speed.csv and speed.png after each work.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

import pandas as pd

from benchmarks.check import GradientsDiffer, Reference
from benchmarks.figure import save
from benchmarks.forms import IMPLEMENTATIONS
from benchmarks.table import machine, merged, timings
from benchmarks.timing import BUSY, Worker, WorkerError, interleave
from benchmarks.works import WORKS, Work
from metastudy.project import Project, write_atomic

SHOWN = ["implementation", "ms_per_step", "ratio_to_baseline", "target", "peak_rss_mb", "warm_up_s"]
INDISPENSABLE = ("metastudy", "loop", "module")


def ready(name: str, work: Work, reference: Reference, worker: Worker) -> dict[str, object] | None:
    """Check a worker's gradient and warm it up: the columns known before timing. None where its package is missing."""
    label = IMPLEMENTATIONS[name].label
    if missing := worker.ready.get("missing"):
        print(f"  left out: {missing}", flush=True)
        return None
    double, single = reference.errors(worker)
    warm_up = worker.gradient_seconds + worker.steps(1)["seconds"]
    print(f"  {label}: meta-gradient off by {double:.0e} in float64, {single:.0e} in float32", flush=True)
    return {
        "implementation": label,
        "gradient_error": float(f"{single:.0e}"),
        "gradient_error_float64": float(f"{double:.0e}"),
        "warm_up_s": round(warm_up, 2),
        "version": worker.ready["version"],
    }


def measure(
    work: Work, rounds: int, seconds: float, threads: int, names: Sequence[str] = tuple(IMPLEMENTATIONS)
) -> list[dict[str, object]]:
    """The rows of one work, for the implementations in `names`.

    What cannot be imported, or dies, is told and left out. Raises GradientsDiffer, and WorkerError where ours or the
    plain form dies, or any once the timing has begun.
    """
    print(work.title, flush=True)
    with Worker(work.reference, work.name, threads) as plain:
        reference = Reference.of(plain)
    rows: dict[str, dict[str, object]] = {}
    workers: dict[str, Worker] = {}
    with contextlib.ExitStack() as stack:
        for name in names:
            if work.name not in IMPLEMENTATIONS[name].works:
                continue
            try:
                worker = stack.enter_context(Worker(name, work.name, threads))
                row = ready(name, work, reference, worker)
            except WorkerError as error:
                if name in INDISPENSABLE:
                    raise
                print(f"  left out: {error}", flush=True)
                continue
            if row is not None:
                rows[name], workers[name] = row, worker
        turns = interleave(workers, rounds, seconds)
    common = {"machine": machine(threads)}
    return [row | timings(work, name, turns) | common for name, row in rows.items()]


def report(part: pd.DataFrame) -> str:
    """One work's rows as text, with a warning where other programs were in the way."""
    baseline = part["baseline"].iloc[0]
    text = part[SHOWN].rename(columns={"ratio_to_baseline": f"times {baseline}"}).to_string(index=False, na_rep="")
    busy = part[part["cores_taken_by_others"] >= BUSY]
    if len(busy):
        text += (
            f"\nwarning: other programs took up to {busy['cores_taken_by_others'].max():.1f} cores while "
            f"{', '.join(busy['implementation'])} ran (already retaken once); stop them and measure again"
        )
    return text + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), help="default: all")
    parser.add_argument("--implementations", nargs="+", choices=IMPLEMENTATIONS, default=list(IMPLEMENTATIONS))
    parser.add_argument("--rounds", type=int, default=7, help="turns of each implementation")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of a turn, at least one step")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    project = Project.at()
    path = project.results / "bench" / "speed.csv"
    for name in arguments.works:
        try:
            rows = measure(
                WORKS[name], arguments.rounds, arguments.seconds, arguments.threads, arguments.implementations
            )
        except (GradientsDiffer, WorkerError) as error:
            raise SystemExit(f"error: {error}") from error
        table = merged(rows, path)
        write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())
        save(table, path.with_suffix(".png"))
        print(report(table[table["work"] == WORKS[name].title]), flush=True)
    print(f"written to {project.name(path)} and {project.name(path.with_suffix('.png'))}; {machine(arguments.threads)}")


if __name__ == "__main__":
    main()
