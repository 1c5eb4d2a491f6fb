"""The claim about a new hospital: better probabilities from ten of its patients, and no worse ranking of the others.

Four hospitals are too few to be units of a test, so all intervals are about patients and draws *within* these four.
What a fifth hospital would bring, no interval here covers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from metastudy.abtest import compare, summarise, verdict
from metastudy.clinical.predictions import PREDICTIONS
from metastudy.errors import DataError
from metastudy.families.base import TaskSpec
from metastudy.families.hospitals import Hospitals
from metastudy.hospitals.bootstrap import auroc_of, equal_weights, log_loss_of, weights_by_class
from metastudy.lineups.hospitals import BLIND, MIXED, SOURCE, G
from metastudy.methods import Method
from metastudy.train import TrainConfig

SHOTS = 5  # 2k = 10 patients
MARGIN = 0.01  # of AUROC and of log loss in nats: less does not matter
ALPHA = 0.05
RESAMPLES = 1000
ZERO = {SOURCE: SOURCE, "pooled": "pooled", MIXED: MIXED, BLIND: G}
"""Methods that look at no patient, and whose answer at k = 0 that is."""
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def with_zero(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with rows for k = 0, of the methods in `ZERO`.

    A frozen task holds at least one labelled patient, so k = 0 is measured where a method is given some and looks at
    none: that is the same for every k, and the query is too. Rows of g without patients become those of g at k = 0.
    """
    blind = scores[scores["method"].isin(ZERO) & (scores["shots"] == scores["shots"].min())]
    zero = blind.assign(shots=0, method=blind["method"].map(ZERO))
    return pd.concat([zero, scores[scores["method"] != BLIND]], ignore_index=True)


def both_supports(scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Means by hospital, method, k and metric for each kind of support: support, and the columns of a study table.

    Their intervals are over draws and only describe.
    """
    parts = [summarise(with_zero(own), False).assign(support=support) for support, own in scores.items()]
    return pd.concat(parts, ignore_index=True)


def support_effect(
    random: pd.DataFrame, balanced: pd.DataFrame, methods: Sequence[str], metric: str = "log_loss", shots: int = SHOTS
) -> pd.DataFrame:
    """What a random sample of patients is worth against as many healthy as sick ones, paired by task.

    Columns: method, hospital, random, balanced, difference (above 0: random is better), low, high, p. Interval and p
    are over draws. Raises DataError as `abtest.compare` does.
    """
    both = pd.concat(
        [own.assign(method=own["method"] + f"\n{kind}") for kind, own in (("random", random), ("balanced", balanced))]
    )
    rows = []
    for method in methods:
        names = [f"{method}\n{kind}" for kind in ("random", "balanced")]
        for hospital, own in both.groupby("family", sort=False):
            c = compare(own, *names, metric, shots, metric != "auroc", clustered=False)
            at = own[(own["metric"] == metric) & (own["shots"] == shots)].groupby("method")["value"].mean()
            rows.append((method, hospital, *at[names], c.difference, c.low, c.high, c.p))
    columns = ["method", "hospital", "random", "balanced", "difference", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def predictions(
    family: Hospitals, specs: Sequence[TaskSpec], methods: Sequence[Method], config: TrainConfig, shots: int = SHOTS,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Probability of every query patient of every frozen task by each method, as `clinical.predictions` has them."""
    frames = []
    for fold in family.folds():
        own = [spec for spec in specs if spec.fold == fold.name]
        tasks = [family.build(spec, shots, fold) for spec in own]
        for method in methods:
            found = method.fit(family, fold, config, seed).predict(tasks, shots)
            frames += [
                pd.DataFrame({
                    "method": method.name, "family": task.family, "table": task.family, "task": task.id, "shots": shots,
                    "row": np.array(task.query_ids, dtype=int), "truth": task.query_y.numpy().astype(int),
                    "probability": p[:, 1].double().numpy(),
                })
                for task, p in zip(tasks, found, strict=True)
            ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)[list(PREDICTIONS)]


def _matrix(own: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (draws, patients), NaN where a patient is not asked about, and diagnoses (patients,)."""
    wide = own.pivot(index="task", columns="row", values="probability").sort_index(axis=1)
    return wide.to_numpy(), own.groupby("row")["truth"].first().sort_index().to_numpy()


def _resampled(p: np.ndarray, y: np.ndarray, measure: Measure, patients: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Mean over draws of a measure, under weights of patients (B, N) and of draws (B, n): (B,)."""
    found = np.full_like(draws, np.nan)
    for d, row in enumerate(p):
        asked = ~np.isnan(row)
        found[:, d] = measure(y[asked], row[asked], patients[:, asked])
    there = ~np.isnan(found)  # a sample may leave out the few healthy patients of a draw
    with np.errstate(invalid="ignore"):
        return (np.where(there, found, 0) * draws).sum(1) / (there * draws).sum(1)


def claim(
    predicted: pd.DataFrame, a: str = G, b: str = SOURCE, n: int = RESAMPLES, seed: int = 0, margin: float = MARGIN
) -> pd.DataFrame:
    """Log loss and AUROC of a against b at each hospital, and their mean over hospitals ("all").

    Columns: metric, hospital, a, b (mean over draws), difference (above 0: a is better), low, high, p, verdict,
    not_harmed. The interval is a percentile bootstrap of patients and of draws at once (for AUROC patients within each
    diagnosis), the same sample for both methods. `not_harmed`: its lower end is above -margin. The claim is made of the
    two rows "all"; those of single hospitals are not adjusted for being several.
    Raises DataError where the two were not asked about the same patients.
    """
    rows = []
    for metric, measure, weigh, sign in (
        ("log_loss", log_loss_of, lambda y, rng: equal_weights(len(y), n, rng), -1),
        ("auroc", auroc_of, lambda y, rng: weights_by_class(y, n, rng), 1),
    ):
        found = {}
        for number, (hospital, own) in enumerate(predicted.groupby("family", sort=False)):
            (p_a, y), (p_b, _) = (_matrix(own[own["method"] == name]) for name in (a, b))
            if p_a.shape != p_b.shape or not np.array_equal(np.isnan(p_a), np.isnan(p_b)):
                raise DataError(f"{a} and {b} were not asked about the same patients of {hospital}; predict them again")
            rng = np.random.default_rng([seed, number])
            # the first sample is the data itself
            patients = np.vstack([np.ones(len(y)), weigh(y, rng)])
            draws = np.vstack([np.ones(len(p_a)), equal_weights(len(p_a), n, rng)])
            found[hospital] = [_resampled(p, y, measure, patients, draws) for p in (p_a, p_b)]
        found["all"] = np.mean(list(found.values()), axis=0)
        for hospital, (of_a, of_b) in found.items():
            difference, *samples = sign * (of_a - of_b)
            low, high = np.quantile(samples, [ALPHA / 2, 1 - ALPHA / 2])
            p = _two_sided(np.array(samples))
            word = verdict(difference, low, high, p, margin, ALPHA)
            rows.append((metric, hospital, of_a[0], of_b[0], difference, low, high, p, word, low > -margin))
    columns = ["metric", "hospital", "a", "b", "difference", "low", "high", "p", "verdict", "not_harmed"]
    return pd.DataFrame(rows, columns=columns)


def _two_sided(samples: np.ndarray) -> float:
    """p of no difference: twice the smaller share of samples on either side of 0, the data among them."""
    tail = min((samples <= 0).sum(), (samples >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(samples) + 1)))
