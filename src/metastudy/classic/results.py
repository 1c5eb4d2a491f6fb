"""Scores of the classic benchmarks in the units and settings of the published tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from metastudy.abtest import t_interval
from metastudy.errors import DataError

ALPHABETS = {"full": "30 alphabets", "small1": "5 alphabets", "small2": "5 alphabets"}
"""What the one-shot challenge's tables call a background; of the two small sets the mean is reported."""


def _settings(scores: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Columns setting, method, unit, value: one row a seed or background."""
    if benchmark == "sinusoid":
        found = scores[scores["metric"] == "mse"]
        return found.assign(setting=[f"K={k}" for k in found["shots"]], unit=found["task"])
    if benchmark == "omniglot":
        found = scores[scores["metric"] == "accuracy"]
        settings = [f"{family} {k}-shot" for family, k in zip(found["family"], found["shots"], strict=True)]
        return found.assign(setting=settings, unit=found["task"], value=100 * found["value"])
    if benchmark == "omniglot_challenge":
        found = scores[scores["metric"] == "error_percent"]
        backgrounds = found["study"].str.removeprefix("omniglot_challenge_").map(ALPHABETS)
        if backgrounds.isna().any():
            strange = found["study"][backgrounds.isna()].iloc[0]
            raise DataError(
                f"study {strange!r} names no background; expected omniglot_challenge_ and {list(ALPHABETS)}"
            )
        return found.assign(setting=backgrounds, unit=found["family"])  # a run of 20 trials is a unit
    raise DataError(f"benchmark {benchmark!r} is unknown; expected sinusoid, omniglot or omniglot_challenge")


def in_published_units(scores: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Columns setting, method, mean, low, high, n: mean with its 95% t interval over tasks (of the challenge: over
    runs). sinusoid: squared error. omniglot: accuracy in percent. omniglot_challenge: error in percent.

    What a unit has several values of (seeds, the two small sets) is averaged first.
    """
    units = _settings(scores, benchmark).groupby(["setting", "method", "unit"], sort=False)["value"].mean()
    rows = []
    for (setting, method), values in units.groupby(level=["setting", "method"], sort=False):
        low, high = t_interval(values.to_numpy())
        rows.append((setting, method, values.mean(), low, high, len(values)))
    return pd.DataFrame(rows, columns=["setting", "method", "mean", "low", "high", "n"])


def collected(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Scores of several runs of one benchmark under one another, each with its own study name."""
    return pd.concat([frame.assign(study=name) for name, frame in parts.items()], ignore_index=True)
