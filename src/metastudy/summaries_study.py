"""What notebook 04 asks about public domains besides who wins: where, how much room there was, and which features.

No number here is used to choose anything that a frozen task judges, and encoders are compared on other documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import joblib
import numpy as np
import pandas as pd
from torch import Tensor

from metastudy import text
from metastudy.abtest import benjamini_hochberg, compare, t_interval, verdict
from metastudy.classic.published import SETTINGS
from metastudy.errors import DataError
from metastudy.families.base import Fold, TaskSpec
from metastudy.families.documents import TOOLS
from metastudy.families.grouped import grouped_draws
from metastudy.families.public_summaries import PublicSummaries
from metastudy.families.sentence_rows import ENCODERS, SentenceEncoder
from metastudy.families.summary_family import SummaryFamily
from metastudy.lineups.summarization import summarization_methods
from metastudy.methods import Method
from metastudy.plan import A, StudyPlan
from metastudy.recipes import frozen
from metastudy.study import Run
from metastudy.tasks import Task
from metastudy.train import TrainConfig, rng_for

IN_FIGURE = ("lead", "lexrank", "centroid", "from scratch", "fine-tuned", "pooled", "tools", A)
"""Of the curves over k; all methods are in the table."""
ABLATED = ("pooled", "prototypes", A)
N_DRAWS, N_QUERY = 3, 30  # of an ablation's tasks, and their documents
MIN_FREE = 40  # documents that a domain needs outside the frozen tasks
Choices = dict[str, dict[str, tuple[int, ...]]]
"""Method -> document id -> indices of the sentences that it chose."""
Scores = dict[str, dict[str, float]]
"""Method -> document id -> ROUGE-1, 0 to 100."""


def named(plan: StudyPlan) -> set[str]:
    """g, and everything that a plan compares it with."""
    return {A, plan.primary, *plan.exploratory}


def choices(family: SummaryFamily, task: Task, predictions: Mapping[str, Tensor]) -> tuple[Choices, Scores]:
    """What each method chose of each query document, and what that is worth."""
    chosen = {name: family.chosen(task, prediction) for name, prediction in predictions.items()}
    scores = {
        name: {i: family.rouge1(family.documents[i], picks) for i, picks in own.items()} for name, own in chosen.items()
    }
    return chosen, scores


def by_metric(papers: pd.DataFrame) -> pd.DataFrame:
    """Rows of `scitldr.anchors` in the form of `classic.published`: setting (a metric), method, mean, low, high."""
    rows = [
        (setting, r["method"], r[metric], r[f"{metric}_low"], r[f"{metric}_high"])
        for setting, metric in zip(SETTINGS["scitldr"], text.ROUGE, strict=True)
        for _, r in papers.iterrows()
    ]
    return pd.DataFrame(rows, columns=["setting", "method", "mean", "low", "high"])


def against_plain(scores: pd.DataFrame, plan: StudyPlan, methods: Sequence[str] = TOOLS) -> pd.DataFrame:
    """In each domain g against the plain method that did best there: a screen, adjusted over domains.

    Documents of a draw are the units, seeds a random factor where the plan says so. The rival is chosen on the very
    scores that it is judged by, which favours it. Columns: family; b, the rival; g and rival, their means; difference,
    low, high, p, p_adjusted; verdict. Raises DataError as `abtest.compare` does.
    """
    own = scores[(scores["metric"] == plan.metric) & (scores["shots"] == plan.shots)]
    rows = []
    for family, part in own.groupby("family", sort=False):
        means = part.groupby("method")["value"].mean()
        rival = means[list(methods)].agg("idxmin" if plan.lower_is_better else "idxmax")
        c = compare(part, A, rival, plan.metric, plan.shots, plan.lower_is_better, False, plan.seeds)
        rows.append((family, rival, means[A], means[rival], c.difference, c.low, c.high, c.p))
    table = pd.DataFrame(rows, columns=["family", "b", "g", "rival", "difference", "low", "high", "p"])
    table["p_adjusted"] = benjamini_hochberg(table["p"].tolist())
    words = [verdict(r.difference, r.low, r.high, r.p_adjusted, plan.margin, plan.alpha) for r in table.itertuples()]
    return table.assign(verdict=words)


def ceilings(run: Run, family: SummaryFamily, shots: int) -> pd.Series:
    """ROUGE-1 of the extractive oracle by domain, for summaries as long as `shots` documents say."""
    folds = {fold.name: fold for fold in family.folds()}
    found = []
    for spec in frozen(run, family):
        task = family.build(spec, shots, folds[spec.fold])
        found += [(spec.family, s.value) for s in family.oracle(task) if s.metric == family.metrics[0]]
    return pd.DataFrame(found, columns=["family", "value"]).groupby("family")["value"].mean()


def gap_closed(scores: pd.DataFrame, ceiling: pd.Series, method: str = A, shots: int = 10) -> pd.DataFrame:
    """What a method closes of the gap between the first sentences and the oracle, by domain, and over them.

    Columns: family, lead, method, oracle, closed. The last row, "all", has the mean of the domains' shares.
    """
    own = scores[(scores["metric"] == "rouge1") & (scores["shots"] == shots)]
    means = own.groupby(["family", "method"])["value"].mean().unstack()
    table = pd.DataFrame({"lead": means["lead"], method: means[method], "oracle": ceiling})
    table["closed"] = (table[method] - table["lead"]) / (table["oracle"] - table["lead"])
    return pd.concat([table, table.mean().to_frame("all").T]).rename_axis("family").reset_index()


def free_tasks(family: PublicSummaries, fold: Fold, specs: Sequence[TaskSpec], shots: int) -> list[Task]:
    """Tasks of the domain that the fold tests, from documents of which no frozen task asks, nor of any of their group.

    Neither training nor its end has seen that domain. None where it has fewer than `MIN_FREE` such documents.
    """
    asked = {family.documents[i].group for spec in specs for i in spec.query}
    tasks = []
    for number, domain in enumerate(family.domains):
        groups = {i: family.documents[i].group for i in family.domains[domain]}
        groups = {i: group for i, group in groups.items() if group not in asked}
        if domain not in fold.test or len(groups) < MIN_FREE:
            continue
        drawn = grouped_draws(domain, fold, groups, N_DRAWS, family.max_shots, N_QUERY, rng_for(9, number))
        tasks += [family.build(spec, shots, fold) for spec in drawn]
    return tasks


def _one_encoder(
    encoder: SentenceEncoder, fold: Fold, specs: Sequence[TaskSpec], config: TrainConfig, shots: int, seed: int
) -> list[tuple]:
    family = PublicSummaries(shots=(shots,), encoder=encoder)
    tasks = free_tasks(family, fold, specs, shots)
    rows = []
    for method in _ablated(family) if tasks else []:
        fitted = method.fit(family, fold, config, seed)
        for task, prediction in zip(tasks, fitted.predict(tasks, shots), strict=True):
            rows.append((encoder, method.name, task.family, float(np.mean(family.quality(task, prediction)))))
    return rows


def _ablated(family: SummaryFamily) -> list[Method]:
    return [m for m in summarization_methods(family) if m.name in ABLATED]


def encoders(run: Run, config: TrainConfig, shots: int = 10) -> pd.DataFrame:
    """ROUGE-1 of methods with each of the `ENCODERS` of sentences, on documents that no frozen task asks about.

    Methods are those in `ABLATED`, trained with one seed. Columns: encoder, method, family, rouge1: a row a domain,
    means over documents of its draws. Raises DataError where no domain has enough such documents.
    """
    family, p = PublicSummaries(), run.parameters
    specs = frozen(run, family)
    cells = [(e, fold, specs, config, shots, p.seed) for e in ENCODERS for fold in family.folds()]
    rows = [row for own in joblib.Parallel(p.jobs)(joblib.delayed(_one_encoder)(*c) for c in cells) for row in own]
    if not rows:
        raise DataError(
            f"no domain has {MIN_FREE} documents outside the frozen tasks; expected one: raise max_documents"
        )
    table = pd.DataFrame(rows, columns=["encoder", "method", "family", "rouge1"])
    return table.groupby(["encoder", "method", "family"], sort=False)["rouge1"].mean().reset_index()


def encoder_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Each encoder against none, paired by domain: method, encoder, rouge1, difference, low, high (95% t interval)."""
    wide = table.pivot_table(index=["method", "family"], columns="encoder", values="rouge1")
    rows = []
    for method in dict.fromkeys(table["method"]):
        own = wide.loc[method]
        for encoder in own:
            change = (own[encoder] - own["none"]).to_numpy()
            low, high = t_interval(change) if encoder != "none" else (0.0, 0.0)
            rows.append((method, encoder, own[encoder].mean(), change.mean(), low, high))
    return pd.DataFrame(rows, columns=["method", "encoder", "rouge1", "difference", "low", "high"])
