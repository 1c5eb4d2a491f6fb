"""scikit-learn's classifiers, made fit for two rows: what a practitioner would try on a handful of patients."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from metastudy.families.diagnosis import CLIP

NEARLY_ONE = 1 - 1e-6  # the softest clip that single precision still tells apart


def unclipped(z: np.ndarray) -> np.ndarray:
    """Standardised columns before their soft clip (`diagnosis.standardise`), as far as 22 deviations."""
    return CLIP * np.arctanh(np.clip(z / CLIP, -NEARLY_ONE, NEARLY_ONE))


def plain_logistic(C: float = 1.0) -> Pipeline:
    """Logistic regression on standardised columns, without the soft clip: what most people would do."""
    return make_pipeline(FunctionTransformer(unclipped), LogisticRegression(C=C))


class Discriminant(ClassifierMixin, BaseEstimator):
    """Linear discriminant analysis with the shrunk covariance (1 - s) W + s m I (Ledoit and Wolf 2004), with equal
    priors: ridge classification that gives probabilities.

    W is the covariance within classes, m its mean diagonal, and 1 where nothing varies, as in one row of each class:
    scikit-learn's own refuses two rows. For two classes.
    """

    def __init__(self, shrinkage: float = 0.5):
        self.shrinkage = shrinkage

    def fit(self, X: np.ndarray, y: np.ndarray) -> Discriminant:
        self.classes_ = np.unique(y)
        first, second = (X[y == c].mean(0) for c in self.classes_)
        within = X - np.where((y == self.classes_[1])[:, None], second, first)
        covariance = within.T @ within / len(X)
        level = np.trace(covariance) / X.shape[1]
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * (level or 1.0) * np.eye(X.shape[1])
        self.coef_ = np.linalg.solve(shrunk, second - first)
        self.intercept_ = -self.coef_ @ (first + second) / 2
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        p = expit(X @ self.coef_ + self.intercept_)
        return np.stack([1 - p, p], 1)


class NaiveBayes(GaussianNB):
    """Gaussian naive Bayes, with variances of 1 where patients do not differ in any column: classes are then equally
    likely, where scikit-learn's own gives NaN."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> NaiveBayes:
        super().fit(X, y)
        if not self.epsilon_:  # a share of the largest variance
            self.var_ = self.var_ + 1.0
        return self


class Neighbours(KNeighborsClassifier):
    """Nearest neighbours, of which there may be fewer than asked for."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Neighbours:
        self.n_neighbors = min(self.n_neighbors, len(X))
        return super().fit(X, y)


class SupportVectors(SVC):
    """A support vector machine whose probability is the logistic function of twice its margin.

    Platt scaling by cross-validation, which scikit-learn offers, needs more than one row of a class.
    """

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        sick = expit(2 * self.decision_function(X))
        return np.stack([1 - sick, sick], 1)
