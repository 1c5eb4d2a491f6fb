"""Labels saved: how many examples a learner without earlier tasks needs to reach what g reaches with a few.

Every task is given to both with the same query: to g with k examples (of each class, where there are classes), to
learners that know this task alone with n = 1, 2, ... of them. Where their curve reaches g's score is the answer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from metastudy.abtest import t_interval
from metastudy.adapt.adam import train_on_support
from metastudy.errors import DataError, ParameterError
from metastudy.evaluate import score_tasks
from metastudy.families.base import Family, Fold, TaskSpec
from metastudy.families.digits import Digits
from metastudy.families.omniglot import Omniglot
from metastudy.families.sinusoid import Sinusoid
from metastudy.losses import loss, predict
from metastudy.methods import Classifier, Fitted, Method, Scratch, chunks, to_scores, validation_tasks
from metastudy.study import one_thread
from metastudy.tasks import Task, collate
from metastudy.train import TrainConfig, rng_for, torch_generator

G, BETTER = "g", "the better of them"
LABELS = (1, 5, 10)  # that g is given
RESAMPLES = 2000
CURVES = ("study", "learner", "n", "metric", "mean", "low", "high")
LEVELS = ("study", "k", "g", "against", "needed", "low", "high", "largest", "times", "answer")


@dataclass(frozen=True)
class LongSinusoid(Sinusoid):
    """`Sinusoid` with up to 200 points; the first 20 of a frozen task are those of `Sinusoid`."""

    max_shots: ClassVar[int] = 200
    shots: tuple[int, ...] = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200)
    n_test: int = 100


@dataclass(frozen=True)
class LongDigits(Digits):
    """`Digits` with up to 150 images of each class: most of what there is."""

    max_shots: ClassVar[int] = 150
    shots: tuple[int, ...] = (1, 2, 3, 5, 10, 20, 40, 80, 150)
    n_query: int = 20
    n_test: int = 34


@dataclass(frozen=True)
class LongOmniglot(Omniglot):
    """`Omniglot` with 15 of the 20 drawings of a character to learn from, and 5 to recognise."""

    max_shots: ClassVar[int] = 15
    shots: tuple[int, ...] = (1, 2, 3, 5, 8, 11, 15)
    n_query: int = 5
    n_train_query: int = 4
    n_test: int = 100


@dataclass(frozen=True)
class LongScratch(Scratch):
    """`Scratch` for tasks of many labels: few validation tasks, and few tasks at once, or memory would not do."""

    n_validation: int = 40
    at_once: int = 40

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        model = family.model()
        theta = model.untied(model.init(torch_generator(rng_for(seed, 1))))

        def trained(tasks: Iterable[Task], n_steps: int) -> Iterable[tuple[list[Tensor], list[float]]]:
            for some in chunks(tasks, self.at_once):
                batch = collate(some)
                own = train_on_support(model, theta, batch, self.learning_rate, n_steps)
                with torch.no_grad():
                    found = predict(batch.kind, model(own, batch.query_x), batch.class_mask)
                    losses = loss(batch.kind, found, batch.query_y, batch.query_mask, batch.query_group)
                yield to_scores(found, batch), losses.tolist()

        def mean_loss(tasks: list[Task], n_steps: int) -> float:
            value = float(np.mean([x for _, losses in trained(tasks, n_steps) for x in losses]))
            return value if math.isfinite(value) else math.inf

        chosen = {
            shots: min(self.n_steps, key=lambda n_steps, few=tasks[: self.n_validation]: mean_loss(few, n_steps))
            for shots, tasks in validation_tasks(family, fold).items()
        }
        return Fitted(lambda tasks, shots: [p for some, _ in trained(tasks, chosen[shots]) for p in some])


@dataclass(frozen=True)
class Question:
    """What is compared on which tasks. `family.shots` are the numbers n that the learners are given."""

    study: str
    family: Family
    learners: tuple[Method, ...]
    metric: str
    higher_is_better: bool = True


def sinusoid(n_tasks: int = 100) -> Question:
    """Training is much longer than `Scratch`'s, which would not get there however many points it had.

    On 20 tasks with 50 points, 2,000 steps left an error of 0.018 and 8,000 of 0.005.
    """
    scratch = LongScratch(n_steps=(40, 120, 500, 2000, 8000))
    return Question("sinusoid", LongSinusoid(n_test=n_tasks), (scratch,), "mse", higher_is_better=False)


def _logistic() -> Classifier:
    """With weaker penalties than elsewhere: with many labels those are the best ones on validation tasks."""
    return Classifier("logistic regression", LogisticRegression, tuple({"C": c} for c in (0.1, 1.0, 10.0, 100.0)))


def digits(n_tasks: int = 102) -> Question:
    """Tasks are spread over the three folds."""
    return Question("digits", LongDigits(n_test=math.ceil(n_tasks / 3)), (LongScratch(), _logistic()), "accuracy")


def omniglot(ways: int, n_tasks: int = 100) -> Question:
    """Characters of the standard test split, in tasks that no frozen list holds.

    Adam's rate is the best of 0.001, 0.003 and 0.01 for training from scratch with 1 and 5 labels on validation tasks;
    with 15 it matters little.
    """
    family = LongOmniglot(ways=(ways,), train_ways=ways, n_test=n_tasks)
    scratch = LongScratch(learning_rate=0.003, n_steps=(40, 120), n_validation=10, at_once=1)
    return Question(f"omniglot {ways}-way", family, (scratch, _logistic()), "accuracy")


def _score(family: Family, fold: Fold, specs: Sequence[TaskSpec], method: Method, n: int, seed: int) -> pd.DataFrame:
    one_thread()
    family = replace(family, shots=(n,))
    fitted = method.fit(family, fold, TrainConfig(), seed)  # nothing is trained on earlier tasks
    return score_tasks(family, fold, specs, fitted, method.name, seed)[0]


def scores(
    question: Question,
    g: Callable[[Fold, int], Fitted],
    labels: Sequence[int] = LABELS,
    seed: int = 0,
    jobs: int = 1,
) -> pd.DataFrame:
    """Tidy scores of the learners with n examples and of g with k, on the same tasks, which are drawn from `seed`.

    `g(fold, k)` is what was trained on earlier tasks of the fold, for k examples. `jobs` processes share the work;
    the result does not depend on them. Raises ParameterError for more labels than the tasks hold.
    """
    family = question.family
    if not labels or not set(labels) <= set(range(1, family.max_shots + 1)):
        raise ParameterError(f"labels for g are {list(labels)}; expected numbers from 1 to {family.max_shots}")
    specs = family.freeze(rng_for(seed, 6))
    own = {fold: [s for s in specs if s.fold == fold.name] for fold in family.folds()}
    # the longest first, so that no process is left alone with one at the end
    work = [(f, m, n) for n in sorted(family.shots, reverse=True) for m in question.learners for f in own]
    found = joblib.Parallel(n_jobs=jobs)(joblib.delayed(_score)(family, f, own[f], m, n, seed) for f, m, n in work)
    for fold in own:
        for k in labels:
            found.append(score_tasks(replace(family, shots=(k,)), fold, own[fold], g(fold, k), G, seed)[0])
    chosen = pd.concat(found, ignore_index=True).query("metric == @question.metric").assign(study=question.study)
    return chosen.sort_values(["method", "shots"], kind="stable", ignore_index=True)


def curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean scores by number of examples with 95% t intervals over tasks: columns `CURVES`; g is one of the learners."""
    rows = []
    for (study, learner, n, metric), group in scores.groupby(["study", "method", "shots", "metric"]):
        rows.append((study, learner, n, metric, group["value"].mean(), *t_interval(group["value"].to_numpy())))
    return pd.DataFrame(rows, columns=list(CURVES))


