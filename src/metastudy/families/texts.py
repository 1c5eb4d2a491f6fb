"""Short texts as few-shot tasks: tell apart intents of a domain, or diseases, that meta-training never saw.

An input is the vector of a text; base models learn on vectors and leave the encoder as it is.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from metastudy import loaders
from metastudy.encoders import TfidfSvd
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import Family, Fold, Ids, Part, Score, TaskSpec, check_rows
from metastudy.families.draws import rotate
from metastudy.families.scoring import class_scores
from metastudy.loaders.intents import LabelledTexts
from metastudy.loaders.symptoms import DISEASES
from metastudy.minilm import MiniLM
from metastudy.model import VectorNet
from metastudy.parameters import nearest
from metastudy.tasks import Kind, Task
from metastudy.vector_cache import CachedEncoder

ENCODERS = ("tfidf", "minilm")
GROUPS = (  # banking, credit_cards and banking77 share intents, so they are tested together; the others by likeness
    ("banking", "credit_cards", "banking77"),
    ("kitchen_and_dining", "home"),
    ("auto_and_commute", "travel"),
    ("utility", "work"),
    ("small_talk", "meta"),
)


@dataclass(frozen=True)
class TextTasks(Family):
    """`ways`-way k-shot tasks on text vectors; ids are row numbers of the repaired texts of all sources together.

    `encoder`: "tfidf" (`dim` directions, fitted on the texts of `fold.train` alone) or "minilm" (pretrained; cached).
    """

    kind: ClassVar[Kind] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss")
    max_shots: ClassVar[int] = 10
    max_ways: ClassVar[int]
    shots: tuple[int, ...] = (1, 5, 10)
    ways: int = 5
    n_query: int = 15  # per class
    n_test: int = 40  # tasks per domain or fold
    encoder: str = "tfidf"
    dim: int = 256

    def __post_init__(self) -> None:
        self.check_shots()
        if not 2 <= self.ways <= self.max_ways:
            raise ParameterError(f"ways of {self.study} is {self.ways}; expected 2 to {self.max_ways}")
        if self.encoder not in ENCODERS:
            hint = nearest(self.encoder, list(ENCODERS))
            raise ParameterError(f"encoder is {self.encoder!r}; expected one of {', '.join(ENCODERS)}{hint}")

    def __getstate__(self) -> dict:
        """Pickled without what can be built again."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @cached_property
    @abstractmethod
    def sources(self) -> tuple[LabelledTexts, ...]:
        """What the rows are taken from, one after the other."""

    @abstractmethod
    def pools(self, fold: Fold, names: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """Which classes may meet in one task: (name of the task's family, its classes)."""

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text of each row."""
        return tuple(text for source in self.sources for text in source.texts)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class of each row, as "domain/label" (two domains may use one name), or the domain where it is one."""
        named = [{k: k if d == k else f"{d}/{k}" for k, d in source.domains.items()} for source in self.sources]
        return tuple(names[k] for names, source in zip(named, self.sources, strict=True) for k in source.labels)

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        """Row numbers of each class. Raises DataError for a class that a task could exhaust."""
        rows: dict[str, list[int]] = {}
        for row, label in enumerate(self.labels):
            rows.setdefault(label, []).append(row)
        need = self.max_shots + self.n_query
        if small := [label for label, found in rows.items() if len(found) < need]:
            raise DataError(
                f"{self.study}: class {small[0]!r} has {len(rows[small[0]])} texts, one of {len(small)} too small; "
                f"a task takes {self.max_shots} examples and {self.n_query} queries of each: lower n_query"
            )
        return {label: np.array(found) for label, found in rows.items()}

    @cached_property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Classes of each domain: of what is held out together."""
        found: dict[str, list[str]] = {}
        for label in self._rows:
            found.setdefault(label.split("/")[0], []).append(label)
        return {domain: tuple(labels) for domain, labels in found.items()}

    def model(self) -> VectorNet:
        return VectorNet(self.dim if self.encoder == "tfidf" else MiniLM.dim)

    @cached_property
    def _vectors(self) -> dict[str, Tensor]:
        return {}

    def vectors(self, fold: Fold) -> Tensor:
        """(texts, in_dim) in float32; TF-IDF and its directions come from the training texts of the fold alone.

        MiniLM takes minutes the first time: call this once before work is spread over processes.
        """
        key = fold.name if self.encoder == "tfidf" else ""
        if key not in self._vectors:
            if self.encoder == "tfidf":
                train = set(fold.train)
                own = [text for text, c in zip(self.texts, self.labels, strict=True) if c.split("/")[0] in train]
                encode = TfidfSvd(own, self.dim)
            else:
                encode = CachedEncoder(MiniLM())
            self._vectors[key] = torch.from_numpy(encode(self.texts))
        return self._vectors[key]

    def training_classes(self, fold: Fold) -> tuple[str, ...]:
        return tuple(label for _, pool in self.pools(fold, fold.train) for label in pool)

    def _draw(self, pool: Sequence[str], shots: int, rng: np.random.Generator) -> tuple[tuple[Ids, ...], Ids]:
        """Support by class, and query, of a task of `ways` classes. Raises DataError where the pool has fewer."""
        if len(pool) < self.ways:
            raise DataError(f"{self.study}: {len(pool)} classes to draw {self.ways} from ({pool[0]}, ...); lower ways")
        drawn = [
            rng.choice(self._rows[pool[c]], shots + self.n_query, replace=False).tolist()
            for c in rng.permutation(len(pool))[: self.ways]
        ]
        return tuple(tuple(rows[:shots]) for rows in drawn), tuple(row for rows in drawn for row in rows[shots:])

    def _task(self, name: str, family: str, support: Sequence[Ids], query: Ids, fold: Fold) -> Task:
        classes = tuple(self.labels[ids[0]] for ids in support)
        wrong = [row for ids, c in zip(support, classes, strict=True) for row in ids if self.labels[row] != c]
        wrong += [row for row in query if self.labels[row] not in classes]
        if wrong or len(set(classes)) < len(classes):
            raise DataError(f"task {name}: rows of one class have several labels here; draw the task list anew")
        vectors, rows = self.vectors(fold), [row for ids in support for row in ids]
        x = [vectors[torch.tensor(ids)] for ids in (rows, query)]
        y = [torch.tensor([classes.index(self.labels[row]) for row in ids]) for ids in (rows, query)]
        return Task(
            name, family, self.kind, x[0], y[0], x[1], y[1], len(classes),
            query_ids=tuple(str(row) for row in query), class_names=classes,
        )  # fmt: skip

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        pools = self.pools(fold, getattr(fold, part))
        tasks = []
        for i in range(n_tasks):
            family, pool = pools[rng.integers(len(pools))]
            tasks.append(self._task(f"{part}{i}", family, *self._draw(pool, shots, rng), fold))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        return [
            TaskSpec(f"{family}/{i:03d}", family, fold.name, *self._draw(pool, self.max_shots, rng))
            for fold in self.folds()
            for family, pool in self.pools(fold, fold.test)
            for i in range(self.n_test)
        ]

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        check_rows(spec, len(self.texts))
        return self._task(spec.id, spec.family, [ids[:shots] for ids in spec.support], spec.query, fold)

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        return class_scores(task, prediction)

    def content_hash(self) -> str:
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        return hashlib.sha256(json.dumps([self.texts, self.labels]).encode()).hexdigest()


@dataclass(frozen=True)
class Intents(TextTasks):
    """Intents of one domain: the ten domains of CLINC150, and Banking77 as an eleventh.

    Five folds test two domains each, Banking77 in addition with the two of CLINC150 that are about money; the next
    group validates and three train. A domain that is tested is never trained on.
    """

    study: ClassVar[str] = "intents"
    clustered: ClassVar[bool] = True
    max_ways: ClassVar[int] = 15

    @cached_property
    def sources(self) -> tuple[LabelledTexts, ...]:
        return loaders.load("clinc150"), loaders.load("banking77")

    def folds(self) -> tuple[Fold, ...]:
        folds = []
        for i in range(len(GROUPS)):
            test, validation, *train = (*GROUPS[i:], *GROUPS[:i])
            folds.append(Fold(f"fold{i}", tuple(name for group in train for name in group), validation, test))
        return tuple(folds)

    def pools(self, fold: Fold, names: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        return [(name, self.classes[name]) for name in names]


@dataclass(frozen=True)
class Symptoms(TextTasks):
    """Diseases from descriptions of symptoms that a machine wrote: families are named synthetic, and so are results.

    Four folds of six diseases by alphabet: six are tested, the next six validate, twelve train.
    """

    study: ClassVar[str] = "symptoms"
    max_ways: ClassVar[int] = 6
    dim: int = 128

    @cached_property
    def sources(self) -> tuple[LabelledTexts, ...]:
        return (loaders.load("symptom2disease"),)

    def folds(self) -> tuple[Fold, ...]:
        return rotate(sorted(DISEASES, key=str.casefold), self.max_ways)

    def pools(self, fold: Fold, names: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        return [(f"synthetic {fold.name}", tuple(label for name in names for label in self.classes[name]))]
