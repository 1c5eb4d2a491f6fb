"""Comparing tables: what may differ a little, what not at all, and how a difference is named."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastudy.project import Project, find_root, sha256
from metastudy.tables import compress
from metastudy.verify import (
    LOOSE,
    Comparison,
    compare_folders,
    compare_named,
    compare_tables,
    main,
    read_csv,
    table_names,
)

TABLE = pd.DataFrame(
    {"method": ["g", "maml"], "shots": [1, 5], "mean": [0.5, 0.25], "published": [np.nan, 0.3], "source": [None, "x"]}
)


def test_equal_tables_agree() -> None:
    assert compare_tables(TABLE, TABLE.copy()) == Comparison(2, 0.0, [])


def test_small_differences_are_measured_and_allowed() -> None:
    outcome = compare_tables(TABLE.assign(mean=[0.505, 0.25]), TABLE)
    assert outcome.ok and outcome.max_difference == pytest.approx(0.005)


def test_a_large_difference_names_row_and_column() -> None:
    outcome = compare_tables(TABLE.assign(mean=[0.5, 0.35]), TABLE)
    assert outcome.problems == ["row 2, column mean: 0.35, expected 0.25 (method=maml, shots=5, source=x)"]


def test_tolerances_add_up_as_documented() -> None:
    a, b = pd.DataFrame({"mean": [11.0]}), pd.DataFrame({"mean": [10.0]})
    assert compare_tables(a, b, rtol=0.1, atol=0).ok and compare_tables(a, b, rtol=0, atol=1).ok
    assert not compare_tables(a, b, rtol=0.09, atol=0.09).ok


@pytest.mark.parametrize(
    "changed",
    [
        TABLE.assign(method=["g", "anil"]),
        TABLE.assign(shots=[1, 6]),
        TABLE.assign(source=["y", "x"]),
        TABLE.assign(mean=[0.5, np.nan]),
        TABLE.assign(published=[0.3, 0.3]),
        TABLE.iloc[::-1].reset_index(drop=True),
        TABLE.head(1),
        TABLE.drop(columns="source"),
        TABLE[["shots", "method", "mean", "published", "source"]],
    ],
)
def test_words_counts_rows_and_columns_must_be_equal(changed: pd.DataFrame) -> None:
    assert not compare_tables(changed, TABLE, rtol=1, atol=1).ok


def scores(values: list[float]) -> bytes:
    frame = pd.DataFrame({"study": "s", "family": "f", "task": range(len(values)), "method": "g", "shots": 1})
    return frame.assign(seed=0, metric="accuracy", value=values).to_csv(index=False).encode()


def test_raw_scores_are_compared_as_means_over_tasks() -> None:
    a, b = (read_csv(scores(v), "s.csv") for v in ([0.0, 1.0, 0.5], [1.0, 0.0, 0.5]))
    assert compare_tables(a, b).ok
    assert not compare_tables(read_csv(scores([0.0, 1.0]), "s.csv"), b).ok
    many, other = (read_csv(scores(v * 30), "s.csv") for v in ([1.0, 0.0, 0.5], [0.9, 1.0, 0.5]))
    assert not compare_tables(other, many).ok  # with 90 tasks, 0.3 is far outside half of the interval's width


def test_packed_and_plain_scores_are_the_same_table(tmp_path: Path) -> None:
    for name, content in (("a/scores/s.csv", scores([1, 0])), ("b/scores/s.csv.gz", compress(scores([1, 0])))):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    assert table_names(tmp_path / "b") == ["scores/s.csv"]
    assert compare_folders(tmp_path / "a", tmp_path / "b")["scores/s.csv"].ok
    (tmp_path / "a/scores/s.csv").unlink()
    assert compare_folders(tmp_path / "a", tmp_path / "b")["scores/s.csv"].problems == ["missing"]


@pytest.fixture
def checkout(tmp_path: Path) -> Project:
    """A committed study of one step and one table."""
    root = tmp_path.resolve()
    table = root / "results" / "quick" / "tables" / "t.csv"
    table.parent.mkdir(parents=True)
    TABLE.to_csv(table, index=False)
    project = Project(root, root / "results", {"00_only": ()})
    write_profile(project)
    record(project)
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "results"]):
        subprocess.run([*git, *command], check=True)
    return project


def write_profile(project: Project) -> None:
    path = project.root / "notebooks" / "parameters" / "quick.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("common: {}\n")


def record(project: Project) -> None:
    manifest = project.manifest("quick", "00_only")
    manifest.parent.mkdir(parents=True, exist_ok=True)
    name = "results/quick/tables/t.csv"
    manifest.write_text(json.dumps({"outputs": {name: sha256(project.path(name))}}))


def test_a_clean_checkout_verifies(checkout: Project, capsys: pytest.CaptureFixture) -> None:
    assert main([], checkout) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["tables/t.csv", "2", "0", "ok"]


def test_a_file_that_is_not_the_recorded_one_fails(checkout: Project, capsys: pytest.CaptureFixture) -> None:
    TABLE.assign(mean=[0.501, 0.25]).to_csv(checkout.path("results/quick/tables/t.csv"), index=False)
    assert main([], checkout) == 1
    assert "not the file that its manifest records" in capsys.readouterr().err
    record(checkout)
    assert main([], checkout) == 0, "a new run within tolerance is right"


def test_a_result_unlike_the_committed_one_fails(checkout: Project, capsys: pytest.CaptureFixture) -> None:
    TABLE.assign(mean=[0.9, 0.25]).to_csv(checkout.path("results/quick/tables/t.csv"), index=False)
    record(checkout)
    assert main([], checkout) == 1
    assert "tables/t.csv: row 1, column mean: 0.9, expected 0.5" in capsys.readouterr().err
    assert main(["--atol", "0.5"], checkout) == 0


def test_a_missing_table_fails(checkout: Project, capsys: pytest.CaptureFixture) -> None:
    checkout.path("results/quick/tables/t.csv").unlink()
    assert main([], checkout) == 1
    assert "tables/t.csv: missing" in capsys.readouterr().err


def test_a_damaged_table_is_refused(checkout: Project, capsys: pytest.CaptureFixture) -> None:
    checkout.path("results/quick/tables/t.csv").write_bytes(b"")
    assert main([], checkout) == 2
    assert "t.csv is damaged" in capsys.readouterr().err


def test_without_git_only_hashes_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    project = Project(tmp_path, tmp_path / "results", {"00_only": ()})
    assert main([], project) == 2
    assert "no file notebooks/parameters/quick.yaml" in capsys.readouterr().err
    write_profile(project)
    assert main([], project) == 1
    said = capsys.readouterr()
    assert "no git checkout" in said.out and "00_only: no manifest" in said.err


@pytest.mark.after_notebooks
def test_what_the_notebooks_wrote_agrees_with_the_committed_results() -> None:
    project = Project.at()
    committed = find_root() / "results" / "quick"
    outcome = compare_folders(project.results / "quick", committed)
    assert {name: c.problems for name, c in outcome.items() if not c.ok} == {}
    executed = [step for step in project.steps if project.notebook(step).is_file()]
    assert outcome or not executed, "notebooks are committed but no results: run `make reproduce` and commit them"


def estimates(**changed: object) -> pd.DataFrame:
    row = {"study": "s", "difference": 1.0, "low": 0.5, "high": 1.5, "p": 0.01, "p_adjusted": 0.01, "verdict": "better"}
    return pd.DataFrame([row | changed])


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        ({"difference": 1.5}, True),  # half of the interval's width is 0.5
        ({"difference": 1.6}, False),
        ({"p": 0.09}, True),
        ({"p": 0.2}, False),
        ({"verdict": "undecided"}, True),  # the interval ends half a width from zero: a near call
    ],
)
def test_estimates_may_move_by_a_part_of_their_uncertainty(changed: dict, agrees: bool) -> None:
    assert compare_tables(estimates(**changed), estimates()).ok is agrees


def test_a_clear_verdict_may_not_change() -> None:
    clear = estimates(low=0.9, high=1.1)
    assert not compare_tables(clear.assign(verdict="worse"), clear).ok


COMMITTED = [
    (profile, name)
    for profile in ("quick", "full")
    for name in sorted(LOOSE)
    if (find_root() / "results" / profile / name).is_file()
]


def test_every_loose_table_is_one_of_the_study() -> None:
    assert {name for _, name in COMMITTED} == LOOSE


@pytest.mark.parametrize(("profile", "name"), COMMITTED)
def test_loose_tables_of_the_study_are_compared_by_their_rows(profile: str, name: str) -> None:
    table = pd.read_csv(find_root() / "results" / profile / name)
    measured = list(table.select_dtypes("floating"))
    moved = table.assign(**{c: table[c] + 0.3 for c in measured}).sample(frac=1, random_state=0)
    assert compare_named(name, moved.reset_index(drop=True), table, 0.01, 0.01).ok
    assert not compare_named(name, table.iloc[1:].reset_index(drop=True), table, 0.01, 0.01).ok
    assert not compare_named(name, table.drop(columns=table.columns[0]), table, 0.01, 0.01).ok


def test_a_verdict_without_adjusted_p_is_compared_as_it_is() -> None:
    rows = pd.DataFrame({"difference": [1.0], "low": [0.5], "high": [1.5], "p": [0.2], "verdict": ["undecided"]})
    assert compare_tables(rows, rows).ok
    assert not compare_tables(rows.assign(verdict="better"), rows).ok


def test_gains_may_move_by_half_of_their_own_interval() -> None:
    rows = pd.DataFrame(
        {"mean": [0.7], "low": [0.69], "high": [0.71], "gain": [0.0], "gain_low": [-0.1], "gain_high": [0.1]}
    )
    assert compare_tables(rows.assign(gain=0.09), rows).ok
    assert not compare_tables(rows.assign(gain=0.2), rows).ok
