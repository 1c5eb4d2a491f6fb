"""The works of `search_speed`: what is timed, beside what, and the check before it that all find the same."""

from __future__ import annotations

import importlib
import itertools
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.forms import HOW_TO_GET, IMPLEMENTATIONS
from benchmarks.nearest import Mixture, Usearch, by_definition, plain_read, rise_mb
from benchmarks.table import machine
from benchmarks.throughput import Here
from benchmarks.timing import BUSY, interleave
from metastudy.feedback import surroundings
from metastudy.feedback.components import NAMES, components
from metastudy.feedback.fast import FastIndex
from metastudy.feedback.fast_columns import FastColumns
from metastudy.feedback.index import Query
from metastudy.feedback.learned_columns import COLUMNS as G_COLUMNS
from metastudy.feedback.learned_columns import PLAIN, learned_columns
from metastudy.feedback.ranker import Weights
from metastudy.feedback.rocchio import feedback_scores, rank
from metastudy.feedback.scan import nearest, recall
from metastudy.feedback.surroundings import Surroundings

COLLECTION, JUDGED, TARGET_MS = "npl", 2, 5
K = 10
CHECKED = 8  # queries or jobs that are compared before anything is timed
TOGETHER = 32  # queries that share a pass
EXPANSIONS = (16, 32, 64, 128, 256, 512)
METASTUDY, USEARCH = "metastudy", "usearch"

Row = dict[str, object]
Step = Callable[[], object]
Adapting = tuple[Query, list[int], list[int], np.ndarray]  # query, relevant and other judged pages, candidates


class ResultsDiffer(RuntimeError):
    """Two ways to search do not find the same: comparing their speed would mean nothing."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured: candidates of a query; vectors in the file, those of them in the index, and queries that
    its recall is measured on; rounds of about so many seconds."""

    candidates: int = 1000
    vectors: int = 1_000_000
    indexed: int = 200_000
    queries: int = 500
    rounds: int = 5
    seconds: float = 0.7
    threads: int = 1


def timed(steps: Mapping[str, tuple[Step, int]], sizes: Sizes) -> dict[str, Row]:
    """The columns of time for each step, which answers so many queries; all take turns."""
    turns = interleave({name: Here(step) for name, (step, _) in steps.items()}, sizes.rounds, sizes.seconds)
    found = {}
    for name, (_, queries) in steps.items():
        ms = [1000 * s / queries for s in turns[name].seconds]
        if (others := statistics.median(turns[name].others)) >= BUSY:
            print(f"  warning: other programs took {others:.1f} cores during {name!r}; stop them and measure again")
        values = {"ms_per_query": statistics.median(ms), "low": min(ms), "high": max(ms)}
        found[name] = {k: float(f"{v:.4g}") for k, v in values.items()}
        found[name] |= {"queries_at_once": queries, "cores_taken_by_others": round(others, 2)}
    return found


def adapting(around: Surroundings, n: int) -> list[Adapting]:
    """For each query the first `JUDGED` pages of a plain search as judged, and the n next as candidates.

    The first page counts as relevant and the other not, so that all columns have something to do; how long it takes
    does not depend on who is right.
    """
    index, found = around.index, []
    for name in index.queries:
        query = index.query(str(name))
        match = components(index, query)
        order = np.argsort(-(match[:, NAMES.index("bm25")] + match[:, NAMES.index("dense")]), kind="stable")
        found.append((query, order[:1].tolist(), order[1:JUDGED].tolist(), order[JUDGED : JUDGED + n]))
    return found


def adapt(around: Surroundings, sizes: Sizes) -> list[Row]:
    """From judged pages to a new order of candidates. Weights are such as nobody tuned: speed does not depend on them.

    Raises ResultsDiffer where `feedback.fast` has other columns than `components`, or `feedback.fast_columns` than
    `learned_columns`.
    """
    jobs = adapting(around, sizes.candidates)
    fast, fast_g = FastIndex.of(around.index), FastColumns.of(around)
    g = Weights(torch.ones(1, 2, len(G_COLUMNS)), G_COLUMNS)

    def of_all_pages(query: Query, positives: list[int], negatives: list[int], places: np.ndarray) -> np.ndarray:
        return components(around.index, query, positives, negatives)[places]

    for job in jobs[:CHECKED]:
        for module, found, expected in (
            ("fast", fast.columns(*job), of_all_pages(*job)),
            ("fast_columns", fast_g.columns(*job), learned_columns(around, *job)),
        ):
            if (off := np.abs(found - expected).max()) > 1e-8:
                raise ResultsDiffer(f"fast columns are off by {off:.0e}; mend metastudy.feedback.{module}")
    ways = {
        "F+L and RM3, components of all pages": lambda job: rank(feedback_scores(of_all_pages(*job), PLAIN, True)),
        "F+L and RM3, feedback.fast": lambda job: rank(feedback_scores(fast.columns(*job), PLAIN, True)),
        "g, learned_columns": lambda job: rank(g.scores(learned_columns(around, *job), JUDGED, True)),
        "g, feedback.fast_columns": lambda job: rank(g.scores(fast_g.columns(*job), JUDGED, True)),
    }
    steps = {}
    for name, way in ways.items():
        way(jobs[0])  # what a collection needs once is made here
        turn = itertools.cycle(jobs)
        steps[name] = (lambda way=way, turn=turn: way(next(turn))), 1
    common = {"size": len(around.index.pages), "target_ms": TARGET_MS, "version": IMPLEMENTATIONS[METASTUDY].version()}
    return [{"implementation": name, **row, **common} for name, row in timed(steps, sizes).items()]


