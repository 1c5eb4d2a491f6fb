"""Own documents with summaries: which way of choosing sentences agrees best with how people summarise them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field
from torch import Tensor

from metastudy.abtest.paired import MIN_CLUSTERS
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import TaskSpec
from metastudy.families.documents import TOOLS
from metastudy.families.public_summaries import DOMAINS as PUBLIC
from metastudy.families.selection import LENGTH
from metastudy.families.summarization import DOMAINS as PACKAGES
from metastudy.families.summary_family import Document
from metastudy.lineups.summarization import summarization_methods
from metastudy.methods import Method
from metastudy.own_data.documents_file import read_asked, read_labelled
from metastudy.own_data.kind import Asked, Kind, Options, Prepared, the_method
from metastudy.own_data.own_documents import ASKED, OwnDocuments, asked_documents, choose_documents
from metastudy.own_data.stored_summarizer import StoredMixture, stored_g
from metastudy.plan import A
from metastudy.summarize import HOW_TO_MAKE, MODEL, Summarizer, chunks_of_rows
from metastudy.train import TrainConfig

DRAWS, DRAWS_OF_A_DOMAIN = 10, 3
QUERIES, FEW_QUERIES = 40, 10
MAX_SHOTS = 20
CLASSICAL = (*TOOLS, "from scratch", "random")


class SummarizationOptions(Options):
    documents: int = Field(400, ge=1, description="labelled documents that are used, at most (by a hash of their id)")


class SummarizationKind(Kind):
    name = "summarization"
    summary = "documents with summaries, a JSON object a line: which sentences to choose as a summary"
    examples = ("own.jsonl", "own.jsonl --shots 1 5 20 --draws 20", "own.jsonl --quick")
    options = SummarizationOptions

    def prepare(self, options: SummarizationOptions) -> Prepared:
        rows = read_labelled(options.path)
        chosen = choose_documents(rows, options.documents)
        own, g = chosen.documents, stored_g()
        family = _family(own, options, g)
        specs = _drawn(family, options)
        methods = _methods(family, g)
        facts = {
            "documents": len(rows),
            "lines that repeat a document, joined with it": sum(row.lines - 1 for row in rows),
            "documents of one sentence, left out": len(chosen.short),
            "documents used": len(own),
            "documents that are summarised": sum(len(spec.query) for spec in specs),
            "draws": len(specs),
            "domains": len(family.own_domains),
            "groups of documents": len({d.group for d in own}),
            "sentences of a document, median": float(np.median([len(d.sentences) for d in own])),
            "words of a summary, median": float(np.median([d.n_words for d in own])),
        }
        left = len(rows) - len(chosen.short) - len(own)
        return Prepared(
            family, methods, _config(options), family.metrics[0], CLASSICAL, len(own),
            unit="labelled documents", counted="documents", facts=facts,
            notes=(*_limits(g), *_about(family, specs, left)),
        )  # fmt: skip

    def ask(self, options: SummarizationOptions, method: str, new: Path | None) -> Asked:
        if new is None:
            raise ParameterError("no documents to summarise; expected a file of them: *.jsonl, or a plain text")
        own, g = choose_documents(read_labelled(options.path), options.documents).documents, stored_g()
        asked = asked_documents(read_asked(new))
        # what is learned for MAX_SHOTS documents is used where there are more
        shots = min(len(own), MAX_SHOTS)
        learned = tuple(sorted({*options.shots, shots}))
        family = _family(own, options.model_copy(update={"shots": learned}), g, asked)
        the_one, fold = the_method(_methods(family, g), method), family.folds()[0]
        support, tasks = tuple(d.id for d in own), []
        for chunk in _chunks(asked):
            # one name for all: what depends on the support alone is then computed once
            spec = TaskSpec("asked", "asked", fold.name, (support,), tuple(d.id for d in chunk))
            tasks.append(family.build(spec, len(support), fold))

        def table(predictions: Sequence[Tensor]) -> pd.DataFrame:
            picks: dict[str, tuple[int, ...]] = {}
            for task, prediction in zip(tasks, predictions, strict=True):
                picks |= family.chosen(task, prediction)
            found = [(d.id.removeprefix(ASKED), " ".join(d.sentences[i] for i in picks[d.id])) for d in asked]
            return pd.DataFrame(found, columns=["id", "summary"])

        return Asked(family, the_one, _config(options), shots, tasks, table)


def _family(
    own: Sequence[Document], options: SummarizationOptions, g: Summarizer | None, asked: Sequence[Document] = ()
) -> OwnDocuments:
    """Raises ParameterError for shots that no task can hold, and for draws that can decide nothing."""
    if max(options.shots) > MAX_SHOTS:
        raise ParameterError(f"--shots {max(options.shots)}: expected numbers from 1 to {MAX_SHOTS}")
    n_domains = len({d.domain for d in own})
    if options.draws is not None and n_domains < MIN_CLUSTERS and options.draws < MIN_CLUSTERS:
        raise ParameterError(
            f"--draws {options.draws}: fewer than {MIN_CLUSTERS} cannot show any difference; expected at "
            f"least {MIN_CLUSTERS}, better {DRAWS}"
        )
    draws = options.draws or (DRAWS if n_domains < MIN_CLUSTERS else DRAWS_OF_A_DOMAIN * n_domains)
    return OwnDocuments(
        own, -(-draws // n_domains), FEW_QUERIES if options.quick else QUERIES, options.shots,
        g and g.rows, fewer=options.draws is None, asked=asked,
    )  # fmt: skip


def _drawn(family: OwnDocuments, options: SummarizationOptions) -> list[TaskSpec]:
    """The draws, made once to see that they can be. Raises DataError that says what is needed and what would do."""

    def freeze(shots: int) -> list[TaskSpec]:
        own = OwnDocuments(family.own, family.draws, family.queries, (shots,), family.fixed_rows, family.fewer)
        return own.freeze(np.random.default_rng(options.seed))

    def possible(shots: int) -> bool:
        try:
            return bool(freeze(shots))
        except DataError:
            return False

    most = max(options.shots)
    try:
        return freeze(most)
    except DataError as error:
        problem = str(error).partition(";")[0]
    fitting = next((k for k in range(most - 1, 0, -1) if possible(k)), None)
    n_domains = len(family.own_domains)
    ways = [f"--shots {fitting} or fewer would do" if fitting else "fewer --shots would not do"]
    ways += ["fewer --draws"] * (options.draws is not None)
    ways += ["more --documents"] * (len(family.own) + n_domains > options.documents)
    ways += ["no 'domain' on any line"] * (n_domains > 1)
    raise DataError(
        f"{options.path.name}: {problem}; expected {max(most + 1, family.least)} or more documents of two sentences in "
        f"each domain, none of them in a large group; {', or '.join(ways)}"
    )


def _chunks(asked: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """Documents that are summarised at once."""
    start = 0
    for chunk in chunks_of_rows([d.sentences for d in asked]):
        yield asked[start : start + len(chunk)]
        start += len(chunk)


def _methods(family: OwnDocuments, g: Summarizer | None) -> tuple[Method, ...]:
    """The study's line-up; g as it is stored, where it is."""
    methods = summarization_methods(family)
    return tuple(StoredMixture.of(g) if g and m.name == A else m for m in methods)