def crossing(n: np.ndarray, curve: np.ndarray, level: float) -> float:
    """Where a curve over n examples, which should rise but for noise, reaches a level: between points linear in log n.

    Noise is taken out by isotonic regression. At most n[0] where the level is reached from the start; inf where never.
    """
    rising = isotonic_regression(curve)
    reached = np.flatnonzero(rising >= level)
    if not len(reached):
        return math.inf
    i = int(reached[0])
    return float(n[0]) if i == 0 else math.exp(np.interp(level, rising[i - 1 : i + 1], np.log(n[i - 1 : i + 1])))


def levels(scores: pd.DataFrame, higher_is_better: bool, seed: int = 0) -> pd.DataFrame:
    """Examples needed to reach g's mean score with k: columns `LEVELS`, a row for each k and learner.

    Several learners are also counted as one, the better of them at every n (`BETTER`), which is the hardest bar.
    `low` and `high` are a 95% percentile bootstrap over tasks: g and the learners are drawn together, as they were
    scored on the same tasks. NaN stands for more than `largest`, the most that was tried; `times` is needed / k.

    Raises DataError where g or the learners are missing, or were not scored on the same tasks.
    """
    table = scores.pivot(index=["family", "task"], columns=["method", "shots"], values="value")
    names = [name for name in dict.fromkeys(scores["method"]) if name != G]
    if not names or G not in set(scores["method"]):
        raise DataError(f"scores are of {sorted(set(scores['method']))}; expected those of {G} and of other learners")
    n = np.array(sorted(table[names[0]]))
    if table.isna().any().any() or any(sorted(table[name]) != n.tolist() for name in names):
        raise DataError("learners and g were not all scored on the same tasks; expected the frame that `scores` gives")
    bars = {name: [name] for name in names} | ({BETTER: names} if len(names) > 1 else {})
    times_drawn = rng_for(seed, 8).multinomial(len(table), np.full(len(table), 1 / len(table)), size=RESAMPLES)
    shares = np.vstack([np.ones(len(table)), times_drawn]) / len(table)  # (1 + R, T): the tasks as they are come first

    def heights(scores: pd.DataFrame | pd.Series) -> np.ndarray:
        means = shares @ scores.to_numpy()
        return means if higher_is_better else -np.log(np.maximum(means, 1e-12))  # errors span orders of magnitude

    curve = {name: heights(table[name][n]) for name in names}  # (1 + R, N)
    rows = []
    for k, against in itertools.product(sorted(table[G]), bars):
        bar = np.max([curve[name] for name in bars[against]], axis=0)
        needed, *drawn = (crossing(n, *pair) for pair in zip(bar, heights(table[G][k]), strict=True))
        low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")  # infinities are not interpolated
        finite = [x if x < math.inf else math.nan for x in (needed, low, high)]
        answer = f"more than {n[-1]}" if needed == math.inf else f"{needed:.3g}"
        own = scores["study"].iloc[0], k, table[G][k].mean(), against
        rows.append((*own, *finite, n[-1], finite[0] / k, answer))
    return pd.DataFrame(rows, columns=list(LEVELS))
