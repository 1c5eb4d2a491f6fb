"""Running a comparison: every method is fitted once, then scores the same frozen draws, by the code of the notebooks
(`evaluate.score_tasks`). The first draws tell how long the others will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import joblib
import pandas as pd
import torch
from tqdm import tqdm

from metastudy.evaluate import score_tasks
from metastudy.families.base import Family, TaskSpec
from metastudy.methods import Fitted, Method
from metastudy.own_data.keeping import Kept
from metastudy.own_data.kind import Prepared
from metastudy.progress import watched
from metastudy.study import one_thread
from metastudy.train import TrainConfig

FIRST = 2  # draws that are timed
BLOCK = 16  # draws scored in one go, whatever the number of processes: sums then repeat to the last bit

_IN_THIS_PROCESS: dict[str, Family] = {}


@dataclass(frozen=True)
class Took:
    """Seconds of one method: to be fitted, and a draw (all numbers of shots)."""

    fit: float
    draw: float


def run(
    prepared: Prepared,
    specs: Sequence[TaskSpec],
    seed: int,
    jobs: int,
    say: Callable[[str], None] = print,
    kept: Kept | None = None,
) -> tuple[pd.DataFrame, dict[str, Took]]:
    """Tidy scores (`tables.SCORES`) of every method on every draw, and how long each took.

    `say` gets one line: how long the rest will take. Bars are drawn on stderr where somebody looks on. Methods that
    `kept` has are not run again, and those that finish are kept.
    """
    family, quiet = prepared.family, not watched()
    found = {m.name: known for m in prepared.methods if kept and (known := kept.get(m))}
    methods = [m for m in prepared.methods if m.name not in found]
    if found:
        say(f"{len(found)} of {len(prepared.methods)} methods were kept from an interrupted run")
    first, rest = specs[:FIRST], specs[FIRST:]
    blocks = [rest[i : i + BLOCK] for i in range(0, len(rest), BLOCK)]
    began = time.perf_counter()
    fits = joblib.Parallel(jobs, return_as="generator")(
        joblib.delayed(_begin)(family, m, prepared.config, seed, first) for m in methods
    )
    begun = list(tqdm(fits, total=len(methods), desc="learning, first draws", unit="method", disable=quiet))
    if begun:
        spent = time.perf_counter() - began
        left = sum(took.draw for _, _, took in begun) / min(jobs, len(begun)) * len(rest)
        say(f"{len(first)} of {len(specs)} draws took {spent:.0f} s with learning; the others will take about "
            f"{max(1, round(left))} s")  # fmt: skip
    work = joblib.Parallel(jobs, return_as="generator")(
        joblib.delayed(_scores)(family, fitted, m.name, seed, block)
        for m, (fitted, _, _) in zip(methods, begun, strict=True)
        for block in blocks
    )
    with tqdm(total=len(rest) * len(methods), desc="draws", unit="draw", disable=quiet) as bar:
        for method, (_, own, took) in zip(methods, begun, strict=True):
            parts = [own]
            for block in blocks:
                parts.append(next(work))
                bar.update(len(block))
            found[method.name] = pd.concat(parts, ignore_index=True), took
            if kept:
                kept.put(method, *found[method.name])
    scores = pd.concat([found[m.name][0] for m in prepared.methods], ignore_index=True)
    return scores, {m.name: found[m.name][1] for m in prepared.methods}


def _begin(
    family: Family, method: Method, config: TrainConfig, seed: int, specs: Sequence[TaskSpec]
) -> tuple[Fitted, pd.DataFrame, Took]:
    one_thread()
    family = _here(family)
    start = time.perf_counter()
    fitted = method.fit(family, family.folds()[0], config, seed)
    fit = time.perf_counter() - start
    scores = _scores(family, fitted, method.name, seed, specs)
    return fitted, scores, Took(fit, (time.perf_counter() - start - fit) / max(len(specs), 1))


def _scores(family: Family, fitted: Fitted, name: str, seed: int, specs: Sequence[TaskSpec]) -> pd.DataFrame:
    torch.set_num_threads(1)
    family = _here(family)
    return score_tasks(family, family.folds()[0], specs, fitted, name, seed)[0]


def _here(family: Family) -> Family:
    """A family builds its data on first use; a worker that gets several methods builds it once."""
    return _IN_THIS_PROCESS.setdefault(f"{type(family).__module__}.{family!r}", family)
