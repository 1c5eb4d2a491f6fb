"""One implementation of one work in a process of its own: `python -m benchmarks.worker IMPLEMENTATION WORK THREADS`.

Obeys JSON lines on stdin and answers each with one; what libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.forms import IMPLEMENTATIONS, Form
from benchmarks.works import WORKS


def limit_cores(n: int) -> None:
    """Keep to n cores where the system can say so: some libraries take no other limit."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])


def peak_rss_mb() -> int:
    """The most memory that this program has held. getrusage would count the parent's, from before the exec."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)  # macOS: bytes


def serve(implementation: str, work: str, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    limit_cores(threads)
    how, what = IMPLEMENTATIONS[implementation], WORKS[work]
    missing = how.missing()
    ready = {"missing": missing} if missing else {"version": how.version()}
    print(json.dumps(ready), file=answers, flush=True)
    if not missing and "torch" in how.packages:
        import torch

        torch.set_num_threads(threads)
    form: Form | None = None
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, object] = {}
        if order["do"] == "gradient":
            form = how.build(what.small() if order["small"] else what, order["dtype"])
        start, used = time.perf_counter(), time.process_time()
        if order["do"] == "gradient":
            answer["loss"], gradient = form.gradient()
            np.savez(order["path"], **gradient)
        else:
            for _ in range(order["n"]):
                answer["loss"] = form.step()
        answer |= {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - used}
        print(json.dumps(answer | {"peak_rss_mb": peak_rss_mb()}), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
