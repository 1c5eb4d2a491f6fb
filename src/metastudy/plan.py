"""The plan before the data (notebooks/parameters/plan.yaml), and the verdicts it leads to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metastudy.abtest import benjamini_hochberg, compare, holm, minimum_detectable, paired_scores, verdict
from metastudy.errors import DataError, ParameterError
from metastudy.tables import VERDICTS

Adjustment = Callable[[Sequence[float]], np.ndarray]
A = "g"  # what every comparison asks about


class StudyPlan(BaseModel):
    """One study: what is measured, at how many examples, against what, and which difference is too small to matter."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    metric: str
    lower_is_better: bool = False
    shots: int = Field(ge=0)
    margin: float = Field(gt=0)
    clustered: bool
    primary: str
    exploratory: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _each_rival_once(self) -> StudyPlan:
        rivals = (self.primary, *self.exploratory)
        if len(set(rivals)) < len(rivals) or A in rivals:
            raise ValueError(f"rivals {rivals}: expected each once, and never {A!r} itself")
        return self


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    studies: Annotated[dict[str, StudyPlan], Field(min_length=1)]


def load(path: Path) -> dict[str, StudyPlan]:
    """The plan by study. Raises ParameterError for an unknown or missing entry."""
    try:
        return _Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).studies
    except (ValidationError, yaml.YAMLError) as error:
        raise ParameterError(f"{path.name} is no valid plan: {error}; see StudyPlan for what an entry holds") from None


def _row(study: str, plan: StudyPlan, scores: pd.DataFrame, a: str, b: str) -> tuple[object, ...]:
    c = compare(scores, a, b, plan.metric, plan.shots, plan.lower_is_better, plan.clustered)
    found = (c.difference, c.low, c.high, c.p, c.p, c.n_tasks, c.n_clusters)
    return (study, a, b, plan.shots, plan.metric, *found, "undecided")


def _rows(study: str, plan: StudyPlan, scores: pd.DataFrame, against: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame([_row(study, plan, scores, A, b) for b in against], columns=list(VERDICTS))


def judge(
    rows: pd.DataFrame, plans: Mapping[str, StudyPlan], alpha: float = 0.05, adjust: Adjustment = holm
) -> pd.DataFrame:
    """Fill p_adjusted, over all rows given, and verdict."""
    rows = rows.assign(p_adjusted=adjust(rows["p"].tolist()))
    words = [
        verdict(r.difference, r.low, r.high, r.p_adjusted, plans[r.study].margin, alpha) for r in rows.itertuples()
    ]
    return rows.assign(verdict=words)


def primary(plans: Mapping[str, StudyPlan], scores: Mapping[str, pd.DataFrame], alpha: float = 0.05) -> pd.DataFrame:
    """The planned claims of all studies given, adjusted together. Differences are oriented: above 0, g is better."""
    return judge(
        pd.concat([_rows(s, plans[s], scores[s], (plans[s].primary,)) for s in scores], ignore_index=True), plans, alpha
    )


def exploratory(plans: Mapping[str, StudyPlan], study: str, scores: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Everything else of one study: a screen, adjusted within it for the rate of false discoveries."""
    return judge(_rows(study, plans[study], scores, plans[study].exploratory), plans, alpha, benjamini_hochberg)


def all_of_study(plans: Mapping[str, StudyPlan], study: str, scores: pd.DataFrame) -> pd.DataFrame:
    """g against everything in the study, a screen adjusted within it: what one notebook can say before notebook 07."""
    against = (plans[study].primary, *plans[study].exploratory)
    return judge(_rows(study, plans[study], scores, against), plans, adjust=benjamini_hochberg)


def together(verdicts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Verdicts of several studies in one table, each adjusted as it was."""
    return pd.concat(verdicts.values(), ignore_index=True)


def detectable(plans: Mapping[str, StudyPlan], scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The smallest difference that each primary comparison detects with 80% power, beside its margin."""
    rows = []
    for study, frame in scores.items():
        p = plans[study]
        pairs = paired_scores(frame, A, p.primary, p.metric, p.shots)
        differences = pairs["a"] - pairs["b"]
        units = differences.groupby(pairs["family"]).mean() if p.clustered else differences
        rows.append((study, p.metric, len(units), minimum_detectable(units.to_numpy()), p.margin))
    return pd.DataFrame(rows, columns=["study", "metric", "units", "detectable", "margin"])


def same_method(plans: Mapping[str, StudyPlan], scores: Mapping[str, pd.DataFrame], alpha: float) -> pd.DataFrame:
    """A/A: g's first seed against its second, judged like any other comparison. Needs two seeds of each study."""
    rows = []
    for study, frame in scores.items():
        own = frame[frame["method"] == A]
        seeds = sorted(own["seed"].unique())[:2]
        if len(seeds) < 2:
            raise DataError(f"{study} has one seed; A/A compares two: set `seeds` to 2 or more in its notebook")
        named = own.assign(method=[f"g, seed {s}" for s in own["seed"]])
        p = plans[study]
        names = [f"g, seed {s}" for s in seeds]
        rows.append(_row(study, p, named, *names))
    return judge(pd.DataFrame(rows, columns=list(VERDICTS)), plans, alpha)


def clear(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that are better or worse by so much that another processor's rounding could not change the word.

    Their interval ends at least 0.9 of its own width away from zero, and adjusted p is below 0.02.
    """
    nearest = np.minimum(rows["low"].abs(), rows["high"].abs())
    apart = (rows["low"] * rows["high"] > 0) & (nearest > 0.9 * (rows["high"] - rows["low"]))
    return rows[apart & (rows["p_adjusted"] < 0.02) & rows["verdict"].isin(["better", "worse"])]


def say(rows: pd.DataFrame) -> list[str]:
    """One sentence a comparison."""
    return [
        f"{r.a} against {r.b}, {r.shots} examples: {r.verdict} "
        f"({r.difference:+.3f} [{r.low:+.3f}, {r.high:+.3f}] {r.metric}, p = {r.p_adjusted:.2g})"
        for r in rows.itertuples()
    ]
