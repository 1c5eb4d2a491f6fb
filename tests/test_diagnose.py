"""g as a scikit-learn classifier: the study's own answers, in any pipeline, and documented behaviour for bad input."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from scipy.special import logit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from at_hand import needs
from metastudy import diagnose, diagnosis_file
from metastudy.clinical.recalibration import prior_shift
from metastudy.diagnose import MetaDiagnosis, load_g
from metastudy.diagnosis_file import learner_of_g
from metastudy.errors import DataError, MetastudyError
from metastudy.families.diseases import Diseases
from metastudy.tabular.ensemble import Ensemble
from metastudy.tabular.varied import averaged
from metastudy.trained import Trained
from toy_tables import patients, toy_model

EXPECTED_FAILED: dict[str, str] = {}  # of scikit-learn's checks: none


def estimator(**parameters: object) -> MetaDiagnosis:
    return MetaDiagnosis(toy_model(), **parameters)


def records(n: int = 14, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers, a sign, a kind of pain, with missing values; and who is sick."""
    x, y = patients(n, 3, seed)
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(x, columns=["age", "pulse", "iron"], index=[f"p{i}" for i in range(n)])
    frame.loc[rng.random(n) < 0.3, "iron"] = np.nan
    frame["smokes"] = np.where(rng.random(n) < 0.3 + 0.4 * y, "yes", "no")
    frame["pain"] = pd.Categorical(rng.choice(["none", "dull", "sharp"], n), categories=["none", "dull", "sharp"])
    return frame, np.where(y == 1, "sick", "healthy")


@pytest.mark.parametrize("oriented", [True, False])
def test_scikit_learn_finds_nothing_wrong(oriented):
    found = check_estimator(
        estimator(oriented=oriented), expected_failed_checks=EXPECTED_FAILED, on_fail=None, on_skip=None
    )
    wrong = {r["check_name"]: r["exception"] for r in found if r["status"] not in ("passed", "skipped")}
    skipped = {r["check_name"] for r in found if r["status"] == "skipped"}
    assert len(found) > 45 and not wrong
    assert skipped <= {"check_array_api_input"}, "an array API other than numpy's is optional"


@needs("hepatitis")
def test_patients_of_the_study_are_diagnosed_as_in_the_study():
    """A table with missing values, through the family's own path."""
    family = Diseases()
    params = learner_of_g().init(torch.Generator().manual_seed(0))
    params["beta.weight"] += torch.randn(params["beta.weight"].shape, generator=torch.Generator().manual_seed(1))
    model = Ensemble(learner_of_g(), (params,))
    table = family.data["hepatitis"]
    rng = np.random.default_rng(0)
    healthy, sick = (rng.permutation(np.flatnonzero(table.diagnosis == c)).tolist() for c in (0, 1))
    support, query = [*healthy[:8], *sick[:8]], [*healthy[8:30], *sick[8:14]]
    task = family._task("t", "hepatitis", table, (), support, query)
    expected = averaged(model.learner, [Trained(params, [])]).predict([task], 8)[0]
    complete = ~np.isnan(table.x[support]).any(0)  # others get a flag from the support, in the study from the table
    filled = table.x.copy()
    filled[:, ~complete] = np.where(
        np.isnan(table.x[:, ~complete]), np.nanmedian(table.x[support][:, ~complete], 0), table.x[:, ~complete]
    )
    assert not complete.all()
    found = MetaDiagnosis(model).fit(filled[support], table.diagnosis[support]).predict_proba(filled[query])
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_it_takes_part_in_pipelines_and_searches():
    x, y = records(40)
    numbers = x[["age", "pulse", "iron"]]
    pipeline = make_pipeline(SimpleImputer(), StandardScaler(), estimator(positive="sick"))
    pipeline.set_output(transform="pandas").fit(numbers, y)
    assert list(pipeline[-1].feature_names_in_) == ["age", "pulse", "iron"]
    assert cross_val_score(pipeline, numbers, y, cv=4, scoring="roc_auc").mean() > 0.7
    own = cross_val_predict(estimator(), x, y, cv=4, method="predict_proba")
    assert own.shape == (40, 2) and (own.argmax(1) == (y == "sick")).mean() > 0.7
    search = GridSearchCV(estimator(), {"oriented": [True, False]}, scoring="neg_log_loss", cv=4).fit(x, y)
    first, second = search.cv_results_["mean_test_score"]
    assert np.isfinite([first, second]).all() and first != second
    assert clone(search.best_estimator_).model is toy_model(), "copies share the parameters"


def test_it_is_pickled_with_its_patients():
    x, y = records()
    fitted = estimator().fit(x, y)
    found = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(found.predict_proba(x), fitted.predict_proba(x))
    np.testing.assert_array_equal(found.contributions(x), fitted.contributions(x))


