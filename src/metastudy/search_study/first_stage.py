"""What is gained where the first stage itself adapts: the whole collection is ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import joblib
import pandas as pd
import torch

from metastudy.errors import ParameterError
from metastudy.families.base import Fold, TaskSpec
from metastudy.families.search_base import measured
from metastudy.families.search_feedback import SearchFeedback
from metastudy.methods import Method
from metastudy.search_study.reasons import texts
from metastudy.study import one_thread
from metastudy.tables import SCORES
from metastudy.tasks import Task
from metastudy.train import TrainConfig

WHOLE = ", all pages"
"""Behind the name of a method that ranks the whole collection."""


def everywhere(family: SearchFeedback, task: Task, aside: str | None = None) -> Task:
    """The same task over the whole collection: all pages in their order, but the judged ones and the one set `aside`.

    Its rows are zeros: for methods that take their columns from the index of the collection (`feedback`) only.
    """
    found, query = family.found[task.family], task.query_ids[0].split("|")[0]
    taken = {*family.results(task.family)[query].judged, aside}
    pages = [page for page in found.pages.tolist() if page not in taken]
    y = torch.tensor([float(found.relevant[query].get(page, 0)) for page in pages])
    return Task(
        task.id, task.family, task.kind, task.support_x, task.support_y,
        torch.zeros(len(pages), task.query_x.shape[1]), y, support_group=task.support_group,
        query_group=torch.zeros(len(pages), dtype=torch.int64), query_ids=tuple(f"{query}|{page}" for page in pages),
    )  # fmt: skip


def _measures(family: SearchFeedback, task: Task, ranking: Sequence[str]) -> Mapping[str, float]:
    query, left = family.residual(task)
    found = measured({query: left}, {query: ranking})[query]
    return found | {f"recall@{family.pool}": sum(page in left for page in ranking) / len(left)}


def _one_fold(
    family: SearchFeedback, fold: Fold, specs: Sequence[TaskSpec], methods: Sequence[Method], config: TrainConfig,
    shots: Sequence[int], seed: int,
) -> list[tuple]:  # fmt: skip
    one_thread()
    rows = []
    fitted = {method.name: method.fit(family, fold, config, seed) for method in methods} if specs else {}
    aside = {name: texts(name).excluded for name in {spec.family for spec in specs}}
    for spec, k in [(spec, k) for spec in specs for k in shots]:
        some = family.build(spec, k, fold)
        every = everywhere(family, some, aside[spec.family].get(some.query_ids[0].split("|")[0]))
        row_of = {row: i for i, row in enumerate(every.query_ids)}
        place = [row_of[row] for row in some.query_ids]
        for name, model in fitted.items():
            few, all_ = (model.predict([task], k)[0] for task in (some, every))
            if not torch.allclose(few.double(), all_[place].double(), atol=1e-6):
                raise ParameterError(f"{name} scores a page by its row, and pages that are no candidates have none")
            for label, task, prediction in ((name, some, few), (f"{name}{WHOLE}", every, all_)):
                ranking = family.ranking(task, prediction)[: len(some.query_ids)]
                values = _measures(family, task, ranking)
                rows += [("search_recall", spec.family, spec.id, label, k, seed, m, v) for m, v in values.items()]
    return rows


def recall_after(
    family: SearchFeedback, specs: Sequence[TaskSpec], methods: Sequence[Method], config: TrainConfig,
    shots: Sequence[int] = (2,), seed: int = 0, jobs: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """What is gained where the first stage itself adapts: tidy scores, of study "search_recall".

    A method by its own name re-ranks the 200 pages that the fusion without feedback found, as in all of the study;
    "<name>, all pages" ranks the whole collection and keeps as many. Judged pages are taken out of both, so 192 of the
    200 are left. Metrics: those of the family, and recall@200, the share of the relevant pages that are among all that
    are kept (200 is the family's `pool`). Raises ParameterError for a method that scores rows of candidates, not pages.
    """
    calls = [
        (family, fold, [spec for spec in specs if spec.fold == fold.name], methods, config, tuple(shots), seed)
        for fold in family.folds()
    ]
    found = joblib.Parallel(jobs)(joblib.delayed(_one_fold)(*call) for call in calls)
    return pd.DataFrame([row for rows in found for row in rows], columns=list(SCORES))
