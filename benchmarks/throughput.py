"""`make bench`, second table: how much text g summarises in a second. Writes results/bench/throughput.csv.

Docstrings of 20 to 40 sentences, embedded with the pinned packages, joined to plain texts; 10 with their summary line
are the examples. Three works: scoring sentences whose input rows and β(T) are known, β(T) from the examples, and the
whole path from texts to summaries (`metastudy.summarize`). g has untrained parameters: speed does not depend on them.
Ours alone: no package of requirements/bench.txt summarises from examples, and one that needs none does other work.
Each work runs in a process of its own, so that memory is its own too.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context

import pandas as pd
import torch

from benchmarks.forms import IMPLEMENTATIONS
from benchmarks.table import machine
from benchmarks.timing import BUSY, interleave
from benchmarks.worker import limit_cores, peak_rss_mb
from metastudy import corpus, evidence
from metastudy.families.selection import allowed
from metastudy.families.sentence_rows import SentenceRows
from metastudy.own_task import Examples
from metastudy.own_texts import read_examples, read_texts
from metastudy.project import Project, write_atomic
from metastudy.summarize import Summarizer, learner_of_g
from metastudy.tasks import Task

COLUMNS = ("work", "unit", "per_second", "low", "high", "peak_rss_mb", "version", "machine")
"""`per_second` is the median of the rounds, in `unit`; `low` and `high` are the slowest and the fastest of them."""
N_DOCUMENTS, N_EXAMPLES = 300, 10
SENTENCES = range(20, 41)


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts to summarise, and the examples: (text, summary)."""

    texts: list[str]
    examples: list[tuple[str, str]]
    summarizer: Summarizer

    @classmethod
    def of(cls, n_documents: int) -> Texts:
        """Docstrings in the order of their hashes; words are counted in those that are left over."""
        entries = [e for own in corpus.load().by_package().values() for e in own if len(e.body) in SENTENCES]
        entries.sort(key=lambda e: hashlib.sha256(e.id.encode()).digest())
        last = N_EXAMPLES + n_documents
        learner = learner_of_g()
        params = learner.init(torch.Generator().manual_seed(0))
        rows = SentenceRows.fit([e.body for e in entries[last:]])
        texts = [" ".join(e.body) for e in entries[:last]]
        summaries = [e.summary for e in entries[:N_EXAMPLES]]
        examples = list(zip(texts, summaries, strict=False))
        return cls(texts[N_EXAMPLES:], examples, Summarizer(learner, params, rows))

    def own(self) -> Examples:
        """The examples as the task needs them."""
        documents = read_examples(self.examples)
        return Examples(documents, self.summarizer.rows, allowed([d.n_words for d in documents]))

    @cached_property
    def task(self) -> Task:
        return self.own().task(read_texts(self.texts))


Step = Callable[[], object]


def scoring(given: Texts) -> tuple[Step, int]:
    """From input rows to scores of g; each of the sentences counts."""
    learner, params, task = given.summarizer.learner, given.summarizer.params, given.task
    beta = evidence.weights(learner, params, task, given.own().quality)
    return lambda: beta @ evidence.on_query(learner, params, task), len(task.query_y)


def weighing(given: Texts) -> tuple[Step, int]:
    """β(T) of one task from its rows, with no summary judged before."""
    learner, params, task, own = given.summarizer.learner, given.summarizer.params, given.task, given.own()
    return lambda: evidence.weights(learner, params, task, replace(own).quality), 1


def summarising(given: Texts) -> tuple[Step, int]:
    """From texts and examples to summaries; each of the texts counts."""
    return lambda: given.summarizer(given.texts, given.examples), len(given.texts)


WORKS = {
    "sentences scored by g": ("sentences", scoring),
    f"β from {N_EXAMPLES} examples": ("tasks", weighing),
    "texts to summaries": ("documents", summarising),
}


class Here:
    """Answers `timing.one_turn` from this very process, as a `timing.Worker` does from its own."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def steps(self, n: int) -> dict[str, float]:
        start, used = time.perf_counter(), time.process_time()
        for _ in range(n):
            self.step()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - used
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_rss_mb": peak_rss_mb()}


def measure(work: str, n_documents: int, rounds: int, seconds: float, threads: int) -> dict[str, object]:
    """The row of one work, measured in this process."""
    torch.set_num_threads(threads)
    unit, build = WORKS[work]
    step, amount = build(Texts.of(n_documents))
    turns = interleave({work: Here(step)}, rounds, seconds)[work]
    if (others := statistics.median(turns.others)) >= BUSY:
        print(f"warning: other programs took {others:.1f} cores during '{work}'; stop them and measure again")
    rates = [amount / s for s in turns.seconds]
    found = {"per_second": statistics.median(rates), "low": min(rates), "high": max(rates)}
    return {
        "work": work,
        "unit": unit,
        **{name: float(f"{rate:.4g}") for name, rate in found.items()},
        "peak_rss_mb": turns.peak_rss_mb,
        "version": IMPLEMENTATIONS["metastudy"].version(),
        "machine": machine(threads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=N_DOCUMENTS, help="texts to summarise")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each work")
    parser.add_argument("--seconds", type=float, default=0.7, help="length of a turn, at least one pass")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sizes = arguments.documents, arguments.rounds, arguments.seconds, arguments.threads
    rows = []
    for work in WORKS:
        with ProcessPoolExecutor(1, get_context("spawn"), limit_cores, (arguments.threads,)) as process:
            rows.append(process.submit(measure, work, *sizes).result())
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    project = Project.at()
    path = project.results / "bench" / "throughput.csv"
    write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())
    print(table[list(COLUMNS[:-2])].to_string(index=False, float_format=lambda v: f"{v:.1f}"))
    print(f"written to {project.name(path)}; {machine(arguments.threads)}")


if __name__ == "__main__":
    main()
