"""What notebook 05 asks about a new disease besides who wins: table by table, labels turned round, patients saved, and
how long it takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

from metastudy.classic import labels
from metastudy.clinical.predictions import PREDICTIONS
from metastudy.evaluate import score_tasks
from metastudy.families.base import Fold, TaskSpec
from metastudy.families.diseases import Diseases
from metastudy.methods import Method, chunks
from metastudy.plan import A
from metastudy.recipes import frozen
from metastudy.study import Run, one_thread
from metastudy.tabular.varied import reversed_labels
from metastudy.tasks import Task
from metastudy.train import TrainConfig, rng_for

METRIC = "auroc"


@dataclass(frozen=True)
class ReversedDiseases(Diseases):
    """The tested tables with healthy coded as sick, as by a user who declares the wrong class. Training is as ever."""

    task_list: ClassVar[str] = Diseases.study

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        return reversed_labels(super().build(spec, shots, fold))


def by_table(scores: pd.DataFrame, rivals: Sequence[str], shots: int, metric: str = METRIC) -> pd.DataFrame:
    """g and rivals in each table, means over draws and seeds: family, table, g, and for each rival its value and
    `over <rival>`, g minus it; the largest gain over the first rival on top."""
    own = scores[(scores["metric"] == metric) & (scores["shots"] == shots) & scores["method"].isin([A, *rivals])]
    own = own.assign(table=own["task"].str.rpartition("/")[0])
    by_seed = own.groupby(["family", "table", "method", "seed"])["value"].mean()
    wide = by_seed.groupby(["family", "table", "method"]).mean().unstack()[[A, *rivals]]
    for rival in rivals:
        wide[f"over {rival}"] = wide[A] - wide[rival]
    return wide.sort_values(f"over {rivals[0]}", ascending=False).rename_axis(columns=None).reset_index()


def summary(tables: pd.DataFrame, rivals: Sequence[str]) -> pd.DataFrame:
    """Over tables: rival, mean gain, how many tables of how many g wins, its worst table and the loss there."""
    rows = []
    for rival in rivals:
        gain = tables[f"over {rival}"]
        rows.append((rival, gain.mean(), int((gain > 0).sum()), len(gain), tables["table"][gain.idxmin()], gain.min()))
    return pd.DataFrame(rows, columns=["rival", "gain", "better on", "of", "worst table", "worst"])


def _one_fold(
    family: Diseases, fold: Fold, specs: Sequence[TaskSpec], methods: Sequence[Method], config: TrainConfig, seed: int,
    shots: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Scores of the tasks with reversed labels, and predictions of the tasks as they are."""
    one_thread()
    backwards = ReversedDiseases(shots=family.shots, draws=family.draws)
    scores, rows = [], []
    for method in methods:
        fitted = method.fit(family, fold, config, seed)
        scores.append(score_tasks(backwards, fold, specs, fitted, method.name, seed)[0])
        for some in chunks(specs):
            tasks = [family.build(spec, shots, fold) for spec in some]
            for task, p in zip(tasks, fitted.predict(tasks, shots), strict=True):
                rows.append(_predictions(method.name, task, p[:, 1].double().numpy(), shots))
    return pd.concat(scores, ignore_index=True), pd.concat(rows, ignore_index=True)


def _predictions(method: str, task: Task, probability: np.ndarray, shots: int) -> pd.DataFrame:
    table = task.id.rpartition("/")[0]
    same = {"method": method, "family": task.family, "table": table, "task": task.id, "shots": shots}
    rows = np.array(task.query_ids, dtype=np.int64)
    return pd.DataFrame({"row": rows, "truth": task.query_y.numpy().astype(int), "probability": probability}).assign(
        **same
    )[list(PREDICTIONS)]


def reversed_and_predicted(
    run: Run, methods: Sequence[Method], config: TrainConfig, shots: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each method fitted once more with the run's first seed: scores where labels are turned round, for all numbers of
    shots, and predictions (`clinical.predictions`) of the frozen tasks with `shots` patients of each class."""
    family, p = Diseases(shots=tuple(run.parameters.disease_shots)), run.parameters
    specs = frozen(run, family)
    folds = [(fold, [s for s in specs if s.fold == fold.name]) for fold in family.folds()]
    found = joblib.Parallel(p.jobs)(
        joblib.delayed(_one_fold)(family, fold, own, [m], config, p.seed, shots) for fold, own in folds for m in methods
    )
    scores, predictions = (pd.concat(frames, ignore_index=True) for frames in zip(*found, strict=True))
    return scores, predictions


def reversal(scores: pd.DataFrame, backwards: pd.DataFrame, rival: str) -> pd.DataFrame:
    """What turned labels cost: method, shots, AUROC as coded and reversed, and reversed minus the rival's.

    Means of tables' means. The rival must know no direction: its AUROC is the same both ways but for rounding.
    """

    def means(frame: pd.DataFrame) -> pd.Series:
        own = frame[frame["metric"] == METRIC].assign(table=frame["task"].str.rpartition("/")[0])
        by_seed = own.groupby(["method", "shots", "table", "seed"])["value"].mean()
        return by_seed.groupby(["method", "shots", "table"]).mean().groupby(["method", "shots"]).mean()

    coded, turned = means(scores), means(backwards)
    table = pd.DataFrame({"as coded": coded, "reversed": turned}).dropna()
    against = table.loc[rival, "reversed"].reindex(table.index.get_level_values("shots")).to_numpy()
    return table.assign(**{f"reversed, over {rival}": table["reversed"] - against}).reset_index()


def patients_saved(scores: pd.DataFrame, rivals: Sequence[str], given: Sequence[int], seed: int) -> pd.DataFrame:
    """How many patients of each class classical tools need to reach g with `given`: see `classic.labels.levels`.

    The curve is of the best rival at every number. Intervals are over tasks, not over diseases.
    """
    own = scores[(scores["metric"] == METRIC) & scores["method"].isin([A, *rivals])]
    own = own[(own["method"] != A) | own["shots"].isin(given)]
    own = own.groupby(["study", "family", "task", "method", "shots"])["value"].mean().reset_index()
    found = labels.levels(own, True, seed)
    return found[found["against"] == (labels.BETTER if len(rivals) > 1 else rivals[0])].reset_index(drop=True)


def unseen_table() -> tuple[pd.DataFrame, np.ndarray]:
    """scikit-learn's diabetes table, none of `families.diseases`: columns, and whether the disease progressed more than
    in the median patient."""
    data = load_diabetes(as_frame=True, scaled=False)
    return data.data, (data.target > data.target.median()).to_numpy(int)


def ten_patients(progressed: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Positions of five random patients of each class, and of one more."""
    order = rng_for(seed, 13).permutation(len(progressed))
    five = [order[progressed[order] == c][:5] for c in (0, 1)]
    return np.concatenate(five), int(next(i for i in order if i not in np.concatenate(five)))


def adaptation_time(family: Diseases, methods: Sequence[Method], config: TrainConfig, shots: int) -> pd.DataFrame:
    """Milliseconds from a support to the diagnosis of its query, the median over 50 tasks: method, ms. One core."""
    one_thread()
    fold = family.folds()[0]
    tasks = family.sample(fold, "validation", shots, 50, np.random.default_rng(0))
    rows = []
    for method in methods:
        fitted = method.fit(family, fold, config, 0)
        fitted.predict(tasks[:2], shots)
        times = []
        for task in tasks:
            begin = time.perf_counter()
            fitted.predict([task], shots)
            times.append(1000 * (time.perf_counter() - begin))
        rows.append((method.name, float(np.median(times))))
    return pd.DataFrame(rows, columns=["method", "ms"])
