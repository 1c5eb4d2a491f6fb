"""A simulated online A/B test on real scores: new tasks arrive over time and each is answered by one of two methods.

What each method scores on each frozen task is known, so assignments can be drawn again and again (by another salt) and
the decisions of a product team replayed: when would the test have stopped, what would it have said, and how often
would it have cried wolf where both arms are the same?
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metastudy.abtest.assignment import assign
from metastudy.abtest.scores import paired_scores
from metastudy.abtest.sequential import TAU, ConfidenceSequence, naive_peeking, two_arm_sequence
from metastudy.abtest.unpaired import cuped, sample_ratio, welch
from metastudy.errors import DataError
from metastudy.plan import A, StudyPlan

ARMS = ("control", "treatment")


@dataclass(frozen=True)
class Stream:
    """Tasks in order of arrival. Shapes, n tasks: arm (n,) 0 control or 1 treatment; value (n,) what its method scored,
    more is better; before (n,) what an earlier system scores on the same task, known whatever the arm."""

    study: str
    tasks: tuple[str, ...]
    arm: np.ndarray
    value: np.ndarray
    before: np.ndarray

    def of(self, arm: int, before: bool = False) -> np.ndarray:
        """Values of one arm, in order of arrival."""
        return (self.before if before else self.value)[self.arm == arm]


def _order(task: str, salt: str) -> bytes:
    return hashlib.sha256(f"{salt}/arrival/{task}".encode()).digest()


def stream(
    study: str, plan: StudyPlan, scores: pd.DataFrame, control: str, treatment: str, before: str, salt: str
) -> Stream:
    """Tasks of one study as they arrive, assigned to arms by a hash of experiment, salt and task.

    Scores are means over seeds. Raises DataError where the three methods were not scored on the same tasks.
    """
    sign = -1 if plan.lower_is_better else 1
    pairs = paired_scores(scores, treatment, control, plan.metric, plan.shots)
    earlier = paired_scores(scores, before, control, plan.metric, plan.shots)
    if pairs["task"].tolist() != earlier["task"].tolist():
        raise DataError(
            f"{study}: {before!r} was not scored on the tasks of the experiment; evaluate it on the same list"
        )
    tasks = [f"{family}/{task}" for family, task in zip(pairs["family"], pairs["task"], strict=True)]
    order = sorted(range(len(tasks)), key=lambda i: _order(tasks[i], salt))
    arm = np.array([ARMS.index(assign(tasks[i], study, salt, ARMS)) for i in order])
    value = np.where(arm == 1, pairs["a"].to_numpy()[order], pairs["b"].to_numpy()[order])
    return Stream(study, tuple(tasks[i] for i in order), arm, sign * value, sign * earlier["a"].to_numpy()[order])


def watched(arrived: Stream, alpha: float, tau: float = TAU) -> ConfidenceSequence:
    """The always-valid test of treatment against control, after each arrival. Raises DataError for a broken split."""
    sample_ratio([int((arrived.arm == i).sum()) for i in (0, 1)])
    return two_arm_sequence(arrived.of(0), arrived.of(1), tau, alpha)


def experiments(
    plans: dict[str, StudyPlan], scores: dict[str, pd.DataFrame], before: str, salt: str, tau: float = TAU
) -> pd.DataFrame:
    """One online experiment a study, g against its planned rival, judged in three ways.

    Columns study, tasks, stop (arrivals per arm after which the always-valid test decided; missing where it never did),
    estimate, low, high (its confidence sequence at the end), welch_p, cuped_p, and variance_kept: the share of the
    variance that is left when what the earlier system scores is taken into account.
    """
    rows = []
    for study, p in plans.items():
        arrived = stream(study, p, scores[study], p.primary, A, before, salt)
        seen = watched(arrived, p.alpha, tau)
        plain = welch(arrived.of(0), arrived.of(1))
        adjusted = cuped(arrived.of(0), arrived.of(1), arrived.of(0, before=True), arrived.of(1, before=True))
        ends = (seen.estimate[-1], seen.low[-1], seen.high[-1])
        rows.append((study, len(arrived.tasks), seen.stop, *ends, plain.p, adjusted.p, 1 - adjusted.variance_reduction))
    columns = ["study", "tasks", "stop", "estimate", "low", "high", "welch_p", "cuped_p", "variance_kept"]
    return pd.DataFrame(rows, columns=columns)


def false_alarms(
    plans: dict[str, StudyPlan], scores: dict[str, pd.DataFrame], before: str, replays: int, looks: int
) -> pd.DataFrame:
    """A/A on real scores: both arms are g, assigned anew `replays` times; the share of replays that finds a winner.

    Columns study, procedure, alarms, replays. The procedures: one look at the end; `looks` naive looks, stopping at the
    first p < alpha (what a team does that watches a dashboard); the always-valid test, watched all the time.
    """
    rows = []
    for study, p in plans.items():
        same = paired_scores(scores[study], A, before, p.metric, p.shots)
        tasks = [f"{family}/{task}" for family, task in zip(same["family"], same["task"], strict=True)]
        values = same["a"].to_numpy()
        alarms = dict.fromkeys(("one look", f"{looks} looks", "always-valid"), 0)
        for i in range(replays):
            salt = f"replay {i}"
            order = sorted(range(len(tasks)), key=lambda j: _order(tasks[j], salt))
            arm = np.array([ARMS.index(assign(tasks[j], study, salt, ARMS)) for j in order])
            value = values[order]
            found = _decided(value[arm == 0], value[arm == 1], looks, p.alpha)
            for name, decided in zip(alarms, found, strict=True):
                alarms[name] += decided
        rows += [(study, name, n, replays) for name, n in alarms.items()]
    return pd.DataFrame(rows, columns=["study", "procedure", "alarms", "replays"])


def _decided(control: np.ndarray, treatment: np.ndarray, looks: int, alpha: float) -> Sequence[bool]:
    """Whether one look, `looks` naive looks and the always-valid test find a winner."""
    paired = min(len(control), len(treatment))
    peeked = naive_peeking(treatment[:paired] - control[:paired], looks, alpha)
    always = two_arm_sequence(control, treatment, alpha=alpha)
    return welch(control, treatment).p < alpha, peeked.stop is not None, always.stop is not None
