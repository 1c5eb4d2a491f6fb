"""Tests that decide between methods: paired, unpaired, sequential; intervals, multiplicity, power, verdicts."""

from metastudy.abtest.multiplicity import benjamini_hochberg, holm
from metastudy.abtest.paired import Comparison, interval, paired_test, sign_flip_p, t_interval
from metastudy.abtest.power import minimum_detectable
from metastudy.abtest.scores import compare, gains, paired_scores, summarise
from metastudy.abtest.verdicts import Verdict, verdict

__all__ = [
    "Comparison",
    "Verdict",
    "benjamini_hochberg",
    "compare",
    "gains",
    "holm",
    "interval",
    "minimum_detectable",
    "paired_scores",
    "paired_test",
    "sign_flip_p",
    "summarise",
    "t_interval",
    "verdict",
]
