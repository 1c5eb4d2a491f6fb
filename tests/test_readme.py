"""README.md says what the committed tables say, and points only to what exists."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from metastudy import plan
from metastudy.errors import DataError
from metastudy.project import STEPS, find_root
from tools import refresh_readme

ROOT = find_root()
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_results_are_those_of_the_committed_tables() -> None:
    plans = plan.load(ROOT / "notebooks" / "parameters" / "plan.yaml")
    block = refresh_readme.results(ROOT / "results" / "quick", plans)
    assert refresh_readme.refreshed(TEXT, "results", block) == TEXT


def test_speed_is_that_of_the_committed_table() -> None:
    block = refresh_readme.speed(ROOT / "results" / "bench" / "speed.csv")
    assert refresh_readme.refreshed(TEXT, "speed", block) == TEXT
    assert "**metastudy**" in block and block.count("\n|") >= 5


def test_speed_of_search_is_that_of_the_committed_table() -> None:
    block = refresh_readme.search_speed(ROOT / "results" / "bench" / "search.csv")
    assert refresh_readme.refreshed(TEXT, "search speed", block) == TEXT
    assert "g, feedback.fast_columns" in block and "usearch" in block


def test_calibration_is_that_of_the_committed_table() -> None:
    block = refresh_readme.calibration(ROOT / "results" / "calibration" / "calibration.csv")
    assert refresh_readme.refreshed(TEXT, "calibration", block) == TEXT
    assert "a known mistake" in block and block.count("\n|") > 20


def test_numbers_of_feedback_are_those_of_the_committed_tables() -> None:
    """They stand in sentences, so they are typed: but not wrongly."""
    section = TEXT.split("## Search that learns from feedback")[1].split("\n## ")[0]
    section = " ".join(section.replace("**", "").split())
    tables = ROOT / "results" / "full" / "tables"
    means = pd.read_csv(tables / "search_feedback.csv")
    means = means[(means["family"] == "all") & (means["metric"] == "ndcg@10") & (means["shots"] == 2)]
    means = means.set_index("method")["mean"]
    for method in ("none", "D", "RM3", "F", "F+L", "g"):
        assert f"{method} {means[method]:.3f}".replace(" 0.", " .") in section, method
    gains = pd.read_csv(tables / "feedback_gains.csv")
    gains = gains[(gains["family"] == "all") & (gains["shots"].astype(str) == "2")].set_index("b")
    for rival in ("D", "F", "F+L"):
        g = gains.loc[rival]
        assert f"over {rival} +{g['gain']:.1f}% [{g['low']:.1f}, {g['high']:.1f}]" in section, rival
    claim = pd.read_csv(tables / "search_primary.csv").set_index("study").loc["search_feedback"]
    assert f"difference to F+L in nDCG, is {claim['verdict']}" in section
    assert f"p = {claim['p']:.2f} alone and {claim['p_adjusted']:.2f} adjusted".replace("0.", ".") in section


def test_every_study_of_the_plan_is_shown() -> None:
    assert set(refresh_readme.STUDIES) == set(plan.load(ROOT / "notebooks" / "parameters" / "plan.yaml"))
    assert {notebook for _, notebook in refresh_readme.STUDIES.values()} <= set(STEPS)


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_links_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert not [t for t in targets if not t.startswith("http") and not (folder / t).exists()]


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(DataError, match="markers"):
        refresh_readme.refreshed("no markers here", "speed", "table")
