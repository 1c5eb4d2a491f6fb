"""The list names everything that there is, with scores from the committed tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from metastudy.adapt import REGISTRY
from metastudy.own_data import listing
from metastudy.project import Project


def test_everything_is_listed() -> None:
    text = "\n".join(listing.lines())
    for name in (*REGISTRY, "column_prior", "kernel_ridge", "ColumnNet", "VectorNet", "omniglot", "search_feedback"):
        assert f"  {name} " in text
    for record in (Project.at().root / "results" / "full" / "models").glob("*.json"):
        assert f"  {record.stem} " in text


@pytest.mark.parametrize("name", listing.STUDIES)
def test_scores_are_those_of_the_tables(name: str) -> None:
    tables = Project.at().root / "results" / "full" / "tables"
    study, shots, metric = listing.STUDIES[name]
    rows = pd.read_csv(tables / f"{study}.csv")
    row = rows.query("method == 'g' and family == 'all' and shots == @shots and metric == @metric").iloc[0]
    assert listing.score_of(name, tables).startswith(f"{row['mean']:.3g} [{row['low']:.3g}")


def test_a_model_of_its_own_row_and_one_of_several() -> None:
    tables = Project.at().root / "results" / "full" / "tables"
    assert listing.score_of("sinusoid_g_5", tables).startswith("K=5 ")
    assert "5-way 1-shot" in listing.score_of("omniglot_maml_5", tables)
    assert "20-way" not in listing.score_of("omniglot_maml_5", tables)
    assert "20-way 5-shot" in listing.score_of("omniglot_ridge", tables)
    assert listing.score_of("omniglot_challenge_g_full_0", tables) == ""


def test_without_results_there_is_nothing_to_list(tmp_path: Path) -> None:
    assert list(listing.trained(tmp_path)) == []
    assert listing.score_of("diagnosis_g", tmp_path) == ""
