"""What `metastudy list` prints: ways of adapting, base models, families of tasks, and trained models with their scores.

Scores are read from the committed tables in results/, never written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from metastudy import model
from metastudy.adapt import REGISTRY
from metastudy.families import catalogue
from metastudy.hospitals import PriorCentred, Recalibration
from metastudy.lineups.diseases import disease_mappings
from metastudy.lineups.feedback import CLASSICAL
from metastudy.model import BaseModel
from metastudy.project import Project

STUDIES = {
    "diagnosis_g": ("diseases", 5, "auroc"),
    "summarization_g": ("summaries", 5, "rouge1"),
    "search_g": ("feedback_own_pages", 2, "ndcg@10"),
    "search_g_minilm": ("search_feedback", 2, "ndcg@10"),
}
"""Trained model -> the table that scores it, the number of shots, the metric. The file itself was trained on all that
the table holds out in turn."""
CLASSIC = {
    "sinusoid": ("classic_sinusoid", "mean squared error"),
    "omniglot_challenge": ("classic_challenge", "% mistaken"),
    "omniglot": ("classic_omniglot", "% correct"),
}


def lines() -> Iterator[str]:
    """Line by line."""
    yield "ways of adapting (ψ)"
    mappings = {name: cls.__doc__ for name, cls in REGISTRY.items()}
    mappings |= {m.name: type(m).__doc__ for m in (*disease_mappings(), Recalibration(), PriorCentred())}
    yield from _table([(name, _first(doc)) for name, doc in mappings.items()])
    yield f"  and Rocchio's formulas for judged pages: {', '.join(CLASSICAL[1:])}"
    yield ""
    yield "base models (f)"
    yield from _table([(cls.__name__, _first(cls.__doc__)) for cls in _base_models()])
    yield ""
    yield "families of tasks"
    for profile, found in (("quick", catalogue.quick()), ("full", catalogue.full())):
        told = "comes with the pinned packages" if profile == "quick" else "public data: make data PROFILE=full"
        yield f"  {profile}: {told}"
        rows = [(f.task_list or f.study, f.kind, _shots(f.shots), ", ".join(f.metrics)) for f in found]
        yield from _table(rows, indent=4)
    yield ""
    yield "trained models (results/full/models), and what they scored on tasks that were held out"
    yield from _table(list(trained(Project.at().results / "full")))


def trained(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Name, size and score of each trained model in a folder of results."""
    for record in sorted((folder / "models").glob("*.json")):
        file = record.with_suffix(".safetensors")
        kind = json.loads(record.read_text(encoding="utf-8")).get("kind", "")
        size = f"{file.stat().st_size / 1000:,.0f} kB" if file.is_file() else "missing"
        table = next((t for study, (t, _) in CLASSIC.items() if record.stem.startswith(study)), None)
        several = f"one of several, scored together: tables/{table}.csv" if table else kind
        yield record.stem, size, score_of(record.stem, folder / "tables") or several


def score_of(name: str, tables: Path) -> str:
    """Score of a trained model with its interval, as the study's table has it; "" where no row is about it alone."""
    if name in STUDIES:
        table, shots, metric = STUDIES[name]
        rows = _read(tables, table)
        if rows is None:
            return ""
        kept = (rows["method"] == "g") & (rows["family"] == "all") & (rows["shots"] == shots)
        return f"{_mean(rows[kept & (rows['metric'] == metric)])} {metric} with {shots} examples"
    study = next((s for s in CLASSIC if name.startswith(s)), None)
    rows = _read(tables, CLASSIC[study][0]) if study else None
    if rows is None:
        return ""
    method, _, setting = re.sub(r"_(\d+)_tasks", r", \1 tasks", name.removeprefix(f"{study}_")).rpartition("_")
    if study == "omniglot" and not setting.isdigit():
        method, setting = setting, ""
    wanted = {"sinusoid": f"K={setting}", "omniglot": f"{setting}-way" if setting else ""}.get(study)
    if wanted is None:  # one of several trainings: the table has their mean
        return ""
    own = rows[(rows["method"] == method) & rows["setting"].str.startswith(wanted)]
    if study == "sinusoid":
        own = own[own["setting"] == wanted]
    told = "; ".join(f"{r.setting} {r.mean:.3g}" for r in own.itertuples())
    return f"{told} {CLASSIC[study][1]}" if told else ""


def _read(tables: Path, name: str) -> pd.DataFrame | None:
    path = tables / f"{name}.csv"
    return pd.read_csv(path) if path.is_file() else None


def _mean(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    return f"{row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


def _base_models() -> list[type[BaseModel]]:
    found = [getattr(model, name) for name in model.__all__]
    return [c for c in found if isinstance(c, type) and issubclass(c, BaseModel) and c is not BaseModel]


def _shots(shots: tuple[int, ...]) -> str:
    return f"k = {', '.join(map(str, shots))}"


def _first(doc: str | None) -> str:
    """The first sentence of a docstring."""
    text = " ".join((doc or "").split())
    return re.split(r"(?<!al)(?<!eq)(?<=\.)\s", text, maxsplit=1)[0]


def _table(rows: list[tuple[str, ...]], indent: int = 2) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        yield " " * indent + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
