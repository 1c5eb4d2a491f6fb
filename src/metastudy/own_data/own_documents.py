"""People's own documents with summaries as a family of tasks: the study's code with their documents to test on.

Earlier tasks, to train and to validate on, are the documentation of ten packages, which is installed with the project.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch

from metastudy import text
from metastudy.abtest.paired import MIN_CLUSTERS
from metastudy.errors import DataError
from metastudy.families.base import Fold, TaskSpec
from metastudy.families.grouped import grouped_draws
from metastudy.families.sentence_rows import SentenceRows
from metastudy.families.summarization import DOMAINS, DocumentationSummaries
from metastudy.families.summary_family import MIN_SENTENCES, Document, SummaryFamily
from metastudy.own_data.documents_file import Row
from metastudy.own_texts import check_words, has_word, read

# names of files have no outer spaces, so that these are no one's own
EARLIER = " documentation of "
ASKED = "  "
ONE_DOMAIN = "documents"  # of files that name none
N_VALIDATION = 2
CHARACTERS = 10_000_000  # of all documents together


@dataclass(frozen=True)
class Chosen:
    """Documents that are used, and the rows that were passed over since they have fewer than two sentences."""

    documents: tuple[Document, ...]
    short: tuple[Row, ...]


def choose_documents(rows: Sequence[Row], most: int) -> Chosen:
    """At most `most` documents, equally many of each domain, in an order that is no order: by a hash of the id.

    As `own_texts.read_examples` reads pairs. Raises DataError for a text or a summary that cannot be read, with its
    line; for documents that are too large together; and where there is nothing to choose or to learn.
    """
    by_domain: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda r: hashlib.sha256(r.id.encode()).digest()):
        by_domain.setdefault(row.domain, []).append(row)
    share = max(1, most // len(by_domain))
    used = [row for found in by_domain.values() for row in found[:share]]
    if over := _over(used):
        raise DataError(f"{over}: use --documents {max(1, int(CHARACTERS * len(used) / size_of(used)))}")
    documents: list[Document] = []
    short: list[Row] = []
    for _, found in sorted(by_domain.items()):
        waiting, full = iter(found), len(documents) + share
        while len(documents) < full and (row := next(waiting, None)):
            document = _document(row)
            if len(document.sentences) < MIN_SENTENCES:
                short.append(row)
            else:
                documents.append(document)
    if not documents:
        raise DataError(f"none of {len(rows)} documents has {MIN_SENTENCES} sentences; there is nothing to choose from")
    if not any(float(d.gains.max()) > 0 for d in documents):
        raise DataError(
            f"no sentence of {len(documents)} documents has a word in common with its own summary, so there is nothing "
            "to learn; check that each summary stands beside its document"
        )
    return Chosen(tuple(documents), tuple(short))


def _document(row: Row) -> Document:
    sentences = _sentences(row)
    for summary in row.summaries:
        check_words((summary,), f"{row.where}: the summary")
    gains = np.array([text.rouge1(s, row.summaries) / 100 for s in sentences], dtype=np.float32)
    # a group of its own where none is named
    group = f"group {row.group}" if row.group else f"id {row.id}"
    return Document(row.id, row.domain or ONE_DOMAIN, sentences, row.summaries, torch.from_numpy(gains), group)


def asked_documents(rows: Sequence[Row]) -> list[Document]:
    """Documents to summarise. Raises DataError for a text that cannot be read, with its line, and for too many."""
    if over := _over(rows):
        raise DataError(f"{over}: ask about fewer at once")
    found = [(f"{ASKED}{row.id}", _sentences(row)) for row in rows]
    return [Document(i, "", sentences, (), torch.zeros(len(sentences)), i) for i, sentences in found]


def size_of(rows: Iterable[Row]) -> int:
    return sum(row.characters for row in rows)


def _over(rows: Sequence[Row]) -> str:
    """What is wrong with documents that are too large together; "" for others."""
    if (size := size_of(rows)) <= CHARACTERS:
        return ""
    return (
        f"{len(rows):,} documents hold {size / 1e6:.1f} million characters; at most {CHARACTERS / 1e6:.0f} can be held"
    )


def _sentences(row: Row) -> tuple[str, ...]:
    return tuple(filter(has_word, read(row.document, f"{row.where}: the document")))


@cache
def earlier_documents() -> Mapping[str, Document]:
    """The study's documentation summaries by id, under names that are no one's own."""
    found = DocumentationSummaries().documents.values()
    named = (replace(d, id=f"{EARLIER}{d.id}", domain=f"{EARLIER}{d.domain}", group=d.id) for d in found)
    return {d.id: d for d in named}


class OwnDocuments(SummaryFamily):
    """Tasks over `own` documents, and `asked` ones without summaries, which no draw holds.

    `draws`: of each domain. Where `fewer`, as many as the documents allow, but at least `MIN_CLUSTERS` in all.
    `fixed_rows` makes input rows, where a model was trained on such rows; else they are fitted on the earlier tasks.
    With `MIN_CLUSTERS` domains these are the independent units, else every draw is: its documents share a support.
    """

    settings = ("own", "draws", "queries", "shots", "max_shots", "fixed_rows", "fewer", "asked", "encoder")

    def __init__(
        self, own: Sequence[Document], draws: int, queries: int, shots: tuple[int, ...],
        fixed_rows: SentenceRows | None = None, fewer: bool = False, asked: Sequence[Document] = (),
    ):  # fmt: skip
        super().__init__(len(own), max(len(d.sentences) for d in own), draws, queries, shots)
        self.max_shots = max(shots)
        self.own = tuple(own)
        self.asked = tuple(asked)
        self.fixed_rows = fixed_rows
        self.fewer = fewer

    def __repr__(self) -> str:
        rows = "fixed" if self.fixed_rows else "fitted"
        return (
            f"OwnDocuments({self.content_hash()}, draws={self.draws}, queries={self.queries}, shots={self.shots}, "
            f"rows={rows}, fewer={self.fewer})"
        )

    @cached_property
    def documents(self) -> dict[str, Document]:
        return {**earlier_documents(), **{d.id: d for d in (*self.own, *self.asked)}}

    @cached_property
    def domains(self) -> dict[str, tuple[str, ...]]:
        """Ids of the labelled documents of each domain, earlier ones too."""
        ids: dict[str, list[str]] = {}
        for document in (*earlier_documents().values(), *self.own):
            ids.setdefault(document.domain, []).append(document.id)
        return {domain: tuple(found) for domain, found in ids.items()}

    @cached_property
    def own_domains(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(d.domain for d in self.own))

    def folds(self) -> tuple[Fold, ...]:
        earlier = tuple(f"{EARLIER}{d}" for d in DOMAINS)
        return (Fold("own", earlier[:-N_VALIDATION], earlier[-N_VALIDATION:], self.own_domains),)

    def n_words(self, support: Iterable[str]) -> int | None:
        """As the study: one sentence of documentation, as many words as the support says of everything else."""
        support = tuple(support)
        return None if support[0] in earlier_documents() else super().n_words(support)

    def rouge(self, document: Document, chosen: tuple[int, ...]) -> Sequence[float]:
        """As in the base class; kept, since many methods choose the same and ROUGE-L of long texts is slow."""
        key = document.id, chosen
        if key not in self._known_rouge:
            self._known_rouge[key] = tuple(super().rouge(document, chosen))
        return self._known_rouge[key]

    @cached_property
    def _known_rouge(self) -> dict[tuple[str, tuple[int, ...]], tuple[float, ...]]:
        return {}

    def fitted_rows(self, fold: Fold) -> SentenceRows:
        return self.fixed_rows or super().fitted_rows(fold)

    def freeze(self, rng: np.random.Generator) -> list[TaskSpec]:
        """As in the base class, with as many in support as the largest of `shots`; see the class for how many draws.

        Raises DataError, naming the domain, where there are too few documents or groups.
        """
        specs = [spec for domain in self.own_domains for spec in self._draws(domain, rng)]
        if len(self.own_domains) >= MIN_CLUSTERS:
            return specs
        return [replace(spec, family=spec.id) for spec in specs]

    def _draws(self, domain: str, rng: np.random.Generator) -> list[TaskSpec]:
        groups = {i: self.documents[i].group for i in self.domains[domain]}
        queries = max(1, min(self.queries, len(groups) - self.max_shots))  # the others must be enough for a support
        start = copy.deepcopy(rng.bit_generator.state)
        for draws in range(self.draws, self.least, -1):
            try:
                return grouped_draws(domain, self.folds()[0], groups, draws, self.max_shots, queries, rng)
            except DataError:  # too few: as many as there can be
                rng.bit_generator.state = start
        return grouped_draws(domain, self.folds()[0], groups, self.least, self.max_shots, queries, rng)

    @property
    def least(self) -> int:
        """Draws that a domain must allow."""
        return min(self.draws, -(-MIN_CLUSTERS // len(self.own_domains))) if self.fewer else self.draws

    @cached_property
    def _hash(self) -> str:
        rows = [[d.id, d.domain, d.group, d.summaries, d.sentences] for d in (*self.own, *self.asked)]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def content_hash(self) -> str:
        return self._hash
