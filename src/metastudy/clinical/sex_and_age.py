"""Sex and age of the patients of the public tables, where a table has them: the subgroups that are looked at."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from metastudy import loaders
from metastudy.errors import ParameterError
from metastudy.families.diseases import DISEASES, HEART, tables_of
from metastudy.loaders.medical import HOSPITALS, MedicalTable

Kind = Literal["sex", "age"]
OLD = 60  # years, from which on


def _table(name: str) -> MedicalTable:
    """A table as `families.diseases` names it: hospitals of the heart study are tables there."""
    hospital = name.removeprefix(HEART)
    if not (name.startswith(HEART) and hospital in HOSPITALS):
        return loaders.load(name)
    heart = loaders.load("heart")
    return heart.take(heart.sites == hospital, name)


def _subgroup(table: MedicalTable, kind: Kind) -> np.ndarray | None:
    """(N,) names, None where it is not known; None for a table that does not say."""
    if kind == "sex" or table.age is None:
        return table.sex if kind == "sex" else None
    words = np.where(table.age < OLD, f"below {OLD}", f"{OLD} or older").astype(object)
    return np.where(np.isnan(table.age), None, words)


def subgroups(kind: Kind) -> pd.DataFrame:
    """Columns table, row, subgroup of all tables of `families.diseases` that say it; patients who lack it are left out.

    Raises ParameterError for another kind.
    """
    if kind not in ("sex", "age"):
        raise ParameterError(f"subgroups by {kind!r} are unknown; expected 'sex' or 'age'")
    frames = []
    for name in (table for disease in DISEASES for table in tables_of(disease)):
        found = _subgroup(_table(name), kind)
        if found is not None:
            frames.append(pd.DataFrame({"table": name, "row": np.arange(len(found)), "subgroup": found}).dropna())
    return pd.concat(frames, ignore_index=True)
