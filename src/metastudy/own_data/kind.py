"""What a kind of data has to say so that the comparison, `predict`, the command line and the page can be the same for
all: how its files are read, which tasks are drawn from them, and which methods make sense there.

A new kind: subclass `Options` (its fields are the command's options too) and `Kind`, and name it in `kinds.KINDS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.families.base import Family
from metastudy.methods import Method
from metastudy.parameters import nearest
from metastudy.tasks import Task
from metastudy.train import TrainConfig

COMPARING = ("shots", "draws", "jobs", "quick", "out", "blocks", "max_queries")
"""Options that say how to compare, and mean nothing when the chosen method is used."""


class Options(BaseModel):
    """What every kind may be told. Strict; a field's description is its help text."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    path: Path
    shots: tuple[int, ...] = Field((1, 5, 10), description="labelled examples to adapt to")
    draws: int | None = Field(None, ge=1, description="few-shot tasks drawn from the data; more narrow the intervals")
    seed: int = Field(0, ge=0, description="of the draws and of all training")
    jobs: int = Field(2, ge=1, description="processes")
    quick: bool = Field(False, description="fewer draws and shorter training: a first look in about a minute")
    out: Path | None = Field(None, description="folder to write to (default: compared_<kind>_<name>)")

    @field_validator("shots")
    @classmethod
    def _ascending(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        if not shots or min(shots) < 1:
            raise ValueError("expected one number or more, 1 or larger")
        return tuple(sorted(set(shots)))


@dataclass(frozen=True, eq=False)
class Prepared:
    """One comparison, ready to run: whatever can be refused has been refused.

    `family` has one fold, whose test names are the user's data and whose training names are earlier tasks.
    `classical` are those of `methods` that learn from no earlier task, the first one of them what most would use:
    it is the reference. `unit` is what shots count ("labelled patients of each class"), `counted` what the data offer
    `labelled` of ("patients"). `facts` tell what was read, `notes` what a reader of the result has to know.
    """

    family: Family
    methods: tuple[Method, ...]
    config: TrainConfig
    metric: str
    classical: tuple[str, ...]
    labelled: int
    unit: str
    counted: str = "examples"
    lower_is_better: bool = False
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        return self.classical[0]


@dataclass(frozen=True, eq=False)
class Asked:
    """What a chosen method shall predict: tasks whose support is all labelled examples, `shots` of them, which must be
    one of the family's. `table` makes a table for people of one prediction a task."""

    family: Family
    method: Method
    config: TrainConfig
    shots: int
    tasks: Sequence[Task]
    table: Callable[[Sequence[Tensor]], pd.DataFrame]


class Kind(ABC):
    """A kind of data. `examples` are command lines without "metastudy compare KIND"."""

    name: ClassVar[str]
    summary: ClassVar[str]
    examples: ClassVar[tuple[str, ...]]
    options: ClassVar[type[Options]]

    @abstractmethod
    def prepare(self, options: Any) -> Prepared:
        """Read, check and build. Raises DataError or ParameterError, one clear line, and writes nothing."""

    @abstractmethod
    def ask(self, options: Any, method: str, new: Path | None) -> Asked:
        """The labelled examples at `options.path` and what is asked about, by the method of that name.

        Raises as `prepare`; ParameterError for a method that is none (`the_method`).
        """


def checked(model: type[Options], values: Mapping[str, Any]) -> Any:
    """Typed options. Raises ParameterError with every problem: unknown names, wrong types, values out of range."""
    values = {n: tuple(v) if isinstance(v, list) else Path(v) if n in PATHS and isinstance(v, str) else v
              for n, v in values.items()}  # fmt: skip
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ParameterError("; ".join(_explain(e, list(model.model_fields)) for e in error.errors())) from None


PATHS = ("path", "out")


def _explain(error: Mapping[str, Any], valid: list[str]) -> str:
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"unknown option {name!r}{nearest(name, valid)} (options: {', '.join(valid)})"
    if error["type"] == "missing":
        return f"option {name!r} is missing: {option(name)} ..."
    given = error["input"]
    typed = " ".join(map(str, given)) if isinstance(given, tuple | list) else str(given)
    return f"{option(name)} {typed}: {error['msg'].removeprefix('Value error, ').lower()}"


def option(name: str) -> str:
    """As it is typed."""
    return f"--{name.replace('_', '-')}"


def the_method(methods: Sequence[Method], name: str) -> Method:
    """The method of that name. Raises ParameterError naming them all."""
    names = [m.name for m in methods]
    if name not in names:
        raise ParameterError(f"--method {name!r} is none of {', '.join(names)}{nearest(name, names)}")
    return methods[names.index(name)]


def the_column(name: str, columns: Sequence[str], what: str) -> str:
    """`name`, where there is such a column. Raises ParameterError with the nearest names otherwise."""
    if name not in columns:
        some = ", ".join(map(repr, list(columns)[:8])) + (", ..." if len(columns) > 8 else "")
        raise ParameterError(f"{what} {name!r} is no column{nearest(name, [str(c) for c in columns])}; found {some}")
    return name
