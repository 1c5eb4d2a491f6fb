"""Extractive summarization of public documents: ten domains, from abstracts to email threads.

A domain is a source. Each is tested once, by methods that have never seen it, nor (if so asked) any of its kind. How
long a summary is differs between domains, so it is estimated from the labelled documents of a task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch

from metastudy import cache, loaders, staleness, text
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import Fold
from metastudy.families.sentence_rows import SentenceEncoder
from metastudy.families.summary_family import MIN_SENTENCES, Document, SummaryFamily
from metastudy.loaders.summaries.schema import SPLITS, SourceDocument

FAMILIES = {  # domain: its kind. In this circle, no domain has one of its kind among the two that follow
    "opinosis": "reviews",
    "cnn_dailymail": "news",
    "dialogsum": "dialogue",
    "fewsum_amazon": "reviews",
    "scitldr": "science",
    "bbc": "news",
    "fewsum_yelp": "reviews",
    "qmsum": "dialogue",
    "convosumm_email": "email",
    "meqsum": "medical",
}
DOMAINS = tuple(FAMILIES)
UNORDERED = frozenset({"opinosis"})
"""Domains whose sentences are in no order: the first are as good a sample as any."""
N_VALIDATION = 2
HoldOut = Literal["domain", "family"]


class PublicSummaries(SummaryFamily):
    """Tasks from ten public sources; `max_documents` per domain, `max_sentences` per document (the first).

    `hold_out` "domain" tests a domain on what was learned from the others; "family" leaves out all of its kind too
    (`FAMILIES`). The frozen tasks are the same for both. Raises ParameterError for anything else. What a document of
    `qmsum` was asked about is no input.
    """

    settings = ("max_documents", "max_sentences", "draws", "queries", "shots", "encoder", "hold_out")

    def __init__(
        self,
        max_documents: int = 200,
        max_sentences: int = 60,
        draws: int = 3,
        queries: int = 40,
        shots: tuple[int, ...] = (1, 5, 10, 20),
        hold_out: HoldOut = "domain",
        encoder: SentenceEncoder = "none",
    ):
        if hold_out not in get_args(HoldOut):
            raise ParameterError(f"hold_out = {hold_out!r}; expected one of {', '.join(get_args(HoldOut))}")
        super().__init__(max_documents, max_sentences, draws, queries, shots, encoder)
        self.hold_out = hold_out

    @property
    def task_list(self) -> str:  # type: ignore[override]
        """The same tasks with other folds are another list."""
        return "summarization_families" if self.hold_out == "family" else ""

    def select(self, found: Sequence[SourceDocument]) -> list[SourceDocument]:
        """At most `max_documents` of a domain: the makers' test documents first, for they have most references, and
        by hash within each split, an order that is no order.

        Left out are documents with fewer than two sentences, and those that `max_sentences` would cut by more than
        half: their summary is of what was cut.
        """
        usable = [
            d
            for d in found
            if len(d.units) >= MIN_SENTENCES and (len(d.units) <= 2 * self.max_sentences or d.domain in UNORDERED)
        ]
        order = sorted(usable, key=lambda d: (SPLITS.index(d.split), hashlib.sha256(d.id.encode()).digest()))
        return order[: self.max_documents]

    @cached_property
    def _selected(self) -> tuple[SourceDocument, ...]:
        chosen = [d for domain in DOMAINS for d in self.select(loaders.load(domain).documents)]
        if strange := [d.id for d in chosen if "|" in d.id]:
            raise DataError(f"document id {strange[0]!r} holds a bar, which stands before a summary's length in tasks")
        return tuple(chosen)

    @cached_property
    def documents(self) -> dict[str, Document]:
        """All documents by id."""
        chosen = self._selected
        sentences = {d.id: d.units[: self.max_sentences] for d in chosen}

        def gains() -> dict[str, np.ndarray]:
            values = [text.rouge1(s, d.references) / 100 for d in chosen for s in sentences[d.id]]
            return {"gains": np.array(values, dtype=np.float32)}

        key = cache.key(self.content_hash(), staleness.code_hash("metastudy.text"))
        values = cache.arrays("summary_gains", key, gains)["gains"]
        parts = np.split(values, np.cumsum([len(sentences[d.id]) for d in chosen])[:-1])
        found = {}
        for d, part in zip(chosen, parts, strict=True):
            found[d.id] = Document(
                d.id, d.domain, sentences[d.id], d.references, torch.from_numpy(part), d.group or d.id
            )
        return found

    @cached_property
    def _known_rouge(self) -> dict[tuple[str, tuple[int, ...]], tuple[float, ...]]:
        return {}

    def rouge(self, document: Document, chosen: tuple[int, ...]) -> Sequence[float]:
        """As in the base class; kept, since many methods choose the same and ROUGE-L of long texts is slow."""
        key = document.id, chosen
        if key not in self._known_rouge:
            self._known_rouge[key] = tuple(super().rouge(document, chosen))
        return self._known_rouge[key]

    def folds(self) -> tuple[Fold, ...]:
        """Ten rounds: a domain to test, the next two to validate, the others to train, but for those left out."""
        found = []
        for i, domain in enumerate(DOMAINS):
            turned = (*DOMAINS[i + 1 :], *DOMAINS[:i])
            validation, train = turned[:N_VALIDATION], turned[N_VALIDATION:]
            if self.hold_out == "family":
                train = tuple(other for other in train if FAMILIES[other] != FAMILIES[domain])
            found.append(Fold(f"fold{i}", train, validation, (domain,)))
        return tuple(found)

    @cached_property
    def _hash(self) -> str:
        rows = [[d.id, d.domain, d.group, d.references, *d.units[: self.max_sentences]] for d in self._selected]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def content_hash(self) -> str:
        return self._hash
