"""Search: tools of the field, and ways of adapting."""

from __future__ import annotations

from metastudy.adapt import MAML, Prototypes, RidgeHead, Unadapted
from metastudy.collection_ranker import CollectionRanker
from metastudy.families.base import Family
from metastudy.fusion import ShrunkenFusion, TransferredFusion, TunedFusion, UntunedFusion
from metastudy.methods import FineTuned, Method, Scratch, alone, field_baselines, mixture_and_members, pooled

UNTUNED = ("rrf", "untuned fusion")
"""Fusions that nothing was tuned for."""
IN_FIGURE = ("bm25", "dense", *UNTUNED, "tuned fusion", "shrunken fusion", "fine-tuned", "g")


def ranking_methods(family: Family) -> list[Method]:
    """For search: the field's own tools are columns of the input."""
    mappings = Unadapted(), MAML(), RidgeHead(initial_penalty=10.0), Prototypes()
    return [*field_baselines(family), Scratch(), FineTuned(), *mixture_and_members(*mappings)]


def public_methods(family: Family) -> list[Method]:
    """For public collections: fusions tuned nowhere, on the judged queries, on other collections, and on both; the same
    ways of adapting; and as g a linear ranker whose weights start from other collections'."""
    fusions = [
        UntunedFusion("untuned fusion"), TunedFusion("tuned fusion"), TransferredFusion("transferred fusion"),
        ShrunkenFusion("shrunken fusion"),
    ]  # fmt: skip
    ways = alone(MAML(), RidgeHead(initial_penalty=10.0), Prototypes())
    return [*field_baselines(family), *fusions, Scratch(), FineTuned(), pooled(), *ways, CollectionRanker()]
