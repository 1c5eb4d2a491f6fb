"""What is known of the four hospitals: AUROC of the others' model at each, and accuracy on FLamby's split of all.

Measured, never copied: `KNOWN` and `FLAMBY` are what others found, to stand beside.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from metastudy import registry
from metastudy.errors import DataError
from metastudy.families.hospitals import Hospitals
from metastudy.hospitals.bootstrap import auroc_of, weights_by_class
from metastudy.loaders.files import Files
from metastudy.loaders.medical import HOSPITALS, TABLES, cells

C = 0.3
KNOWN = {"cleveland": 0.865, "hungarian": 0.890, "switzerland": 0.735, "va": 0.751}
"""AUROC of source only as an earlier probe on this data found it, with these ten columns and this C."""
FLAMBY = {"pooled": 0.795, "FedAvg": 0.748}
"""Accuracy over FLamby's pooled test patients, means of five seeds (Ogier du Terrail et al. 2022, result files)."""
LATE_COLUMNS = ("slope", "ca", "thal")  # which FLamby drops
MISSING = "?"
SPLIT_SEED, TRAIN_SHARE = 43, 0.66  # FLamby's
RESAMPLES = 2000


def plain_regression() -> Pipeline:
    """Medians for missing values, columns standardised, logistic regression with C = 0.3; fitted on source hospitals.

    Nothing was searched for: it is the setting of the numbers in `KNOWN`. Categories are one column each.
    """
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=C, max_iter=1000))


def anchors(family: Hospitals | None = None, seed: int = 0) -> pd.DataFrame:
    """Source only: trained on three hospitals, AUROC at the fourth, with a 95% interval over its patients.

    Columns: hospital, patients, sick, auroc, low, high, known, difference. The interval is a bootstrap of each class,
    so it does not cover other hospitals, nor other patients to train on.
    """
    data, rows = (family or Hospitals()).data, []
    for number, (name, table) in enumerate(data.items()):
        others = [other for hospital, other in data.items() if hospital != name]
        x, y = np.concatenate([t.x for t in others]), np.concatenate([t.diagnosis for t in others])
        p = plain_regression().fit(x, y).predict_proba(table.x)[:, 1]
        weights = weights_by_class(table.diagnosis, RESAMPLES, np.random.default_rng([seed, number]))
        low, high = np.quantile(auroc_of(table.diagnosis, p, weights), [0.025, 0.975])
        found = roc_auc_score(table.diagnosis, p)
        sick = int(table.diagnosis.sum())
        rows.append((name, len(p), sick, found, low, high, KNOWN[name], found - KNOWN[name]))
    columns = ["hospital", "patients", "sick", "auroc", "low", "high", "known", "difference"]
    return pd.DataFrame(rows, columns=columns)


def _records(files: Files) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Hospital, its complete records in the ten columns, and their diagnoses, as FLamby reads the files.

    A cholesterol of 0 stays a number there, and no row is dropped for repeating another.
    """
    spec = TABLES["heart"]
    for name, path in zip(HOSPITALS, spec.files, strict=True):
        table = cells.read(files, path, spec.columns).table.drop(columns=list(LATE_COLUMNS)).replace(MISSING, np.nan)
        table = table.dropna().astype(float)
        yield name, table.drop(columns=spec.target), (table[spec.target] > 0).to_numpy(int)


def flamby(files: Files | None = None) -> pd.DataFrame:
    """Accuracy of one logistic regression for all hospitals, on the split of FLamby's Fed-Heart-Disease.

    That split: complete records of ten columns, 66% of each hospital to train (scikit-learn's `train_test_split` with
    seed 43; stratified where both classes have more than two patients, so not in Switzerland), 486 and 254 of 740.
    Columns standardised by all that train, categories as columns without the first. FLamby trains the same model by
    Adam, 50 epochs in batches of 4; here it is solved, with C = 1. Rows: a hospital each, and "all"; columns hospital,
    train, test, accuracy, majority (accuracy of the more frequent diagnosis), published.

    FLamby's accuracies hospital by hospital are not comparable: it scales those test patients by their own hospital.
    FedAvg, which its authors found at .748, is not run here: there is one place for all data in this study.
    Raises DataError where the files do not hold the split's 740 records.
    """
    names, parts, labels = zip(*_records(files or Files.of(registry.load()["heart"])), strict=True)
    y, of = np.concatenate(labels), np.repeat(names, [len(own) for own in labels])
    if len(y) != 740 and files is None:
        raise DataError(
            f"{len(y)} complete records in the heart files; expected FLamby's 740: another copy of the data"
        )
    test = np.concatenate([_tested(own) for own in labels])
    x = pd.get_dummies(pd.concat(parts, ignore_index=True), columns=["cp", "restecg"], drop_first=True).to_numpy(float)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)).fit(x[~test], y[~test])
    right = model.predict(x) == y
    rows = []
    for name in (*names, "all"):
        own = (of == name) | (name == "all")
        share = y[own & test].mean()
        counts = int((own & ~test).sum()), int((own & test).sum())
        published = FLAMBY["pooled"] if name == "all" else np.nan
        rows.append((name, *counts, right[own & test].mean(), max(share, 1 - share), published))
    return pd.DataFrame(rows, columns=["hospital", "train", "test", "accuracy", "majority", "published"])


def _tested(y: np.ndarray) -> np.ndarray:
    """(N,) whether a patient of one hospital is tested."""
    stratify = y if min(np.bincount(y, minlength=2)) > 2 else None
    _, tested = train_test_split(
        np.arange(len(y)), test_size=1 - TRAIN_SHARE, train_size=TRAIN_SHARE, random_state=SPLIT_SEED, stratify=stratify
    )
    return np.isin(np.arange(len(y)), tested)
