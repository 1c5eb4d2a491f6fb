"""A g that is already there, as a method among others: what it learned is kept, its weights come from each support."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from metastudy.evidence import EvidenceMixture
from metastudy.families.base import Family, Fold
from metastudy.methods import Fitted
from metastudy.model import Params
from metastudy.plan import A
from metastudy.project import Project
from metastudy.summarize import MODEL, Summarizer, load_g
from metastudy.train import TrainConfig
from metastudy.trained import Trained


@dataclass(frozen=True, eq=False)
class StoredMixture(EvidenceMixture):
    """g with the parameters of a `Summarizer`, and what earlier tasks say of its mixtures. Nothing is fitted.

    Its family must make rows by the summarizer's `rows`: then it chooses what the summarizer does.
    """

    params: Params = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, summarizer: Summarizer) -> StoredMixture:
        learner = summarizer.learner
        return cls(A, learner.mappings, learner.model, params=summarizer.params)

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        return self._weighted(family, Trained(self.params, []))


def stored_g() -> Summarizer | None:
    """The study's g, where its file is there; None where it is not. Raises DataError for a file that is damaged."""
    return load_g() if Project.at().path(MODEL).is_file() else None
