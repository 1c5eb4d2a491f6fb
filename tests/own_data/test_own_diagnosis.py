"""Somebody's table of patients: read as the study reads its own, and refused in one line where it cannot be used."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression

import helpers  # noqa: F401  (one thread)
from metastudy.diagnose import MetaDiagnosis, load_g
from metastudy.errors import DataError, ParameterError
from metastudy.families.patients import unpack
from metastudy.families.tables import MedicalTables
from metastudy.methods import Classifier, Method
from metastudy.own_data import diagnosis
from metastudy.own_data.comparing import compare, predict
from metastudy.own_data.diagnosis import DiagnosisKind, DiagnosisOptions, line_up, read_patients
from metastudy.own_data.kind import Prepared, checked
from metastudy.own_data.own_patients import OwnPatients, Patients, most_columns
from metastudy.own_data.stored_diagnosis import StoredDiagnosis
from metastudy.tasks import collate
from metastudy.train import TrainConfig


def _two() -> tuple[list[Method], list[str]]:
    return [Classifier(diagnosis.REFERENCE, LogisticRegression, channel=0), StoredDiagnosis("g", load_g())], ["a note"]


def table(n: int = 90, seed: int = 0) -> pd.DataFrame:
    """Numbers, categories and empty cells; `age` and `pain` tell who is sick."""
    rng = np.random.default_rng(seed)
    sick = rng.random(n) < 0.4
    frame = pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.1, np.nan, 50 + 8 * sick + 6 * rng.normal(size=n)),
            "pain": np.where(rng.random(n) < 0.15 + 0.5 * sick, "severe", "mild"),
            "ward": rng.choice(["A", "B", "C"], n),
            "weight": 70 + rng.normal(size=n),
            "outcome": np.where(sick, "yes", "no"),
            "hospital": np.arange(n) % 2,
            "person": np.arange(n) // 2,
        }
    )
    frame.loc[::11, "ward"] = None
    return frame


def _written(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / "patients.csv"
    frame.to_csv(path, index=False)
    return path


def _options(path: Path, **options: Any) -> DiagnosisOptions:
    return checked(DiagnosisOptions, {"path": path, "target": "outcome", "shots": (1, 3), **options})


def _prepared(path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Prepared:
    monkeypatch.setattr(diagnosis, "line_up", _two)
    return DiagnosisKind().prepare(_options(path, **options))


def test_a_task_is_the_studys_for_the_same_patients() -> None:
    """scikit-learn's diabetes: what `MedicalTables` makes of its columns, patient by patient."""
    study = MedicalTables()
    spec = next(s for s in study.freeze(np.random.default_rng(0)) if s.family == "diabetes")
    fold = next(f for f in study.folds() if f.test == ("diabetes",))
    data = load_diabetes(as_frame=True, scaled=False)
    columns = data.data.iloc[:, list(spec.columns)]
    sick = (data.target > data.target.median()).to_numpy(int)
    rows = np.arange(len(sick))
    own = OwnPatients(Patients(columns, sick, np.full(len(sick), "t"), rows), (3,), most_columns(columns))
    theirs = study.build(spec, 3, fold)
    ours = own.task("t", "t", [i for ids in spec.support for i in ids[:3]], spec.query)
    for name in ("support_x", "query_x", "support_y", "query_y"):
        assert torch.allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5), name
    plain = Classifier("lr", LogisticRegression, channel=0)
    config = TrainConfig(steps=1)
    a, b = (plain.fit(f, d, config, 0).predict([t], 3)[0] for f, d, t in (
        (study, fold, theirs), (own, own.folds()[0], ours)))  # fmt: skip
    assert torch.allclose(a, b, atol=1e-4)
    assert [s.value for s in own.score(ours, b)][:2] == pytest.approx(
        [s.value for s in study.score(theirs, a)], abs=1e-4
    )


