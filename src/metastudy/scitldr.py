"""SciTLDR-A: one sentence of an abstract as its summary, scored so that known numbers come back, and their anchors.

Cachola et al. 2020, "TLDR: Extreme Summarization of Scientific Documents", Findings of EMNLP. A paper of the test set
has two to four references; it is scored against the one with the best ROUGE-1, and ROUGE-2 and -L are of that same
reference (`text.rouge`: stemmed F1, times 100). A maximum of each metric by itself would give Lead 0.9 more in both.
Deviation from the paper: it used a wrapper of ROUGE 1.5.5 (from memory), here it is rouge_score. Titles are no input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Literal, get_args

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metastudy import loaders, text
from metastudy.abtest import t_interval
from metastudy.errors import DataError, ParameterError
from metastudy.families import centrality
from metastudy.families.centrality import DAMPING, Weights
from metastudy.families.documents import Idf
from metastudy.loaders.summaries.schema import SourceDocument

Split = Literal["train", "validation", "test"]
Choice = Mapping[str, Sequence[int]]
"""Document id -> positions of the sentences that make up its summary."""
THRESHOLD = 0.1
"""The cosine above which Erkan and Radev 2004 link two sentences."""
EQUAL = 1e-9  # scores this close are equal: rounding must not choose


@cache
def _split(split: Split) -> tuple[SourceDocument, ...]:
    return tuple(d for d in loaders.load("scitldr").documents if d.split == split)


def documents(split: Split) -> list[SourceDocument]:
    """The abstracts of a split in the order of its file; of the six that occur twice one is kept (the loader).

    1988, 617 and 618 in train, validation and test. Raises ParameterError for another split.
    """
    if split not in get_args(Split):
        raise ParameterError(f"split = {split!r}; expected one of {', '.join(get_args(Split))}")
    return list(_split(split))


def training_idf() -> Idf:
    """Inverse document frequencies of stems, from the abstracts of the training split alone."""
    return Idf.fit(d.units for d in documents("train"))


def _first_best(scores: Sequence[float] | NDArray[np.float64]) -> tuple[int]:
    """Where the highest score stands; of equal ones the first."""
    found = np.asarray(scores, dtype=np.float64)
    return (int(np.argmax(found >= found.max() - EQUAL)),)


def choose_lead(abstracts: Sequence[SourceDocument]) -> dict[str, tuple[int, ...]]:
    """The first sentence."""
    return {d.id: (0,) for d in abstracts}


def choose_oracle(abstracts: Sequence[SourceDocument]) -> dict[str, tuple[int, ...]]:
    """The sentence with the best ROUGE-1 against any reference: it has seen them, so it is a bound and no method.

    Exact for ROUGE-1. Its ROUGE-2 and -L are those of that sentence; sentences chosen for each metric by itself would
    have about 2 points more there.
    """
    return {d.id: _first_best([text.rouge1(s, d.references) for s in d.units]) for d in abstracts}


def threshold_ranks(cosines: NDArray[np.float64], threshold: float = THRESHOLD) -> NDArray[np.float64]:
    """LexRank on a graph without weights (Erkan and Radev 2004, section 3.2, algorithm 3): (N, N) cosines -> (N,).

    Sentences are neighbours where their cosine is above `threshold`, each its own; the stationary distribution of a
    walk to any neighbour, or with 1 - `DAMPING` to any sentence. A sentence without words, its own neighbour in name
    only, jumps to any. Deviation: solved as a linear system, not by iteration. Ranks are often equal, in 241 of the
    618 test abstracts at the top; taking the last of the equal ones and not the first costs 2.2 ROUGE-1 there.
    """
    n = len(cosines)
    linked = (cosines > threshold).astype(np.float64)
    linked[linked.sum(1) == 0] = 1
    walk = linked / linked.sum(1, keepdims=True)
    return np.linalg.solve(np.eye(n) - DAMPING * walk.T, np.full(n, (1 - DAMPING) / n))


def lexrank(
    abstracts: Sequence[SourceDocument], idf: Weights, threshold: float | None = None
) -> dict[str, tuple[int, ...]]:
    """The sentence with the highest LexRank on TF-IDF of stems: weighted by cosine, or linked above `threshold`.

    Weighted ("continuous") as `centrality.lexrank`, which leaves out a sentence's link to itself. Deviation from
    Erkan and Radev 2004: stems and smoothed `idf`, from training abstracts. Raises ParameterError for a threshold
    outside [0, 1).
    """
    if threshold is not None and not 0 <= threshold < 1:
        raise ParameterError(f"threshold = {threshold}; expected a cosine from 0 to below 1, or None for weights")

    def ranks(vectors) -> NDArray[np.float64]:
        if threshold is None:
            return centrality.lexrank(vectors, tolerance=1e-12)
        return threshold_ranks((vectors @ vectors.T).toarray(), threshold)

    return {d.id: _first_best(ranks(_vectors(d, idf))) for d in abstracts}


def centroid(abstracts: Sequence[SourceDocument], idf: Weights) -> dict[str, tuple[int, ...]]:
    """The sentence with the highest cosine with the sum of all TF-IDF vectors (after Radev et al. 2004, MEAD)."""
    return {d.id: _first_best(centrality.centroid(_vectors(d, idf))[0]) for d in abstracts}


def _vectors(abstract: SourceDocument, idf: Weights):
    """(N, W) TF-IDF of the stems of one abstract, rows of length one."""
    return centrality.tfidf([text.stems(s) for s in abstract.units], idf)


def _summary(abstract: SourceDocument, picks: Sequence[int]) -> str:
    """The chosen sentences in their order in the abstract, whatever the order of `picks`."""
    n = len(abstract.units)
    fine = all(isinstance(i, int | np.integer) and not isinstance(i, bool) and 0 <= i < n for i in picks)
    if not len(picks) or not fine or len(set(picks)) < len(picks):
        raise DataError(
            f"document {abstract.id!r}: the choice is {list(picks)}; expected one or more of its sentences 0 to "
            f"{n - 1}, each once"
        )
    return " ".join(abstract.units[i] for i in sorted(picks))


def evaluate(choice: Choice, split: Split = "test") -> pd.DataFrame:
    """ROUGE of the chosen sentences: a row for each document of the split, index `document`, columns `text.ROUGE`.

    Stemmed F1, 0 to 100, against the reference with the best ROUGE-1. Sentences of a longer summary are joined in
    their order in the abstract. Raises DataError for a choice that lacks a document or names one of another split, and
    for positions that are no sentences; ParameterError for an unknown split.
    """
    abstracts = documents(split)
    ids = [d.id for d in abstracts]
    for what, wrong in (
        ("lacks", [i for i in ids if i not in choice]),
        ("also names", sorted({*choice} - {*ids}, key=str)),
    ):
        if wrong:
            raise DataError(
                f"the choice {what} {wrong[0]!r} ({len(wrong)} such); expected the {len(ids)} documents of the {split} "
                "split, each with the positions of its sentences"
            )
    rows = [text.rouge(_summary(d, choice[d.id]), d.references) for d in abstracts]
    return pd.DataFrame(rows, columns=list(text.ROUGE), index=pd.Index(ids, name="document"))


def over_papers(method: str, scores: pd.DataFrame) -> dict[str, str | float | int]:
    """A row of `anchors`, of scores a paper: columns `text.ROUGE`."""
    row: dict[str, str | float | int] = {"method": method}
    for metric in text.ROUGE:
        low, high = t_interval(scores[metric].to_numpy())
        row |= {metric: float(scores[metric].mean()), f"{metric}_low": low, f"{metric}_high": high}
    return row | {"n": len(scores)}


def _anchor(method: str, choose: Callable[[Sequence[SourceDocument]], Choice]) -> dict[str, str | float | int]:
    return over_papers(method, evaluate(choose(documents("test")), "test"))


def anchors(jobs: int = 1) -> pd.DataFrame:
    """What needs no labels, and the bound, on all 618 test papers: a row each, in `jobs` processes; 4 s with one.

    Columns: method; rouge1, rouge2, rougeL, means over papers; each with _low and _high, Student's t interval at 95%
    over papers; n, papers. Nothing here is chosen on test papers but by the oracle.
    """
    idf = training_idf()
    methods: dict[str, Callable[[Sequence[SourceDocument]], Choice]] = {
        "lead": choose_lead,
        "lexrank": partial(lexrank, idf=idf),
        f"lexrank, threshold {THRESHOLD}": partial(lexrank, idf=idf, threshold=THRESHOLD),
        "centroid": partial(centroid, idf=idf),
        "oracle": choose_oracle,
    }
    return pd.DataFrame(joblib.Parallel(n_jobs=jobs)(joblib.delayed(_anchor)(*item) for item in methods.items()))
