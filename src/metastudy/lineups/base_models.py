"""Base models under one mapping, the ridge head, and scikit-learn's classifiers that see the support alone."""

from __future__ import annotations

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from metastudy.adapt import RidgeHead
from metastudy.lineups import C_GRID
from metastudy.methods import Classifier, MetaMethod, Method
from metastudy.model import MLP, Conv4, ConvNet, ResNet4, SetNet


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
