"""Handwritten digits with new classes: every way of adapting that makes sense for renamed classes."""

from __future__ import annotations

from sklearn.linear_model import LogisticRegression

from metastudy.adapt import (
    ANIL,
    MAML,
    Attention,
    CosinePrototypes,
    Estimator,
    FiLM,
    FirstOrderMAML,
    MetaSGD,
    ProtoMAML,
    Prototypes,
    Reptile,
    RidgeHead,
    TaskMemory,
)
from metastudy.lineups import C_GRID
from metastudy.methods import Classifier, FineTuned, Method, Scratch, alone, mixture_and_members


def digits_methods() -> list[Method]:
    """Every way of adapting that makes sense for renamed classes, alone, and g. Logistic regression on the pixels is
    the bar: the images are small and clean."""
    logistic = Classifier("logistic regression", LogisticRegression, C_GRID[::2])
    others = FirstOrderMAML(), ANIL(), MetaSGD(), ProtoMAML(), Reptile(), CosinePrototypes(), FiLM(), Estimator()
    mappings = MAML(), RidgeHead(initial_scale=4.0), Prototypes(), Attention(), TaskMemory(12, initial_scale=4.0)
    return [logistic, Scratch(), FineTuned(), *alone(*others), *mixture_and_members(*mappings)]
