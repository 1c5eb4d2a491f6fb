"""Summarization of library documentation: choose the sentence closest to the human summary line.

A package is a domain, a docstring a document. One sentence is chosen per document, the median length of a summary
line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from metastudy import corpus, text
from metastudy.families.base import Fold
from metastudy.families.draws import rotate
from metastudy.families.sentence_rows import SentenceEncoder
from metastudy.families.summary_family import MIN_SENTENCES, Document, SummaryFamily

DOMAINS = (  # neighbours are tested together: no two of one kind (arrays, statistics, tables and figures, symbols)
    "numpy", "matplotlib", "scipy", "networkx", "pandas", "sympy", "sklearn", "seaborn", "statsmodels", "torch",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Docstring(Document):
    """A docstring: its human summary line, and ROUGE of each sentence alone.

    Shape: rouge (N, 3), the columns of `text.ROUGE`, 0 to 100.
    """

    rouge: np.ndarray

    @property
    def summary(self) -> str:
        return self.summaries[0]


class DocumentationSummaries(SummaryFamily):
    """Tasks from the library documentation corpus; `max_documents` per package, `max_sentences` per document."""

    embedded = True
    one_sentence = True

    def __init__(
        self,
        max_documents: int = 120,
        max_sentences: int = 30,
        draws: int = 3,
        queries: int = 40,
        shots: tuple[int, ...] = (1, 5, 10, 20),
        encoder: SentenceEncoder = "none",
    ):
        super().__init__(max_documents, max_sentences, draws, queries, shots, encoder)

    def select(self, entries: Sequence[corpus.Entry]) -> list[corpus.Entry]:
        """At most `max_documents` of a package with two sentences or more, in an order that is no order: by hash."""
        usable = [e for e in entries if len(e.body) >= MIN_SENTENCES]
        return sorted(usable, key=lambda e: hashlib.sha256(e.id.encode()).digest())[: self.max_documents]

    @cached_property
    def documents(self) -> dict[str, Docstring]:
        """All documents by id."""
        packages = corpus.load().by_package()
        chosen = [e for domain in DOMAINS for e in self.select(packages[domain])]
        found = {}
        for e in chosen:
            sentences = e.body[: self.max_sentences]
            rouge = np.array([list(text.rouge(s, [e.summary]).values()) for s in sentences])
            gains = torch.from_numpy(rouge[:, 0] / 100).float()
            found[e.id] = Docstring(e.id, e.package, sentences, (e.summary,), gains, e.id, rouge=rouge)
        return found

    def rouge(self, document: Docstring, chosen: tuple[int, ...]) -> Sequence[float]:
        return document.rouge[chosen[0]]

    def folds(self) -> tuple[Fold, ...]:
        """Five rounds: two packages to test, the next two to validate, six to train."""
        return rotate(DOMAINS, 2)

    def content_hash(self) -> str:
        rows = [[d.id, d.summary, *d.sentences] for d in self.documents.values()]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
