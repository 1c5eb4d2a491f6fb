"""From files to a folder: with a toy kind, whatever does not depend on the kind."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastudy.errors import DataError, ParameterError
from metastudy.evaluate import cross_validate
from metastudy.own_data import command, kinds, running
from metastudy.own_data.command import main
from metastudy.own_data.comparing import Compared, compare, predict
from metastudy.own_data.keeping import Kept
from metastudy.project import sha256


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kinds.KINDS, "toy", ("own_data.toy_kind", "ToyKind"))
        patch.setitem(command.HELP, "toy", "a toy")
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "numbers.txt"
    path.write_text("1\n2\n")
    return path


@pytest.fixture(scope="module")
def found(toy: None, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return compare("toy", data, target="x", out=tmp_path_factory.mktemp("found") / "out", jobs=1)


def test_all_files_are_written_and_named_with_their_hashes(found: Compared) -> None:
    manifest = json.loads((found.folder / "manifest.json").read_text())
    assert sorted(p.name for p in found.folder.iterdir()) == sorted([*manifest["outputs"], "manifest.json"])
    for name, digest in manifest["outputs"].items():
        assert sha256(found.folder / name) == digest
    assert manifest["data"] == {"numbers.txt": sha256(found.options.path)}
    assert manifest["options"]["path"] == "numbers.txt"
    assert str(found.options.path.parent) not in (found.folder / "manifest.json").read_text()
    assert (found.folder / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_scores_are_those_of_the_notebooks_code_path(found: Compared) -> None:
    prepared = found.prepared
    expected = cross_validate(prepared.family, found.specs, prepared.methods, prepared.config, [0]).scores
    keys = ["method", "shots", "task"]
    ours, theirs = (f.sort_values(keys).reset_index(drop=True) for f in (found.scores, expected))
    pd.testing.assert_frame_equal(ours, theirs)


def test_the_number_of_processes_changes_no_number(found: Compared, data: Path, tmp_path: Path) -> None:
    again = compare("toy", data, target="x", out=tmp_path / "again", jobs=2)
    assert (again.folder / "scores.csv").read_bytes() == (found.folder / "scores.csv").read_bytes()


def test_the_page_tells_the_answer_and_is_safe(found: Compared) -> None:
    page = (found.folder / "report.html").read_text()
    for advice in found.advice:
        assert html.escape(advice.sentence) in page
    assert "what &lt;b&gt;" in page and "a &amp; b" in page and "<i>real" not in page
    assert page.count('class="use"') == 2  # one row a number of shots
    assert "http" not in page


def test_it_says_how_long_the_rest_will_take(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    compare("toy", data, say=said.append, target="x", out=tmp_path / "out", jobs=1)
    assert any("2 of 16 draws took" in line and "the others will take about" in line for line in said)
    assert "numbers: 100" in said


def test_an_interrupted_run_goes_on_with_what_had_not_finished(
    data: Path, tmp_path: Path, found: Compared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, typed = tmp_path / "cut", ["compare", "toy", str(data), "--target", "x", "--jobs", "1"]
    real, scored, cut = running.score_tasks, [], True

    def stops(family, fold, specs, fitted, name, seed):
        scored.append(name)
        if cut and name == "bad" and scored.count("bad") == 2:  # after the first draws, in the middle of the others
            raise KeyboardInterrupt
        return real(family, fold, specs, fitted, name, seed)

    monkeypatch.setattr(running, "score_tasks", stops)
    assert main([*typed, "--out", str(out)]) == 130
    assert "goes on" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == [".partial"] and len(list((out / ".partial").iterdir())) == 2
    scored.clear()
    cut = False
    assert main([*typed, "--out", str(out)]) == 0
    assert "2 of 4 methods were kept" in capsys.readouterr().out
    assert set(scored) == {"bad", "g"}
    assert (out / "scores.csv").read_bytes() == (found.folder / "scores.csv").read_bytes()
    assert not (out / ".partial").exists()
    again = tmp_path / "other"
    monkeypatch.setattr(running, "score_tasks", real)
    compare("toy", data, target="x", out=again, jobs=1, seed=1)
    assert (again / "manifest.json").is_file()


def test_other_options_reuse_nothing(data: Path, tmp_path: Path, found: Compared) -> None:
    kept = Kept(tmp_path, found.prepared, found.specs, 0)
    method = found.prepared.methods[0]
    kept.put(method, found.scores, found.took[method.name])
    pd.testing.assert_frame_equal(kept.get(method)[0], found.scores)
    assert kept.get(found.prepared.methods[1]) is None
    assert Kept(tmp_path, found.prepared, found.specs, 1).get(method) is None
    assert Kept(tmp_path, found.prepared, found.specs[1:], 0).get(method) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "--target ..."),
        ({"target": "x", "shot": (1,)}, "unknown option 'shot'; did you mean 'shots'"),
        ({"target": "x", "seed": "1"}, "--seed 1: input should be a valid integer"),
        ({"target": "x", "shots": ()}, "expected one number or more"),
        ({"target": "x", "shots": (5, 0)}, "--shots 5 0: expected one number or more, 1 or larger"),
        ({"target": "x", "jobs": 0}, "--jobs 0"),
    ],
)
def test_options_are_checked(data: Path, tmp_path: Path, options: dict, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        compare("toy", data, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_bad_data_write_nothing(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 'x'"):
        compare("toy", data, target="y", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ParameterError, match="kind 'toi' is none of .*did you mean 'toy'"):
        compare("toi", data)


def test_only_an_earlier_comparison_is_overwritten(data: Path, tmp_path: Path, found: Compared) -> None:
    compare("toy", data, target="x", out=found.folder, jobs=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for folder, said in ((tmp_path / "mine", "holds files"), (data, "is a file")):
        with pytest.raises(ParameterError, match=said):
            compare("toy", data, target="x", out=folder)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_predict_gives_what_the_method_says(data: Path, tmp_path: Path) -> None:
    table = predict("toy", data, None, "g", out=tmp_path / "p.csv", target="x")
    written = pd.read_csv(tmp_path / "p.csv")
    assert np.allclose(written["guess"], table["guess"], rtol=1e-5)
    with pytest.raises(ParameterError, match="--method 'h' is none of mean, near, bad, g"):
        predict("toy", data, None, "h", target="x")
    with pytest.raises(DataError, match="nowhere.csv does not exist"):
        predict("toy", data, tmp_path / "nowhere.csv", "g", target="x")
    with pytest.raises(DataError, match="its folder does not exist"):
        predict("toy", data, None, "g", out=tmp_path / "no" / "p.csv", target="x")


def test_the_command_does_the_same(
    data: Path, tmp_path: Path, found: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "typed"
    assert main(["compare", "toy", str(data), "--target", "x", "--out", str(out), "--jobs", "1"]) == 0
    assert (out / "scores.csv").read_bytes() == (found.folder / "scores.csv").read_bytes()
    printed = capsys.readouterr().out
    assert str(found) in printed and "k = 5" in printed and "report.html" in printed
    assert main(["predict", "toy", str(data), "--target", "x", "--method", "g"]) == 0
    assert capsys.readouterr().out.startswith("line,guess\n2,")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "toy", "nowhere.txt", "--target", "y"], "expected 'x'"),
        (["compare", "toy", "nowhere.txt", "--target", "x", "--seed", "-1"], "--seed -1"),
        (["predict", "toy", "nowhere.txt", "--target", "x", "--method", "h"], "--method 'h'"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("metastudy: ") and said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["compare"], ["compare", "toy"], ["guess"], ["compare", "toy", "f", "--nope"]])
def test_usage_errors_are_code_2_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: metastudy" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compare", "predict"])
def test_help_names_every_option_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "toy", "--help"])
    printed = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "--far" in printed and "--target" in printed and f"metastudy {command} toy numbers.txt" in printed
    assert ("--draws" in printed) == (command == "compare")
    assert "exit codes" in printed
