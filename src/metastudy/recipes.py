"""Which methods each study compares, and one call that evaluates them and writes scores and table.

The only place where mappings, baselines and training budgets meet a family; notebooks choose from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from metastudy import task_lists
from metastudy.abtest import summarise
from metastudy.adapt import Attention, GradientSteps, Prototypes, RidgeHead
from metastudy.evaluate import Evaluation, cross_validate
from metastudy.families.base import Family
from metastudy.methods import (
    Classifier,
    FineTuned,
    Method,
    Scratch,
    field_baselines,
    mixture_and_members,
    pooled,
)
from metastudy.staleness import code_hash
from metastudy.study import Run
from metastudy.train import TrainConfig

C_GRID: tuple[dict[str, object], ...] = tuple({"C": c} for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0))


def sinusoid_methods() -> list[Method]:
    """One gradient step, as in the tables of Finn et al. (2017) and Li et al. (2017)."""
    mappings = GradientSteps(n_steps=1, initial_step_size=0.01), RidgeHead(), Attention()
    return [Scratch(), pooled(), FineTuned(), *mixture_and_members(*mappings)]


def digits_methods() -> list[Method]:
    """Logistic regression on the pixels is the bar: the images are small and clean."""
    logistic = Classifier("logistic regression", LogisticRegression, C_GRID)
    return [logistic, Scratch(), FineTuned(), *mixture_and_members(GradientSteps(), RidgeHead(), Prototypes())]


def diagnosis_methods() -> list[Method]:
    """Classical tools see the same standardised, softly clipped columns as f (channel 0)."""
    return [
        Classifier("logistic regression", LogisticRegression, channel=0),
        Classifier("logistic regression, tuned C", LogisticRegression, C_GRID, channel=0),
        Classifier("naive Bayes", GaussianNB, ({"var_smoothing": 0.5},), channel=0),
        Scratch(),
        pooled(),
        FineTuned(),
        *mixture_and_members(GradientSteps(), RidgeHead(), Prototypes()),
    ]


def ranking_methods(family: Family) -> list[Method]:
    """For summarization and search: the field's own tools are columns of the input."""
    mappings = GradientSteps(initial_step_size=0.3), RidgeHead(initial_penalty=10.0), Prototypes()
    return [*field_baselines(family), Scratch(), pooled(), FineTuned(), *mixture_and_members(*mappings)]


def evaluate(
    run: Run, family: Family, methods: Sequence[Method], config: TrainConfig, clustered: bool
) -> tuple[Evaluation, pd.DataFrame]:
    """Cross-validate on the frozen tasks of the run's profile; write scores and table; give both back.

    Uses `seed`, `seeds`, `shots` and `jobs` of the run's parameters. An interrupted run goes on where it stopped.
    """
    p = run.parameters
    listed = run.input(run.project.root / "data" / "tasks" / "quick" / f"{family.study}.json")
    specs = task_lists.read(family, listed.parent)
    result = cross_validate(
        family,
        specs,
        methods,
        config,
        seeds=range(p.seed, p.seed + p.seeds),
        jobs=p.jobs,
        cache=run.folder / ".partial",
        code_key=code_hash(run.project),
    )
    table = summarise(result.scores, clustered)
    run.scores(result.scores, family.study)
    run.table(table, family.study)
    return result, table


STUDIES: dict[str, Callable[[], Family]] = {}
