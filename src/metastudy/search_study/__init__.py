"""What notebook 06 asks about relevance feedback besides who wins: how much in percent, for which queries, why a page
moved, whether first stages are what others know them to be, and what a first stage gains that itself adapts.
"""

from metastudy.search_study.first_stage import WHOLE, everywhere, recall_after
from metastudy.search_study.gains import ALL, MEAN, METRIC, query_differences, relative_gains, wins
from metastudy.search_study.known_numbers import GRADES, LISTED, anchors, first_stages, known
from metastudy.search_study.reasons import IN_WORDS, asked_and_judged, before_and_after, contributions

__all__ = [
    "ALL",
    "GRADES",
    "IN_WORDS",
    "LISTED",
    "MEAN",
    "METRIC",
    "WHOLE",
    "anchors",
    "asked_and_judged",
    "before_and_after",
    "contributions",
    "everywhere",
    "first_stages",
    "known",
    "query_differences",
    "recall_after",
    "relative_gains",
    "wins",
]
