"""The 26 medical tables: which column is the diagnosis, which label is the sick one, and every known trap.

Sources of what is declared: the files' own headers, and the data registry's notes. What the files do not say comes
from the descriptions of the UCI Machine Learning Repository and is marked "UCI".
"""

from __future__ import annotations

from metastudy.loaders.medical.schema import TableSpec

WEKA, ADRIF, UCI = (f"medical_tables/{folder}/" for folder in ("weka_uci_arff", "adrifcosta_arff", "uci_csv"))
HEART = "medical_tables/heart_4hospitals/processed."
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
SAME = "measured finely enough that two identical rows are one record"

HEART_COLUMNS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
)  # fmt: skip
BREAST_WISCONSIN_COLUMNS = (  # UCI
    "id", "clump_thickness", "cell_size", "cell_shape", "adhesion", "epithelial_size", "bare_nuclei", "chromatin",
    "nucleoli", "mitoses", "class",
)  # fmt: skip
HEPATITIS_COLUMNS = (  # UCI
    "class", "age", "sex", "steroid", "antivirals", "fatigue", "malaise", "anorexia", "liver_big", "liver_firm",
    "spleen_palpable", "spiders", "ascites", "varices", "bilirubin", "alk_phosphate", "sgot", "albumin", "protime",
    "histology",
)  # fmt: skip
NEW_THYROID_COLUMNS = ("t3_resin", "thyroxin", "triiodothyronine", "tsh", "tsh_increase", "class")  # UCI

