"""What a method costs: to train, which is paid once, and to adapt to a task, which is paid for every new one."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch.profiler import ProfilerActivity, profile

from metastudy.classic.contenders import Contender
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import Family, TaskSpec
from metastudy.mixture import is_memory
from metastudy.model import Params, n_parameters

WARM_UP = 3
COLUMNS = (
    "study", "method", "family", "shots", "models", "trained_on", "train_s", "steps", "train_rss_mb", "adapt_ms",
    "adapt_mb",
    "theta", "alpha", "beta", "remembered", "file_kb",
)  # fmt: skip


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Everything below is computed by one thread. Undone on leaving."""
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def milliseconds(work: Callable[[], object], repeats: int = 20) -> float:
    """Median time of a call on one thread, after three calls that are not counted.

    Raises ParameterError for less than one repeat.
    """
    if repeats < 1:
        raise ParameterError(f"{repeats} repeats; expected at least 1")
    seconds = []
    with on_one_thread():
        for _ in range(WARM_UP + repeats):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds[WARM_UP:]))


def peak_megabytes(work: Callable[[], object]) -> float:
    """The most memory (10^6 bytes) that tensors made by a call hold at one moment, on one thread.

    Every piece that torch takes and gives back is written down by its profiler, so the number repeats exactly, and
    what was there before (parameters, the task) does not count. Nor does what others take: scikit-learn, and the
    convolution library's own scratch memory.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler prints that it starts and stops
    with on_one_thread(), tempfile.TemporaryDirectory() as folder:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            work()
        trace = Path(folder) / "trace.json"
        found.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    taken = sorted((e["ts"], e["args"]["Ev Idx"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]")
    return int(np.cumsum([0, *(size for *_, size in taken)]).max()) / 1e6


def numbers(params: Params) -> dict[str, int]:
    """How many numbers θ, α and β hold, and the data of earlier tasks that a mapping remembers."""
    found: dict[str, Params] = {"theta": {}, "alpha": {}, "beta": {}, "remembered": {}}
    for name, value in params.items():
        found["remembered" if is_memory(name) else name.split(".")[0]][name] = value
    return {part: n_parameters(own) for part, own in found.items()}


def example_tasks(family: Family, specs: Sequence[TaskSpec]) -> list[TaskSpec]:
    """The first frozen task of every size: one for each test family, or one in all where these only are clusters.

    Raises DataError where there is none of the family's round.
    """
    fold = family.folds()[0]
    own = [spec for spec in specs if spec.fold == fold.name]
    if not own:
        raise DataError(f"no frozen task of round {fold.name!r} of {family.study}; draw the task lists anew")
    first: dict[str, TaskSpec] = {}
    for spec in own:
        first.setdefault(spec.family, spec)
    return own[:1] if family.clustered else list(first.values())


def costs(
    contenders: Sequence[Contender], folder: Path, family: Family, specs: Sequence[TaskSpec], repeats: int = 20
) -> pd.DataFrame:
    """One row for each contender, size of task and number of shots: columns `COLUMNS`.

    `trained_on`, `train_s`, `steps` and `train_rss_mb` (of the whole process) are what the files say of their training.
    `adapt_ms` and `adapt_mb` are measured now, for predicting all queries of one of `family`'s frozen tasks from its
    support, without a graph. `theta` to `remembered` count numbers. Of contenders of several `models` all but the
    memory is the sum. Errors as in `Artefact.load` and `example_tasks`.
    """
    rows = []
    for contender in contenders:
        loaded = [artefact.load(folder) for artefact in contender.artefacts]
        records = [record for _, record in loaded]
        trained = (
            ", ".join(sorted({record.get("device", "cpu") for record in records})),
            sum(record["seconds"] for record in records),
            sum(record["history"][-1]["step"] for record in records),
            max(record["peak_rss_mb"] for record in records),
        )
        counted = pd.DataFrame([numbers(one.trained.params) for one, _ in loaded]).sum()
        size = sum(artefact.path(folder).stat().st_size for artefact in contender.artefacts) / 1000
        fitted = contender.fitted(folder)
        for spec, shots in itertools.product(example_tasks(family, specs), family.shots):
            task = family.build(spec, shots, family.folds()[0])
            predict = partial(fitted.predict, [task], shots)
            adapted = milliseconds(predict, repeats), peak_megabytes(predict)
            where = "all" if family.clustered else spec.family
            own = family.study, contender.name, where, shots, len(loaded)
            rows.append((*own, *trained, *adapted, *counted, size))
    return pd.DataFrame(rows, columns=list(COLUMNS))