@pytest.mark.parametrize("oriented", [True, False])
def test_neither_order_nor_company_matters(oriented):
    x, y = records(20)
    seen, asked, rng = x[:14], x[14:], np.random.default_rng(0)
    expected = estimator(oriented=oriented).fit(seen, y[:14]).predict_proba(asked)
    rows, columns = rng.permutation(14), rng.permutation(x.columns)
    found = estimator(oriented=oriented).fit(seen.iloc[rows][columns], y[:14][rows])
    np.testing.assert_allclose(found.predict_proba(asked[columns]), expected, atol=1e-6)
    for i in range(len(asked)):  # and not the other patients who are asked about
        np.testing.assert_allclose(found.predict_proba(asked[columns].iloc[[i]])[0], expected[i], atol=1e-6)


def test_many_patients_are_diagnosed_in_parts(monkeypatch):
    x, y = patients(50)
    fitted = estimator().fit(x[:10], y[:10])
    expected = fitted.decision_function(x), fitted.contributions(x)
    monkeypatch.setattr(diagnose, "ROWS", 7)
    np.testing.assert_allclose(fitted.decision_function(x), expected[0], atol=1e-12)
    np.testing.assert_allclose(fitted.contributions(x), expected[1], atol=1e-12)


def test_which_class_is_sick_matters_but_not_what_it_is_called():
    x, y = records()
    default = estimator().fit(x, y)  # "sick" is the larger label
    assert default.positive_ == "sick" and list(default.classes_) == ["healthy", "sick"]
    named = estimator(positive="ill").fit(x, np.where(y == "sick", "ill", "well"))
    np.testing.assert_array_equal(named.predict_proba(x)[:, 0], default.predict_proba(x)[:, 1])
    assert named.positive_ == "ill" and list(named.classes_) == ["ill", "well"]
    np.testing.assert_array_equal(named.decision_function(x), -default.decision_function(x))
    np.testing.assert_array_equal(named.contributions(x), default.contributions(x))
    wrong = estimator(positive="healthy").fit(x, y)
    assert np.abs(wrong.predict_proba(x) - default.predict_proba(x)).max() > 1e-3
    for positive in ("healthy", "sick"):
        found = estimator(positive=positive, oriented=False).fit(x, y).predict_proba(x)
        np.testing.assert_allclose(found, estimator(oriented=False).fit(x, y).predict_proba(x), atol=1e-12)


def test_prevalence_shifts_probabilities_and_keeps_the_order():
    x, y = patients(15)  # 7 of 15 are sick
    for positive in (0, 1):
        plain = estimator(positive=positive).fit(x, y)
        shifted = estimator(positive=positive, prevalence=0.1).fit(x, y)
        sick = plain.predict_proba(x)[:, positive]
        trained = (y == positive).mean()
        np.testing.assert_allclose(shifted.predict_proba(x)[:, positive], prior_shift(sick, trained, 0.1))
        sign = 1 if positive else -1
        moved = shifted.decision_function(x) - plain.decision_function(x)
        np.testing.assert_allclose(moved, sign * (logit(0.1) - logit(trained)))


def test_contributions_say_which_columns_moved_the_linear_member():
    x, y = records(30)
    seen, asked = x[:20], x[20:].copy()
    fitted = estimator().fit(seen, y[:20])
    found = fitted.contributions(asked)
    assert list(found.columns) == list(x.columns) and list(found.index) == list(asked.index)
    expected = fitted.members(asked)["column_prior"] - fitted.members(seen)["column_prior"].mean()
    np.testing.assert_allclose(found.sum(axis=1), expected, atol=1e-9)
    asked["pulse"] += 1  # moves its own share, and no other
    again = fitted.contributions(asked)
    np.testing.assert_allclose(again.drop(columns="pulse"), found.drop(columns="pulse"), atol=1e-12)
    assert (np.abs(again["pulse"] - found["pulse"]) > 1e-3).all()
    assert list(estimator().fit(*patients()).contributions(patients()[0]).columns) == ["x0", "x1", "x2", "x3"]


def test_more_columns_than_g_was_trained_on_are_all_read():
    x, y = patients(20, 30)
    fitted = estimator().fit(x, y)
    assert (fitted.contributions(x).abs().max() > 0).all()
    assert fitted.score(x, y) > 0.8


def test_one_class_gives_laplaces_rule_or_the_prevalence():
    x, y = patients(4)
    for label, known in ((0, 1), (1, 0)):
        for positive, classes in ((None, [label]), (label, [label]), (known, [0, 1])):
            found = estimator(positive=positive).fit(x, np.full(4, label))
            assert list(found.classes_) == classes and (found.predict(x) == label).all()
            p = found.predict_proba(x)
            if len(classes) == 1:
                assert (p == 1).all() and p.shape == (4, 1) and (found.decision_function(x) < 0).all()
            else:
                np.testing.assert_allclose(p[:, known], 1 / 6)
                np.testing.assert_allclose(found.decision_function(x), logit(p[:, 1]))
            assert not found.contributions(x).to_numpy().any() and not found.members(x).to_numpy().any()
        p = estimator(positive=known, prevalence=0.3).fit(x, np.full(4, label)).predict_proba(x)
        np.testing.assert_allclose(p[:, known], 0.3)


