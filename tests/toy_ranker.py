"""A g for relevance feedback, trained in moments on collections of made-up words."""

from __future__ import annotations

from functools import cache

import pytest

import helpers  # noqa: F401  (one thread)
from metastudy.families import candidates
from metastudy.families.candidates import build, of_arrays, to_search
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import examples, surroundings
from metastudy.feedback.ranker import FeedbackRanker
from metastudy.ranker_file import TrainedRanker, train_on
from toy_collections import toy

NAMES = ("cranfield", "cisi")
SOURCES = {name: toy(name, seed) for seed, name in enumerate(NAMES)}
RANKER = FeedbackRanker("g", trainings=2, steps=5)


@cache
def _found():
    return {name: of_arrays(name, build(source)) for name, source in SOURCES.items()}


@cache
def _around():
    return {name: surroundings.of_collection(to_search(source)) for name, source in SOURCES.items()}


def in_place_of_public_collections(patch: pytest.MonkeyPatch) -> SearchFeedback:
    """A family of the toy collections, which are loaded, never kept, as long as `patch` lasts."""
    patch.setattr(candidates, "load", lambda name, encoder=None: _found()[name])
    patch.setattr(surroundings, "load", lambda name, encoder=None: _around()[name])
    patch.setattr(examples, "load", lambda family, name, k: examples.of_arrays(examples.build(family, name, k)))
    patch.setattr("metastudy.families.search_feedback.NAMES", NAMES)
    return SearchFeedback(shots=(1, 4))


@cache
def toy_model() -> TrainedRanker:
    with pytest.MonkeyPatch.context() as patch:
        return train_on(in_place_of_public_collections(patch), NAMES, RANKER, seed=0)
