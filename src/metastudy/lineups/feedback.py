"""Relevance feedback: classical formulas, weakest to strongest, ways of adapting a network, and g at the end."""

from __future__ import annotations

from metastudy.adapt import MAML, Prototypes, RidgeHead
from metastudy.families.base import Family
from metastudy.feedback import TunedFeedback
from metastudy.feedback.learned_columns import GROUPS, SAME_AS_F_L
from metastudy.feedback.ranker import FeedbackRanker
from metastudy.methods import FineTuned, Method, Scratch, alone, field_baselines, pooled

CLASSICAL = ("none", "D", "RM3", "F", "F+L")
"""No feedback; dense Rocchio; RM3 beside it; dense and lexical Rocchio; the same with latent semantic vectors."""
SAME_COLUMNS = "g, columns of F+L"
IN_FIGURE = ("none", "D", "F", "F+L", "fine-tuned", SAME_COLUMNS, "g")


def feedback_methods(family: Family) -> list[Method]:
    """The formulas, the field's own columns, learning from the support alone, ways of adapting, and g.

    D alone flatters whatever it is compared with: F and F+L belong beside it in every table. `SAME_COLUMNS` learns
    weights of what F+L weighs: what it is above F+L is learning, what g is above it is other columns.
    """
    return [*formulas(), *field_baselines(family), *adapted(), *rankers()]


def formulas() -> list[Method]:
    """Tuned on other collections, by grid."""
    return [TunedFeedback(name) for name in CLASSICAL]


def adapted() -> list[Method]:
    """One network over rows of pages, adapted to the judged ones in each of these ways."""
    return [Scratch(), FineTuned(), pooled(), *alone(MAML(), RidgeHead(initial_penalty=10.0), Prototypes())]


def rankers() -> list[Method]:
    """Learned mixtures."""
    return [FeedbackRanker(SAME_COLUMNS, SAME_AS_F_L), FeedbackRanker("g")]


def without_one_group() -> list[Method]:
    """g without each group of columns: what it rests on."""
    full = FeedbackRanker("g")
    return [
        FeedbackRanker(f"g without {group}", tuple(c for c in full.columns if c not in own))
        for group, own in GROUPS.items()
    ]
