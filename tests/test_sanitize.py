"""The sanitiser of notebook comparisons removes times and addresses, and never a result."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

CONFIG = Path(__file__).with_name("nbval_sanitize.cfg")


def sanitize(text: str) -> str:
    """As nbval does it: each section's regex, in order."""
    config = configparser.RawConfigParser()
    config.read(CONFIG)
    for section in config.sections():
        text = re.sub(config.get(section, "regex"), config.get(section, "replace"), text, flags=re.DOTALL)
    return text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("trained in 1.2 s", "trained in TIME"),
        ("300 ms a step, 2 min in all", "TIME a step, TIME in all"),
        ("<Axes at 0x7f3a2b4c>", "<Axes at ADDRESS>"),
        ("saved to /tmp/pytest-1/x.csv now", "saved to FOLDER now"),
    ],
)
def test_what_differs_between_runs_goes(before: str, after: str) -> None:
    assert sanitize(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "accuracy 0.913 [0.901, 0.925]",
        "g better than pooled: yes",
        "ratio 1.2x, 3:4, 5/6, 1e-3, -0.5",
        "5 shots, 20 tasks, 3 seeds, 4 methods, 10 minutes of text",
        "1 sinusoid, 2 studies, 3 summaries, 1 mse",
        "min 0.2 max 0.9; 95 % interval; s 1.0",
        "shots  mean\n    1   0.5\n    5   0.75",
        "tables/quick/scores.csv",
        "0x1f",
    ],
)
def test_results_stay(text: str) -> None:
    assert sanitize(text) == text


def test_the_sanitiser_stays_small() -> None:
    config = configparser.RawConfigParser()
    config.read(CONFIG)
    assert config.sections() == ["times", "addresses", "temporary folders"]
