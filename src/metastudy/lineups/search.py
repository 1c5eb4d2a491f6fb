"""Search: tools of the field, and ways of adapting."""

from __future__ import annotations

from metastudy.adapt import MAML, Prototypes, RidgeHead, Unadapted
from metastudy.families.base import Family
from metastudy.methods import FineTuned, Method, Scratch, field_baselines, mixture_and_members


def ranking_methods(family: Family) -> list[Method]:
    """For search: the field's own tools are columns of the input."""
    mappings = Unadapted(), MAML(), RidgeHead(initial_penalty=10.0), Prototypes()
    return [*field_baselines(family), Scratch(), FineTuned(), *mixture_and_members(*mappings)]
