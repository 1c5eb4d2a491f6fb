"""A new disease, with columns of its own: classical tools, ways of adapting, and g with a prior over columns."""

from __future__ import annotations

from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from metastudy.adapt import MAML, Mapping, Prototypes, RidgeHead
from metastudy.lineups import C_GRID
from metastudy.methods import Classifier, FineTuned, Method, Scratch, alone, pooled
from metastudy.tabular.classical import Discriminant, NaiveBayes, Neighbours, SupportVectors, plain_logistic
from metastudy.tabular.column_prior import ColumnPrior
from metastudy.tabular.kernel_ridge import KernelRidge
from metastudy.tabular.varied import TabularMethod, Variation

UNORIENTED = "g, no orientation"
TRAININGS = 3
CLINICAL = ("logistic regression", "logistic regression, tuned C", "support vectors", "random forest", UNORIENTED, "g")
"""Asked what a clinician would ask."""
IN_FIGURE = (
    "logistic regression, plain columns", "logistic regression, tuned C", "support vectors", "random forest",
    "fine-tuned", "ridge", UNORIENTED, "g",
)  # fmt: skip
"""Of the curves over k; all methods are in the table."""


def classical() -> list[Method]:
    """They see the same standardised, softly clipped columns as f (channel 0), but for the plain ones."""
    return [
        Classifier("logistic regression, plain columns", plain_logistic, channel=0),
        Classifier("logistic regression", LogisticRegression, channel=0),
        Classifier("logistic regression, tuned C", LogisticRegression, C_GRID, channel=0),
        Classifier("discriminant analysis", Discriminant, tuple({"shrinkage": s} for s in (0.3, 0.6, 0.9)), channel=0),
        Classifier("naive Bayes", NaiveBayes, ({"var_smoothing": 0.5},), channel=0),
        Classifier("nearest neighbours", Neighbours, ({"n_neighbors": 5, "weights": "distance"},), channel=0),
        Classifier("support vectors", SupportVectors, channel=0),
        Classifier("random forest", RandomForestClassifier, ({"n_estimators": 50, "random_state": 0},), channel=0),
        Classifier(
            "gradient boosting",
            GradientBoostingClassifier,
            ({"n_estimators": 50, "max_depth": 2, "random_state": 0},),
            channel=0,
        ),
    ]


def disease_mappings() -> tuple[Mapping, ...]:
    """The members of g."""
    return ColumnPrior(), KernelRidge()


def disease_methods() -> list[Method]:
    """Classical tools, learning from the support alone and from earlier tables, every way of adapting, and g.

    g, and its members alone, train on varied tables; g is the mean of `TRAININGS` trainings. Where half of the labels
    are turned round, g learns nothing about which way columns point (`UNORIENTED`).
    """
    single = [TabularMethod(m.name, (m,)) for m in disease_mappings()]
    unoriented = TabularMethod(UNORIENTED, disease_mappings(), variation=Variation(reversed=0.5), trainings=TRAININGS)
    others = alone(MAML(), RidgeHead(initial_scale=2.0), Prototypes())
    g = TabularMethod("g", disease_mappings(), trainings=TRAININGS)
    return [*classical(), Scratch(), FineTuned(), pooled(), *others, *single, unoriented, g]
