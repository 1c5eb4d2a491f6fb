"""What is compared on somebody's own classes: what most would use, ways of adapting, and g."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from metastudy.adapt import ANIL, MAML, Attention, CosinePrototypes, Prototypes, RidgeHead
from metastudy.methods import Classifier, FineTuned, Method, Scratch, alone, mixture_and_members
from metastudy.tabular.classical import NaiveBayes, Neighbours

CLASSICAL = (
    "logistic regression", "naive Bayes", "nearest neighbours", "support vectors", "random forest"
)  # fmt: skip
"""Those that learn from no earlier task."""
C_GRID: tuple[dict[str, object], ...] = tuple({"C": c} for c in (0.1, 1.0, 10.0, 100.0))
"""Vectors of texts have length one, so the best C is larger than for standardised columns."""


class LinearSupportVectors(LinearSVC):
    """One linear support vector machine a class, whose probabilities are the softmax of twice their margins.

    Platt scaling by cross-validation, which scikit-learn offers, needs more than one row of a class.
    """

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        margins = self.decision_function(X)
        if margins.ndim == 1:  # two classes: one machine
            margins = np.stack([-margins, margins], 1) / 2
        return softmax(2 * margins, axis=1)


@dataclass(frozen=True)
class FewRows:
    """Makes an estimator that does not warn, at each fit, that one row a class might be a regression problem."""

    estimator: type[ClassifierMixin]

    def __call__(self, **setting: object) -> FewRows._Quiet:
        return self._Quiet(self.estimator(**setting))

    @dataclass(frozen=True)
    class _Quiet:
        estimator: ClassifierMixin

        def fit(self, X: np.ndarray, y: np.ndarray) -> ClassifierMixin:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
                return self.estimator.fit(X, y)


def classical() -> list[Method]:
    """scikit-learn's, on the same rows that f sees. Logistic regression with C = 1 is the reference."""
    return [
        Classifier("logistic regression", FewRows(LogisticRegression)),
        Classifier("naive Bayes", FewRows(NaiveBayes), ({"var_smoothing": 0.5},)),
        Classifier("nearest neighbours", FewRows(Neighbours), ({"n_neighbors": 5, "weights": "distance"},)),
        Classifier("support vectors", FewRows(LinearSupportVectors), ({"random_state": 0},)),
        Classifier("random forest", FewRows(RandomForestClassifier), ({"n_estimators": 50, "random_state": 0},)),
    ]


def class_methods(dim: int, texts: bool, quick: bool = False) -> list[Method]:
    """Classical tools, ways of adapting that learned from earlier tasks, each member of g alone, and g.

    `dim` numbers a row. Where they are `texts`, φ is a normed row, whose squared length is `dim`: penalties go with it.
    Members, initial step sizes and scales were chosen on development data: of texts three domains of CLINC150 and 30
    intents of Banking77, of columns the thyroid and vertebral column tables. `quick`: fewer settings of Adam to choose
    from.
    """
    tuned = Classifier("logistic regression, tuned C", FewRows(LogisticRegression), C_GRID)
    if texts:
        members = RidgeHead(float(dim), 8.0), CosinePrototypes(), ANIL(n_steps=5, initial_step_size=1.0)
        others = MAML(initial_step_size=1.0), Prototypes(), Attention(similarity="cosine")
    else:
        members = RidgeHead(5.0, 4.0), Prototypes(), ANIL(n_steps=5, initial_step_size=0.3)
        others = MAML(), CosinePrototypes(), Attention()
    adam = (Scratch(n_steps=(10, 40)), FineTuned(n_steps=(20,))) if quick else (Scratch(), FineTuned())
    return [*classical(), tuned, *adam, *alone(*others), *mixture_and_members(*members)]
