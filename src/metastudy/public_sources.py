"""What notebook 01 shows of the public data: every source with counts, terms and hash, and real examples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from metastudy import figures_data, registry
from metastudy.loaders.__main__ import report
from metastudy.loaders.collections import SearchCollection
from metastudy.loaders.intents import LabelledTexts
from metastudy.loaders.medical import MedicalTable
from metastudy.loaders.omniglot import DRAWERS, Characters
from metastudy.loaders.omniglot_runs import Challenge
from metastudy.loaders.summaries import Summaries
from metastudy.registry import Source
from metastudy.text import rouge

WIDTH = 150  # characters of an example's text
SIDE = 42  # pixels of a shown picture


def source_hash(source: Source) -> str:
    """sha256 over its files' checksums, in order: the hash of a source of one file is not that file's."""
    return hashlib.sha256("".join(f.sha256 for f in source.files).encode()).hexdigest()


def _short(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 3]}..."


def registered() -> pd.DataFrame:
    """One row a source of data/registry.yaml: field, files, size, counts, terms, hash, traps, as registered."""
    rows = [
        {
            "source": s.name,
            "field": s.field,
            "files": len(s.files),
            "kB": round(s.bytes / 1e3),
            "counts": ", ".join(f"{k.replace('_', ' ')} {v:,}" for k, v in s.counts.items()),
            "licence": s.licence,
            "sha256": source_hash(s)[:12],
            "traps": len(s.traps),
        }
        for s in registry.load().sources
    ]
    return pd.DataFrame(rows)


def by_field(table: pd.DataFrame) -> pd.DataFrame:
    """Sources, files, size and number of known traps of each field."""
    grouped = table.groupby("field", sort=False)
    found = grouped.agg(sources=("source", "size"), files=("files", "sum"), kB=("kB", "sum"), traps=("traps", "sum"))
    return found.reset_index()


def repairs(held: object) -> str:
    """What a loader changed or left out, in words; empty where it did nothing."""
    if isinstance(held, Summaries):
        found = {kind: len(ids) for kind, ids in held.repairs.items()}
    elif isinstance(held, LabelledTexts):
        found = held.repaired
    elif isinstance(held, MedicalTable):
        found = held.rows_removed | held.cells_repaired
    else:
        found = {}
    return "; ".join(f"{kind}: {n:,}" for kind, n in found.items() if n)


def read(public: bool) -> tuple[pd.DataFrame, dict[str, object]]:
    """All sources, read and counted, with what was repaired; nothing where `public` is false (profile quick)."""
    sources: Sequence[Source] = registry.load().sources if public else ()
    table, held = report(sources)
    repaired = [repairs(held[name]) if name in held else "" for name in table["source"]]
    return table.drop(columns="seconds").assign(repaired=repaired), held


def summaries(held: dict[str, object], n: int) -> pd.DataFrame:
    """`n` documents of every summarization source: the start, what people wrote, the best unit and its ROUGE-1."""
    rows = []
    for name, found in held.items():
        if isinstance(found, Summaries):
            for document in found.documents[:: max(1, len(found.documents) // n)][:n]:
                scores = [rouge(unit, document.references)["rouge1"] for unit in document.units]
                rows.append(
                    {
                        "source": name,
                        "of": f"{len(document.units)} {document.form}",
                        "human summary": _short(document.references[0], WIDTH),
                        "best unit": _short(document.units[int(np.argmax(scores))], WIDTH),
                        "ROUGE-1": round(max(scores)),
                    }
                )
    return pd.DataFrame(rows)


def searches(held: dict[str, object], n: int) -> pd.DataFrame:
    """`n` judged queries of every collection, each with the document of the highest grade."""
    rows = []
    for name, found in held.items():
        if isinstance(found, SearchCollection):
            relevant = found.relevant()
            for query in list(relevant)[:: max(1, len(relevant) // n)][:n]:
                grades = relevant[query]
                best = max(grades, key=lambda d: grades[d])
                rows.append(
                    {
                        "collection": name,
                        "query": _short(found.queries[query], WIDTH),
                        "relevant": len(grades),
                        "grade": grades[best],
                        "a best document": _short(found.documents[best].whole, WIDTH),
                    }
                )
    return pd.DataFrame(rows)


def patients(held: dict[str, object]) -> pd.DataFrame:
    """Every medical table: patients after repair, share of sick, kinds of columns, missing cells."""
    rows = []
    for name, found in held.items():
        if isinstance(found, MedicalTable):
            numeric = found.values.select_dtypes("number").shape[1]
            rows.append(
                {
                    "table": name,
                    "patients": len(found),
                    "sick": f"{found.diagnosis.mean():.0%}",
                    "numeric columns": numeric,
                    "categorical columns": found.values.shape[1] - numeric,
                    "missing cells": f"{found.values.isna().to_numpy().mean():.1%}",
                    "for instance": ", ".join(map(str, found.values.columns[:4])),
                }
            )
    return pd.DataFrame(rows)


def texts(held: dict[str, object], n: int) -> pd.DataFrame:
    """`n` labelled texts of every source of intents and symptoms."""
    rows = []
    for name, found in held.items():
        if isinstance(found, LabelledTexts):
            step = max(1, len(found.texts) // n)
            for text, label in list(zip(found.texts, found.labels, strict=True))[::step][:n]:
                rows.append({"source": name, "label": label, "text": _short(text, WIDTH)})
    return pd.DataFrame(rows)


def pictures(held: dict[str, object]) -> dict[str, Figure]:
    """Figures of the image sources by name: alphabets, and a run of the one-shot challenge with its answers."""
    found: dict[str, Figure] = {}
    if isinstance(full := held.get("omniglot"), Characters):
        names = [c.alphabet for c in full.characters]
        found["omniglot_alphabets"] = figures_data.alphabets(full.resized(SIDE), names, DRAWERS)
    if isinstance(challenge := held.get("omniglot_challenge"), Challenge):
        training, test = challenge.resized(SIDE)
        first = training[0], test[0], challenge.answers[0], challenge.runs[0]
        found["omniglot_challenge_run"] = figures_data.challenge_run(*first)
    return found
