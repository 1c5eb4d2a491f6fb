"""The plan before the data (notebooks/parameters/plan.yaml), and the verdicts it leads to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metastudy.abtest import benjamini_hochberg, compare, holm, verdict
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
    test: Literal["paired by family", "paired by task"]
    seeds: Literal["random", "fixed"]
    alpha: float = Field(gt=0, lt=0.5)
    margin: float = Field(gt=0)
    minimum_effect: float
    primary: str
    exploratory: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _each_rival_once(self) -> StudyPlan:
        rivals = (self.primary, *self.exploratory)
        if len(set(rivals)) < len(rivals) or A in rivals:
            raise ValueError(f"rivals {rivals}: expected each once, and never {A!r} itself")
        if self.minimum_effect < self.margin:
            raise ValueError(
                f"minimum_effect {self.minimum_effect} is below margin {self.margin}: it would count as none"
            )
        return self

    @property
    def clustered(self) -> bool:
        """Whether families are the independent units."""
        return self.test == "paired by family"


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    studies: Annotated[dict[str, StudyPlan], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _common_entries(cls, content: Any) -> Any:
        """What stands under `common` holds for every study."""
        if isinstance(content, dict) and isinstance(content.get("studies"), dict):
            common = content.pop("common", None) or {}
            studies = content["studies"].items()
            return content | {"studies": {k: {**common, **v} if isinstance(v, dict) else v for k, v in studies}}
        return content

    @model_validator(mode="after")
    def _one_alpha(self) -> _Plan:
        if len(found := {p.alpha for p in self.studies.values()}) > 1:
            raise ValueError(f"alpha is {sorted(found)}; the primary claims are adjusted together and need one")
        return self


def load(path: Path) -> dict[str, StudyPlan]:
    """The plan by study. Raises ParameterError for an unknown or missing entry."""
    try:
        return _Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).studies
    except (ValidationError, yaml.YAMLError) as error:
        raise ParameterError(f"{path.name} is no valid plan: {error}; see StudyPlan for what an entry holds") from None


def _row(study: str, plan: StudyPlan, scores: pd.DataFrame, a: str, b: str) -> tuple[object, ...]:
    c = compare(scores, a, b, plan.metric, plan.shots, plan.lower_is_better, plan.clustered, plan.seeds)
    found = (c.difference, c.low, c.high, c.p, c.p, c.n_tasks, c.n_clusters)
    return (study, a, b, plan.shots, plan.metric, *found, "undecided")


def _rows(study: str, plan: StudyPlan, scores: pd.DataFrame, against: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame([_row(study, plan, scores, A, b) for b in against], columns=list(VERDICTS))


def judge(rows: pd.DataFrame, plans: Mapping[str, StudyPlan], adjust: Adjustment = holm) -> pd.DataFrame:
    """Fill p_adjusted, over all rows given, and verdict, at the plan's alpha."""
    rows = rows.assign(p_adjusted=adjust(rows["p"].tolist()))
    words = [
        verdict(r.difference, r.low, r.high, r.p_adjusted, plans[r.study].margin, plans[r.study].alpha)
        for r in rows.itertuples()
    ]
    return rows.assign(verdict=words)


def primary(plans: Mapping[str, StudyPlan], scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The planned claims of all studies given, adjusted together. Differences are oriented: above 0, g is better."""
    return judge(
        pd.concat([_rows(s, plans[s], scores[s], (plans[s].primary,)) for s in scores], ignore_index=True), plans
    )


def exploratory(plans: Mapping[str, StudyPlan], study: str, scores: pd.DataFrame) -> pd.DataFrame:
    """Everything else of one study: a screen, adjusted within it for the rate of false discoveries."""
    return judge(_rows(study, plans[study], scores, plans[study].exploratory), plans, benjamini_hochberg)


def all_of_study(plans: Mapping[str, StudyPlan], study: str, scores: pd.DataFrame) -> pd.DataFrame:
    """g against everything in the study, a screen adjusted within it: what one notebook can say before notebook 07."""
    against = (plans[study].primary, *plans[study].exploratory)
    return judge(_rows(study, plans[study], scores, against), plans, benjamini_hochberg)


def together(verdicts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Verdicts of several studies in one table, each adjusted as it was."""
    return pd.concat(verdicts.values(), ignore_index=True)


def same_method(plans: Mapping[str, StudyPlan], scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A/A: one half of g's seeds against the other, judged like any other comparison.

    Raises DataError where a study has fewer than two seeds of g, or four where seeds are random: then each half must
    show how much its seeds differ.
    """
    rows = []
    for study, frame in scores.items():
        p = plans[study]
        own = frame[frame["method"] == A]
        seeds = sorted(own["seed"].unique())
        needed = 4 if p.seeds == "random" else 2
        if len(seeds) < needed:
            raise DataError(
                f"{study} has {len(seeds)} seeds of g; A/A needs {needed}: raise `primary_seeds` in its notebook"
            )
        halves = seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :][: len(seeds) // 2]
        names = [f"g, seeds {' '.join(map(str, half))}" for half in halves]
        named = [own[own["seed"].isin(half)].assign(method=n) for half, n in zip(halves, names, strict=True)]
        rows.append(_row(study, p, pd.concat(named), *names))
    return judge(pd.DataFrame(rows, columns=list(VERDICTS)), plans)


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