def scanning(vectors: np.ndarray, queries: np.ndarray) -> tuple[dict[str, tuple[Step, int]], dict[str, Row]]:
    """Steps of the scan, and what is known of each before it is timed. Raises ResultsDiffer where it is not exact."""
    own, exact = nearest(vectors, queries[:CHECKED], K)[0], by_definition(vectors, queries[:CHECKED], K)
    if not np.array_equal(own, exact):
        raise ResultsDiffer(f"the scan found {own.tolist()}; expected {exact.tolist()}: mend metastudy.feedback.scan")
    steps = {f"scan, {n} at once": (lambda n=n: nearest(vectors, queries[:n], K), n) for n in (1, TOGETHER)}
    plain_read(vectors)  # from here on the file is in memory, and does not count as what a query takes
    known = {"recall_at_10": recall(own, exact), "index_mb": round(vectors.nbytes / 2**20)}
    known |= {"version": IMPLEMENTATIONS[METASTUDY].version()}
    return steps, {name: {"query_mb": rise_mb(step), **known} for name, (step, _) in steps.items()}


def scan(path: Path, sizes: Sizes) -> list[Row]:
    """One pass over all vectors, beside a plain read of the same bytes."""
    vectors = np.load(path, mmap_mode="r")
    steps, known = scanning(vectors, Mixture().queries(TOGETHER))
    known = {"plain read": {"version": f"numpy {np.__version__}"}, **known}
    times = timed({"plain read": (lambda: plain_read(vectors), 1), **steps}, sizes)
    for row in times.values():
        row["gb_per_second"] = float(f"{vectors.nbytes / 1e6 / row['ms_per_query'] / row['queries_at_once']:.3g}")
    return [{"implementation": name, "size": len(vectors), **row, **known[name]} for name, row in times.items()]


def index(path: Path, sizes: Sizes) -> list[Row]:
    """An index on the first vectors of the file, beside the scan of the same ones."""
    vectors, queries = np.load(path, mmap_mode="r")[: sizes.indexed], Mixture().queries(sizes.queries)
    steps, known = scanning(vectors, queries)
    expansions: dict[str, int | None] = {}
    try:
        importlib.import_module(f"{USEARCH}.index")
    except ImportError as error:
        print(f"  left out: {USEARCH} cannot be imported ({error}); {HOW_TO_GET}", flush=True)
    else:
        exact, library = nearest(vectors, queries, K)[0], Usearch(vectors, sizes.threads)
        common: Row = {"build_s": round(library.seconds, 1), "version": f"{USEARCH} {metadata.version(USEARCH)}"}
        common["index_mb"] = None if library.mb is None else round(library.mb)
        expansions = {f"{USEARCH}, exact": None} | {f"{USEARCH}, expansion {e}": e for e in EXPANSIONS}
        for name, expansion in expansions.items():
            asked = queries[:TOGETHER] if expansion is None else queries

            def step(asked: np.ndarray = asked, expansion: int | None = expansion) -> np.ndarray:
                return library.nearest(asked, K, expansion)

            steps[name], memory = (step, len(asked)), rise_mb(step)
            known[name] = {"recall_at_10": round(recall(step(), exact[: len(asked)]), 4), "query_mb": memory, **common}
    return [
        {"implementation": name, "expansion": expansions.get(name), "size": len(vectors), **row, **known[name]}
        for name, row in timed(steps, sizes).items()
    ]


WORKS = {
    "adapt": "adapt to 2 judged pages, re-rank the candidates",
    "scan": "exact top 10 in one pass",
    "index": "top 10 by an index",
}


def measure(work: str, path: Path, sizes: Sizes) -> list[Row]:
    """The rows of one work, measured in this process. Raises DataError where its collection cannot be had."""
    torch.set_num_threads(sizes.threads)
    with threadpool_limits(sizes.threads):
        rows = {
            "adapt": lambda: adapt(surroundings.load(COLLECTION), sizes),
            "scan": lambda: scan(path, sizes),
            "index": lambda: index(path, sizes),
        }[work]()
    return [{"work": WORKS[work], **row, "machine": machine(sizes.threads)} for row in rows]
