"""Medical tables on files of a few lines: what is declared is done, and what does not fit is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metastudy.errors import DataError, ParameterError
from metastudy.loaders import Files, medical
from metastudy.loaders.medical import TABLES, MedicalTable, TableSpec, cells, typed

HEART = "age, sex, cp, trestbps, chol, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal, num\n"
WELL = "28,1,2,130,132,0,2,185,0,0,?,?,?,0\n"
SICK = "63.0,0.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,2\n"
TOY = TableSpec(files=("toy.arff",), target="class", sick=("ill",))
ARFF = """% a comment
@relation toy
@attribute pulse numeric
@attribute pain {no,yes}
@attribute class {well,ill}
@data
"""


def load(folder: Path, name: str, *contents: str | bytes) -> MedicalTable:
    """The table of a source whose files hold these contents."""
    for path, content in zip(TABLES[name].files, contents, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return medical.load(Files.in_folder(folder, name))


def toy(folder: Path, *rows: str, spec: TableSpec = TOY, head: str = ARFF) -> MedicalTable:
    (folder / "toy.arff").write_text(head + "".join(f"{row}\n" for row in rows))
    return typed.build("toy", spec, [cells.read(Files.in_folder(folder), path, spec.columns) for path in spec.files])


def heart(folder: Path, *rows: str) -> MedicalTable:
    """One hospital with these rows, the others with one each."""
    return load(folder, "heart", HEART + "".join(rows), *(HEART + row for row in (WELL, SICK, SICK)))


def test_what_means_missing_in_heart_disease(tmp_path: Path) -> None:
    rows = ("54,1,4,0,0,?,0,120,1,-2.6,2,?,7,1\n", "55,0,3,-9,-9.0,-9,-9,110,0,1,1,0,3,0\n")
    values = heart(tmp_path, *rows).values
    assert values.loc[0, ["trestbps", "chol", "fbs", "ca"]].isna().all()
    assert values.loc[0, ["age", "sex", "thalach", "oldpeak"]].tolist() == [54, 1, 120, -2.6]
    assert values.loc[1, ["trestbps", "chol", "fbs", "restecg"]].isna().all()
    assert values.loc[1, ["exang", "ca"]].tolist() == [0, 0]  # zero is a finding elsewhere


def test_hospitals_write_numbers_differently_and_mean_the_same(tmp_path: Path) -> None:
    table = heart(tmp_path, SICK, "63,0,1,145,233,1,2,150,0,2.3,3,0,6,4\n", WELL)
    assert table.values["cp"].tolist()[:3] == ["1", "1", "2"]
    assert table.values.iloc[0].equals(table.values.iloc[1])
    assert table.diagnosis.tolist() == [1, 1, 0, 0, 1, 1]
    assert table.classes.tolist()[:3] == ["2", "4", "0"]
    assert table.sites.tolist() == ["cleveland"] * 3 + ["hungarian", "switzerland", "va"]
    assert table.counts["cleveland"] == 3 and table.counts["rows"] == 6
    assert table.sex.tolist()[:3] == ["female", "female", "male"] and table.age.tolist()[:3] == [63, 63, 28]


def test_a_repeated_row_of_one_hospital_is_removed_and_of_two_hospitals_is_not(tmp_path: Path) -> None:
    table = heart(tmp_path, SICK, WELL, SICK)
    assert len(table) == 5 and table.counts["rows"] == 6 and table.counts["duplicates"] == 4
    assert list(table.rows_removed.values()) == [1]


def test_rows_of_one_hospital_as_a_table_of_its_own(tmp_path: Path) -> None:
    table = heart(tmp_path, SICK, WELL)
    here = table.take(table.sites == "cleveland", "heart_cleveland")
    assert (here.name, len(here), here.diagnosis.tolist()) == ("heart_cleveland", 2, [1, 0])
    assert here.values["age"].tolist() == [63, 28] == table.take(np.array([0, 1]), "x").age.tolist()


def test_bupa_takes_drinks_as_target_and_drops_the_selector(tmp_path: Path) -> None:
    head = "MCV,ALKPHOS,SGPT,SGOT,GAMMAGT,ALCOHOL,DATASET\n"
    text = head + "85,92,45,27,31,3.0,1\n86,54,33,16,54,3.5,2\n85,64,59,32,23,0.0,1\n"
    table = load(tmp_path, "bupa", text)
    assert list(table.values) == ["MCV", "ALKPHOS", "SGPT", "SGOT", "GAMMAGT"]
    assert table.diagnosis.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match=r"bupa\.data, line 3, column 'ALCOHOL': unknown label '\?'; expected a number"):
        load(tmp_path, "bupa", text.replace("3.5", "?"))


def test_zeros_of_pima_are_missing_where_nobody_can_have_zero(tmp_path: Path) -> None:
    names = ("preg", "plas", "pres", "skin", "insu", "mass", "pedi", "age")
    head = "@relation p\n" + "".join(f"@attribute '{n}' real\n" for n in names)
    head += "@attribute 'class' { tested_negative, tested_positive}\n@data\n"
    table = load(
        tmp_path,
        "pima_diabetes",
        head + "0,0,0,0,0,0.0,0.6,50,tested_positive\n1,85,66,29,1,26.6,0.3,31,tested_negative\n",
    )
    assert table.values.loc[0].isna().tolist() == [False, True, True, True, True, True, False, False]
    assert table.counts["missing"] == 5 and not table.values.loc[1].isna().any()


def test_one_damaged_cell_of_appendicitis_is_mended_and_another_refused(tmp_path: Path) -> None:
    head = (
        "@relation a\n"
        + "".join(f"@attribute V{i} numeric\n" for i in range(1, 8))
        + "@attribute Class {2,1}\n\n@data\n"
    )
    table = load(tmp_path, "appendicitis", head + "0.1,0.5no18,0.1,0,0,0.5,0.1,2\n0.2,0.5,0.2,0,0,0.7,0.2,1\n")
    assert np.isnan(table.values.loc[0, "V2"]) and table.values.isna().to_numpy().sum() == 1
    assert table.cells_repaired == {"V2: 0.5no18": 1} and table.counts["missing"] == 0
    assert table.diagnosis.tolist() == [0, 1]
    with pytest.raises(
        DataError, match=r"appendicitis\.arff, line 12, column 'V3' reads '0\.5no18', expected a number"
    ):
        load(tmp_path, "appendicitis", head + "0.1,0.2,0.5no18,0,0,0.5,0.1,2\n")


def test_fertility_is_read_as_numbers_whatever_its_header_says(tmp_path: Path) -> None:
    types = (
        "{-1, -0.33, 0.33, 1}",
        "{0, 1}",
        "{0, 1}",
        "{0, 1}",
        "{0, 1}",
        "{-1, 0, 1}",
        "{0, 1}",
        "{-1, 0, 1}",
        "numeric",
    )
    head = "@relation f\n" + "".join(f"@attribute V{i} {kind}\n" for i, kind in enumerate(types, 1))
    table = load(
        tmp_path,
        "fertility",
        head + "@attribute Class {2,1}\n@data\n-0.33,0.69,0,1,1,0,0.8,0,0.88,1\n1,0.9,1,0,1,-1,0.2,1,0.3,2\n",
    )
    assert table.values.dtypes.eq(float).all() and table.values.loc[0, "V2"] == 0.69
    assert table.diagnosis.tolist() == [0, 1]


def test_the_class_may_come_first(tmp_path: Path) -> None:
    table = load(
        tmp_path,
        "hepatitis",
        "2,30,2,1,2,2,2,2,1,2,2,2,2,2,1.00,85,18,4.0,?,1\n1,50,1,1,2,1,2,2,1,2,2,2,2,2,0.9,135,42,3.5,?,1\n",
    )
    assert table.diagnosis.tolist() == [0, 1] and "class" not in table.values and table.values.shape == (2, 19)
    assert table.age.tolist() == [30, 50] and table.sex.tolist() == ["female", "male"]


def test_both_files_of_spect_are_one_table(tmp_path: Path) -> None:
    head = "@relation s\n@attribute OVERALL_DIAGNOSIS {0,1}\n@attribute F1 {0,1}\n@attribute F2 {0,1}\n@data\n"
    table = load(tmp_path, "spect", head + "1,1,0\n0,0,0\n", head + "1,1,0\n")
    assert table.diagnosis.tolist() == [1, 0, 1] and table.values["F1"].tolist() == [1, 0, 1]
    assert table.counts["duplicates"] == 1 and table.rows_removed == {} and table.sites is None
    with pytest.raises(DataError, match=r"spect\.test\.arff and spect\.train\.arff differ in 'F2'"):
        load(tmp_path, "spect", head + "1,1,0\n", head.replace("@attribute F2 {0,1}\n", "") + "1,1\n")


def test_classes_with_a_handful_of_patients_are_left_out(tmp_path: Path) -> None:
    head = "@relation l\n@attribute 'nodes' integer\n@attribute 'class' "
    head += "{ normal, metastases, malign_lymph, fibrosis}\n@data\n"
    table = load(tmp_path, "lymphography", head + "1,normal\n2,metastases\n3,malign_lymph\n4,fibrosis\n5,metastases\n")
    assert table.values["nodes"].tolist() == [2, 3, 5] and table.diagnosis.tolist() == [0, 1, 0]
    assert (table.counts["rows"], table.counts["negative"], table.counts["positive"]) == (5, 2, 1)
    assert sorted(table.rows_removed.values()) == [1, 1]


def test_recordings_of_cardiotocography(tmp_path: Path) -> None:
    head = "LB,AC,CLASS,NSP\r"
    rows = "120,0.1,9,2\r122,0.2,6,1\r120,0.3,6,1\r123,0.4,6,3\r123,0.4,2,3\r"
    table = load(tmp_path, "cardiotocography", head + rows)  # lines end in CR alone
    assert list(table.values) == ["LB", "AC"] and table.diagnosis.tolist() == [1, 0, 0, 1]
    assert table.patients.tolist() == [0, 0, 0, 1]  # a jump of 3 begins another recording
    assert table.counts["duplicates"] == 0 and list(table.rows_removed.values()) == [1]  # equal but for CLASS


def test_rows_of_one_patient_are_known_by_the_id(tmp_path: Path) -> None:
    rows = (
        "7,5,1,1,1,2,1,3,1,1,2",
        "8,5,4,4,5,7,?,3,2,1,4",
        "7,6,1,1,1,2,1,3,1,1,4",
        "7,5,1,1,1,2,1,3,1,1,2",
        "9,5,1,1,1,2,1,3,1,1,2",
    )
    table = load(tmp_path, "breast_wisconsin", "\n".join(rows))
    assert table.patients.tolist() == [0, 1, 0, 2]  # the fourth row repeats the first; the fifth is another patient
    assert table.diagnosis.tolist() == [0, 1, 1, 0] and "id" not in table.values
    assert table.counts["duplicates"] == 1 and table.counts["missing"] == 1


def test_minus_nine_is_a_number_where_it_is_not_declared(tmp_path: Path) -> None:
    assert toy(tmp_path, "-9,no,well", "-9.5,yes,ill").values["pulse"].tolist() == [-9, -9.5]


def test_types_come_from_an_arff_header(tmp_path: Path) -> None:
    head = ARFF.replace(
        "@attribute pain {no,yes}",
        "@attribute pain {no,yes}\n@attribute 'how much' {'0-2','3-5','6-8'}\n@attribute grade {0, 1,2}",
    )
    spec = replace(TOY, ordered=("how much",))
    table = toy(tmp_path, "60,?,'3-5',2,ill", " 70 , yes , '0-2' ,0, well ", "", "% end", spec=spec, head=head)
    values = table.values
    assert values["pulse"].tolist() == [60, 70] and values["grade"].tolist() == [2.0, 0.0]
    assert values["pain"].isna().tolist() == [True, False] and list(values["pain"].cat.categories) == ["no", "yes"]
    assert values["how much"].cat.ordered and values["how much"].cat.codes.tolist() == [1, 0]
    assert not values["pain"].cat.ordered and table.diagnosis.tolist() == [1, 0]
    assert table.counts == {"rows": 2, "columns": 4, "negative": 1, "positive": 1, "missing": 1, "duplicates": 0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("60,no,well", "x,no,ill"), r"toy\.arff, line 8, column 'pulse' reads 'x', expected a number or one of '\?'"),
        (("nan,no,ill",), r"line 7, column 'pulse' reads 'nan'"),
        (("inf,no,ill",), r"line 7, column 'pulse' reads 'inf'"),
        (
            ("60,yess,ill",),
            r"line 7, column 'pain': unknown category 'yess'; did you mean 'yes'\?; expected 'no', 'yes'",
        ),
        (("60,no,il",), r"line 7, column 'class': unknown label 'il'; did you mean 'ill'\?; expected 'well', 'ill'"),
        (("60,no,?",), r"line 7, column 'class': unknown label '\?'"),
        (("60,no,well", "", "60,no"), r"line 9 has 2 cells, expected 3 \(pulse to class\); the row is cut short"),
        (("60,no,well,1",), r"line 7 has 4 cells, expected 3"),
        ((), r"has no row below its header"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        toy(tmp_path, *rows)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (ARFF.replace("@data\n", ""), r"toy\.arff has no line @data; it is cut short"),
        (ARFF.replace("{no,yes}", "string"), r"toy\.arff: its ARFF header cannot be read"),
        (
            ARFF.replace("class", "klass"),
            r"toy\.arff has no column 'class'; did you mean 'klass'\?; it has 3: pulse, pain",
        ),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, head: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        toy(tmp_path, "60,no,well", head=head)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Age,Gender,Lable\n65,Female,1\n", r"ilpd\.csv has no column 'Label'; did you mean 'Lable'\?"),
        ("Age,Gender,Age,Label\n65,Female,3,1\n", r"ilpd\.csv: column 'Age' occurs twice in the header"),
        (
            "Age,Gender,Label\n65,female,1\n",
            r"ilpd\.csv, line 2, column 'Gender': unknown category 'female'; did you mean",
        ),
        ("Age,Gender,Label\n65,Female,3\n", r"ilpd\.csv, line 2, column 'Label': unknown label '3'"),
        ("", r"ilpd\.csv is empty"),
        ("Age,Gender,Label\n", r"ilpd\.csv has no row below its header"),
        ("Age,Gender,Label\n65,Fem\xe4le,1\n".encode("latin-1"), r"ilpd\.csv: byte 23 \(0xe4\) is not utf-8"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, "ilpd", content)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no medical table 'hart'; did you mean 'heart'\?; there are 26"):
        medical.load(Files.in_folder(tmp_path, "hart"))
    with pytest.raises(DataError, match="source 'bupa' has no file 'medical_tables/uci_csv/bupa.data'"):
        medical.load(Files.in_folder(tmp_path, "bupa"))