TABLES: dict[str, TableSpec] = {
    "heart": TableSpec(
        files=tuple(f"{HEART}{hospital}.data" for hospital in HOSPITALS),
        sites=HOSPITALS,
        target="num",
        well=("0",),
        sick=("1", "2", "3", "4"),
        categories={
            "cp": ("1", "2", "3", "4"),
            "restecg": ("0", "1", "2"),
            "slope": ("1", "2", "3"),
            "thal": ("3", "6", "7"),
        },
        # -9 stands for missing in copies of this data, and nobody has a cholesterol or a blood pressure of 0
        missing={c: ("-9", "0") if c in ("chol", "trestbps") else ("-9",) for c in HEART_COLUMNS},
        repeats=SAME,
        age="age",
        sex=("sex", "0", "1"),  # UCI
    ),
    "arrhythmia": TableSpec(
        files=(f"{WEKA}arrhythmia.arff",),
        target="class",
        well=("1",),
        sick=tuple(str(i) for i in range(2, 17)),
        mistakes={"height": ("780", "608")},  # cm, of two children of 6 and 10 kg
        age="age",
        sex=("sex", "1", "0"),
    ),
    "breast_ljubljana": TableSpec(
        files=(f"{WEKA}breast.cancer.arff",),
        target="Class",
        sick=("recurrence-events",),
        ordered=("age", "tumor-size", "inv-nodes"),
    ),
    "vertebral_column": TableSpec(
        files=(f"{WEKA}column3C.arff",), target="class", well=("Normal",), sick=("Hernia", "Spondylolisthesis")
    ),
    # label 1 is psoriasis
    "dermatology": TableSpec(files=(f"{WEKA}dermatology.arff",), target="class", sick=("1",), age="Age"),
    "pima_diabetes": TableSpec(
        files=(f"{WEKA}diabetes.arff",),
        target="class",
        sick=("tested_positive",),
        missing=dict.fromkeys(("plas", "pres", "skin", "insu", "mass"), ("0",)),
        age="age",
    ),
    "haberman": TableSpec(
        files=(f"{WEKA}haberman.arff",),
        target="Survival_status",
        sick=("2",),
        age="Age_of_patient_at_time_of_operation",
    ),
    "hypothyroid": TableSpec(
        files=(f"{WEKA}hypothyroid.arff",),
        target="Class",
        well=("negative",),
        sick=("compensated_hypothyroid", "primary_hypothyroid", "secondary_hypothyroid"),
        mistakes={"age": ("455",)},
        age="age",
        sex=("sex", "F", "M"),
    ),
    "lymphography": TableSpec(
        files=(f"{WEKA}lymph.arff",),
        target="class",
        well=("metastases",),
        sick=("malign_lymph",),
        rows_dropped=dict.fromkeys(("normal", "fibrosis"), "2 and 4 patients, too few to learn from"),
    ),
    "postoperative": TableSpec(
        files=(f"{WEKA}postoperative.patient.data.arff",),
        target="decision",
        well=("S",),
        sick=("A",),
        rows_dropped={"I": "2 patients, too few to learn from"},
    ),
    "primary_tumor": TableSpec(
        files=(f"{WEKA}primary.tumor.arff",),
        target="class",
        sick=("lung",),
        ordered=("age", "degree-of-diffe"),
        sex=("sex", "female", "male"),
    ),
    # both files are one table: rows of one recur by value in the other, and the official split is not used
    "spect": TableSpec(
        files=(f"{WEKA}spect.train.arff", f"{WEKA}spect.test.arff"),
        target="OVERALL_DIAGNOSIS",
        well=("0",),
        sick=("1",),
    ),
    "acute_inflammations": TableSpec(
        files=(f"{ADRIF}acute-inflammations-urinary.arff",), target="Class", sick=("yes",)
    ),
    "appendicitis": TableSpec(
        files=(f"{ADRIF}appendicitis.arff",), target="Class", sick=("1",), mistakes={"V2": ("0.5no18",)}
    ),
    "fertility": TableSpec(files=(f"{ADRIF}fertility-diagnosis.arff",), target="Class", sick=("2",), wrong_types=True),
    "parkinsons": TableSpec(files=(f"{ADRIF}parkinsons.arff",), target="Class", sick=("2",)),
    "wdbc": TableSpec(files=(f"{ADRIF}wdbc.arff",), target="Class", sick=("2",)),
    "breast_wisconsin": TableSpec(
        files=(f"{UCI}breast-cancer-wisconsin.data",),
        columns=BREAST_WISCONSIN_COLUMNS,
        target="class",
        well=("2",),
        sick=("4",),
        patient="id",
        repeats="the same patient with the same scores",
    ),
    "new_thyroid": TableSpec(
        files=(f"{UCI}new-thyroid.csv",),
        columns=NEW_THYROID_COLUMNS,
        target="class",
        well=("1",),
        sick=("2", "3"),
    ),
    "hepatitis": TableSpec(
        files=(f"{UCI}hepatitis.data",),
        columns=HEPATITIS_COLUMNS,
        target="class",
        well=("2",),
        sick=("1",),
        age="age",
        sex=("sex", "2", "1"),  # UCI
    ),
    "ilpd": TableSpec(
        files=(f"{UCI}ilpd.csv",),
        target="Label",
        well=("2",),
        sick=("1",),
        categories={"Gender": ("Female", "Male")},
        repeats=SAME,
        age="Age",
        sex=("Gender", "Female", "Male"),
    ),
    "bupa": TableSpec(
        files=(f"{UCI}bupa.data",),
        target="ALCOHOL",
        sick_above=3,
        dropped={"DATASET": "the selector: a mark of train and test rows, no diagnosis (McDermott and Forsyth 2016)"},
        repeats=SAME,
    ),
    "kidney": TableSpec(files=(f"{UCI}chronic_kidney_disease.arff",), target="class", sick=("ckd",), age="age"),
    "heart_failure": TableSpec(
        files=(f"{UCI}heart_failure_S1Data.csv",),
        target="Event",
        well=("0",),
        sick=("1",),
        dropped={"TIME": "days until death or the end of follow-up: it gives the outcome away"},
        age="Age",
        sex=("Gender", "0", "1"),  # UCI
    ),
    "cervical_cancer": TableSpec(
        files=(f"{UCI}risk_factors_cervical_cancer.csv",),
        target="Biopsy",
        well=("0",),
        sick=("1",),
        dropped=dict.fromkeys(("Hinselmann", "Schiller", "Cytology"), "another test for the same finding"),
        repeats="alike in 32 answers and the biopsy; some may be two women, and are left out to be safe",
        age="Age",
    ),
    "cardiotocography": TableSpec(
        files=(f"{UCI}CTG.csv",),
        target="NSP",
        well=("1",),
        sick=("2", "3"),
        dropped={"CLASS": "another coding of the outcome"},
        # neighbouring rows are often segments of one recording, whose name was removed (baseline in beats a minute)
        patient_runs=("LB", 2),
        repeats=SAME,
    ),
}
