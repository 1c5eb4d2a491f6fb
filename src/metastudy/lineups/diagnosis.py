"""Diagnosis from tables whose columns differ from task to task."""

from __future__ import annotations

from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from metastudy.adapt import MAML, Prototypes, RidgeHead, Unadapted
from metastudy.lineups import C_GRID
from metastudy.methods import Classifier, FineTuned, Method, Scratch, mixture_and_members


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
