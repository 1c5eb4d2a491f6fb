"""Extractive summarization: choose the sentences that say most of what a person wrote as the summary.

A task is a draw of one domain's documents: k with their summary, the others to summarise. A row is a sentence, its
document is its group, its label is its ROUGE-1 F1 (0 to 1) with the summary. What the domains are, subclasses say;
how sentences become a summary, `selection`; what is known of a sentence, `documents` and `sentence_rows`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from metastudy import text
from metastudy.errors import DataError, ParameterError
from metastudy.families import documents
from metastudy.families.base import Family, FieldBaseline, Fold, Ids, Part, Score, TaskSpec
from metastudy.families.grouped import apart, grouped_draws
from metastudy.families.selection import Sentences, allowed, best, choose
from metastudy.families.sentence_rows import ENCODERS, SentenceEncoder, SentenceRows, n_features
from metastudy.model import BaseModel, WideMLP
from metastudy.tasks import Task

MIN_SENTENCES = 2
N_QUERY = 10  # documents to summarise in a training task


@dataclass(frozen=True)
class Document:
    """Sentences to choose from, human summaries, and each sentence's agreement with them.

    Shape: gains (N,), ROUGE-1 F1 from 0 to 1 with the summary that fits best. Documents of one `group` are not
    independent and never on both sides of a task.
    """

    id: str
    domain: str
    sentences: tuple[str, ...]
    summaries: tuple[str, ...]
    gains: Tensor
    group: str

    @cached_property
    def n_words(self) -> float:
        """How long its summaries are, on average."""
        return float(np.mean([len(text.words(summary)) for summary in self.summaries]))

    @cached_property
    def for_selection(self) -> Sentences:
        """Lengths and bags of words of its sentences."""
        return Sentences.of(self.sentences)


class SummaryFamily(Family):
    """Tasks of summarization over `domains` of `documents`. Subclasses name their `settings` in the constructor.

    A summary is one sentence (`one_sentence`), or has about as many words as `n_words` says from the support alone
    (`selection.choose`). A query row is named by its document, and by the words of a summary: "id|57".
    `encoder`: what is known of a sentence's meaning besides the features of `documents` (`ENCODERS`).
    """

    study = "summarization"
    kind = "ranking"
    clustered = True
    metrics = text.ROUGE
    max_shots = 20
    field_baselines = tuple(FieldBaseline(name, i) for i, name in enumerate(documents.TOOLS))
    settings: tuple[str, ...] = ("max_documents", "max_sentences", "draws", "queries", "shots", "encoder")
    one_sentence = False

    def __init__(
        self, max_documents: int, max_sentences: int, draws: int, queries: int, shots: tuple[int, ...],
        encoder: SentenceEncoder = "none",
    ):  # fmt: skip
        if encoder not in ENCODERS:
            raise ParameterError(f"encoder = {encoder!r}; expected one of {', '.join(ENCODERS)}")
        self.encoder = encoder
        self.shots = shots
        self.check_shots()
        self.max_documents = max_documents
        self.max_sentences = max_sentences
        self.draws = draws
        self.queries = queries
        self._rows: dict[str, dict[str, Tensor]] = {}  # fold name -> document id -> input rows
        self._fitted_rows: dict[str, SentenceRows] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__getstate__().items())})"

    def __getstate__(self) -> dict:
        """Pickled without what can be built again."""
        return {"_rows": {}, "_fitted_rows": {}} | {name: getattr(self, name) for name in self.settings}

    @property
    @abstractmethod
    def documents(self) -> dict[str, Document]:
        """All documents by id."""

    def n_words(self, support: Iterable[str]) -> int | None:
        """How many words a summary may have, from the support's. None: it is one sentence."""
        if self.one_sentence:
            return None
        return allowed([self.documents[i].n_words for i in support])

    def rouge(self, document: Document, chosen: tuple[int, ...]) -> Sequence[float]:
        """ROUGE-1, -2 and -L of the chosen sentences as a summary, 0 to 100, against the summary that fits best."""
        summary = " ".join(document.sentences[i] for i in chosen)
        return tuple(text.rouge(summary, document.summaries).values())

    def rouge1(self, document: Document, chosen: tuple[int, ...]) -> float:
        """ROUGE-1 alone, which takes a fraction of the time; kept, since many mixtures choose the same."""
        key = document.id, chosen
        if key not in self._rouge1:
            summary = " ".join(document.sentences[i] for i in chosen)
            self._rouge1[key] = text.rouge1(summary, document.summaries)
        return self._rouge1[key]

    @cached_property
    def _rouge1(self) -> dict[tuple[str, tuple[int, ...]], float]:
        return {}

    @cached_property
    def domains(self) -> dict[str, tuple[str, ...]]:
        """Document ids of each domain."""
        ids: dict[str, list[str]] = {domain: [] for fold in self.folds() for domain in fold.test}
        for document in self.documents.values():
            ids[document.domain].append(document.id)
        return {domain: tuple(found) for domain, found in ids.items()}

    def model(self) -> BaseModel:
        return WideMLP(in_dim=n_features(self.encoder), hidden=(64, 32))

    def fitted_rows(self, fold: Fold) -> SentenceRows:
        """What makes input rows of sentences: words, vectors and scales from `fold.train` only."""
        if fold.name not in self._fitted_rows:
            train = [d.sentences for d in self.documents.values() if d.domain in fold.train]
            self._fitted_rows[fold.name] = SentenceRows.fit(train, self.encoder)
        return self._fitted_rows[fold.name]

    def rows(self, fold: Fold) -> dict[str, Tensor]:
        """Input rows (sentences, features) of every document by its id."""
        if fold.name not in self._rows:
            every = self.fitted_rows(fold)([d.sentences for d in self.documents.values()])
            self._rows[fold.name] = dict(zip(self.documents, every, strict=True))
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
        n_words = self.n_words(support)

        def names(ids: Ids, group: Tensor) -> tuple[str, ...]:
            return tuple(ids[g] if n_words is None else f"{ids[g]}|{n_words}" for g in group.tolist())

        return Task(
            task_id, domain, self.kind, support_x, support_y, query_x, query_y,
            support_group=support_group, query_group=query_group,
            query_ids=names(query, query_group), support_ids=names(support, support_group),
        )  # fmt: skip

    def chosen(self, task: Task, prediction: Tensor) -> dict[str, tuple[int, ...]]:
        """Document id -> indices of the sentences that make up its summary, ascending."""
        values = np.asarray(prediction.detach(), dtype=np.float64).reshape(-1)
        ids = np.array(task.query_ids)
        found = {}
        for name in dict.fromkeys(task.query_ids):
            i, n_words = named(name)
            own = values[ids == name]
            found[i] = best(own) if n_words is None else choose(own, self.documents[i].for_selection, n_words)
        return found

    def score(self, task: Task, prediction: Tensor) -> Sequence[Score]:
        """ROUGE of the summary of each query document; a document of a draw is a unit of pairing."""
        return self._scores(task, self.chosen(task, prediction))

    def quality(self, task: Task, prediction: Tensor) -> Sequence[float]:
        """ROUGE-1 of the summary of each query document."""
        return [self.rouge1(self.documents[i], picks) for i, picks in self.chosen(task, prediction).items()]

    def oracle(self, task: Task) -> Sequence[Score]:
        """The score of sentences taken one by one, each the best for ROUGE-1 with those before it, while it rises and
        the length allows.

        Exact where a summary is one sentence: no choice of one can do better. Else it is the usual bound of the field
        (Nallapati et al. 2017), greedy, for summaries of this length.
        """
        wanted = dict(named(name) for name in task.query_ids)
        return self._scores(task, {i: tuple(sorted(greedy(self.documents[i], n))) for i, n in wanted.items()})

    def _scores(self, task: Task, chosen: Mapping[str, tuple[int, ...]]) -> list[Score]:
        return [
            Score(f"{task.id}:{i}", metric, float(value))
            for i, picks in chosen.items()
            for metric, value in zip(self.metrics, self.rouge(self.documents[i], picks), strict=True)
        ]


def named(query_id: str) -> tuple[str, int | None]:
    """The document, and the number of words of a summary (None: one sentence), that a query row's name says."""
    document, _, n_words = query_id.partition("|")
    return document, int(n_words) if n_words else None


def greedy(document: Document, n_words: int | None) -> list[int]:
    """Sentences that bring ROUGE-1 highest, one by one, of equal ones the first; one where `n_words` is None."""
    chosen = [int(document.gains.argmax())]
    if n_words is None:
        return chosen
    lengths, length, value = document.for_selection.lengths, 0, 100 * float(document.gains.max())
    while left := [i for i in range(len(document.sentences)) if i not in chosen]:
        length += int(lengths[chosen[-1]])
        taken = " ".join(document.sentences[i] for i in chosen)
        values = [text.rouge1(f"{taken} {document.sentences[i]}", document.summaries) for i in left]
        following = left[int(np.argmax(values))]
        if max(values) <= value or length + lengths[following] / 2 > n_words:
            break
        chosen.append(following)
        value = max(values)
    return chosen