def test_g_says_what_meta_diagnosis_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table()
    prepared = _prepared(_written(tmp_path, frame), monkeypatch, drop=("hospital", "person"))
    family = prepared.family
    spec = family.freeze(np.random.default_rng(1))[4]
    task = family.build(spec, 3, family.folds()[0])
    support = [row for ids in spec.support for row in ids[:3]]
    kept = frame[["age", "pain", "ward", "weight"]]
    model = MetaDiagnosis(positive="yes").fit(kept.iloc[support], frame["outcome"].iloc[support])
    asked = kept.iloc[unpack(spec.query)]
    g = load_g()
    for method, expected in (
        (StoredDiagnosis("g", g), model.predict_proba(asked)[:, 1]),
        (StoredDiagnosis("g, no orientation", g, oriented=False),
         MetaDiagnosis(positive="yes", oriented=False).fit(kept.iloc[support], frame["outcome"].iloc[support])
         .predict_proba(asked)[:, 1]),
        (StoredDiagnosis("m", g, "kernel_ridge"), expit(model.members(asked)["kernel_ridge"].to_numpy())),
    ):  # fmt: skip
        fitted = method.fit(family, family.folds()[0], prepared.config, 0)
        assert np.allclose(fitted.predict([task], 3)[0][:, 1].numpy(), expected, atol=1e-6), method.name


def test_draws_share_no_patient_and_hold_both_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = _prepared(_written(tmp_path, table()), monkeypatch, group="person", task="hospital")
    family = prepared.family
    specs = family.freeze(np.random.default_rng(0))
    assert len(specs) >= family.draws and specs == family.freeze(np.random.default_rng(0))
    asked: dict[str, set[int]] = {}
    for spec in specs:
        support, query = {row for ids in spec.support for row in ids}, unpack(spec.query).tolist()
        group, place = family.patients.group, family.patients.task
        assert not set(group[list(support)]) & set(group[query])
        assert {str(place[row]) for row in [*support, *query]} == {spec.id.split("/")[0]}
        assert set(family.patients.diagnosis[query]) == {0, 1}
        asked.setdefault(spec.family, set()).update(query)
    assert sum(map(len, asked.values())) == len(set().union(*asked.values()))  # units share no patient
    assert len(asked) >= 6


def test_six_tasks_are_units_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(400).assign(hospital=np.arange(400) % 6)
    prepared = _prepared(_written(tmp_path, frame), monkeypatch, task="hospital", drop=("person",))
    specs = prepared.family.freeze(np.random.default_rng(0))
    assert {s.family for s in specs} == {"0", "1", "2", "3", "4", "5"}


def test_earlier_tasks_have_the_same_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = _prepared(_written(tmp_path, table()), monkeypatch, drop=("hospital", "person")).family
    fold = family.folds()[0]
    earlier = family.sample(fold, "train", 3, 2, np.random.default_rng(0))
    own = family.build(family.freeze(np.random.default_rng(0))[0], 3, fold)
    assert collate([*earlier, own]).support_x.shape[2:] == (family.n_columns, 4)
    assert family.n_columns == most_columns(family.patients.columns)
    assert repr(pickle.loads(pickle.dumps(family))) == repr(family)
    other = OwnPatients(family.patients, (1,), family.n_columns)
    assert repr(other) != repr(family)


def test_what_was_read_and_left_out_is_told(tmp_path: Path) -> None:
    frame = table().assign(id=range(90), name=[f"n{i}" for i in range(90)], same=1)
    frame.loc[5, "outcome"] = None
    patients, facts, notes = read_patients(_options(_written(tmp_path, frame), drop=("person", "hospital")))
    assert facts["patients"] == 89 and facts["sick (outcome = yes)"] == int((frame["outcome"] == "yes").sum())
    told = "\n".join(notes)
    assert "1 rows without a diagnosis" in told and "'same' was left out" in told and "'name' was left out" in told
    assert "'id' counts rows" in told
    assert list(patients.columns) == ["age", "pain", "ward", "weight", "id"]


