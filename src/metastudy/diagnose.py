"""Diagnosis from a handful of one's own patients, by a meta-learner that was trained on other diseases' tables.

    model = MetaDiagnosis(positive="sick").fit(table, diagnosis)     # a scikit-learn classifier
    model.predict_proba(new_patients), model.contributions(new_patients)

Research software, not a medical device. g must not be evaluated on a table it learned from: the project's own g learned
from the 24 public tables of `families.diseases.DISEASES` (UCI's heart disease, hepatitis, Pima diabetes and so on;
scikit-learn's `load_breast_cancer` is `wdbc`, one of them). What is found there is not what a new disease would show;
the study, which holds every disease out once, says that. `MetaDiagnosis.model_.about` names what a g learned from, and
`diagnosis_file.train_g` makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from metastudy import diagnosis_file
from metastudy.errors import DataError, ParameterError
from metastudy.project import Project
from metastudy.tabular.ensemble import Ensemble, OnTable
from metastudy.tabular.own_table import OwnTable
from metastudy.tasks import Task

MODEL = "results/full/models/diagnosis_g.safetensors"
HOW_TO_MAKE = "`make reproduce PROFILE=full` makes it (notebook 05_medical_diagnosis)"
CELLS = 50_000_000  # S² P that a support may have: statistics compare its rows pair by pair
ROWS = 2_000  # patients diagnosed at once: bounds memory, not results


class EstimatorError(ParameterError, ValueError):
    """A parameter of an estimator, or what it is asked, does not fit. Also a ValueError, as scikit-learn expects."""


class MetaDiagnosis(ClassifierMixin, BaseEstimator):
    """A binary classifier for few labelled patients: a meta-learned g, adapted to them in closed form.

    `fit` trains nothing: it keeps the patients, and every prediction is g's answer to (patients, new patient). g was
    trained with 1 to 20 patients of each class; many more are taken (see Raises), but with hundreds the ordinary
    classifiers do as well.

    Parameters
    ----------
    model : path of a file that `diagnosis_file.write` wrote, or an `Ensemble`; by default the project's own g.
    positive : the label of the sick. g has learned that a larger value is more often sicker, so it matters which class
        this is: one that is declared the wrong way round costs ranking. By default the larger label: 1 of 0 and 1,
        "malignant" of "benign" and "malignant"; but say 0 for scikit-learn's breast cancer, where 0 is malignant.
    oriented : False switches off what g learned about which way columns point, whatever it was: log odds are averaged
        with those of the reversed labels, so the two classes are treated exactly alike and `positive` has no effect on
        predictions.
    prevalence : the share of sick among the patients to be diagnosed, where it is known and differs from that among
        the labelled ones. Log odds move by logit(prevalence) - logit(share among the labelled): Saerens, Latinne and
        Decaestecker 2002 (Neural Computation 14), eq. 4. The order of patients stays. Right if the sick of both places
        look alike, and if g took the share among the labelled for the prevalence; g was trained on half sick, but
        asked about tables with their own prevalence, so it may have learned some of this already.

    Input
    -----
    X is an array of numbers or a DataFrame, NaN where a value is missing (`tabular.own_table`). Columns of a DataFrame
    that are categories, text or mixed are read as categories (text too, even "63"); those that no labelled patient has
    count as missing. Missing values become the median of the labelled patients, and a column that misses some of these
    gets a flag. A column that is constant among them has no say. There may be more columns than the 43 of training: all
    are read (on arrhythmia's 268, held out, AUROC was .01 to .02 better than with the 43 that differ most between the
    classes). Neither the order of columns nor that of patients matters, nor do units, nor, for a patient's prediction,
    which others are asked about.

    Where `y` holds one class only, nothing tells patients apart. If `positive` names the other class, all get Laplace's
    rule of succession, the absent class 1 / (n + 2), or `prevalence`; otherwise one class is all that is known, and
    `predict_proba` has one column of ones, as other classifiers of scikit-learn have.

    Attributes
    ----------
    classes_ : the two labels, sorted. positive_ : the label of the sick. model_ : the `Ensemble`.
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn.

    Raises
    ------
    ValueError from `fit` for more than two classes, infinite values (NaN is fine), dates, no patient, parameters that
    do not fit, and too many patients: n² times the number of columns may be 50 million (1,000 patients with 50 columns,
    of whom a sample is as good, or another classifier). TypeError for sparse X. DataError for a file that is missing or
    damaged, which says how to make the project's own.
    """

    def __init__(
        self,
        model: Ensemble | Path | str | None = None,
        positive: Any = None,
        oriented: bool = True,
        prevalence: float | None = None,
    ) -> None:
        self.model = model
        self.positive = positive
        self.oriented = oriented
        self.prevalence = prevalence

    def fit(self, X: Any, y: Any) -> MetaDiagnosis:
        """Keep the labelled patients. Errors: see the class."""
        self._check_parameters()
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, y, skip_check_array=True)
            if not X.size:
                raise EstimatorError(f"X has {len(X)} sample(s), {X.shape[1]} feature(s); a minimum of 1 is required")
            y = column_or_1d(y, warn=True)
            assert_all_finite(y, input_name="y")
            check_consistent_length(X, y)
        else:
            X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
            X = pd.DataFrame(X)
        check_classification_targets(y)
        if (found := type_of_target(y, input_name="y", raise_unknown=True)) != "binary":
            raise EstimatorError(f"Only binary classification is supported. The type of the target is {found}.")
        labels = np.unique(y)
        self.classes_ = self._classes(labels)
        self.positive_ = self.classes_[-1] if self.positive is None else self.positive
        self._count = len(y)
        self._seen = labels
        self._table = OwnTable.of(X)
        self._sick = np.asarray(y == self.positive_, dtype=np.float32)
        n_columns = len(self._table.sources)
        if len(y) ** 2 * n_columns > CELLS:
            raise EstimatorError(
                f"{len(y)} patients with {n_columns} columns are too many: n² times columns may be {CELLS:,}. Fit on a "
                "sample of them, or choose another classifier: so many labels need no earlier diseases"
            )
        self.model_ = self._model()
        self._adapted = self.model_.on_table(n_columns)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Log odds of `classes_[1]`: (N,). Where one class is all that is known, below 0."""
        frame = self._frame(X)
        if len(self._seen) == 2:
            sick = self._of_all(frame, OnTable.log_odds)
            if self.prevalence is not None:
                sick = sick + logit(self.prevalence) - logit(self._sick.mean(dtype=float))
            return sick if self.classes_[-1] == self.positive_ else -sick
        return np.full(len(frame), self._without_contrast())

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities in the order of `classes_`: (N, 2), or (N, 1) where one class is all that is known."""
        odds = self.decision_function(X)
        if len(self.classes_) == 1:
            return np.ones((len(odds), 1))
        return np.stack([expit(-odds), expit(odds)], 1)

    def predict(self, X: Any) -> np.ndarray:
        """The more probable label of each row."""
        second = self.decision_function(X) > 0
        return self.classes_[second.astype(int)]

    def contributions(self, X: Any) -> pd.DataFrame:
        """How far each input column moves the log odds of being sick (`positive_`) from the labelled patients' mean.

        Of the linear member, which carries most of g: rows of `members` less their mean over the labelled patients are
        what the columns add up to (`OnTable.by_column`). Flags and categories count for the column they come from.
        What a model does with a column is not what the column does to a patient. One class only: zeros.
        """
        frame = self._frame(X)
        moved = np.zeros((len(frame), self.n_features_in_))
        if len(self._seen) == 2:
            moved = self._table.by_source(self._of_all(frame, OnTable.by_column))
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return pd.DataFrame(moved, index=frame.index, columns=names)

    def members(self, X: Any) -> pd.DataFrame:
        """Log odds of being sick by each member of g alone, before `prevalence`. One class only: zeros."""
        frame = self._frame(X)
        names = [m.name for m in self.model_.learner.mappings]
        odds = np.zeros((len(frame), len(names)))
        if len(self._seen) == 2:
            odds = self._of_all(frame, OnTable.members)
        return pd.DataFrame(odds, index=frame.index, columns=names)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags

    def _check_parameters(self) -> None:
        p = self.prevalence
        if p is not None and (isinstance(p, bool) or not isinstance(p, Real) or not 0 < p < 1):
            raise EstimatorError(f"prevalence = {p!r}; expected None or a share of sick patients above 0 and below 1")
        if not isinstance(self.oriented, bool | np.bool_):
            raise EstimatorError(f"oriented = {self.oriented!r}; expected True or False")

    def _model(self) -> Ensemble:
        if self.model is None:
            return load_g()
        if isinstance(self.model, str | Path):
            return diagnosis_file.read(Path(self.model))
        if not isinstance(self.model, Ensemble):
            raise EstimatorError(f"model is a {type(self.model).__name__}; expected a path, an Ensemble, or None")
        return self.model

    def _classes(self, labels: np.ndarray) -> np.ndarray:
        """Labels that are known: those of y, and `positive`."""
        if self.positive is None or self.positive in labels.tolist():
            return labels
        both = np.unique(np.append(labels, self.positive)) if len(labels) == 1 else labels
        if len(labels) == 2 or not np.isin(labels, both).all() or self.positive not in both.tolist():
            raise EstimatorError(
                f"positive = {self.positive!r}, but y holds {labels.tolist()}; name the label of the sick"
            )
        return both

    def _without_contrast(self) -> float:
        """Log odds of `classes_[1]` where y holds one class: of Laplace's rule, or of `prevalence`."""
        if len(self.classes_) == 2 and self.prevalence is not None:
            return logit(self.prevalence) * (1 if self.classes_[1] == self.positive_ else -1)
        odds = np.log(self._count + 1)
        return odds if len(self.classes_) == 2 and self._seen[0] == self.classes_[1] else -odds

    def _frame(self, X: Any) -> pd.DataFrame:
        check_is_fitted(self)
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=False, skip_check_array=True)
            if not len(X):
                raise EstimatorError("X has 0 sample(s); a minimum of 1 is required")
            return X
        if any(reading.categories for reading in self._table.readings):
            raise EstimatorError(
                "X is no DataFrame, but fit had one with categories or text; give one with such columns"
            )
        return pd.DataFrame(validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan"))

    def _tasks(self, frame: pd.DataFrame) -> Iterator[Task]:
        """The labelled patients as support, and the frame's rows as query, some at a time."""
        x, y = self._table.rows(), torch.from_numpy(self._sick)
        for start in range(0, len(frame), ROWS):
            asked = self._table.rows(frame.iloc[start : start + ROWS])
            yield Task("own patients", "own patients", "binary", x, y, asked, torch.zeros(len(asked)))

    def _of_all(self, frame: pd.DataFrame, what: Callable[[OnTable, Task, bool], np.ndarray]) -> np.ndarray:
        return np.concatenate([what(self._adapted, task, self.oriented) for task in self._tasks(frame)])


def load_g() -> Ensemble:
    """The g that the study trained at profile full. Raises DataError where it is missing, and says how to make it."""
    path = Project.at().path(MODEL)
    if not path.is_file():
        raise DataError(f"{MODEL} is missing; {HOW_TO_MAKE}, or restore it from git, or name another as `model`")
    return diagnosis_file.read(path)
