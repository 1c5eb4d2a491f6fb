"""One call that evaluates a line-up of methods on the frozen tasks and writes scores and table; notebooks start here.

Which methods a study compares is in `lineups`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from metastudy import plan, task_lists
from metastudy.abtest import summarise
from metastudy.evaluate import Evaluation, cross_validate
from metastudy.families.base import Family, Fold, TaskSpec
from metastudy.methods import FineTuned, Fitted, Method
from metastudy.staleness import code_hash
from metastudy.study import Run
from metastudy.tasks import Task
from metastudy.train import TrainConfig


def frozen(run: Run, family: Family) -> list[TaskSpec]:
    """The family's frozen tasks in the run's profile, recorded as an input of the run.

    Embedded data has one list, that of profile quick, whatever the profile.
    """
    profile = "quick" if family.embedded else run.parameters.profile
    listed = run.input(run.project.root / "data" / "tasks" / profile / task_lists.file_name(family))
    return task_lists.read(family, listed.parent)


def evaluate(
    run: Run, family: Family, methods: Sequence[Method], config: TrainConfig, name: str | None = None
) -> tuple[Evaluation, pd.DataFrame]:
    """Cross-validate on the frozen tasks of the run's profile; write scores and table; give both back.

    `name` is that of the study in scores and table, where it is another question on a family's tasks.

    Uses `seed`, `seeds`, `primary_seeds` (of g and fine-tuned, where there is one) and `jobs` of the run. An
    interrupted run goes on where it stopped.
    """
    p = run.parameters
    specs = frozen(run, family)
    result = cross_validate(
        family,
        specs,
        methods,
        config,
        seeds=range(p.seed, p.seed + p.seeds),
        jobs=p.jobs,
        cache=run.folder / ".partial",
        seeds_of=dict.fromkeys(
            (plan.A, FineTuned().name), range(p.seed, p.seed + getattr(p, "primary_seeds", p.seeds))
        ),
        code_key=code_hash(
            "metastudy.evaluate", type(family).__module__, *sorted({type(m).__module__ for m in methods})
        ),
    )
    if name:
        result = replace(result, scores=result.scores.assign(study=name))
    table = summarise(result.scores, family.clustered)
    run.scores(result.scores, name or family.study)
    run.table(table, name or family.study)
    return result, table


def refit(run: Run, family: Family, method: Method, config: TrainConfig, shots: int) -> tuple[Fold, list[Task], Fitted]:
    """A method fitted again on the first fold, with its frozen tasks, to look at single predictions."""
    fold = family.folds()[0]
    tasks = [family.build(spec, shots, fold) for spec in frozen(run, family) if spec.fold == fold.name]
    return fold, tasks, method.fit(family, fold, config, run.parameters.seed)