@pytest.mark.parametrize(
    ("change", "options", "error", "said"),
    [
        ({}, {"target": "outcom"}, ParameterError, "--target 'outcom' is no column; did you mean 'outcome'"),
        ({}, {"task": "hospitl"}, ParameterError, "--task 'hospitl' is no column; did you mean 'hospital'"),
        ({}, {"drop": ("agee",)}, ParameterError, "--drop 'agee' is no column; did you mean 'age'"),
        ({}, {"positive": "ill"}, ParameterError, "--positive 'ill' is no value of column 'outcome'"),
        ({}, {"group": "outcome"}, ParameterError, "named as another column too"),
        ({"outcome": "no"}, {}, DataError, r"holds only 'no' \(90x\)"),
        ({"outcome": ["a", "b", "c"] * 30}, {}, DataError, "holds 3 values"),
        ({"outcome": ["yes"] * 4 + ["no"] * 86}, {}, DataError, "class 'yes' has 4 examples"),
        ({}, {"shots": (45,)}, DataError, "shots up to"),
        ({"person": [None, *range(89)]}, {"group": "person"}, DataError, "column 'person' is empty in line 2"),
        ({}, {"drop": ("age", "pain", "ward", "weight", "hospital", "person")}, DataError, "no column left"),
        ({}, {"shots": (99,)}, ParameterError, "--shots 99; expected up to 50"),
    ],
)
def test_bad_tables_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, options: dict, error: type[Exception], said: str
) -> None:
    path = _written(tmp_path, table().assign(**change))
    with pytest.raises(error, match=said) as raised:
        _prepared(path, monkeypatch, **options)
    assert "\n" not in str(raised.value)


def test_too_many_columns_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table()
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 450)), columns=[f"c{i}" for i in range(450)])
    with pytest.raises(DataError, match="become 4.. columns of numbers, up to 400"):
        _prepared(_written(tmp_path, pd.concat([frame, wide], axis=1)), monkeypatch)


def test_from_a_file_to_an_answer_and_its_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(150)
    path = _written(tmp_path, frame)
    monkeypatch.setattr(diagnosis, "line_up", _two)
    options = {"target": "outcome", "drop": ("hospital", "person")}
    found = compare("diagnosis", path, out=tmp_path / "out", shots=(1, 5), draws=20, jobs=1, **options)
    assert found.table.query("method == 'g' and shots == 5")["mean"].item() > 0.6
    assert {a.use for a in found.advice} <= {"g", diagnosis.REFERENCE}
    new = tmp_path / "new.csv"
    asked = table(7, seed=3).drop(columns="outcome")
    asked[["weight", "ward", "age", "pain"]].to_csv(new, index=False)  # another order
    said = predict("diagnosis", path, new, "g", **options)
    kept = frame[["age", "pain", "ward", "weight"]]
    model = MetaDiagnosis(positive="yes").fit(kept, frame["outcome"])
    expected = model.predict_proba(asked[["age", "pain", "ward", "weight"]])[:, 1]
    assert said["line"].tolist() == list(range(2, 9))
    assert np.allclose(said["probability of yes"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (None, "expected a second file"),
        ("age,pain,ward\n1,mild,A\n", "no column 'weight'"),
        ("age,pain,ward,weight\nold,mild,A,70\n", "column 'age' holds 'old'; expected numbers"),
    ],
)
def test_what_cannot_be_diagnosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: str | None, said: str) -> None:
    path = _written(tmp_path, table())
    monkeypatch.setattr(diagnosis, "line_up", _two)
    file = tmp_path / "new.csv"
    file.write_text(new or "")
    with pytest.raises((DataError, ParameterError), match=said):
        predict("diagnosis", path, file if new else None, "g", target="outcome", drop=("hospital", "person"))


def test_the_line_up_is_the_studys_and_says_where_g_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    methods, notes = line_up()
    names = [m.name for m in methods]
    assert len(set(names)) == len(names) and names[-1] == "g" and diagnosis.REFERENCE in names
    assert any("g learned from public tables of lymphography" in n for n in notes)
    monkeypatch.setattr(diagnosis, "MODEL", "results/none.safetensors")
    methods, notes = line_up()
    assert type(methods[-1]).__name__ == "TabularMethod" and methods[-1].name == "g"
    assert "results/none.safetensors, with g of the study, is absent" in notes[0]
