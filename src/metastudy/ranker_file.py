"""g for relevance feedback in one small file: weights of columns, learned on public collections; no text, no judgement.

The file is a `checkpoint`: whole or refused, the same bytes each time, with a readable record beside it. Columns and
scores of the pages of a fixed tiny collection are kept too and computed anew on reading: they tell whether the code
still sees in a page what the weights were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from metastudy import checkpoint
from metastudy.encoders import Encoder
from metastudy.errors import DataError
from metastudy.families.collection import Collection
from metastudy.families.search_feedback import NAMES, SearchFeedback
from metastudy.feedback import surroundings
from metastudy.feedback.learned_columns import COLUMNS, learned_columns
from metastudy.feedback.ranker import FeedbackRanker, Weights
from metastudy.lineups.feedback import rankers
from metastudy.plan import A

KIND = "search model"
OWN_PAGES = "own pages"
"""In place of an encoder's fingerprint: dense vectors are latent semantic ones of the searched collection itself."""
BETA, PROBE = "beta", "probe"
PAGES = {
    "Baking bread": "Flour, water, salt and yeast make a dough. Knead the dough, let it rise, bake it in an oven.",
    "Sourdough": "It needs no yeast: wild yeast lives in the flour and lets the dough rise overnight.",
    "Ovens": "An oven for bread must be hot. Steam in the oven gives the bread its crust.",
    "Rivers and floods": "After heavy rain the river rises. A flood carries salt and mud over the fields.",
    "Dams": "A dam holds back the water of a river, against floods and for a mill or a turbine.",
    "Water mills": "The river turns the wheel of the mill; the mill grinds grain to flour.",
    "Rain": "Warm air carries water upwards. It cools, and water falls as rain, or as snow in the mountains.",
    "Salt": "Salt comes from the sea or from mines; bread without salt is bland.",
}
"""What columns and scores are compared on. Another choice makes all files of before unreadable."""


@dataclass(frozen=True, eq=False)
class TrainedRanker:
    """Weights of columns, the fingerprint of the encoder of dense vectors (or `OWN_PAGES`), and how they came."""

    weights: Weights
    encoder: str = OWN_PAGES
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)


def train_g(encoder: Encoder | None = None, seed: int = 0) -> TrainedRanker:
    """g of the study trained on all six collections, for new ones: minutes, most of them to read the collections once.

    It has seen all judgements of these collections, so it must be evaluated on none of them. Raises DataError without
    the data.
    """
    return train_on(SearchFeedback(encoder=encoder), NAMES, ranker_of_g(), seed)


def ranker_of_g() -> FeedbackRanker:
    """g as the study compares it."""
    return next(ranker for ranker in rankers() if ranker.name == A)


def train_on(family: SearchFeedback, names: Sequence[str], ranker: FeedbackRanker, seed: int) -> TrainedRanker:
    """As `FeedbackRanker.fit` on these collections of a family."""
    about = {
        "trained on": list(names),
        "judged pages of a query": list(family.shots),
        "dense vectors": family.encoder.name if family.encoder else OWN_PAGES,
        "ranker": checkpoint.description(ranker),
        "data": family.content_hash(),
        "seed": seed,
    }
    return TrainedRanker(ranker.train(family, names, seed), fingerprint(family.encoder), about)


def fingerprint(encoder: Encoder | None) -> str:
    """What weights are tied to."""
    return encoder.fingerprint if encoder else OWN_PAGES


def write(path: Path, model: TrainedRanker) -> None:
    """Write *.safetensors and the .json beside it. Raises DataError for a path with another ending."""
    record = {**model.about, "encoder": model.encoder, "columns": list(model.weights.columns)}
    checkpoint.write(path, KIND, {BETA: model.weights.beta, PROBE: _probe(model.weights)}, record)


def read(path: Path) -> TrainedRanker:
    """What `write` wrote; its `about` is the whole record.

    Raises DataError for a file that is missing, damaged, of other columns, or of columns that are computed otherwise
    here.
    """
    tensors, record = checkpoint.read(path, KIND)
    made_otherwise = f"{path.name} was made by another version of the project"
    columns = tuple(record["columns"])
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise DataError(f"{made_otherwise}: column {unknown[0]!r} is unknown here; make it again")
    beta = tensors[BETA]
    if beta.shape[1:] != (2, len(columns)) or not len(beta):
        raise DataError(
            f"{made_otherwise}: its weights have shape {list(beta.shape)}, expected [trainings, 2, {len(columns)}]; "
            "make it again"
        )
    weights = Weights(beta, columns)
    found = _probe(weights)
    if found.shape != tensors[PROBE].shape or not np.allclose(found, tensors[PROBE], rtol=1e-4, atol=1e-5):
        raise DataError(f"{made_otherwise}: columns of pages are computed otherwise here; make it again")
    return TrainedRanker(weights, record["encoder"], record)


def _probe(weights: Weights) -> Tensor:
    """Of the pages that are not judged: columns, and scores for one judged page and for three; (5, C + 2).

    Dense vectors are latent semantic ones whatever the encoder: `TrainedRanker.encoder` names that.
    """
    titles, texts = list(PAGES), list(PAGES.values())
    ids = [str(i) for i in range(len(PAGES))]
    made = Collection("probe", ids, titles, texts, {"q": "why does dough with salt water rise"}, {})
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        around = surroundings.of_collection(made)
        judged, rest = ([0, 2], [3]), [1, 4, 5, 6, 7]
        x = learned_columns(around, around.index.query("q"), *judged, rest)
    return torch.from_numpy(np.column_stack([x, *(weights.scores(x, k, True) for k in (1, 3))]))
