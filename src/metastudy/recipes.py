"""Which methods each study compares, and one call that evaluates them and writes scores and table.

The only place where mappings and baselines meet a family; notebooks choose from here. Initial values of α (scales,
penalties) were chosen on validation tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from metastudy import plan, task_lists
from metastudy.abtest import summarise
from metastudy.adapt import (
    ANIL,
    BOIL,
    MAML,
    Attention,
    CosinePrototypes,
    Estimator,
    FiLM,
    FirstOrderMAML,
    InputScore,
    Mapping,
    MetaSGD,
    ProtoMAML,
    Prototypes,
    Reptile,
    RidgeHead,
    TaskMemory,
    Unadapted,
)
from metastudy.evaluate import Evaluation, cross_validate
from metastudy.evidence import EvidenceMixture
from metastudy.families.base import Family, Fold, TaskSpec
from metastudy.families.sinusoid import Sinusoid, X
from metastudy.families.summarization import DocumentationSummaries
from metastudy.families.summary_family import SummaryFamily
from metastudy.methods import (
    Classifier,
    FineTuned,
    Fitted,
    MetaMethod,
    Method,
    RandomScores,
    Scratch,
    alone,
    field_baselines,
    mixture_and_members,
    pooled,
)
from metastudy.model import MLP, Conv4, ConvNet, ResNet4, SetNet
from metastudy.staleness import code_hash
from metastudy.study import Run
from metastudy.tasks import Task
from metastudy.train import TrainConfig

METHOD_GROUPS = {
    "gradient steps": ("maml", "fomaml", "anil", "boil", "meta_sgd", "reptile", "proto_maml"),
    "closed form, distance, memory": (
        "ridge", "prototypes", "cosine_prototypes", "attention", "film", "task_memory", "estimator"
    ),
    "baselines": ("from scratch", "fine-tuned", "pooled", "logistic regression"),
}  # fmt: skip
"""Panels of notebook 03's figures."""

C_GRID: tuple[dict[str, object], ...] = tuple({"C": c} for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0))


def sinusoid_mappings() -> tuple[Mapping, ...]:
    """The members of g on the sinusoid; one gradient step, as in the tables of Finn et al. (2017), Li et al. (2017)."""
    return MAML(n_steps=1, initial_step_size=0.01), RidgeHead(), Attention(), FiLM(), TaskMemory()


def sinusoid_methods() -> list[Method]:
    """Every way of adapting that makes sense for one real target, alone, and g."""
    step = {"n_steps": 1, "initial_step_size": 0.01}
    others = FirstOrderMAML(**step), ANIL(**step), BOIL(**step), MetaSGD(**step), Reptile(initial_step_size=0.01)
    mappings = sinusoid_mappings()
    return [Scratch(), FineTuned(), pooled(), *alone(*others, Estimator()), *mixture_and_members(*mappings)]


def digits_methods() -> list[Method]:
    """Every way of adapting that makes sense for renamed classes, alone, and g. Logistic regression on the pixels is
    the bar: the images are small and clean."""
    logistic = Classifier("logistic regression", LogisticRegression, C_GRID[::2])
    others = FirstOrderMAML(), ANIL(), MetaSGD(), ProtoMAML(), Reptile(), CosinePrototypes(), FiLM(), Estimator()
    mappings = MAML(), RidgeHead(initial_scale=4.0), Prototypes(), Attention(), TaskMemory(12, initial_scale=4.0)
    return [logistic, Scratch(), FineTuned(), *alone(*others), *mixture_and_members(*mappings)]


def digits_base_models() -> list[Method]:
    """Base models under one mapping, the ridge head, and scikit-learn classifiers that see the support alone."""
    heads = (RidgeHead(initial_scale=4.0),)
    return [
        MetaMethod("pixels", heads, MLP(64, ())),
        MetaMethod("MLP", heads, MLP(64, (64, 64))),
        MetaMethod("conv net", heads),
        MetaMethod("conv net, 2 blocks", heads, ConvNet(side=8, channels=(32, 32))),
        Classifier("logistic regression", LogisticRegression, C_GRID[::2]),
        Classifier("random forest", RandomForestClassifier, ({"n_estimators": 30, "random_state": 0},)),
        Classifier("nearest neighbour", KNeighborsClassifier, ({"n_neighbors": 1},)),
    ]


