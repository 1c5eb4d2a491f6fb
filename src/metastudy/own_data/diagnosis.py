"""Kind `diagnosis`: a table of patients, one column of which says who is sick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype
from pydantic import Field
from torch import Tensor

from metastudy.adapt import MAML, Prototypes, RidgeHead
from metastudy.diagnose import CELLS, MODEL, load_g
from metastudy.errors import DataError, ParameterError
from metastudy.lineups.diseases import TRAININGS, UNORIENTED, classical, disease_mappings
from metastudy.methods import FineTuned, Method, Scratch, alone, pooled
from metastudy.own_data import blocks
from metastudy.own_data.csv_file import as_text, read_csv, two_values, with_columns_of, without
from metastudy.own_data.kind import Asked, Kind, Options, Prepared, the_column, the_method
from metastudy.own_data.own_patients import OwnPatients, Patients, most_columns
from metastudy.own_data.stored_diagnosis import StoredDiagnosis
from metastudy.project import Project
from metastudy.tabular.varied import TabularMethod
from metastudy.train import TrainConfig

REFERENCE = "logistic regression, tuned C"
FREE_TEXT = 20  # different texts, in more than half of the rows: no categories
WIDEST = 400  # columns of numbers


class DiagnosisOptions(Options):
    shots: tuple[int, ...] = Field((1, 3, 5, 10), description="labelled patients of each class")
    target: str = Field(description="column with the diagnosis")
    positive: str | None = Field(None, description="value of the sick (default: the larger one); others are healthy")
    task: str | None = Field(
        None, description="column with the hospital, study, ... of a row: each is tasks of its own"
    )
    group: str | None = Field(None, description="column that says which rows are not independent (the same patient)")
    drop: tuple[str, ...] = Field((), description="columns to leave out: identifiers, what is known only afterwards")


class DiagnosisKind(Kind):
    name = "diagnosis"
    summary = (
        "Which way of diagnosing is best with few labelled patients? A CSV file with a header: numbers, categories, "
        "and empty cells. Research software, not a medical device."
    )
    examples = (
        "patients.csv --target sick",
        "patients.csv --target outcome --positive died --shots 5 10 20 --drop id discharge_date",
        "registry.csv --target diagnosis --task hospital --group patient_id",
    )
    options = DiagnosisOptions

    def prepare(self, options: DiagnosisOptions) -> Prepared:
        patients, facts, notes = read_patients(options)
        family = _family(patients, options)
        methods, learned = line_up()
        config = TrainConfig(steps=60 if options.quick else 200)
        others = (m.name for m in classical() if m.name != REFERENCE)
        return Prepared(
            family, tuple(methods), config, "auroc", (REFERENCE, *others, Scratch().name), len(patients.diagnosis),
            "labelled patients of each class", "patients", facts=facts, notes=(*notes, *learned, *LIMITS),
        )  # fmt: skip

    def ask(self, options: DiagnosisOptions, method: str, new: Path | None) -> Asked:
        if new is None:
            raise ParameterError("expected a second file: the patients to diagnose (the same columns, no diagnosis)")
        patients, _, _ = read_patients(options, few=True)
        asked = with_columns_of(read_csv(new), list(patients.columns), new.name)
        for name in asked:
            if is_numeric_dtype(patients.columns[name]) and not is_numeric_dtype(asked[name]):
                text = next(v for v in asked[name].dropna() if not _number(v))
                raise DataError(f"{new.name}: column {name!r} holds {text!r}; expected numbers, as labelled rows have")
        counts = np.bincount(patients.diagnosis, minlength=2)
        if (n := len(patients.diagnosis)) ** 2 * patients.columns.shape[1] > CELLS:
            raise DataError(f"{options.path.name} has {n} labelled patients, too many to adapt to; give a sample")
        both = pd.concat([patients.columns, asked], ignore_index=True)
        nobody = np.zeros(len(asked), dtype=int)
        everyone = Patients(
            both, np.concatenate([patients.diagnosis, nobody]), np.full(len(both), "own"), np.arange(len(both))
        )
        k = int(min(counts.min(), OwnPatients.max_shots))
        family = OwnPatients(everyone, (k,), most_columns(both))
        order = np.argsort(patients.diagnosis, kind="stable").tolist()
        task = family.task("own", "own", order, range(len(order), len(both)))
        methods, _ = line_up()
        _, sick = two_values(read_csv(options.path)[options.target], f"column {options.target!r}", options.positive)
        return Asked(
            family, the_method(methods, method), TrainConfig(steps=200), k, [task],
            lambda found: _table(asked, found, sick),
        )  # fmt: skip


HERE = "learned here from scikit-learn's two medical tables"
LIMITS = (
    "The intervals are about these patients: parts of one table tell nothing about other hospitals (--task does).",
    "Every number of labelled patients has as many healthy as sick ones; what is diagnosed has the table's own share.",
    "Research software, not a medical device.",
)


def line_up() -> tuple[list[Method], list[str]]:
    """All methods, and notes on where g comes from: its file, or the two embedded tables."""
    single = [TabularMethod(m.name, (m,)) for m in disease_mappings()]
    others = alone(MAML(), RidgeHead(initial_scale=2.0), Prototypes())
    learning: list[Method] = [*classical(), Scratch(), FineTuned(), pooled(), *others, *single]
    if not Project.at().path(MODEL).is_file():
        g = TabularMethod("g", disease_mappings(), trainings=TRAININGS)
        return [*learning, g], [
            f"Methods that learn from earlier tasks {HERE}: {MODEL}, with g of the study, is absent."
        ]
    model = load_g()
    members = [StoredDiagnosis(f"{m.name} of g", model, m.name) for m in model.learner.mappings]
    known = ", ".join(model.about["trained on"] + model.about["stopped by"])
    return [*learning, *members, StoredDiagnosis(UNORIENTED, model, oriented=False), StoredDiagnosis("g", model)], [
        f"Methods that learn from earlier tasks, but g and its members, {HERE}.",
        f"g learned from public tables of {known}: on one of these its result says nothing about a new disease.",
    ]  # fmt: skip


def read_patients(options: DiagnosisOptions, few: bool = False) -> tuple[Patients, dict[str, str | int], list[str]]:
    """The table, what was read, and what was left out. With `few`, tasks are not checked for their size.

    Raises DataError and ParameterError as the options and `csv_file` say.
    """
    if (most := max(options.shots)) > OwnPatients.max_shots:
        raise ParameterError(f"--shots {most}; expected up to {OwnPatients.max_shots} of each class: more are not few")
    frame = read_csv(options.path)
    names = list(frame.columns)
    target = the_column(options.target, names, "--target")
    special = [the_column(c, names, f"--{w}") for w, c in (("task", options.task), ("group", options.group)) if c]
    if target in (*special, *options.drop):
        raise ParameterError(f"--target {target!r} is named as another column too; expected a column of its own")
    healthy, sick = two_values(frame[target], f"column {target!r}", options.positive)
    notes = []
    if lost := int(frame[target].isna().sum()):
        notes.append(f"{lost} rows without a diagnosis were left out.")
        frame = frame[frame[target].notna()]
    for column in special:
        if frame[column].isna().any():
            raise DataError(f"column {column!r} is empty in line {frame.index[frame[column].isna()][0]}; fill it in")
    columns = without(frame, [*special, target, *(c for c in options.drop if c not in special)])
    columns, left_out = _usable(columns)
    notes += left_out
    if not len(columns.columns):
        raise DataError(f"{options.path.name} has no column left besides {target!r}; expected some to diagnose by")
    if (wide := most_columns(columns)) > WIDEST:
        widest = columns.nunique().sort_values().index[-1]
        raise DataError(f"the columns become {wide} columns of numbers, up to {WIDEST} are read; --drop some, for "
                        f"example {widest!r}")  # fmt: skip
    y = (frame[target].map(as_text) == sick).to_numpy(int)
    task = (
        frame[options.task].map(as_text).to_numpy(object)
        if options.task
        else np.full(len(frame), options.path.stem, dtype=object)
    )
    group = frame[options.group].map(as_text).to_numpy(str) if options.group else np.arange(len(frame)).astype(str)
    patients = Patients(columns.reset_index(drop=True), y, task, group)
    if not few:
        patients, small = _large_enough(patients, max(options.shots), (healthy, sick))
        notes += small
    y = patients.diagnosis
    facts: dict[str, str | int] = {
        "patients": len(y), f"sick ({target} = {sick})": int(y.sum()), f"healthy ({healthy})": int((1 - y).sum()),
        "columns": len(columns.columns), "empty cells": f"{columns.isna().mean().mean():.1%}",
    }  # fmt: skip
    if options.task:
        facts["tasks"] = len(set(patients.task))
    if options.group:
        facts["groups"] = len(set(patients.group))
    return patients, facts, notes


def _usable(columns: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Columns that say something; notes on those that do not, and on those that look like identifiers."""
    notes, kept = [], []
    for name in columns:
        held = columns[name].dropna()
        n, numeric = held.nunique(), is_numeric_dtype(columns[name])
        if n < 2:
            notes.append(f"Column {name!r} was left out: it holds one value only.")
        elif not numeric and n > FREE_TEXT and 2 * n > len(held):
            notes.append(f"Column {name!r} was left out: {n} different texts in {len(held)} rows are no categories.")
        else:
            kept.append(name)
            if numeric and n == len(held) and is_integer_dtype(held) and held.is_monotonic_increasing:
                notes.append(f"Column {name!r} counts rows: if it is an identifier, --drop it.")
    return columns[kept], notes


