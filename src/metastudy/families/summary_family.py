"""Extractive summarization: choose the sentences that say most of what a person wrote as the summary.

A task is a draw of one domain's documents: k with their summary, the others to summarise. A row is a sentence, its
document is its group, its label is its ROUGE-1 F1 (0 to 1) with the summary. What the domains are, subclasses say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metastudy import text
from metastudy.encoders import TfidfSvd
from metastudy.errors import DataError
from metastudy.families import documents
from metastudy.families.base import Family, FieldBaseline, Fold, Ids, Part, Score, TaskSpec
from metastudy.families.grouped import apart, grouped_draws
from metastudy.model import MLP, BaseModel
from metastudy.tasks import Task

VECTOR_DIM = 24
MIN_SENTENCES = 2
N_QUERY = 10  # documents to summarise in a training task


@dataclass(frozen=True)
class Document:
    """Sentences to choose from, human summaries, and each sentence's agreement with them.

    Shape: gains (N,), ROUGE-1 F1 from 0 to 1 with the summary that fits best. Documents of one `group` are not
    independent and never on both sides of a task. `length` is how many of its sentences make up a summary's length.
    """

    id: str
    domain: str
    sentences: tuple[str, ...]
    summaries: tuple[str, ...]
    gains: Tensor
    group: str
    length: float = 1.0


class SummaryFamily(Family):
    """Tasks of summarization over `domains` of `documents`. Subclasses name their `settings` in the constructor.

    A summary has one sentence, or as many as `n_sentences` says from the support alone; these are the sentences with
    the highest predictions, in their order in the document. A query row is named by its document, and, where it is
    not one, by the number of sentences of a summary: "id|3".
    """

    study = "summarization"
    kind = "ranking"
    clustered = True
    metrics = text.ROUGE
    max_shots = 20
    field_baselines = (FieldBaseline("lead", documents.LEAD), FieldBaseline("lexrank", documents.LEXRANK))
    n_features = len(documents.HAND_FEATURES) + VECTOR_DIM
    settings: tuple[str, ...] = ("max_documents", "max_sentences", "draws", "queries", "shots")
    summary_name = "summary"

    def __init__(self, max_documents: int, max_sentences: int, draws: int, queries: int, shots: tuple[int, ...]):
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
        return {"_rows": {}} | {name: getattr(self, name) for name in self.settings}

    @property
    @abstractmethod
    def documents(self) -> dict[str, Document]:
        """All documents by id."""

    def n_sentences(self, support: Iterable[str]) -> int:
        """How many sentences a summary has: the median length in the support, at least one."""
        return max(1, round(float(np.median([self.documents[i].length for i in support]))))

    def rouge(self, document: Document, chosen: tuple[int, ...]) -> Sequence[float]:
        """ROUGE-1, -2 and -L of the chosen sentences as a summary, 0 to 100, against the summary that fits best."""
        summary = " ".join(document.sentences[i] for i in chosen)
        return tuple(text.rouge(summary, document.summaries).values())

    @cached_property
    def domains(self) -> dict[str, tuple[str, ...]]:
        """Document ids of each domain."""
        ids: dict[str, list[str]] = {domain: [] for fold in self.folds() for domain in fold.test}
        for document in self.documents.values():
            ids[document.domain].append(document.id)
        return {domain: tuple(found) for domain, found in ids.items()}

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
            order = [ids[j] for j in rng.permutation(len(ids))]
            groups = {j: self.documents[j].group for j in order}
            tasks.append(self._task(f"{part}/{i}", domain, *apart(domain, groups, shots, N_QUERY), fold))
        return tasks

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """Per domain `draws` tasks with disjoint queries; each has 20 support documents from outside its query."""
        specs = []
        for fold in self.folds():
            for domain in fold.test:
                groups = {i: self.documents[i].group for i in self.domains[domain]}
                specs += grouped_draws(domain, fold, groups, self.draws, self.max_shots, self.queries, rng)
        return specs

    def build(self, spec: TaskSpec, shots: int, fold: Fold) -> Task:
        return self._task(spec.id, spec.family, spec.support[0][:shots], spec.query, fold)

    def _task(self, task_id: str, domain: str, support: Ids, query: Ids, fold: Fold) -> Task:
        rows = self.rows(fold)
        if unknown := [i for i in (*support, *query) if i not in rows]:
            raise DataError(
                f"task {task_id}: document {unknown[0]!r} is not among the {len(rows)} of this corpus; the task list "
                "was frozen for other package versions or files: install the locked ones, or freeze again"
            )

        def stack(ids: Ids) -> tuple[Tensor, Tensor, Tensor]:
            y = [self.documents[i].gains for i in ids]
            group = np.repeat(np.arange(len(ids)), [len(v) for v in y])
            return torch.cat([rows[i] for i in ids]), torch.cat(y), torch.from_numpy(group)

        support_x, support_y, support_group = stack(support)
        query_x, query_y, query_group = stack(query)
        n = self.n_sentences(support)
        names = [i if n == 1 else f"{i}|{n}" for i in query]
        ids = tuple(names[g] for g in query_group.tolist())
        return Task(
            task_id, domain, self.kind, support_x, support_y, query_x, query_y,
            support_group=support_group, query_group=query_group, query_ids=ids,
        )  # fmt: skip

    def chosen(self, task: Task, prediction: Tensor) -> dict[str, tuple[int, ...]]:
        """Document id -> indices of its sentences with the highest predictions, ascending; of equal ones the first."""
        values = np.asarray(prediction.detach(), dtype=np.float64).reshape(-1)
        ids = np.array(task.query_ids)
        found = {}
        for name in dict.fromkeys(task.query_ids):
            document, n = named(name)
            best = np.argsort(-values[ids == name], kind="stable")[:n]
            found[document] = tuple(sorted(best.tolist()))
        return found

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """ROUGE of the summary of each query document; a document of a draw is a unit of pairing."""
        return self._scores(task, self.chosen(task, prediction))

    def oracle(self, task: Task) -> Sequence[Score]:
        """The score of sentences taken one by one, each the best for ROUGE-1 with those before it.

        Exact for one sentence: no choice of one can do better. For more it is the usual bound of the field, greedy.
        """
        wanted = dict(named(name) for name in task.query_ids)
        return self._scores(task, {i: tuple(sorted(greedy(self.documents[i], n))) for i, n in wanted.items()})

    def _scores(self, task: Task, chosen: Mapping[str, tuple[int, ...]]) -> list[Score]:
        return [
            Score(f"{task.id}:{i}", metric, float(value))
            for i, picks in chosen.items()
            for metric, value in zip(self.metrics, self.rouge(self.documents[i], picks), strict=True)
        ]

    def examples(self, task: Task, predictions: dict[str, Tensor], n: int) -> pd.DataFrame:
        """The first n query documents for which the predictions choose differently: who chose what, and its ROUGE-1."""
        chosen = {name: self.chosen(task, prediction) for name, prediction in predictions.items()}
        rows = []
        for i in next(iter(chosen.values())):
            if len({picks[i] for picks in chosen.values()}) > 1 and len(rows) < n:
                document = self.documents[i]
                row = {"document": i, self.summary_name: document.summaries[0]}
                for name, picks in chosen.items():
                    row[name] = " ".join(document.sentences[s] for s in picks[i])
                    row[f"ROUGE-1 of {name}"] = round(float(self.rouge(document, picks[i])[0]))
                rows.append(row)
        return pd.DataFrame(rows).set_index("document")


def named(query_id: str) -> tuple[str, int]:
    """The document and the number of sentences of a summary that a query row's name says."""
    document, _, n = query_id.partition("|")
    return document, int(n or 1)


def greedy(document: Document, n: int) -> list[int]:
    """n sentences (all, where there are fewer), each the one that brings ROUGE-1 highest; of equal ones the first."""
    chosen = [int(document.gains.argmax())]
    while len(chosen) < min(n, len(document.sentences)):
        taken = " ".join(document.sentences[i] for i in chosen)
        left = [i for i in range(len(document.sentences)) if i not in chosen]
        chosen.append(max(left, key=lambda i: text.rouge1(f"{taken} {document.sentences[i]}", document.summaries)))
    return chosen
