"""What each notebook may be told: names, types and ranges, checked before anything is computed.

To add a notebook's parameters: subclass `Parameters`, list its fields, and add it to `MODELS`.
Values live in the notebook's tagged cell (the quick profile) and in notebooks/parameters/<profile>.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metastudy.errors import ParameterError

Count = Annotated[int, Field(ge=1)]
Counts = Annotated[list[Count], Field(min_length=1)]


class Parameters(BaseModel):
    """What every notebook has. Strict: no unknown name, no text for a number, no bool for an int."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    profile: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    seed: Annotated[int, Field(ge=0)]
    jobs: Count


class StartHere(Parameters):
    shots: Count
    n_tasks: Count  # earlier tasks that the sketch walks through
    steps: Count  # of meta-training, for g


class DataPreparation(Parameters):
    n_examples: Count  # shown of each kind of task
    public: bool  # load the public sources too


class BaseModelStudy(Parameters):
    folds: Annotated[int, Field(ge=2)]
    repeats: Count
    sizes: Counts  # labelled training rows
    seeds: Count
    steps: Count  # of meta-training
    digits_shots: Counts
    diagnosis_shots: Counts
    classic: bool  # Omniglot too
    classic_steps: Count


class CrossValidated(Parameters):
    """A study that trains every method on every fold with several seeds."""

    seeds: Count
    primary_seeds: Count  # of g and of its planned rival
    steps: Count  # of meta-training
    shots: Counts


class MetaTraining(Parameters):
    seeds: Count
    primary_seeds: Count
    sinusoid_steps: Count
    sinusoid_shots: Counts
    digits_steps: Count
    digits_shots: Counts
    transfer_steps: Count
    transfer_seeds: Count
    classic: bool  # the classic benchmarks too
    retrain: bool  # their models


class TextSummarization(CrossValidated):
    public: bool  # the public domains too


class MedicalDiagnosis(CrossValidated):
    public: bool  # the public diseases and hospitals too
    disease_shots: Counts
    disease_steps: Count
    hospital_shots: Counts


class SemanticSearch(CrossValidated):
    public: bool  # the public collections too
    feedback_shots: Counts
    collection_shots: Counts


class ABComparison(Parameters):
    online: Annotated[list[str], Field(min_length=1)]  # studies whose online experiment is drawn
    replays: Count  # of the A/A experiment, each with another assignment
    looks: Annotated[int, Field(ge=2)]  # of a team that peeks
    visits: Count  # of simulated users to each query


class OwnData(Parameters):
    rows: Annotated[int, Field(ge=100, le=6000)]  # labelled rows that we pretend to have
    shots: Counts
    short: bool  # fewer draws and shorter training


MODELS: dict[str, type[Parameters]] = {
    "00_start_here": StartHere,
    "01_data_preparation": DataPreparation,
    "02_base_model": BaseModelStudy,
    "03_meta_training": MetaTraining,
    "04_text_summarization": TextSummarization,
    "05_medical_diagnosis": MedicalDiagnosis,
    "06_semantic_search": SemanticSearch,
    "07_ab_comparison": ABComparison,
    "08_your_own_data": OwnData,
}


def nearest(name: str, valid: list[str]) -> str:
    """A hint "; did you mean ...?" for a name that is close to a valid one."""
    close = get_close_matches(name, valid, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _explain(error: dict, valid: list[str]) -> str:
    """One problem in words: found, expected."""
    name, *inside = error["loc"]
    where = str(name) + "".join(f"[{part}]" for part in inside)
    if error["type"] == "extra_forbidden":
        return f"unknown parameter {name!r}{nearest(str(name), valid)}"
    if error["type"] == "missing":
        return f"parameter {name!r} is missing"
    return f"{where} = {error['input']!r} ({type(error['input']).__name__}): {error['msg'].lower()}"


def validate(step: str, values: Mapping[str, Any]) -> Parameters:
    """The typed parameters of a notebook.

    Raises ParameterError, with every problem found, for an unknown notebook, an unknown or missing name,
    a wrong type or a value out of range.
    """
    if step not in MODELS:
        raise ParameterError(
            f"notebook {step!r} has no parameters declared{nearest(step, list(MODELS))} "
            f"Expected one of {', '.join(MODELS)}; add a model to metastudy/parameters.py"
        )
    model = MODELS[step]
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        valid = list(model.model_fields)
        problems = "; ".join(_explain(problem, valid) for problem in error.errors())
        raise ParameterError(
            f"{step}: {problems}. Valid parameters: {', '.join(valid)}. "
            "Change the notebook's parameters cell or notebooks/parameters/<profile>.yaml"
        ) from None
