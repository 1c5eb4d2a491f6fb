"""Beyond the primary claims: all methods over the families of a study, and what the plan's margin makes of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from metastudy.abtest.bayesian import signed_rank
from metastudy.abtest.many import MIN_FAMILIES, Friedman, friedman
from metastudy.abtest.margins import equivalence, non_inferiority
from metastudy.abtest.power import detectable, sample_size
from metastudy.abtest.scores import paired_scores
from metastudy.plan import A, StudyPlan


def units(plan: StudyPlan, scores: pd.DataFrame, b: str) -> pd.Series:
    """Difference g - b of each independent unit (family or task), oriented so that more is better for g."""
    pairs = paired_scores(scores, A, b, plan.metric, plan.shots)
    difference = (pairs["a"] - pairs["b"]) * (-1 if plan.lower_is_better else 1)
    return difference.groupby(pairs["family"]).mean() if plan.clustered else difference


def ranked(plan: StudyPlan, scores: pd.DataFrame) -> Friedman | None:
    """Mean ranks over families of g and everything the plan compares it with; None with fewer families than a rank
    test can use, where the intervals of single comparisons have to do."""
    chosen = scores[(scores["metric"] == plan.metric) & (scores["shots"] == plan.shots)]
    chosen = chosen[chosen["method"].isin([A, plan.primary, *plan.exploratory])]
    table = chosen.groupby(["family", "method"])["value"].mean().unstack()
    return friedman(table, plan.lower_is_better, plan.alpha) if len(table) >= MIN_FAMILIES else None


def margins(plans: Mapping[str, StudyPlan], scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Each primary comparison against its margin, conditional on the trained models: columns study, units, equivalent_p
    and non_inferior_p (one-sided), and the Bayesian signed-rank probabilities of better, equivalent and worse.

    The latter where families are the units only: the rope is applied to means of pairs of units, which for single
    tasks vary far more than the mean that the margin is about.
    """
    rows = []
    for study, p in plans.items():
        found = units(p, scores[study], p.primary)
        bayes = signed_rank(found.to_numpy(), p.margin) if p.clustered else None
        said = (bayes.p_better, bayes.p_equivalent, bayes.p_worse) if bayes else (float("nan"),) * 3
        tested = [t(found.to_numpy(), p.margin, alpha=p.alpha).p for t in (equivalence, non_inferiority)]
        rows.append((study, len(found), *tested, *said))
    columns = ["study", "units", "equivalent_p", "non_inferior_p", "better", "equivalent", "worse"]
    return pd.DataFrame(rows, columns=columns)


def power(plans: Mapping[str, StudyPlan], scores: Mapping[str, pd.DataFrame], chance: float = 0.8) -> pd.DataFrame:
    """Could the effect worth acting on have been seen? Per primary comparison: units, the difference they detect with
    that chance (two-sided t at alpha, before adjustment, seeds left out), the planned minimum effect, and the units it
    would take."""
    rows = []
    for study, p in plans.items():
        found = units(p, scores[study], p.primary)
        sd = float(found.std(ddof=1))
        seen = detectable(sd, len(found), p.alpha, chance)
        needed = sample_size(sd, p.minimum_effect, p.alpha, chance) if sd > 0 else 2
        unit = "families" if p.clustered else "tasks"
        rows.append((study, p.metric, unit, len(found), seen, p.margin, p.minimum_effect, needed))
    columns = ["study", "metric", "unit", "units", "detectable", "margin", "minimum_effect", "needed"]
    return pd.DataFrame(rows, columns=columns)
