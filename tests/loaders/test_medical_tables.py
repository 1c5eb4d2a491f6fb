"""The 26 registered medical tables as they are: counts, an independent reader, and what is known about each."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.io import arff
from sklearn.datasets import load_breast_cancer

from at_hand import needs
from metastudy import loaders, registry
from metastudy.loaders import Files
from metastudy.loaders.medical import HOSPITALS, TABLES, MedicalTable

SOURCES = {source.name: source for source in registry.load().of_field("medical")}
UCI_MD5 = {  # of the files at UCI, as FLamby pins them
    "cleveland": "2d91a8ff69cfd9616aa47b59d6f843db",
    "hungarian": "22e96bee155b5973568101c93b3705f6",
    "switzerland": "9a87f7577310b3917730d06ba9349e20",
    "va": "4249d03ca7711e84f4444768c9426170",
}
SCIPY_REFUSES = ("appendicitis", "fertility")
ARFF = [name for name, spec in TABLES.items() if spec.files[0].endswith(".arff") and name not in SCIPY_REFUSES]


@pytest.fixture(scope="module")
def tables() -> dict[str, MedicalTable]:
    """All 26, counted against the registry while they are loaded."""
    return {name: loaders.load(name, offline=True) for name in SOURCES}


def test_every_medical_source_is_declared_and_reads_its_registered_files() -> None:
    assert list(SOURCES) == list(TABLES)
    for name, source in SOURCES.items():
        assert source.loader == "metastudy.loaders.medical.load"
        assert TABLES[name].files == tuple(file.path for file in source.files)


@needs(*SOURCES)
@pytest.mark.parametrize("name", SOURCES)
def test_a_table_is_typed_and_whole(name: str, tables: dict[str, MedicalTable]) -> None:
    table = tables[name]
    assert set(np.unique(table.diagnosis)) == {0, 1}
    for column in table.values:
        values = table.values[column]
        assert values.dtype == float or isinstance(values.dtype, pd.CategoricalDtype)
        assert not np.isinf(values).any() if values.dtype == float else True
    parts = (table.values, table.diagnosis, table.classes, table.patients)
    assert len({len(part) for part in parts}) == 1
    assert len(table) == table.counts["rows"] - sum(table.rows_removed.values())
    for label in np.unique(table.classes):
        if TABLES[name].sick_above is None:
            assert len(set(table.diagnosis[table.classes == label])) == 1


@needs(*ARFF)
@pytest.mark.parametrize("name", ARFF)
def test_cells_are_those_of_another_reader(name: str, tables: dict[str, MedicalTable]) -> None:
    source, spec = SOURCES[name], TABLES[name]
    files = Files.of(source, offline=True)
    frames = [pd.DataFrame(arff.loadarff(files.path(path))[0]) for path in spec.files]
    expected = pd.concat(frames, ignore_index=True)
    decoded = expected.map(lambda cell: cell.decode() if isinstance(cell, bytes) else cell)
    decoded = decoded[~decoded[spec.target].isin(list(spec.rows_dropped))].reset_index(drop=True)
    assert decoded[spec.target].tolist() == tables[name].classes.tolist()
    for column in tables[name].values:
        found = tables[name].values[column]
        wanted = decoded[column].mask(decoded[column] == "?")
        for code in (*spec.missing.get(column, ()), *spec.mistakes.get(column, ())):
            wanted = wanted.mask(wanted == float(code))
        if found.dtype == float:
            np.testing.assert_array_equal(found, wanted.astype(float))
        else:
            assert found.astype(object).fillna("?").tolist() == wanted.fillna("?").tolist()


@needs("heart")
@pytest.mark.parametrize("hospital", HOSPITALS)
def test_heart_files_are_those_of_uci_under_a_header_line(hospital: str) -> None:
    path = next(p for p in TABLES["heart"].files if hospital in p)
    _, _, below = Files.of(SOURCES["heart"], offline=True).path(path).read_bytes().partition(b"\n")
    assert hashlib.md5(below, usedforsecurity=False).hexdigest() == UCI_MD5[hospital]


@needs("heart")
def test_heart_hospitals(tables: dict[str, MedicalTable]) -> None:
    heart = tables["heart"]
    sick = {site: int(heart.diagnosis[heart.sites == site].sum()) for site in HOSPITALS}
    assert sick == {"cleveland": 139, "hungarian": 106, "switzerland": 115, "va": 148}  # 149 before the repeated row
    assert Counter(heart.sites) == {"cleveland": 303, "hungarian": 293, "switzerland": 123, "va": 199}
    missing = heart.values["chol"].isna().groupby(heart.sites).sum()
    assert missing.to_dict() == {"cleveland": 0, "hungarian": 22, "switzerland": 123, "va": 56}
    assert Counter(heart.sex[heart.sites == "cleveland"]) == {"male": 206, "female": 97}


@needs("wdbc")
def test_wdbc_is_the_table_of_scikit_learn(tables: dict[str, MedicalTable]) -> None:
    known, found = load_breast_cancer(), tables["wdbc"].values.to_numpy()
    np.testing.assert_allclose(found, known.data, rtol=1e-3)
    assert (found != known.data).sum() == 6  # small numbers, rounded in this copy
    np.testing.assert_array_equal(tables["wdbc"].diagnosis, known.target == 0)


@needs(*SOURCES)
def test_known_facts(tables: dict[str, MedicalTable]) -> None:
    pima = tables["pima_diabetes"].values
    assert pima.isna().sum()[lambda n: n > 0].to_dict() == {"plas": 5, "pres": 35, "skin": 227, "insu": 374, "mass": 11}
    assert (tables["arrhythmia"].values == -9).to_numpy().sum() > 0
    assert tables["arrhythmia"].values["height"].max() < 200 and tables["hypothyroid"].values["age"].max() == 94
    assert Counter(tables["dermatology"].classes) == {"1": 112, "3": 72, "2": 61, "5": 52, "4": 49, "6": 20}
    assert Counter(tables["new_thyroid"].classes) == {"1": 150, "2": 35, "3": 30}
    assert Counter(tables["lymphography"].classes) == {"metastases": 81, "malign_lymph": 61}
    assert tables["hypothyroid"].values["TBG"].isna().all()
    measured = tables["hypothyroid"].values["TSH measured"] == "t"
    assert (measured == tables["hypothyroid"].values["TSH"].notna()).all()
    assert Counter(tables["heart_failure"].sex) == {"male": 194, "female": 105}
    assert Counter(tables["hepatitis"].sex) == {"male": 139, "female": 16}
    assert Counter(tables["primary_tumor"].sex)["female"] > 150


@needs(*SOURCES)
def test_repairs(tables: dict[str, MedicalTable]) -> None:
    cells = {name: sum(table.cells_repaired.values()) for name, table in tables.items() if table.cells_repaired}
    assert cells == {"arrhythmia": 2, "hypothyroid": 1, "appendicitis": 1}
    rows = {name: sum(table.rows_removed.values()) for name, table in tables.items() if table.rows_removed}
    assert rows == {
        "heart": 2, "lymphography": 6, "postoperative": 2, "breast_wisconsin": 8, "ilpd": 13, "bupa": 4,
        "cervical_cancer": 26, "cardiotocography": 13,
    }  # fmt: skip


@needs("breast_wisconsin")
def test_rows_of_one_patient_share_its_number(tables: dict[str, MedicalTable]) -> None:
    table = tables["breast_wisconsin"]
    assert len(np.unique(table.patients)) == 645
    path = TABLES["breast_wisconsin"].files[0]
    raw = pd.read_csv(Files.of(SOURCES["breast_wisconsin"], offline=True).path(path), header=None)
    raw = raw.drop_duplicates()
    same = raw[0].to_numpy()[:, None] == raw[0].to_numpy()
    np.testing.assert_array_equal(same, table.patients[:, None] == table.patients)


@needs(*SOURCES)
def test_what_gives_the_outcome_away_is_no_column(tables: dict[str, MedicalTable]) -> None:
    assert not {"TIME", "Event"} & set(tables["heart_failure"].values)
    assert not {"Hinselmann", "Schiller", "Cytology", "Biopsy"} & set(tables["cervical_cancer"].values)
    assert not {"CLASS", "NSP"} & set(tables["cardiotocography"].values)
    assert not {"ALCOHOL", "DATASET"} & set(tables["bupa"].values)
    assert "num" not in tables["heart"].values and "id" not in tables["breast_wisconsin"].values
