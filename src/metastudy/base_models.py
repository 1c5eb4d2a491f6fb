"""Which base model f? Ordinary cross-validation of deep and classical models on growing training sets."""

from __future__ import annotations

from collections.abc import Callable

import joblib
import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from metastudy.errors import DataError
from metastudy.losses import predict
from metastudy.methods import train_on_support
from metastudy.model import MLP, BaseModel, ConvNet
from metastudy.tasks import Kind, Task, collate

STEPS, RATE = 120, 0.01


class NeuralBase(BaseEstimator):
    """f as a scikit-learn estimator: one big task, trained from scratch by full-batch Adam on its support."""

    kind: Kind = "classification"

    def __init__(self, make: Callable[[int], BaseModel], seed: int = 0):
        self.make = make
        self.seed = seed

    def _inputs(self, x: np.ndarray) -> Tensor:
        rows = torch.tensor(np.asarray(x), dtype=torch.float32)
        return rows.reshape(len(rows), 1, self.model_.side, -1) if isinstance(self.model_, ConvNet) else rows

    def fit(self, x: np.ndarray, y: np.ndarray) -> NeuralBase:
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.model_ = self.make(x.shape[1])
        self.x_, self.y_ = self._inputs(x), self._labels(y, labels)
        return self

    def _labels(self, y: np.ndarray, labels: np.ndarray) -> Tensor:
        return torch.tensor(labels)

    def _predictions(self, x: np.ndarray) -> np.ndarray:
        ways = len(self.classes_) if self.kind == "classification" else 1
        nobody_knows = self.y_[:1].expand(len(x))
        task = Task("cv", "cv", self.kind, self.x_, self.y_, self._inputs(x), nobody_knows, n_classes=ways)
        batch = collate([task])
        theta = self.model_.init(torch.Generator().manual_seed(self.seed))
        with torch.no_grad():
            fitted = train_on_support(self.model_, theta, batch, RATE, STEPS)
            return predict(self.kind, self.model_(fitted, batch.query_x), batch.class_mask)[0].numpy()


class NeuralClassifier(ClassifierMixin, NeuralBase):
    """f for classes."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.exp(self._predictions(x))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classes_[self._predictions(x).argmax(1)]


class NeuralRegressor(RegressorMixin, NeuralBase):
    """f for one real target, standardised inside."""

    kind: Kind = "regression"

    def _labels(self, y: np.ndarray, labels: np.ndarray) -> Tensor:
        self.centre_, self.scale_ = float(np.mean(y)), float(np.std(y)) or 1.0
        return torch.tensor((y - self.centre_) / self.scale_, dtype=torch.float32)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._predictions(x)[:, 0] * self.scale_ + self.centre_


def _mlp(n_inputs: int) -> MLP:
    return MLP(n_inputs, (64, 64))


def _conv(n_inputs: int) -> ConvNet:
    return ConvNet(side=int(round(n_inputs**0.5)), channels=(32,))


DATA = {
    "digits (10 classes)": (load_digits, "accuracy"),
    "breast cancer": (load_breast_cancer, "auroc"),
    "diabetes (progression)": (load_diabetes, "r2"),
}


def models(name: str, seed: int) -> dict[str, BaseEstimator]:
    """The candidates for one data set. Classical ones with the settings that scikit-learn ships."""
    if name.startswith("diabetes"):
        return {
            "linear": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11))),
            "random forest": RandomForestRegressor(100, random_state=seed),
            "k nearest": make_pipeline(StandardScaler(), KNeighborsRegressor()),
            "MLP": make_pipeline(StandardScaler(), NeuralRegressor(_mlp, seed)),
        }
    found = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "random forest": RandomForestClassifier(100, random_state=seed),
        "k nearest": make_pipeline(StandardScaler(), KNeighborsClassifier()),
        "MLP": make_pipeline(StandardScaler(), NeuralClassifier(_mlp, seed)),
    }
    if name.startswith("digits"):
        found["conv net"] = NeuralClassifier(_conv, seed)
    return found


def _score(metric: str, model: BaseEstimator, x: np.ndarray, y: np.ndarray) -> float:
    if metric == "accuracy":
        return float(accuracy_score(y, model.predict(x)))
    if metric == "auroc":
        return float(roc_auc_score(y, model.predict_proba(x)[:, 1]))
    return float(r2_score(y, model.predict(x)))


def corrected_interval(scores: np.ndarray, n_train: int, n_test: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of repeated cross-validation scores, by the Nadeau and Bengio (2003, sec. 3) correction.

    The folds share training rows; their variance is taken times 1 / J + n_test / n_train instead of 1 / J. Sizes
    are those of the split: models that train on fewer of its rows share fewer, and the interval is cautious.
    """
    if len(scores) < 2:
        raise DataError(f"{len(scores)} fold score; an interval needs at least two")
    half = stats.t.ppf((1 + confidence) / 2, len(scores) - 1) * np.std(scores, ddof=1)
    half *= np.sqrt(1 / len(scores) + n_test / n_train)
    return float(np.mean(scores) - half), float(np.mean(scores) + half)


def cross_validate(sizes: list[int], folds: int, repeats: int, seed: int, jobs: int) -> pd.DataFrame:
    """Columns data, model, rows, metric, mean, low, high, n_folds: models on the same folds, trained on `rows` rows.

    Raises DataError where a size is larger than the training part of a fold.
    """
    cells = []
    for name, (load, metric) in DATA.items():
        x, y = load(return_X_y=True)
        x = x / 16.0 if name.startswith("digits") else x
        splitter = RepeatedKFold if metric == "r2" else RepeatedStratifiedKFold
        splits = list(splitter(n_splits=folds, n_repeats=repeats, random_state=seed).split(x, y))
        for rows in sizes:
            if rows > min(len(train) for train, _ in splits):
                raise DataError(f"{name}: {rows} training rows asked, a fold has {min(len(t) for t, _ in splits)}")
            for model_name, model in models(name, seed).items():
                cells.append((name, model_name, rows, metric, model, x, y, splits))
    return pd.DataFrame(joblib.Parallel(n_jobs=jobs)(joblib.delayed(_cell)(*cell) for cell in cells))


def _cell(
    name: str, model_name: str, rows: int, metric: str, model: BaseEstimator, x: np.ndarray, y: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> dict[str, object]:  # fmt: skip
    torch.set_num_threads(1)
    scores = []
    for i, (train, test) in enumerate(splits):
        some = np.random.default_rng(i).permutation(train)[:rows]  # nested in `rows`, the same for every model
        scores.append(_score(metric, clone(model).fit(x[some], y[some]), x[test], y[test]))
    low, high = corrected_interval(np.array(scores), *map(len, splits[0]))
    return {
        "data": name, "model": model_name, "rows": rows, "metric": metric, "mean": float(np.mean(scores)),
        "low": low, "high": high, "n_folds": len(scores),
    }  # fmt: skip