def omniglot_base_models() -> list[Method]:
    """From no features to the network of the papers, under one mapping, the ridge head."""
    heads = (RidgeHead(initial_scale=4.0),)
    return [
        MetaMethod("pixels", heads, MLP(784, ())),
        MetaMethod("MLP", heads, MLP(784, (256, 64))),
        MetaMethod("2 blocks", heads, Conv4(n_blocks=2)),
        MetaMethod("4 blocks, 16 channels", heads, Conv4(channels=16)),
        MetaMethod("4 blocks, 64 channels", heads, Conv4()),
        MetaMethod("4 residual blocks", heads, ResNet4(channels=(24, 48, 96, 144))),
    ]


def diagnosis_base_models(n_columns: int) -> list[Method]:
    """The same question for tables whose columns differ from task to task; channel 0 holds the plain values."""
    heads = (RidgeHead(initial_scale=2.0),)
    return [
        MetaMethod("columns as they are", heads, MLP(4 * n_columns, ())),
        MetaMethod("MLP", heads, MLP(4 * n_columns, (64, 64))),
        MetaMethod("column net", heads),
        MetaMethod("set net", heads, SetNet(channels=4)),
        Classifier("logistic regression", LogisticRegression, C_GRID[::2], channel=0),
        Classifier("random forest", RandomForestClassifier, ({"n_estimators": 30, "random_state": 0},), channel=0),
        Classifier("naive Bayes", GaussianNB, ({"var_smoothing": 0.5},), channel=0),
    ]


def diagnosis_methods() -> list[Method]:
    """Classical tools see the same standardised, softly clipped columns as f (channel 0)."""
    return [
        Classifier("logistic regression", LogisticRegression, channel=0),
        Classifier("logistic regression, tuned C", LogisticRegression, C_GRID, channel=0),
        Classifier("naive Bayes", GaussianNB, ({"var_smoothing": 0.5},), channel=0),
        Scratch(),
        FineTuned(),
        *mixture_and_members(Unadapted(), MAML(), RidgeHead(initial_scale=2.0), Prototypes()),
    ]


def ranking_methods(family: Family) -> list[Method]:
    """For search: the field's own tools are columns of the input."""
    mappings = Unadapted(), MAML(), RidgeHead(initial_penalty=10.0), Prototypes()
    return [*field_baselines(family), Scratch(), FineTuned(), *mixture_and_members(*mappings)]


def summarization_methods(family: SummaryFamily) -> list[Method]:
    """Choosing at random, the field's tools, learning from the support alone and from earlier tasks, every way of
    adapting that applies, and g.

    Members of g are the field's tools, f as earlier tasks left it, and prototypes. "tools" is g without anything that
    was meta-trained.
    """
    tools = tuple(InputScore(b.column, b.name) for b in family.field_baselines)
    others = MAML(), RidgeHead(initial_penalty=10.0), Prototypes()
    mixtures = EvidenceMixture("tools", tools), EvidenceMixture("g", (*tools, Unadapted(), Prototypes()))
    baselines = [RandomScores(), *field_baselines(family), Scratch(), FineTuned(), *alone(Unadapted(), *others)]
    return [*baselines, *mixtures]


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


def oracle(run: Run, family: DocumentationSummaries) -> pd.Series:
    """ROUGE-1 of the best sentence there is, by library: the ceiling of every method that picks one sentence."""
    folds = {fold.name: fold for fold in family.folds()}
    found = []
    for spec in frozen(run, family):
        task = family.build(spec, 1, folds[spec.fold])
        found += [(spec.family, s.value) for s in family.oracle(task) if s.metric == "rouge1"]
    return pd.DataFrame(found, columns=["family", "value"]).groupby("family")["value"].mean()


def sinusoid_example(run: Run, family: Sinusoid, config: TrainConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One frozen task as curves (method, x, y) of truth and predictions over all of [-5, 5], and its support points."""
    x = torch.linspace(*X, 200)
    curves, shots = [], family.shots[0]
    for method in mixture_and_members(*sinusoid_mappings()):
        if method.name in ("maml", "ridge", "g"):
            _, tasks, fitted = refit(run, family, method, config, shots)
            whole = replace(tasks[0], query_x=x[:, None], query_y=family.truth(tasks[0].id, frozen(run, family), x))
            y = fitted.predict([whole], shots)[0]
            curves.append(pd.DataFrame({"method": method.name, "x": x, "y": y}))
    curves.append(pd.DataFrame({"method": "truth", "x": x, "y": whole.query_y}))
    support = pd.DataFrame({"x": whole.support_x[:, 0], "y": whole.support_y})
    return pd.concat(curves, ignore_index=True), support
