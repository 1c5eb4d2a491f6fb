"""Relevance feedback without learning: Rocchio's formula and RM3 in every space, tuned on other collections."""

from metastudy.feedback.components import NAMES, components, task_components
from metastudy.feedback.index import PageIndex, Query
from metastudy.feedback.rocchio import GRIDS, NONE, feedback_scores, rank
from metastudy.feedback.tuned import TunedFeedback

__all__ = [
    "GRIDS",
    "NAMES",
    "NONE",
    "PageIndex",
    "Query",
    "TunedFeedback",
    "components",
    "feedback_scores",
    "rank",
    "task_components",
]
