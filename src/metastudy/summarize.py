"""Summaries of people's own texts, by a meta-learner that was trained on public ones.

    examples = [(text, summary), ...]       # how such texts are summarised: a few are enough
    for summary in summarize(texts, examples):
        print(summary)

What the texts are about and how long a summary is, is learned from the examples alone; which members of the
meta-learner to rely on, from them and from earlier tasks. Nothing is trained here but what the meta-learner itself
adapts. Texts are read as `own_texts` says, and never leave this machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor

from metastudy import evidence, summarizer_file
from metastudy.errors import DataError, ParameterError
from metastudy.evidence import EvidenceMixture
from metastudy.families.base import Fold
from metastudy.families.public_summaries import PublicSummaries
from metastudy.families.selection import Sentences, allowed, choose
from metastudy.families.sentence_rows import SentenceRows
from metastudy.families.summary_family import Document, SummaryFamily
from metastudy.lineups.summarization import summarization_methods
from metastudy.methods import Fitted
from metastudy.mixture import MetaLearner
from metastudy.model import Params
from metastudy.own_task import Examples
from metastudy.own_texts import has_word, read_examples, read_texts
from metastudy.plan import A
from metastudy.project import Project
from metastudy.standard_scores import StandardScores
from metastudy.text import words

MODEL = "results/full/models/summarization_g.safetensors"
HOW_TO_MAKE = "`make reproduce PROFILE=full` makes it (notebook 04_text_summarization)"
ROWS = 50_000  # sentences scored at once: bounds memory, not results


@dataclass(frozen=True, repr=False)
class Summary:
    """What was chosen of one text. `sentences` are all of the text, `chosen` indices into them from 0, ascending."""

    sentences: tuple[str, ...]
    chosen: tuple[int, ...]

    @property
    def text(self) -> str:
        """The chosen sentences, in the order of the text, with a space between."""
        return " ".join(self.sentences[i] for i in self.chosen)

    @property
    def n_words(self) -> int:
        """Words of `text`, as ROUGE counts them."""
        return len(words(self.text))

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__  # what a notebook shows; a text may have 100,000 sentences


@dataclass(frozen=True, eq=False)
class Summarizer:
    """A meta-learner, its parameters (θ, α, what earlier tasks say of β), and what makes its rows of sentences."""

    learner: MetaLearner
    params: Params
    rows: SentenceRows

    def __post_init__(self) -> None:
        if self.rows.encode is not None:
            raise ParameterError("the rows hold an encoder's vectors; expected those of a family with encoder='none'")

    @classmethod
    def of(cls, family: SummaryFamily, fold: Fold, fitted: Fitted) -> Summarizer:
        """What `EvidenceMixture.fit` gave on a fold of a family, its rate and strength the default ones.

        Raises ParameterError for another method, and for one with an encoder.
        """
        if not isinstance(fitted.learner, StandardScores) or fitted.trained is None:
            raise ParameterError("the fitted method mixes no standard scores; expected one of `EvidenceMixture.fit`")
        return cls(fitted.learner, fitted.trained.params, family.fitted_rows(fold))

    def __call__(
        self, texts: Iterable[Any], support: Iterable[Any] = (), n_words: float | None = None
    ) -> list[Summary]:
        """A summary of each text, in their order.

        `texts` are strings or sequences of sentences. `support` are pairs (text, summary), of any number and as alike
        to `texts` as can be had; a summary is a string or several. `n_words` is how long a summary may be (see
        `selection.choose`: at least one sentence); by default LENGTH times the median of the support's. Sentences
        without a word (a row of dashes) are never chosen, and count as not there. No texts give no summaries.

        Time and memory are linear in the sentences, and a summary does not depend on the other texts (but for the
        rounding of sums). Raises ParameterError for wrong types, an empty support and `n_words` below 1, DataError for
        texts that cannot be read (`own_texts`): then nothing is summarised.
        """
        if n_words is not None and (isinstance(n_words, bool) or not isinstance(n_words, Real) or not n_words >= 1):
            raise ParameterError(f"n_words = {n_words!r}; expected a number of words, 1 or more")
        examples = read_examples(support)
        found = read_texts(texts)
        limit = allowed([d.n_words for d in examples]) if n_words is None else float(n_words)
        kept = [[i for i, s in enumerate(sentences) if has_word(s)] for sentences in found]
        documents = [[sentences[i] for i in own] for sentences, own in zip(found, kept, strict=True)]
        summaries = []
        scores = self.scores(documents, examples, limit)
        for sentences, own, document, values in zip(found, kept, documents, scores, strict=True):
            picks = choose(values.numpy(), Sentences.of(document), limit)
            summaries.append(Summary(sentences, tuple(own[i] for i in picks)))
        return summaries

    def scores(
        self, documents: Sequence[Sequence[str]], examples: Sequence[Document], n_words: float
    ) -> Iterator[Tensor]:
        """What g gives each sentence (N,) of each document, of which more is better; β from the `examples`."""
        own = Examples(examples, self.rows, n_words)
        weights: Tensor | None = None
        for chunk in chunks_of_rows(documents):
            task = own.task(chunk)
            if weights is None:  # of the examples alone, so the same for every chunk
                weights = evidence.weights(self.learner, self.params, task, own.quality)
            yield from (weights @ evidence.on_query(self.learner, self.params, task)).split([len(d) for d in chunk])

    def save(self, path: Path | str) -> None:
        """Write it to `path` (*.safetensors; `summarizer_file`). Raises DataError for a path with another ending."""
        summarizer_file.write(Path(path), self.learner, self.params, self.rows)

    @classmethod
    def load(cls, path: Path | str, learner: MetaLearner | None = None) -> Summarizer:
        """What `save` wrote, for `learner`, by default that of g in this version of the project.

        Raises DataError for a file that is missing, damaged, of another learner or of other features.
        """
        learner = learner or learner_of_g()
        return cls(learner, *summarizer_file.read(Path(path), learner))


def summarize(
    texts: Iterable[Any],
    support: Iterable[Any] = (),
    n_words: float | None = None,
    model: Summarizer | Path | str | None = None,
) -> list[Summary]:
    """Summaries as `Summarizer` gives them, by `model` or the file that it names; by default the project's own g.

    Raises what `Summarizer.load` and `Summarizer` raise; for the project's own, DataError says how to make it.
    """
    if not isinstance(model, Summarizer):
        model = Summarizer.load(model) if model is not None else load_g()
    return model(texts, support, n_words)


def load_g() -> Summarizer:
    """The g that the study trained at profile full. Raises DataError where it is missing, and says how to make it."""
    path = Project.at().path(MODEL)
    if not path.is_file():
        raise DataError(f"{MODEL} is missing; {HOW_TO_MAKE}, or restore it from git, or name another as `model`")
    return Summarizer.load(path)


def learner_of_g() -> MetaLearner:
    """g of public summaries without encoder, without parameters."""
    family = PublicSummaries()
    g = next(m for m in summarization_methods(family) if isinstance(m, EvidenceMixture) and m.name == A)
    return g.learner(family)


def chunks_of_rows(documents: Sequence[Sequence[str]]) -> Iterator[Sequence[Sequence[str]]]:
    """Runs of documents with at most `ROWS` sentences together, or one document that has more."""
    start, total = 0, 0
    for i, document in enumerate(documents):
        if i > start and total + len(document) > ROWS:
            yield documents[start:i]
            start, total = i, 0
        total += len(document)
    if start < len(documents):
        yield documents[start:]
