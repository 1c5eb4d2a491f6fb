"""A new hospital: what three others know, what a few local patients know, and both."""

from __future__ import annotations

from metastudy.adapt import (
    ANIL,
    BOIL,
    MAML,
    Attention,
    CosinePrototypes,
    Estimator,
    FiLM,
    FirstOrderMAML,
    MetaSGD,
    ProtoMAML,
    Prototypes,
    Reptile,
    RidgeHead,
    TaskMemory,
    Unadapted,
)
from metastudy.hospitals import NewHospital, PriorCentred, Recalibration
from metastudy.hospitals.anchors import C
from metastudy.hospitals.local import LocalOnly
from metastudy.lineups import C_GRID
from metastudy.methods import FineTuned, Method, Scratch, alone

SOURCE, LOCAL, G = "source only", "local only", "g"
MIXED = "own intercepts"
"""f of g: a logistic regression on the sources in which each hospital has its own intercept."""
OFFSET, SLOPE, HEAD = Recalibration("offset", slope=False), Recalibration(), PriorCentred()
MEMBERS = (SLOPE, HEAD)
"""Of g. Chosen with two hospitals as sources and a third as the new one, all twelve ways (log loss after ten patients,
mean over hospitals: source only .54, these two .453). The offset alone in the place of offset and slope gave .452, but
was worse than source only at one hospital; f as it is as a third member was worse (.470, in a shorter training): its
share keeps g from meeting another prevalence. No fold's C, α or β has seen its tested hospital, but this choice, that
of own intercepts and the starting values of α have seen each of the four as somebody's new one: there is no fifth."""
BLIND = f"{G}, no patients"
BOTH_WAYS = (SOURCE, LOCAL, "source, offset", "source, prior-centred", BLIND, G)
"""Asked with as many healthy as sick patients too, to show what a false prevalence does."""
IN_FIGURE = (SOURCE, LOCAL, "fine-tuned", "maml", "source, prior-centred", G)
"""Of the curves over k; all methods are in the table."""


def every_psi() -> list[Method]:
    """The mappings that apply to diagnoses, each alone, over the family's own f: a small network."""
    return alone(
        Unadapted(), MAML(), FirstOrderMAML(), ANIL(), BOIL(), MetaSGD(), Reptile(), RidgeHead(initial_scale=2.0),
        Prototypes(), CosinePrototypes(), ProtoMAML(), Attention(), FiLM(), TaskMemory(), Estimator(),
    )  # fmt: skip


def plain_source() -> list[Method]:
    """One logistic regression for all source hospitals: as it is, and moved by local patients in three ways."""
    ways = (("offset", OFFSET), ("offset and slope", SLOPE), ("prior-centred", HEAD))
    moved = [NewHospital(f"source, {name}", (mapping,), intercepts=False, penalty=C) for name, mapping in ways]
    return [NewHospital(SOURCE, (Unadapted(),), intercepts=False, penalty=C), *moved]


def own_intercepts() -> list[Method]:
    """The same four over f of g."""
    ways = (("offset", OFFSET), ("offset and slope", SLOPE), ("prior-centred", HEAD))
    return [
        NewHospital(MIXED, (Unadapted(),)),
        *(NewHospital(f"{MIXED}, {name}", (mapping,)) for name, mapping in ways),
    ]


def hospital_methods() -> list[Method]:
    """All of them; g comes last, before it the same g without any patient, which answers k = 0."""
    return [
        LocalOnly(tuple(setting["C"] for setting in C_GRID)),
        Scratch(),
        FineTuned(),
        *every_psi(),
        *plain_source(),
        *own_intercepts(),
        NewHospital(BLIND, MEMBERS, blind=True),
        NewHospital(G, MEMBERS),
    ]
