"""SciTLDR with labels: from ten papers, with what other domains taught, and from all training papers.

Everything is settled on validation papers before a summary of a test paper is scored. A summary is one sentence, like
the lead and the oracle of `scitldr.anchors`, and like the extractive systems that others report; titles are no input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from metastudy import scitldr, text
from metastudy.adapt import Unadapted
from metastudy.evidence import mixtures
from metastudy.families.base import Fold
from metastudy.families.documents import TOOLS
from metastudy.families.public_summaries import PublicSummaries
from metastudy.families.sentence_rows import ENCODERS, SentenceEncoder, SentenceRows, n_features
from metastudy.loaders.summaries.schema import SourceDocument
from metastudy.methods import Fitted
from metastudy.mixture import MetaLearner
from metastudy.model import WideMLP
from metastudy.scitldr import EQUAL
from metastudy.standard_scores import standardised
from metastudy.summarize import Summarizer
from metastudy.tasks import Task, TaskBatch, collate
from metastudy.train import TrainConfig, meta_train, rng_for

TEN, DOMAIN = 10, "scitldr"
ONE_SENTENCE = 1  # a summary of so few words is one sentence
PAPERS_A_TASK = 40  # of all training papers
ALL = TrainConfig(
    steps=1500, tasks_per_step=2, learning_rate=2e-3, weight_decay=1e-2, validate_every=50, patience=8, warmup=50
)


def fold_of(family: PublicSummaries) -> Fold:
    """The fold that tests SciTLDR, and so learned from other domains alone."""
    return next(fold for fold in family.folds() if DOMAIN in fold.test)


def ten_papers(
    family: PublicSummaries, fitted: Fitted, draws: int = 10, seed: int = 0, split: scitldr.Split = "test"
) -> pd.DataFrame:
    """ROUGE of g on all papers of the split, from ten labelled training papers, drawn `draws` times.

    `fitted` is g on `fold_of(family)`. A row for each paper and draw: draw, document, columns `text.ROUGE`.
    """
    summarizer = Summarizer.of(family, fold_of(family), fitted)
    labelled, asked = scitldr.documents("train"), scitldr.documents(split)
    frames = []
    for draw in range(draws):
        some = rng_for(seed, 11, draw).permutation(len(labelled))[:TEN]
        support = [(labelled[i].units, labelled[i].references) for i in some]
        summaries = summarizer([d.units for d in asked], support, ONE_SENTENCE)
        choice = {d.id: s.chosen for d, s in zip(asked, summaries, strict=True)}
        frames.append(scitldr.evaluate(choice, split).reset_index().assign(draw=draw))
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Papers:
    """Papers as rows. Shapes: x (N, features) and gains (N,), ROUGE-1 from 0 to 1, of the sentences of all papers, one
    paper after the other; sizes (papers,), how many sentences each has (one or more)."""

    x: Tensor
    gains: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, papers: Sequence[SourceDocument], rows: SentenceRows) -> Papers:
        gains = [text.rouge1(s, d.references) / 100 for d in papers for s in d.units]
        x = torch.cat(rows([d.units for d in papers]))
        return cls(x, torch.tensor(gains, dtype=torch.float32), tuple(len(d.units) for d in papers))

    @cached_property
    def _parts(self) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """x and gains of each paper: views."""
        return self.x.split(self.sizes), self.gains.split(self.sizes)

    def task(self, chosen: Iterable[int]) -> Task:
        """These papers, numbered from 0, as a query; the support is never looked at, and is the same."""
        chosen = [int(i) for i in chosen]
        own = [torch.cat([parts[i] for i in chosen]) for parts in self._parts]
        group = torch.from_numpy(np.repeat(np.arange(len(chosen)), [self.sizes[i] for i in chosen]))
        return Task("papers", DOMAIN, "ranking", *own, *own, support_group=group, query_group=group)

    @cached_property
    def batch(self) -> TaskBatch:
        """All papers as one task."""
        return collate([self.task(range(len(self.sizes)))])

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Which row is the first of each paper: (papers,)."""
        return np.cumsum([0, *self.sizes[:-1]])

    def best(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Where in its paper the sentence with the highest score stands, of equal ones the first.

        Scores (M, N) of M methods -> (M, papers).
        """
        top = np.repeat(np.maximum.reduceat(scores, self.starts, axis=1), self.sizes, axis=1)
        place = np.arange(scores.shape[1]) - np.repeat(self.starts, self.sizes)
        return np.minimum.reduceat(np.where(scores >= top - EQUAL, place, scores.shape[1]), self.starts, axis=1)

    def rouge1(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean ROUGE-1, 0 to 100, of the best sentences by scores (M, N): (M,)."""
        return 100 * self.gains.numpy()[self.starts + self.best(scores)].mean(1, dtype=np.float64)


def _trained(train: Papers, validation: Papers, width: int, seed: int) -> Callable[[Papers], Tensor]:
    """f trained on all papers of `train`, stopped on `validation`: scores of any papers' sentences (N,)."""
    learner = MetaLearner(WideMLP(width, (64, 32)), (Unadapted(),))

    def sample(rng: np.random.Generator) -> TaskBatch:
        order = rng.permutation(len(train.sizes))[: ALL.tasks_per_step * PAPERS_A_TASK]
        return collate([train.task(part) for part in np.array_split(order, ALL.tasks_per_step)])

    trained = meta_train(learner, sample, [validation.batch], ALL, rng_for(seed, 12), "SciTLDR, all papers")

    def scores(papers: Papers) -> Tensor:
        with torch.no_grad():
            return learner.predict(trained.params, papers.batch)[0, :, 0]

    return scores


def _members(papers: Papers, f: Callable[[Papers], Tensor]) -> NDArray[np.float64]:
    """The field's tools and f as standard scores in each paper: (m, N)."""
    columns = torch.cat([papers.x[:, : len(TOOLS)], f(papers)[:, None]], dim=1)
    return standardised(papers.batch, columns[None])[0].T.double().numpy()


def all_papers(encoder: SentenceEncoder, seed: int = 0) -> tuple[float, dict[str, tuple[int, ...]]]:
    """All 1,988 training papers: ROUGE-1 on validation papers, and the choice of a sentence of each test paper.

    f learns from the training papers and is mixed with the field's tools as standard scores; of the `mixtures` of
    weights, the best on validation papers is taken. Of the test papers only the sentences are looked at.
    """
    splits = {name: scitldr.documents(name) for name in ("train", "validation", "test")}
    rows = SentenceRows.fit([d.units for d in splits["train"]], encoder)
    papers = {name: Papers.of(found, rows) for name, found in splits.items()}
    f = _trained(papers["train"], papers["validation"], n_features(encoder), seed)
    compared = mixtures(len(TOOLS) + 1)
    values = papers["validation"].rouge1(compared @ _members(papers["validation"], f))
    chosen = int(np.argmax(values))
    picks = papers["test"].best(compared[[chosen]] @ _members(papers["test"], f))[0]
    return float(values[chosen]), {d.id: (int(i),) for d, i in zip(splits["test"], picks, strict=True)}


def table(scores: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows as those of `scitldr.anchors`, of methods that learned: means over papers of means over draws, intervals
    over papers. `scores`: method -> a row a paper (and draw), columns document and `text.ROUGE`."""
    by_paper = {name: frame.groupby("document")[list(text.ROUGE)].mean() for name, frame in scores.items()}
    return pd.DataFrame([scitldr.over_papers(*item) for item in by_paper.items()])


def learned(family: PublicSummaries, fitted: Fitted, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `table` for ten and for all papers, and the validation ROUGE-1 by which the encoder was chosen."""
    found = {encoder: all_papers(encoder, seed) for encoder in ENCODERS}
    validation = pd.DataFrame([(e, v) for e, (v, _) in found.items()], columns=["encoder", "rouge1"])
    best = validation.loc[validation["rouge1"].idxmax(), "encoder"]
    everything = scitldr.evaluate(found[best][1], "test").reset_index()
    scores = {"g, 10 papers": ten_papers(family, fitted, seed=seed), f"all papers, encoder {best}": everything}
    return table(scores), validation
