"""Summarization: tools of the field, every way of adapting that applies, and mixtures weighted by evidence."""

from __future__ import annotations

from metastudy.adapt import MAML, InputScore, Prototypes, RidgeHead, Unadapted
from metastudy.evidence import EvidenceMixture
from metastudy.families.summary_family import SummaryFamily
from metastudy.methods import FineTuned, Method, RandomScores, Scratch, alone, field_baselines


def summarization_methods(family: SummaryFamily) -> list[Method]:
    """Choosing at random, the field's tools, learning from the support alone and from earlier tasks, every way of
    adapting that applies, and g.

    Members of g are the field's tools, f as earlier tasks left it, and prototypes. "tools" is g without anything that
    was meta-trained.
    """
    tools = tuple(InputScore(b.column, b.name) for b in family.field_baselines)
    others = MAML(), RidgeHead(initial_penalty=10.0), Prototypes()
    mixtures = EvidenceMixture("tools", tools), EvidenceMixture("g", (*tools, Unadapted(), Prototypes()))
    baselines = [RandomScores(), *field_baselines(family), Scratch(), FineTuned(), *alone(Unadapted(), *others)]
    return [*baselines, *mixtures]
