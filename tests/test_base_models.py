"""Base models as scikit-learn estimators: probabilities, any labels, and folds that are the same for every model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from metastudy import base_models
from metastudy.base_models import NeuralClassifier, NeuralRegressor, corrected_interval
from metastudy.errors import DataError
from metastudy.model import MLP, ConvNet

torch.set_num_threads(1)  # on sums this small more threads only wait for each other


def small(n_inputs: int) -> MLP:
    return MLP(n_inputs, (8,))


def blobs(n: int = 30, ways: int = 3, dim: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Well separated classes 0, 1, .. in turn."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % ways
    return 3 * rng.normal(size=(ways, dim))[y] + 0.3 * rng.normal(size=(n, dim)), y


def test_probabilities_sum_to_one_and_separable_classes_are_learned() -> None:
    x, y = blobs()
    model = NeuralClassifier(small).fit(x[:18], y[:18])
    found = model.predict_proba(x[18:])
    assert found.shape == (12, 3) and (found >= 0).all()
    assert found.sum(1) == pytest.approx(np.ones(12), abs=1e-5)
    assert model.predict(x[18:]).tolist() == y[18:].tolist() == found.argmax(1).tolist()


@pytest.mark.parametrize("names", [[7, -2, 3], ["pear", "apple", "fig"]])
def test_labels_may_be_anything(names: list) -> None:
    x, y = blobs()
    labels = np.array(sorted(names))[y]  # sorted, so that classes keep their order
    plain, named = NeuralClassifier(small).fit(x, y), NeuralClassifier(small).fit(x, labels)
    assert named.classes_.tolist() == sorted(names)
    assert named.predict(x).tolist() == labels.tolist()
    assert np.array_equal(named.predict_proba(x), plain.predict_proba(x))


def test_a_class_that_training_lacks_is_never_predicted() -> None:
    x, y = blobs()
    some = y != 1
    model = NeuralClassifier(small).fit(x[some], y[some])
    assert model.predict_proba(x).shape == (30, 2) and set(model.predict(x)) <= {0, 2}


def test_the_seed_alone_decides() -> None:
    x, y = blobs()
    first, again, other = (NeuralClassifier(small, seed).fit(x, y).predict_proba(x) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=1e-6)
    model = NeuralClassifier(small, seed=1).fit(x, y)
    assert np.array_equal(clone(model).fit(x, y).predict_proba(x), other), "a clone is a model of the same settings"


def test_query_rows_do_not_influence_each_other() -> None:
    x, y = blobs()
    model = NeuralClassifier(small).fit(x, y)
    assert model.predict_proba(x[:1]) == pytest.approx(model.predict_proba(x)[:1], abs=1e-5)


def test_images_reach_the_convolution_as_images() -> None:
    x = np.zeros((12, 4, 4))
    x[::2, :, 0], x[1::2, 0, :] = 1, 1  # a standing and a lying line
    model = NeuralClassifier(lambda n: ConvNet(side=int(n**0.5), channels=(4,))).fit(x.reshape(12, 16), [0, 1] * 6)
    assert model.x_.shape == (12, 1, 4, 4) and np.array_equal(model.x_[:, 0].numpy(), x)
    assert model.predict(x.reshape(12, 16)).tolist() == [0, 1] * 6
    assert base_models._conv(64).side == 8


def test_regression_learns_a_line_in_any_unit() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    y = x @ [1.0, -2.0]
    model = NeuralRegressor(small).fit(x[:30], y[:30])
    found = model.predict(x[30:])
    assert found.shape == (10,) and np.corrcoef(found, y[30:])[0, 1] > 0.95
    scaled = NeuralRegressor(small).fit(x[:30], 1000 * y[:30] + 5e4).predict(x[30:])
    assert scaled == pytest.approx(1000 * found + 5e4, abs=20)


def test_a_constant_target_is_no_division_by_zero() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2))
    assert NeuralRegressor(small).fit(x, np.full(6, 4.0)).predict(x) == pytest.approx(np.full(6, 4.0), abs=0.1)


def test_the_corrected_interval_by_hand() -> None:
    scores = np.array([0.8, 0.9, 0.7, 0.8])
    # variance .02 / 3; times 1/4 + 20/80 = 1/2 instead of 1/4; Student's t with 3 degrees of freedom
    half = 3.182446 * (0.02 / 3 / 2) ** 0.5
    assert corrected_interval(scores, n_train=80, n_test=20) == pytest.approx((0.8 - half, 0.8 + half), abs=1e-6)
    half = 2.353363 * (0.02 / 3 / 2) ** 0.5
    assert corrected_interval(scores, 80, 20, confidence=0.9) == pytest.approx((0.8 - half, 0.8 + half), abs=1e-6)
    assert corrected_interval(np.full(5, 0.5), 80, 20) == (0.5, 0.5)
    with pytest.raises(DataError, match="1 fold score; an interval needs at least two"):
        corrected_interval(np.array([0.5]), 80, 20)


def classes(return_X_y: bool) -> tuple[np.ndarray, np.ndarray]:
    return blobs(24, ways=2)


def line(return_X_y: bool) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(1).normal(size=(24, 2))
    return x, x[:, 0]


def few_models(name: str, seed: int) -> dict[str, BaseEstimator]:
    if name == "line":
        return {"mean": DummyRegressor(), "net": NeuralRegressor(small, seed)}
    return {"logistic": LogisticRegression(), "net": NeuralClassifier(small, seed)}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"classes": (classes, "accuracy"), "ranked": (classes, "auroc"), "line": (line, "r2")}
    monkeypatch.setattr(base_models, "DATA", data)
    monkeypatch.setattr(base_models, "models", few_models)


def test_the_table_is_complete_and_does_not_depend_on_the_processes(tiny: None) -> None:
    found = base_models.cross_validate([6, 10], folds=2, repeats=2, seed=0, jobs=1)
    assert list(found.columns) == ["data", "model", "rows", "metric", "mean", "low", "high", "n_folds"]
    assert found.groupby(["data", "metric"]).size().to_dict() == {
        ("classes", "accuracy"): 4, ("line", "r2"): 4, ("ranked", "auroc"): 4,
    }  # fmt: skip
    assert set(found["n_folds"]) == {4} and set(found["rows"]) == {6, 10}
    assert (found["low"] <= found["mean"]).all() and (found["mean"] <= found["high"]).all()
    of_classes = found[found["data"] != "line"]
    assert (of_classes["mean"] > 0.9).all(), "the classes are far apart"
    assert (found[found["model"] == "mean"]["mean"] <= 0).all(), "a constant explains no variance"
    other = base_models.cross_validate([6, 10], folds=2, repeats=2, seed=0, jobs=2)
    assert_frame_equal(found, other, check_exact=True)


class Watched(ClassifierMixin, BaseEstimator):
    """Says 0 always, and notes the first column of what it was fitted on."""

    fitted: list[np.ndarray] = []

    def fit(self, x: np.ndarray, y: np.ndarray) -> Watched:
        self.classes_ = np.unique(y)
        Watched.fitted.append(x[:, 0])
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(len(x), dtype=int)


def test_every_model_sees_the_same_rows_and_more_rows_hold_the_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    Watched.fitted.clear()
    monkeypatch.setattr(base_models, "DATA", {"classes": (classes, "accuracy")})
    monkeypatch.setattr(base_models, "models", lambda name, seed: {"a": Watched(), "b": Watched()})
    base_models.cross_validate([3, 8], folds=2, repeats=1, seed=0, jobs=1)
    a3, b3, a8, b8 = (Watched.fitted[i : i + 2] for i in (0, 2, 4, 6))  # two folds each
    for fold in range(2):
        assert a3[fold].tolist() == b3[fold].tolist() == a8[fold][:3].tolist()
        assert a8[fold].tolist() == b8[fold].tolist() and len(set(a8[fold])) == 8
    assert not set(a8[0]) & set(a8[1]), "two folds train on complementary halves"


def test_more_rows_than_a_fold_has_are_refused(tiny: None) -> None:
    with pytest.raises(DataError, match="classes: 13 training rows asked, a fold has 12"):
        base_models.cross_validate([6, 13], folds=2, repeats=1, seed=0, jobs=1)


@pytest.mark.parametrize(("metric", "expected"), [("accuracy", 0.5), ("auroc", 0.5), ("r2", 0.0)])
def test_scores_of_a_model_that_knows_nothing(metric: str, expected: float) -> None:
    x, y = np.zeros((8, 1)), np.arange(8) % 2
    model = (DummyRegressor() if metric == "r2" else DummyClassifier(strategy="prior")).fit(x, y)
    assert base_models._score(metric, model, x, y) == expected


def test_every_data_set_has_deep_and_classical_candidates() -> None:
    for name, (_, metric) in base_models.DATA.items():
        found = base_models.models(name, seed=3)
        assert {"linear", "random forest", "k nearest", "MLP"} <= set(found)
        assert ("conv net" in found) == name.startswith("digits")
        deep = found["MLP"]
        assert isinstance(deep[0], StandardScaler) and deep[-1].seed == 3
        assert isinstance(deep[-1], NeuralRegressor if metric == "r2" else NeuralClassifier)