def _large_enough(patients: Patients, shots: int, names: tuple[str, str]) -> tuple[Patients, list[str]]:
    """The tasks that can be drawn from, and a note on the others. Raises DataError where there is none."""
    tasks = list(dict.fromkeys(patients.task))
    kept, problems = [], []
    for task in tasks:
        rows = patients.task == task
        y = patients.diagnosis[rows]
        try:
            if len(set(y.tolist())) < 2:
                raise DataError(f"task {task!r}: all {len(y)} are {names[int(y[0])]!r}")
            blocks.n_blocks(y, patients.group[rows], shots, names, f"task {task!r}")
            kept.append(task)
        except DataError as error:
            problems.append(error)
    if not kept:
        raise problems[0]
    rows = np.isin(patients.task, kept)
    notes = [f"{len(problems)} of {len(tasks)} tasks were left out; the first: {problems[0]}"] if problems else []
    return Patients(patients.columns[rows].reset_index(drop=True), patients.diagnosis[rows], patients.task[rows],
                    patients.group[rows]), notes  # fmt: skip


def _family(patients: Patients, options: DiagnosisOptions) -> OwnPatients:
    draws = options.draws or (20 if options.quick else 40)
    return OwnPatients(patients, options.shots, most_columns(patients.columns), draws)


def _number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _table(asked: pd.DataFrame, found: list[Tensor], sick: str) -> pd.DataFrame:
    """Line of the file, and probability of being sick, in the order of the file."""
    return pd.DataFrame({"line": asked.index, f"probability of {sick}": found[0][:, 1].double().numpy()})
