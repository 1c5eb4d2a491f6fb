"""The runner, on a real study of two tiny notebooks: order, staleness, failures, kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import papermill
import pytest

import tiny_project
from metastudy import parameters, staleness
from metastudy.errors import ParameterError
from metastudy.project import Project
from metastudy.reproduce import in_order, load_profile, locked, main
from tiny_project import write_profile

TESTS = Path(__file__).resolve().parent
SECONDS = 60


@pytest.fixture(scope="module", autouse=True)
def tiny_models():
    """Kernels import tiny_project too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
        patch.setattr(parameters, "MODELS", dict(parameters.MODELS))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A study that ran once."""
    project = tiny_project.make(tmp_path_factory.mktemp("finished"))
    assert main([], project) == 0
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of it, up to date as well: nothing in it depends on where it lies."""
    shutil.copytree(finished.root, tmp_path / "copy")
    root = (tmp_path / "copy").resolve()
    return Project(root, root / "results", finished.steps)


def tables(project: Project) -> dict[str, bytes]:
    files = [p for kind in ("scores", "tables") for p in (project.results / "quick" / kind).glob("*")]
    return {p.name: p.read_bytes() for p in files}


def stale(project: Project) -> list[str]:
    plan = load_profile(project, "quick")
    return [step for step in project.steps if staleness.why_stale(project, step, plan[step])]


def edit(project: Project, step: str, old: str, new: str) -> None:
    path = project.notebook(step)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_everything_is_written(finished: Project) -> None:
    assert set(tables(finished)) == {"tiny.csv", "draw.csv", "sum.csv"}
    assert all(finished.executed("quick", step).is_file() for step in finished.steps)
    assert not list(finished.results.rglob("*partial*"))


def test_executed_copies_hold_no_paths_or_times(finished: Project) -> None:
    for step in finished.steps:
        text = finished.executed("quick", step).read_text()
        assert str(finished.root) not in text and "start_time" not in text and "metastudy-run" not in text


def test_a_second_run_does_nothing(project: Project, capsys: pytest.CaptureFixture) -> None:
    before = {p: p.stat().st_mtime_ns for p in project.results.rglob("*") if p.is_file() and p.name != ".lock"}
    assert main([], project) == 0
    assert capsys.readouterr().out == "quick: all 2 steps up to date\n"
    after = {p: p.stat().st_mtime_ns for p in project.results.rglob("*") if p.is_file() and p.name != ".lock"}
    assert after == before


def test_a_second_run_needs_no_heavy_import(project: Project) -> None:
    code = (
        "import sys, tiny_project; from metastudy.reproduce import main; from metastudy.project import Project; "
        "from pathlib import Path; tiny_project.register(); root = Path(sys.argv[1]); "
        "assert main([], Project(root, root / 'results', tiny_project.STEPS)) == 0; "
        "print({'torch', 'pandas', 'papermill', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, project.root], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["quick: all 2 steps up to date", "set()"]


def test_a_changed_parameter_runs_what_it_touches(project: Project, capsys: pytest.CaptureFixture) -> None:
    before = tables(project)
    write_profile(project.root, total={"scale": 10.0})
    assert stale(project) == ["01_sum"]
    assert main(["--status"], project) == 0
    assert "00_draw                  up to date" in capsys.readouterr().out
    assert main([], project) == 0
    out = capsys.readouterr().out
    assert "[2/2] 01_sum" in out and "00_draw" not in out and "1 of 2 steps run" in out
    after = tables(project)
    assert after["sum.csv"] != before["sum.csv"] and after["tiny.csv"] == before["tiny.csv"]


def write_profile_with_steps(project: Project, steps: object, **parameters: dict) -> None:
    common = {"seed": 0, "jobs": 1}
    content = {"steps": steps, "common": common, **parameters}
    (project.root / "notebooks" / "parameters" / "half.yaml").write_text(json.dumps(content))


def test_a_profile_may_have_some_of_the_notebooks(project: Project, capsys: pytest.CaptureFixture) -> None:
    write_profile_with_steps(project, ["00_draw"], **{"00_draw": {"rows": 4, "crash": False}})
    assert main(["--profile", "half"], project) == 0
    assert "half: 1 of 1 steps run" in capsys.readouterr().out
    assert not project.manifest("half", "01_sum").exists()
    assert main(["--profile", "half", "--status"], project) == 0
    assert capsys.readouterr().out.split() == ["00_draw", "up", "to", "date"]
    assert main(["--profile", "half", "--only", "01_sum"], project) == 2
    assert "profile 'half' has no 01_sum; it has 00_draw" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("steps", "parameters", "says"),
    [
        (["01_sum"], {"01_sum": {"scale": 1.0}}, "01_sum builds on 00_draw, which `steps` does not name"),
        (["00_draw"], {"01_sum": {"scale": 1.0}}, "parameters of 01_sum but `steps` does not name it"),
        (["00_drew"], {}, "step '00_drew' is unknown"),
        ("00_draw", {}, "steps is '00_draw'; expected a list"),
        ([], {}, r"steps is \[\]; expected a list"),
    ],
)
def test_steps_that_cannot_be_run_are_refused(project, steps, parameters, says) -> None:
    write_profile_with_steps(project, steps, **parameters)
    with pytest.raises(ParameterError, match=says):
        load_profile(project, "half")


