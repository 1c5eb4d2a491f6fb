"""Processes that take turns: implementations are timed in rounds, A B C A B C, so that a slow minute hits them all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.forms import environment

ROOT = Path(__file__).resolve().parents[1]
BUSY = 0.15  # cores that other programs may take during a turn before it is taken again, once


class WorkerError(RuntimeError):
    """A measured process died or took too long."""


class Worker:
    """One process of benchmarks.worker. Close it, or use it as a context manager."""

    def __init__(self, implementation: str, work: str, threads: int) -> None:
        self.name, self.work = implementation, work
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.gradient_seconds = 0.0
        command = [sys.executable, "-m", "benchmarks.worker", implementation, work, str(threads)]
        with (self.folder / "errors").open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment(implementation, threads), text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        try:
            self.ready = self._answer(120)
        except WorkerError:
            self.close()
            raise

    def _answer(self, limit: float) -> dict:
        timer = threading.Timer(limit, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line:
            return json.loads(line)
        self.process.wait()
        said = (self.folder / "errors").read_text(errors="replace").strip()[-1500:]
        raise WorkerError(
            f"{self.name} on {self.work} stopped or took more than {limit:.0f} s; its last words: {said or 'none'}"
        )

    def _ask(self, limit: float, **order: object) -> dict:
        with contextlib.suppress(BrokenPipeError):  # it died: _answer says why
            print(json.dumps(order), file=self.process.stdin, flush=True)
        return self._answer(limit)

    def gradient(self, dtype: str, small: bool = False) -> dict[str, np.ndarray]:
        """The meta-gradient at the start; builds the form that `steps` goes on with."""
        path = self.folder / "gradient.npz"
        self.gradient_seconds = self._ask(300, do="gradient", dtype=dtype, small=small, path=str(path))["seconds"]
        with np.load(path) as arrays:
            return dict(arrays)

    def steps(self, n: int) -> dict:
        """Run n steps: seconds, cpu_seconds, loss, peak_rss_mb."""
        return self._ask(300, do="steps", n=n)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.temporary.cleanup()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def busy_seconds() -> float | None:
    """CPU time that this machine's programs have used since it started, and what its host withheld; None if unknown."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    ticks = stat.read_text().splitlines()[0].split()
    return sum(int(ticks[i]) for i in (1, 2, 3, 6, 7, 8)) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(limit: float = 2.0, window: float = 0.1) -> None:
    """Until other programs leave the machine alone for a moment, but no longer than `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(window)
        if before is None or busy_seconds() - before < BUSY * window:
            return


@dataclass
class Turns:
    """What one implementation did: seconds a step of each round, and the cores that others took meanwhile."""

    n: int
    seconds: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    peak_rss_mb: int = 0


def one_turn(worker: Worker, turns: Turns) -> None:
    """Time one turn; where the machine was busy with something else, once again."""
    for _ in range(2):
        wait_for_quiet()
        before = busy_seconds()
        answer = worker.steps(turns.n)
        others = 0.0
        if before is not None:
            others = max(0.0, (busy_seconds() - before - answer["cpu_seconds"]) / answer["seconds"])
        if others < BUSY:
            break
    turns.seconds.append(answer["seconds"] / turns.n)
    turns.others.append(others)
    turns.peak_rss_mb = answer["peak_rss_mb"]


def interleave(workers: dict[str, Worker], rounds: int, seconds: float) -> dict[str, Turns]:
    """`rounds` turns of about `seconds` each for every worker (at least one step), in turn."""
    turns = {name: Turns(max(1, round(seconds / worker.steps(1)["seconds"]))) for name, worker in workers.items()}
    for _ in range(rounds):
        for name, worker in workers.items():
            one_turn(worker, turns[name])
    return turns