def test_a_single_patient_and_empty_or_constant_columns():
    one = estimator(positive="sick").fit([[1.0, 2.0]], ["healthy"])
    np.testing.assert_allclose(one.predict_proba([[5.0, np.nan]]), [[2 / 3, 1 / 3]])
    two = estimator().fit([[1.0, np.nan, 3.0], [2.0, np.nan, 3.0]], [0, 1])
    p = two.predict_proba([[1.0, 5.0, 3.0], [2.0, np.nan, 1e9], [np.nan, np.nan, np.nan]])
    assert np.isfinite(p).all() and p[0, 1] < p[2, 1] < p[1, 1]
    flat = estimator().fit(np.ones((6, 2)), [0, 1, 0, 1, 0, 1]).predict_proba([[1, 1], [0, 9]])
    assert np.isfinite(flat).all() and (flat[0] == flat[1]).all()


def test_bad_input_is_refused_with_what_was_found():
    x, y = records()
    numbers, labels = patients()
    fitted = estimator().fit(x, y)
    refused = [
        (lambda: estimator().fit(numbers, np.arange(12) % 3), "Only binary classification is supported.*multiclass"),
        (lambda: estimator().fit(numbers, numbers[:, 0]), "Unknown label type"),
        (lambda: estimator().fit(x, y[:-1]), "inconsistent numbers of samples"),
        (lambda: estimator().fit(x, [None, *y[1:]]), "[Uu]nknown label type|NaN|'<' not supported"),
        (lambda: estimator().fit(np.where(numbers > 1, np.inf, numbers), labels), "infinity"),
        (lambda: estimator().fit(x.assign(age=-np.inf), y), "column 'age' is infinity in row 'p0'"),
        (lambda: fitted.predict_proba(x.assign(age=np.inf)), "column 'age' is infinity in row 'p0'"),
        (lambda: fitted.predict(x.assign(age="old")), "column 'age' held numbers in fit"),
        (lambda: fitted.predict(x[x.columns[::-1]]), "feature names should match"),
        (lambda: fitted.predict(x.iloc[:0]), "0 sample"),
        (lambda: estimator().fit(x.iloc[:0], y[:0]), "0 sample"),
        (lambda: estimator().fit(x[[]], y), "0 feature"),
        (lambda: fitted.predict(np.zeros((2, 5))), "X is no DataFrame, but fit had one with categories"),
        (lambda: estimator(positive="ill").fit(x, y), r"positive = 'ill', but y holds \['healthy', 'sick'\]"),
        (lambda: estimator(positive="ill").fit(numbers, labels * 0), "positive = 'ill', but y holds"),
        (lambda: estimator(prevalence=0.0).fit(x, y), "prevalence = 0.0; expected None or a share"),
        (lambda: estimator(prevalence=True).fit(x, y), "prevalence = True"),
        (lambda: estimator(oriented="no").fit(x, y), "oriented = 'no'; expected True or False"),
        (lambda: MetaDiagnosis(model=3).fit(x, y), "model is a int; expected a path, an Ensemble, or None"),
        (
            lambda: estimator().fit(np.zeros((5000, 3)), np.arange(5000) % 2),
            "5000 patients with 3 columns are too many",
        ),
    ]
    for ask, message in refused:
        with pytest.raises(ValueError, match=message):
            ask()
    with pytest.raises(MetastudyError):
        estimator(prevalence=2).fit(x, y)
    with pytest.raises(TypeError, match="[Ss]parse"):
        estimator().fit(csr_array(numbers), labels)
    with pytest.raises(NotFittedError):
        estimator().contributions(numbers)


def test_the_projects_own_g_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("METASTUDY_RESULTS", str(tmp_path))
    x, y = records()
    with pytest.raises(DataError, match=re.escape(f"{diagnose.MODEL} is missing; `make reproduce PROFILE=full`")):
        MetaDiagnosis().fit(x, y)
    model = Ensemble(learner_of_g(), (learner_of_g().init(torch.Generator().manual_seed(0)),), {"seed": 7})
    diagnosis_file.write(tmp_path / "full" / "models" / "diagnosis_g.safetensors", model)
    assert load_g().about["seed"] == 7
    expected = MetaDiagnosis(model).fit(x, y).predict_proba(x)
    np.testing.assert_array_equal(MetaDiagnosis().fit(x, y).predict_proba(x), expected)
    path = tmp_path / "full" / "models" / "diagnosis_g.safetensors"
    for named in (path, str(path)):
        np.testing.assert_array_equal(MetaDiagnosis(named).fit(x, y).predict_proba(x), expected)