def test_another_seed_gives_other_tables_downstream_too(project: Project) -> None:
    before = tables(project)
    write_profile(project.root, common={"seed": 1})
    assert main([], project) == 0
    assert not set(before.values()) & set(tables(project).values())


def test_what_makes_a_step_stale(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profile(project.root, common={"jobs": 2})
    edit(project, "00_draw", "# Tiny", "# Prose may change")
    assert stale(project) == []

    with monkeypatch.context() as patch:
        patch.setattr(staleness, "_pins", lambda lock: ["numpy==0"])
        assert stale(project) == ["00_draw", "01_sum"]
    with monkeypatch.context() as patch:
        patch.setattr(staleness, "_module", lambda *_: ("changed", ()))
        assert stale(project) == ["00_draw", "01_sum"]

    splits = project.root / "data" / "splits"
    splits.mkdir(parents=True)
    (splits / "list.yaml").write_text("{}")
    assert stale(project) == ["00_draw", "01_sum"]
    (splits / "list.yaml").unlink()
    edit(project, "01_sum", "* scale", "* scale * 1")
    assert stale(project) == ["01_sum"]
    edit(project, "01_sum", "* scale * 1", "* scale")
    project.executed("quick", "00_draw").unlink()
    assert stale(project) == ["00_draw"]


def test_a_changed_result_is_made_again(project: Project) -> None:
    before = tables(project)
    (project.results / "quick" / "scores" / "tiny.csv").write_text("study\n")
    (project.results / "quick" / "tables" / "sum.csv").unlink()
    assert stale(project) == ["00_draw", "01_sum"]
    assert main([], project) == 0
    assert tables(project) == before


def test_a_damaged_manifest_counts_as_none(project: Project) -> None:
    path = project.manifest("quick", "01_sum")
    path.write_text(path.read_text()[:100])
    assert stale(project) == ["01_sum"]


def test_a_run_by_hand_is_not_taken_for_fresh(project: Project) -> None:
    path = project.manifest("quick", "00_draw")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": None}))
    assert stale(project) == ["00_draw"]


def test_the_first_failure_stops_the_run(project: Project, capsys: pytest.CaptureFixture) -> None:
    write_profile(project.root, draw={"crash": True}, total={"scale": 2.0})
    before = tables(project)["sum.csv"]
    assert main([], project) == 1
    said = capsys.readouterr()
    assert "00_draw failed: ValueError: a tiny failure" in said.err
    assert "partly executed: results/quick/notebooks/00_draw.failed.ipynb" in said.err
    assert "\x1b" not in said.err and "01_sum" not in said.out
    failed = json.loads(project.failed("quick", "00_draw").read_text())
    assert any(o["output_type"] == "error" for c in failed["cells"] for o in c.get("outputs", ()))
    assert not project.executed("quick", "00_draw").exists() and tables(project)["sum.csv"] == before
    assert stale(project) == ["00_draw", "01_sum"]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"draw": {"tpyo": 3}}, "00_draw: unknown parameter 'tpyo'"),
        ({"total": {"scale": "2"}}, "01_sum: scale = '2' (str)"),
        ({"common": {"seed": -1}}, "seed = -1"),
        ({"common": {"profile": "full"}}, "profile is 'full'; expected"),
    ],
)
def test_bad_parameters_stop_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture, profile: dict, message: str
) -> None:
    project = tiny_project.make(tmp_path)
    write_profile(project.root, **profile)
    assert main([], project) == 2
    assert message in capsys.readouterr().err and not project.results.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "profile 'fast' has no file notebooks/parameters/fast.yaml; there are: quick"),
        (["--only", "02_no"], "step '02_no' is unknown; expected one of 00_draw, 01_sum"),
    ],
)
def test_unknown_names_are_refused(
    project: Project, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert main(arguments, project) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", ["07_none: {seed: 1}", "common: [1]", "{", "- a"])
def test_a_bad_profile_file_is_refused(project: Project, capsys: pytest.CaptureFixture, content: str) -> None:
    (project.root / "notebooks" / "parameters" / "quick.yaml").write_text(content)
    assert main([], project) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_missing_notebook_stops_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    project = tiny_project.make(tmp_path)
    project.notebook("01_sum").unlink()
    assert main([], project) == 2
    assert "01_sum.ipynb cannot be read" in capsys.readouterr().err and not project.results.exists()


def test_papermill_with_an_unknown_parameter_computes_nothing(project: Project) -> None:
    shutil.rmtree(project.results)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(papermill.PapermillExecutionError, match="tpyo"):
        patch.setenv("METASTUDY_ROOT", str(project.root))
        patch.setenv("METASTUDY_RESULTS", str(project.results))
        papermill.execute_notebook(
            str(project.notebook("00_draw")), None, parameters={"tpyo": 3}, kernel_name="python3", language="python"
        )
    assert not project.results.exists()


def test_only_takes_along_what_a_step_needs() -> None:
    steps = {"a": (), "b": ("a",), "c": (), "d": ("b", "c")}
    project = Project(Path(), Path(), steps)
    assert in_order(project, "b") == ["a", "b"]
    assert in_order(Project(Path(), Path(), dict(reversed(steps.items())))) == ["c", "a", "b", "d"]


def test_two_runs_at_once_are_refused(project: Project, capsys: pytest.CaptureFixture) -> None:
    with locked(project, "quick"):
        assert main([], project) == 2
    assert "another reproduction of 'quick' is running" in capsys.readouterr().err


def start_and_wait_for_scores(root: Path) -> subprocess.Popen:
    """Start a run whose first notebook pauses after it wrote its scores."""
    process = subprocess.Popen(
        [sys.executable, TESTS / "tiny_project.py", root],
        env=os.environ | {"TINY_PAUSE": str(SECONDS)},
        # a test session in the background inherits that Ctrl-C is ignored; a person's run never does
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + SECONDS
    while not (root / "results" / "quick" / "scores" / "tiny.csv").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.05)
    return process


def test_killed_in_the_middle_then_run_again_gives_the_same_tables(finished: Project, tmp_path: Path) -> None:
    project = tiny_project.make(tmp_path)
    process = start_and_wait_for_scores(tmp_path)
    process.kill()
    process.communicate()
    assert set(tables(project)) == {"tiny.csv"} and stale(project) == ["00_draw", "01_sum"]
    assert main([], project) == 0
    assert tables(project) == tables(finished)


def test_interrupted_by_hand_it_says_how_to_go_on(tmp_path: Path) -> None:
    project = tiny_project.make(tmp_path)
    process = start_and_wait_for_scores(tmp_path)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS / 2)
    assert process.returncode == 130 and "stopped; run again" in said and "Traceback" not in said
    assert stale(project) == ["00_draw", "01_sum"] and not list(project.results.rglob("*partial*"))


def test_modules_are_found_through_imports(tmp_path: Path) -> None:
    package = tmp_path / "metastudy"
    (package / "adapt").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "model.py": "from .adapt import ridge",
        "adapt/__init__.py": "",
        "adapt/ridge.py": "def f():\n    '''Text.'''\n    from ..errors import E  # lazily",
        "errors.py": "",
        "lazy.py": "",
        "unused.py": "import metastudy.model",
        "reproduce.py": "import metastudy.unused",
    }.items():
        (package / name).write_text(text)
    sources = ["%matplotlib inline\nfrom metastudy import model, reproduce", "load('metastudy.lazy')", "not python"]
    found = staleness.reachable_modules(sources, tmp_path)
    assert set(found) == {f"metastudy{n}" for n in ("", ".model", ".adapt", ".adapt.ridge", ".errors", ".lazy")}

    (package / "adapt" / "ridge.py").write_text("def f():\n    '''Other text.'''\n    from ..errors import E")
    assert staleness.reachable_modules(sources, tmp_path) == found
    (package / "adapt" / "ridge.py").write_text("def f():\n    from ..errors import E\n    return 1")
    assert staleness.reachable_modules(sources, tmp_path) != found
