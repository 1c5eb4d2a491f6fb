"""From an interval, a p-value and a margin to one of four words."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["better", "worse", "equivalent", "undecided"]


def verdict(
    difference: float, low: float, high: float, p_adjusted: float, margin: float, alpha: float = 0.05
) -> Verdict:
    """equivalent: the interval lies within ± margin, however small p. better / worse: otherwise, if p < alpha.

    `difference` must already be oriented so that more is better for a.
    """
    if -margin < low and high < margin:
        return "equivalent"
    if p_adjusted < alpha and difference != 0:
        return "better" if difference > 0 else "worse"
    return "undecided"
