"""What a notebook calls: parameters from its namespace, files written whole and equal, a manifest of it all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from metastudy import parameters, study, tables
from metastudy.errors import DataError, ParameterError
from metastudy.project import Project, find_root, sha256, write_atomic


class Toy(parameters.Parameters):
    shots: parameters.Counts


VALUES = {"profile": "quick", "seed": 3, "jobs": 1, "shots": [1]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setitem(parameters.MODELS, "02_toy", Toy)
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy==2", "no-such-package>=1"]\n')
    for variable in study.THREAD_LIMITS:
        monkeypatch.setenv(variable, "1")
    return Project(tmp_path.resolve(), tmp_path.resolve() / "results", {"01_first": (), "02_toy": ("01_first",)})


@pytest.fixture
def run(project: Project) -> study.Run:
    return study.start("02_toy", VALUES, project)


def scores(rows: int = 3, value: float = 0.5) -> pd.DataFrame:
    frame = pd.DataFrame({"task": [f"t{i}" for i in reversed(range(rows))], "value": value})
    return frame.assign(study="s", family="f", method="g", shots=1, seed=0, metric="accuracy")


def figure() -> Figure:
    drawn = Figure()
    drawn.add_subplot().plot([0, 1], [1, 0])
    return drawn


def test_parameters_are_the_plain_values_of_the_namespace(project: Project) -> None:
    namespace = {**VALUES, "np": np, "_private": 1, "In": ["x"], "Out": {}, "exit": "", "__name__": "__main__"}
    assert study.start("02_toy", namespace, project).parameters.shots == [1]


def test_scores_on_another_task_list_are_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier notebook scored on tasks that were drawn anew since cannot be compared."""
    monkeypatch.setitem(parameters.MODELS, "01_first", Toy)
    listed = project.root / "data" / "tasks" / "quick" / "toy.json"
    listed.parent.mkdir(parents=True)
    listed.write_text("one list")
    first = study.start("01_first", VALUES, project)
    first.input(listed)
    path = project.path(str(first.scores(scores(), "toy")))
    first.finish()
    run = study.start("02_toy", VALUES, project)
    assert len(run.read_scores("toy")) == 3
    listed.write_text("another list")
    with pytest.raises(DataError, match=r"scores of 'toy' were written by 01_first when data/tasks/quick/toy.json had"):
        run.read_scores("toy")
    listed.write_text("one list")
    path.write_text(path.read_text() + "s,f,t9,g,1,0,accuracy,1\n")
    with pytest.raises(DataError, match="when results/quick/scores/toy.csv had another content"):
        run.read_scores("toy")


def test_an_undeclared_name_is_refused(project: Project) -> None:
    with pytest.raises(ParameterError, match="unknown parameter 'tpyo'"):
        study.start("02_toy", {**VALUES, "tpyo": 3}, project)


def test_start_can_run_again_in_a_live_session(project: Project, run: study.Run) -> None:
    again = study.start("02_toy", {**VALUES, "seed": 4, "run": run, "best": 0.7}, project)
    assert again.parameters.seed == 4
    with pytest.raises(ParameterError, match="seed"):
        study.start("02_toy", {**VALUES, "seed": "4", "run": run}, project)


def test_results_go_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASTUDY_RESULTS", str(tmp_path / "elsewhere"))
    assert study.results_root() == (tmp_path / "elsewhere").resolve()


def test_the_root_does_not_depend_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = find_root()
    monkeypatch.chdir(tmp_path)
    assert find_root() == root and (root / "pyproject.toml").is_file()


