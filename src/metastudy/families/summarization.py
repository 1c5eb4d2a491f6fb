"""Extractive summarization of library documentation: choose the sentence closest to the human summary line.

A package is a domain. A task is a draw of its documents: k with their summary line, the others to summarise.
A row is a sentence, its document is its group, its label is its ROUGE-1 F1 (0 to 1) with the summary line. One
sentence is chosen per document, the median length of a summary line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metastudy import corpus, text
from metastudy.encoders import TfidfSvd
from metastudy.errors import DataError
from metastudy.families import documents
from metastudy.families.base import Family, FieldBaseline, Fold, Ids, Part, Score, TaskSpec
from metastudy.families.draws import disjoint_draws, rotate
from metastudy.model import MLP, BaseModel
from metastudy.tasks import Task

DOMAINS = (  # neighbours are tested together: no two of one kind (arrays, statistics, tables and figures, symbols)
    "numpy", "matplotlib", "scipy", "networkx", "pandas", "sympy", "sklearn", "seaborn", "statsmodels", "torch",
)  # fmt: skip
VECTOR_DIM = 24
MIN_SENTENCES = 2


@dataclass(frozen=True)
class Document:
    """One docstring: sentences to choose from, the human summary line, and each sentence's agreement with it.

    Shapes: rouge (N, 3), the columns of `text.ROUGE`, 0 to 100; gains (N,), ROUGE-1 from 0 to 1.
    """

    id: str
    domain: str
    sentences: tuple[str, ...]
    summary: str
    rouge: np.ndarray
    gains: Tensor


class DocumentationSummaries(Family):
    """Tasks from the library documentation corpus; `max_documents` per package, `max_sentences` per document."""

    study = "summarization"
    kind = "ranking"
    clustered = True
    metrics = text.ROUGE
    max_shots = 20
    field_baselines = (FieldBaseline("lead", documents.LEAD), FieldBaseline("lexrank", documents.LEXRANK))
    n_features = len(documents.HAND_FEATURES) + VECTOR_DIM

    def __init__(
        self,
        max_documents: int = 120,
        max_sentences: int = 30,
        draws: int = 3,
        queries: int = 40,
        shots: tuple[int, ...] = (1, 5, 10, 20),
    ):
        self.shots = shots
        self.check_shots()
        self.max_documents = max_documents
        self.max_sentences = max_sentences
        self.draws = draws
        self.queries = queries
        self._rows: dict[str, dict[str, Tensor]] = {}  # fold name -> document id -> input rows

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__getstate__().items())})"

    def __getstate__(self) -> dict:
        """Pickled without what can be built again."""
        settings = ("max_documents", "max_sentences", "draws", "queries", "shots")
        return {"_rows": {}} | {name: getattr(self, name) for name in settings}

    def select(self, entries: Sequence[corpus.Entry]) -> list[corpus.Entry]:
        """At most `max_documents` of a package with two sentences or more, in an order that is no order: by hash."""
        usable = [e for e in entries if len(e.body) >= MIN_SENTENCES]
        return sorted(usable, key=lambda e: hashlib.sha256(e.id.encode()).digest())[: self.max_documents]

    @cached_property
    def documents(self) -> dict[str, Document]:
        """All documents by id."""
        packages = corpus.load().by_package()
        chosen = [e for domain in DOMAINS for e in self.select(packages[domain])]
        found = {}
        for e in chosen:
            sentences = e.body[: self.max_sentences]
            rouge = np.array([list(text.rouge(s, [e.summary]).values()) for s in sentences])
            gains = torch.from_numpy(rouge[:, 0] / 100).float()
            found[e.id] = Document(e.id, e.package, sentences, e.summary, rouge, gains)
        return found

    @cached_property
    def domains(self) -> dict[str, tuple[str, ...]]:
        """Document ids of each package."""
        ids: dict[str, list[str]] = {domain: [] for domain in DOMAINS}
        for document in self.documents.values():
            ids[document.domain].append(document.id)
        return {domain: tuple(found) for domain, found in ids.items()}

    def folds(self) -> tuple[Fold, ...]:
        """Five rounds: two packages to test, the next two to validate, six to train."""
        return rotate(DOMAINS, 2)

    def model(self) -> BaseModel:
        return MLP(in_dim=self.n_features, hidden=(64, 32))

    def rows(self, fold: Fold) -> dict[str, Tensor]:
        """Input rows (sentences, n_features) of every document; words, vectors and scales from `fold.train` only."""
        if fold.name not in self._rows:
            train = [d.sentences for d in self.documents.values() if d.domain in fold.train]
            idf = documents.Idf.fit(train)
            encode = TfidfSvd([s for sentences in train for s in sentences], VECTOR_DIM)
            every = list(self.documents.values())
            vectors = encode([s for d in every for s in d.sentences])
            parts = np.split(vectors, np.cumsum([len(d.sentences) for d in every])[:-1])
            hand = [documents.hand_features(d.sentences, idf) for d in every]
            x = [np.concatenate(pair, axis=1) for pair in zip(hand, parts, strict=True)]
            seen = np.concatenate([rows for d, rows in zip(every, x, strict=True) if d.domain in fold.train])
            mean, scale = seen.mean(0), np.maximum(seen.std(0), 1e-6)
            self._rows[fold.name] = {
                d.id: torch.from_numpy(((rows - mean) / scale).astype(np.float32))
                for d, rows in zip(every, x, strict=True)
            }
        return self._rows[fold.name]

    def sample(self, fold: Fold, part: Part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tasks = []
        for i in range(n_tasks):
            names = fold.train if part == "train" else fold.validation
            domain = names[rng.integers(len(names))]
            ids = self.domains[domain]
            drawn = [ids[j] for j in rng.permutation(len(ids))[: shots + 10]]
            tasks.append(self._task(f"{part}/{i}", domain, drawn[:shots], drawn[shots:], fold))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """Per package `draws` tasks with disjoint queries; each has 20 support documents from outside its query."""
        specs = []
        for fold in self.folds():
            for domain in fold.test:
                ids = self.domains[domain]
                specs += disjoint_draws(domain, fold, ids, self.draws, self.max_shots, self.queries, rng)
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        return self._task(spec.id, spec.family, spec.support[0][:shots], spec.query, fold)

    def _task(self, task_id: str, domain: str, support: Ids, query: Ids, fold: Fold) -> Task:
        rows = self.rows(fold)
        if unknown := [i for i in (*support, *query) if i not in rows]:
            raise DataError(
                f"task {task_id}: document {unknown[0]!r} is not among the {len(rows)} of this corpus; the task list "
                "was frozen for other package versions: install the locked ones, or freeze again"
            )

        def stack(ids: Ids) -> tuple[Tensor, Tensor, Tensor]:
            y = [self.documents[i].gains for i in ids]
            group = np.repeat(np.arange(len(ids)), [len(v) for v in y])
            return torch.cat([rows[i] for i in ids]), torch.cat(y), torch.from_numpy(group)

        support_x, support_y, support_group = stack(support)
        query_x, query_y, query_group = stack(query)
        ids = tuple(str(query[g]) for g in query_group.tolist())
        return Task(
            task_id, domain, self.kind, support_x, support_y, query_x, query_y,
            support_group=support_group, query_group=query_group, query_ids=ids,
        )  # fmt: skip

    def chosen(self, task: Task, prediction: Tensor) -> dict[str, int]:
        """Document id -> index of the sentence with the highest prediction; of equal ones the first."""
        values = np.asarray(prediction.detach(), dtype=np.float64).reshape(-1)
        ids = np.array(task.query_ids)
        return {i: int(values[ids == i].argmax()) for i in dict.fromkeys(task.query_ids)}

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """ROUGE of the chosen sentence of each query document; a document of a draw is a unit of pairing."""
        return [
            Score(f"{task.id}:{i}", metric, float(value))
            for i, index in self.chosen(task, prediction).items()
            for metric, value in zip(self.metrics, self.documents[i].rouge[index], strict=True)
        ]

    def examples(self, task: Task, predictions: dict[str, Tensor], n: int) -> pd.DataFrame:
        """The first n query documents for which the predictions choose differently: who chose what, and its ROUGE-1."""
        chosen = {name: self.chosen(task, prediction) for name, prediction in predictions.items()}
        rows = []
        for i in dict.fromkeys(task.query_ids):
            if len({picks[i] for picks in chosen.values()}) > 1 and len(rows) < n:
                document = self.documents[i]
                row = {"document": i, "summary line": document.summary}
                for name, picks in chosen.items():
                    row[name] = document.sentences[picks[i]]
                    row[f"ROUGE-1 of {name}"] = round(float(document.rouge[picks[i], 0]))
                rows.append(row)
        return pd.DataFrame(rows).set_index("document")

    def oracle(self, task: Task) -> Sequence[Score]:
        """The score of the sentence with the highest ROUGE-1: no choice of one sentence can do better on it."""
        return self.score(task, task.query_y)

    def content_hash(self) -> str:
        rows = [[d.id, d.summary, *d.sentences] for d in self.documents.values()]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
