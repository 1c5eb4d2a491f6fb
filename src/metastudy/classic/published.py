"""Published results of the classic benchmarks (`data/published.yaml`), and ours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metastudy.errors import DataError
from metastudy.project import find_root

SETTINGS: dict[str, tuple[str, ...]] = {
    "sinusoid": ("K=5", "K=10", "K=20"),
    "omniglot": ("5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot"),
    "omniglot_challenge": ("30 alphabets", "5 alphabets"),
    "scitldr": ("ROUGE-1", "ROUGE-2", "ROUGE-L"),
}
"""Each benchmark's settings, in the order of their columns."""
METRICS = {
    "sinusoid": "mean squared error",
    "omniglot": "accuracy in %",
    "omniglot_challenge": "error in %",
    "scitldr": "ROUGE F1, times 100",
}
UNVERIFIED = "from memory"
MEASURED = "measured by a probe"
"""Not published: found before by other code of this project, on the data itself."""
MARK = "°"
OURS = ("setting", "method", "mean", "low", "high")
HERE, ABSENT = "this study", "–"

Text = Annotated[str, Field(min_length=1)]
Measure = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Source(_Strict):
    cite: Text
    full: Text


class _Result(_Strict):
    benchmark: Literal["sinusoid", "omniglot", "omniglot_challenge", "scitldr"]
    setting: Text
    method: Text
    value: Measure
    plus_minus: Measure | None = None
    source: Text
    checked: Literal["read in the source", "read elsewhere", "from memory", "measured by a probe"]
    note: Annotated[str, Field(max_length=50)] = ""


class _File(_Strict):
    sources: dict[str, _Source]
    results: Annotated[list[_Result], Field(min_length=1)]


def _where(error: dict, content: dict) -> str:
    """Which entry of the file an error of pydantic is about, in words."""
    place = error["loc"]
    if place[:1] != ("results",) or len(place) < 2:
        return ".".join(map(str, place)) or "the file"
    row = content["results"][place[1]]
    named = [str(row[k]) for k in ("benchmark", "setting", "method") if k in row] if isinstance(row, dict) else []
    return f"result {place[1] + 1} ({', '.join(named)}), {'.'.join(map(str, place[2:])) or 'all of it'}"


def _misfit(result: _Result, sources: dict[str, _Source]) -> str:
    """What is wrong with a result that has the right fields; empty where nothing is."""
    if result.setting not in SETTINGS[result.benchmark]:
        return f"setting {result.setting!r}; expected one of {', '.join(SETTINGS[result.benchmark])}"
    if result.source not in sources:
        return f"source {result.source!r}; expected one of {', '.join(sources)}"
    return ""


def read(path: Path | None = None) -> pd.DataFrame:
    """One row a number: benchmark, setting, method, value, plus_minus (NaN where none was printed), cite (short),
    source (in full), checked, note.

    Raises DataError, naming the row, for an unknown benchmark, setting, source or word of `checked`, a missing or
    extra field, a value that is no number, and a result that is given twice.
    """
    path = path or find_root() / "data" / "published.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        held = _File.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path.name} cannot be read ({error}); restore it from git") from None
    except ValidationError as error:
        problems = "; ".join(f"{_where(e, content)}: {e['msg']}" for e in error.errors())
        raise DataError(f"{path.name}: {problems}. Mend the file; its head says what a result holds") from None
    rows, seen = [], set()
    for i, r in enumerate(held.results, 1):
        key = (r.benchmark, r.setting, r.method)
        if wrong := _misfit(r, held.sources) or ("given twice; expected once" if key in seen else ""):
            raise DataError(f"{path.name}: result {i} ({', '.join(key)}): {wrong}. Mend the file")
        seen.add(key)
        source = held.sources[r.source]
        rows.append(r.model_dump() | {"cite": source.cite, "source": source.full})
    columns = ["benchmark", "setting", "method", "value", "plus_minus", "cite", "source", "checked", "note"]
    return pd.DataFrame(rows)[columns].astype({"value": float, "plus_minus": float})


