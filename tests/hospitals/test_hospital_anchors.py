"""What others measured on the four hospitals is measured again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from at_hand import needs
from metastudy.errors import DataError
from metastudy.families.hospitals import Hospitals
from metastudy.hospitals.anchors import FLAMBY, KNOWN, anchors, flamby
from metastudy.hospitals.bootstrap import auroc_of, equal_weights, log_loss_of, weights_by_class
from metastudy.loaders.files import Files
from metastudy.loaders.medical import HOSPITALS

HEADER = "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 12))
def test_weighted_measures_are_scikit_learns(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.r_[0, 1, rng.integers(0, 2, n)]
    p = rng.integers(0, 4, n + 2) / 4 + 0.1  # with ties
    weights = rng.integers(0, 3, (5, n + 2)).astype(float)
    weights[:, :2] += 1
    expected = [roc_auc_score(y, p, sample_weight=w) for w in weights]
    np.testing.assert_allclose(auroc_of(y, p, weights), expected, rtol=0, atol=1e-12)
    expected = [log_loss(y, p, sample_weight=w, labels=[0, 1]) for w in weights]
    np.testing.assert_allclose(log_loss_of(y, p, weights), expected, rtol=0, atol=1e-12)


def test_samples_are_as_large_as_the_data_and_keep_each_diagnosis() -> None:
    y, rng = np.array([0] * 3 + [1] * 40), np.random.default_rng(0)
    weights = weights_by_class(y, 500, rng)
    assert (weights[:, y == 0].sum(1) == 3).all() and (weights[:, y == 1].sum(1) == 40).all()
    assert weights.mean() == pytest.approx(1) and weights.std(0).min() > 0
    plain = equal_weights(43, 500, rng)
    assert (plain.sum(1) == 43).all() and plain[:, :3].sum(1).std() > 0


def test_auroc_needs_both_diagnoses() -> None:
    with pytest.raises(DataError, match="0 sick patients of 2; AUROC needs both"):
        auroc_of(np.zeros(2), np.ones(2), np.ones((1, 2)))
    assert np.isnan(auroc_of(np.array([0, 1]), np.ones(2), np.array([[0.0, 1.0]]))).all()


@needs("heart")
def test_source_only_is_what_the_probe_found() -> None:
    table = anchors(Hospitals()).set_index("hospital")
    assert list(table.index) == list(HOSPITALS) and table["patients"].tolist() == [303, 293, 123, 199]
    assert (table["auroc"] - table.index.map(KNOWN)).abs().max() < 0.01
    assert (table["difference"] == table["auroc"] - table["known"]).all()
    assert (table["low"] < table["auroc"]).all() and (table["auroc"] < table["high"]).all()
    widths = table["high"] - table["low"]
    assert widths.idxmax() == "switzerland" and widths["switzerland"] > 0.2, "eight healthy patients"


@needs("heart")
def test_flambys_split_and_pooled_accuracy() -> None:
    table = flamby().set_index("hospital")
    assert table.loc[list(HOSPITALS), ["train", "test"]].to_numpy().tolist() == [
        [199, 104],
        [172, 89],
        [30, 16],
        [85, 45],
    ]
    assert table.loc["all", ["train", "test"]].tolist() == [486, 254]
    assert table.loc["all", "accuracy"] == pytest.approx(FLAMBY["pooled"], abs=0.01)
    assert table.loc["all", "published"] == FLAMBY["pooled"] and table["published"].notna().sum() == 1


def test_records_with_a_missing_cell_are_dropped_and_zeros_stay(tmp_path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "medical_tables" / "heart_4hospitals"
    folder.mkdir(parents=True)
    for name in HOSPITALS:
        rows = [
            f"{50 + i % 9},{i % 2},{1 + i % 4},130,0,0,{i % 3},{150 - 20 * (i % 2)},0,{share:.1f},?,?,?,{2 * (i % 2)}"
            for i, share in enumerate(rng.random(30))
        ]
        rows += ["60,1,1,?,200,0,0,150,0,1,1,0,3,0"]
        (folder / f"processed.{name}.data").write_text("\n".join([HEADER, *rows]) + "\n")
    table = flamby(Files.in_folder(tmp_path)).set_index("hospital")
    assert table.loc["all", ["train", "test"]].sum() == 120
    assert (table["accuracy"] == 1).all() and (table["majority"] < 0.65).all(), "thalach tells all"


def test_another_copy_of_the_files_is_refused(monkeypatch) -> None:
    records = [(name, None, np.array([0, 1])) for name in HOSPITALS]
    monkeypatch.setattr("metastudy.hospitals.anchors._records", lambda files: records)
    monkeypatch.setattr("metastudy.hospitals.anchors.Files.of", lambda source: None)
    with pytest.raises(DataError, match="8 complete records in the heart files; expected FLamby's 740"):
        flamby()