def test_scores_have_fixed_columns_order_and_digits(run: study.Run) -> None:
    shown = run.scores(scores().assign(value=[1 / 3, -0.0, 2.0]), "toy")
    assert shown == Path("results/quick/scores/toy.csv")
    lines = run.project.path(str(shown)).read_bytes().decode().split("\n")
    assert lines[0] == ",".join(tables.SCORES)
    assert lines[1:] == ["s,f,t0,g,1,0,accuracy,2", "s,f,t1,g,1,0,accuracy,0", "s,f,t2,g,1,0,accuracy,0.333333", ""]
    assert list(run.read_scores("toy")["task"]) == ["t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (scores().drop(columns="seed"), r"missing columns \['seed'\]"),
        (scores().assign(extra=1), r"unexpected columns \['extra'\]"),
        (pd.concat([scores(), scores()]), "3 repeated rows, first study=s"),
        (scores(value=float("nan")), "3 values are no finite number"),
        (scores(0), "no rows"),
    ],
)
def test_untidy_scores_are_refused_and_nothing_is_written(run: study.Run, frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        run.scores(frame, "toy")
    assert not run.folder.exists()


def test_large_scores_are_packed_and_found_again(run: study.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.scores(scores(), "toy")
    monkeypatch.setattr(tables, "COMPRESS_ABOVE", 500)
    first = run.project.path(str(run.scores(scores(200), "toy"))).read_bytes()
    assert [p.name for p in (run.folder / "scores").iterdir()] == ["toy.csv.gz"]
    assert len(run.read_scores("toy")) == 200
    assert run.project.path(str(run.scores(scores(200), "toy"))).read_bytes() == first
    run.scores(scores(), "toy")
    assert [p.name for p in (run.folder / "scores").iterdir()] == ["toy.csv"]
    run.finish()
    recorded = json.loads(run.project.manifest("quick", "02_toy").read_text())
    assert list(recorded["outputs"]) == ["results/quick/scores/toy.csv"]
    assert recorded["inputs"] == {}, "a notebook's own output is no input of it"


def test_missing_scores_name_what_to_run(run: study.Run) -> None:
    with pytest.raises(DataError, match=r"'other' not found.*run 01_first, or `make reproduce PROFILE=quick`"):
        run.read_scores("other")


def test_tables_and_verdicts_check_their_columns(run: study.Run) -> None:
    free = pd.DataFrame({"what": ["b", "a"], "value": [1.0, 2.5]})
    with pytest.raises(DataError, match="free=True"):
        run.table(free, "toy")
    path = run.project.path(str(run.table(free, "toy", free=True)))
    assert path.read_bytes() == b"what,value\nb,1\na,2.5\n"
    row = dict.fromkeys(tables.VERDICTS, 1) | {"study": "s", "a": "g", "b": "maml", "metric": "m", "verdict": "better"}
    run.verdicts(pd.DataFrame([row]))
    with pytest.raises(DataError, match=r"found \['best'\]; expected one of better"):
        run.verdicts(pd.DataFrame([row | {"verdict": "best"}]))


def test_equal_figures_are_equal_bytes(run: study.Run) -> None:
    first = run.project.path(str(run.figure(figure(), "toy"))).read_bytes()
    assert first == run.project.path(str(run.figure(figure(), "toy"))).read_bytes()
    assert first.startswith(b"\x89PNG") and matplotlib.__version__.encode() not in first


def test_result_names_are_plain(run: study.Run) -> None:
    with pytest.raises(ParameterError, match="small letters"):
        run.table(scores(), "My Table", free=True)


def test_manifest_says_how_results_came(run: study.Run, capsys: pytest.CaptureFixture) -> None:
    source = run.project.root / "list.yaml"
    source.write_text("tasks")
    run.input(source)
    table = run.project.path(str(run.table(scores(), "toy", free=True)))
    run.figure(figure(), "toy")
    run.finish()
    assert capsys.readouterr().out == "1 tables, 1 figures written to results/quick\n"
    manifest = json.loads(run.project.manifest("quick", "02_toy").read_text())
    assert manifest["parameters"] == VALUES and manifest["seed"] == 3
    assert manifest["key"] is None and manifest["code"] == {"commit": None, "modified": None}
    assert manifest["inputs"] == {"list.yaml": sha256(source)}
    assert manifest["outputs"]["results/quick/tables/toy.csv"] == sha256(table)
    assert manifest["packages"]["numpy"] == np.__version__
    assert manifest["packages"]["no-such-package"] == "not installed"
    assert manifest["wall_seconds"] >= 0 and 10 < manifest["peak_rss_mb"] < 100_000
    assert str(run.project.root) not in run.project.manifest("quick", "02_toy").read_text()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write_atomic(path, b"old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_files_outside_the_project_are_refused(run: study.Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    stray = tmp_path_factory.mktemp("outside") / "data.csv"
    stray.write_text("x")
    with pytest.raises(DataError, match="outside the project"):
        run.input(stray)
