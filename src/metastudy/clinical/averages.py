"""From patients to one number: rows of a group as arrays, and means in which every table and family weighs alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from metastudy.abtest import t_interval

TABLES = ["method", "shots", "family", "table"]
"""Groups that pool the draws of a table."""
DRAWS = [*TABLES, "task"]
"""Groups of one fitted model each: for whatever depends on the order of a model's own probabilities."""
AVERAGES = ("mean", "low", "high", "n_families", "n_tables")


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[tuple, np.ndarray, np.ndarray]]:
    """Key, (n,) truths as bool and (n,) probabilities of each group, in the order of the keys."""
    by = frame.groupby(list(keys), sort=True, observed=True)
    codes = by.ngroup().to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    first = frame[list(keys)].iloc[order[starts]].itertuples(index=False, name=None)
    truth = frame["truth"].to_numpy()[order].astype(bool)
    probability = frame["probability"].to_numpy(dtype=float)[order]
    yield from zip(first, np.split(truth, starts[1:]), np.split(probability, starts[1:]), strict=True)


def over_families(measures: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Mean of each method, shots and metric with its 95% t interval over families.

    `measures` has a `value` for each method, shots, family, table and metric, and each `task` if the measure is one of
    draws; `by` are further columns to keep apart. Draws of a table weigh alike, then tables of a family, then families,
    however many patients they have. Missing values are left out and are not counted. One family: no interval.
    """
    keys = ["method", "shots", *by, "metric"]
    known = measures.dropna(subset=["value"])
    tables = known.groupby([*keys, "family", "table"], sort=True, observed=True)["value"].mean().reset_index()
    families = tables.groupby([*keys, "family"], sort=True)["value"].agg(["mean", "size"]).reset_index()
    rows = [
        (*key, part["mean"].mean(), *t_interval(part["mean"].to_numpy()), len(part), int(part["size"].sum()))
        for key, part in families.groupby(keys, sort=True)
    ]
    return pd.DataFrame(rows, columns=[*keys, *AVERAGES])


def measured(rows: list[tuple], keys: Sequence[str], names: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Rows of (*keys, *by, *values) as a long frame of keys, by, metric, value."""
    wide = pd.DataFrame(rows, columns=[*keys, *by, *names])
    return wide.melt(id_vars=[*keys, *by], var_name="metric", value_name="value")
