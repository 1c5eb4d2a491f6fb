"""The table of speeds, results/bench/speed.csv: its columns, its ratios, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path

import pandas as pd

from benchmarks.forms import IMPLEMENTATIONS
from benchmarks.timing import Turns
from benchmarks.works import WORKS, Work

COLUMNS = (
    "work", "implementation", "ms_per_step", "ratio_to_higher", "ratio_to_learn2learn", "baseline",
    "ratio_to_baseline", "target", "gradient_error", "gradient_error_float64", "peak_rss_mb", "warm_up_s",
    "cores_taken_by_others", "version", "machine",
)  # fmt: skip
"""Ratios are speed-ups: how many steps this one makes while the other makes one. `baseline` names what is 1 in
`ratio_to_baseline`; `target` is the ratio to it that the study means to reach. `warm_up_s` is the first meta-gradient
and the first step together: what a compiler needs. Errors are relative to the plain form in float64."""


def speed_up(turns: dict[str, Turns], name: str, baseline: str) -> float | None:
    """How many times faster `name` is, the median of the rounds' own ratios; None without the baseline."""
    if baseline not in turns:
        return None
    pairs = zip(turns[baseline].seconds, turns[name].seconds, strict=True)
    return float(f"{statistics.median(a / b for a, b in pairs):.3g}")


def timings(work: Work, name: str, turns: dict[str, Turns]) -> dict[str, object]:
    """The columns that come from the timed rounds. Without the work's own baseline, higher or the plain form is 1."""
    baseline = next(b for b in (work.baseline, "higher", work.reference, *turns) if b in turns)
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
    """Processor, cores, threads and system, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {threads} threads, {system}"


def merged(rows: list[dict[str, object]], path: Path) -> pd.DataFrame:
    """The rows as a table, with those of works that were not measured now as they stand in the file."""
    records = pd.DataFrame(rows, columns=list(COLUMNS)).to_dict("records")
    if path.is_file():
        earlier = pd.read_csv(path)
        if list(earlier.columns) == list(COLUMNS):
            records += earlier[~earlier["work"].isin({r["work"] for r in records})].to_dict("records")
    order = [work.title for work in WORKS.values()]
    records = sorted((r for r in records if r["work"] in order), key=lambda r: order.index(r["work"]))
    return pd.DataFrame(records, columns=list(COLUMNS))