def _config(options: SummarizationOptions) -> TrainConfig:
    """As in the study, or half as long."""
    steps = 100 if options.quick else 200
    return TrainConfig(steps, tasks_per_step=8, learning_rate=3e-3, weight_decay=1e-2, validate_every=20)


def _limits(g: Summarizer | None) -> tuple[str, ...]:
    learned = (
        f"g learned from public summaries of {len(PUBLIC)} sources ({', '.join(PUBLIC)}); do not judge it on these"
        if g
        else f"{MODEL} is missing, so that g too learned from the documentation alone; {HOW_TO_MAKE}"
    )
    return (
        f"a summary is whole sentences of the document, about {LENGTH} times as many words as the summaries of the "
        "labelled documents have (their median)",
        "ROUGE counts words in common with the summary that people wrote; it does not see whether a summary is true",
        f"methods that learn from earlier tasks learned from the documentation of {len(PACKAGES)} Python packages, "
        "whose summaries are one sentence",
        learned,
    )


def _about(family: OwnDocuments, specs: Sequence[TaskSpec], left: int) -> Iterator[str]:
    n_units = len({spec.family for spec in specs})
    if len(family.own_domains) >= MIN_CLUSTERS:
        yield f"intervals and tests are over {n_units} domains, so that they speak of other domains like these"
    else:
        yield f"intervals and tests are over {n_units} draws of the documents, and speak of documents like these alone"
    if left > 0:
        yield f"{left:,} more documents are not used: --documents says how many are, at most"