def of(benchmark: str, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """The results of one benchmark. Raises DataError for an unknown one."""
    if benchmark not in SETTINGS:
        raise DataError(f"benchmark {benchmark!r} has no published results; expected one of {', '.join(SETTINGS)}")
    held = read() if published is None else published
    return held[held["benchmark"] == benchmark].reset_index(drop=True)


def best(
    benchmark: str, lower_is_better: bool, verified: bool = False, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The best published result of each setting that has one, by setting; `verified` leaves out what is from memory.

    What a probe measured is left out. Of two that are equally good the one first in the file. Raises DataError for an
    unknown benchmark.
    """
    held = of(benchmark, published)
    held = held[~held["checked"].isin([MEASURED, *([UNVERIFIED] if verified else [])])]
    ordered = held.sort_values("value", ascending=lower_is_better, kind="stable").drop_duplicates("setting")
    found = ordered.set_index("setting").drop(columns="benchmark")
    return found.loc[[s for s in SETTINGS[benchmark] if s in found.index]]


def check_ours(ours: pd.DataFrame, settings: Sequence[str]) -> None:
    """Raises DataError where our results lack a column or a number, name an unknown setting, or hold a cell twice."""
    if missing := [c for c in OURS if c not in ours]:
        raise DataError(f"our results lack {', '.join(missing)}; expected the columns {', '.join(OURS)}")
    if unknown := sorted(set(ours["setting"]) - set(settings)):
        raise DataError(f"our results name the setting {unknown[0]!r}; expected one of {', '.join(settings)}")
    no_number = ~np.isfinite(pd.to_numeric(ours["mean"], errors="coerce"))
    for bad, what in ((ours[["setting", "method"]].duplicated(), "given twice"), (no_number, "not a number")):
        if bad.any():
            first = ours[bad.to_numpy()].iloc[0]
            raise DataError(f"our result of {first['method']} at {first['setting']} is {what}; expected one mean each")


def _printed(rows: pd.DataFrame) -> dict[str, str]:
    """Cells of one published method by setting, with the decimals that its numbers were printed with."""
    numbers = [v for v in (*rows["value"], *rows["plus_minus"]) if np.isfinite(v)]
    n = max(1, *(len(f"{v:.10g}".partition(".")[2]) for v in numbers))  # the file's reader drops a last zero
    spread = [f" ± {v:.{n}f}" if np.isfinite(v) else "" for v in rows["plus_minus"]]
    mark = [MARK if word == UNVERIFIED else "" for word in rows["checked"]]
    return {s: f"{v:.{n}f}{a}{b}" for s, v, a, b in zip(rows["setting"], rows["value"], spread, mark, strict=True)}


def beside(
    ours: pd.DataFrame, benchmark: str, lower_is_better: bool, digits: int, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A table to show: a row for each method, ours first as they come, then what is published, the best first.

    `ours` has columns setting, method, mean, low, high. Cells: "98.9 [98.7, 99.1]" of ours with `digits` decimals,
    "98.8 ± 0.4" as published, with a trailing ° where the number is from memory, – where there is none. The index says
    who found it. Raises DataError as `check_ours` and `of`.
    """
    held, settings = of(benchmark, published), list(SETTINGS[benchmark])
    check_ours(ours, settings)
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for r in ours.itertuples():
        interval = f" [{r.low:.{digits}f}, {r.high:.{digits}f}]" if np.isfinite([r.low, r.high]).all() else ""
        rows.setdefault((HERE, r.method), {})[r.setting] = f"{r.mean:.{digits}f}{interval}"
    order = held.assign(place=held["setting"].map(settings.index), good=held["value"] * (1 if lower_is_better else -1))
    order = order.sort_values(["place", "good"], kind="stable")  # by the first setting, then the next
    for name, part in order.groupby(["cite", "method"], sort=False):
        rows[name] = _printed(part) | {"remarks": "; ".join(dict.fromkeys(filter(None, part["note"])))}
    blank = dict.fromkeys(settings, ABSENT) | {"remarks": ""}
    index = pd.MultiIndex.from_tuples(rows, names=["source", "method"])
    table = pd.DataFrame([blank | row for row in rows.values()], index=index)
    return table.rename_axis(columns=f"{METRICS[benchmark]} {'↓' if lower_is_better else '↑'}")


def caption(benchmark: str, published: pd.DataFrame | None = None) -> str:
    """What a reader of `beside` or of the figure must know: brackets, ±, the mark, and every source in full."""
    held = of(benchmark, published)
    read_somewhere = not set(held["checked"]) <= {UNVERIFIED, MEASURED}
    others = (
        "; the other published numbers were read in the source or in somebody else's account of it "
        "(data/published.yaml says which)."
    )
    probes = " and ".join(held.loc[held["checked"] == MEASURED, "cite"].unique())
    head = (
        f"[a, b]: 95% interval, {HERE}. ±: as published, over test tasks and not over trainings. {MARK}: {UNVERIFIED}, "
        f"not verified{others if read_somewhere else '.'}{f' {probes}: measured, not published.' if probes else ''}"
    )
    sources = held.drop_duplicates("cite")
    return "\n".join([head, *(f"{r.cite}: {r.source}." for r in sources.itertuples())])
