"""Each committed notebook is fit to be compared: executed, clean, and with something to compare."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import tiny_project
from metastudy import parameters
from metastudy.errors import DataError
from metastudy.project import STEPS, Project, find_root
from metastudy.reproduce import load_profile
from tools import refresh_notebooks

ROOT = find_root()
COMMITTED = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
MAX_LINES, MAX_FUNCTION_LINES, MIN_COMPARED = 40, 5, 2
MARK = "# NBVAL_CHECK_OUTPUT"


def load(step: str) -> NotebookNode:
    return nbformat.read(ROOT / "notebooks" / f"{step}.ipynb", as_version=4)


def code_cells(step: str) -> list[NotebookNode]:
    return [cell for cell in load(step).cells if cell.cell_type == "code"]


def outputs(step: str) -> list[NotebookNode]:
    return [output for cell in code_cells(step) for output in cell.outputs]


def texts(output: NotebookNode) -> list[str]:
    return [output.get("text", "")] + [v for k, v in output.get("data", {}).items() if k.startswith("text/")]


def defaults(step: str) -> dict:
    """Literals of the one tagged parameters cell."""
    tagged = [c for c in code_cells(step) if "parameters" in c.metadata.get("tags", ())]
    assert len(tagged) == 1, f"{len(tagged)} cells are tagged 'parameters', expected 1"
    found = {}
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign) and len(statement.targets) == 1, ast.unparse(statement)
        found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


@pytest.mark.parametrize("step", COMMITTED)
def test_task_lists_and_plans_are_recorded_as_inputs(step: str) -> None:
    """Otherwise a change of them would not make the notebook stale."""
    source = "\n".join(cell.source for cell in code_cells(step))
    assert source.count("plan.load(") == source.count("plan.load(run.input(")
    assert source.count("task_lists.read(") == source.count("task_lists.file_name(")
    assert source.count("task_lists.file_name(") == source.count('run.input(run.project.root / "data" / "tasks"')


def test_notebooks_and_steps_are_the_same() -> None:
    if COMMITTED:
        assert sorted(STEPS) == COMMITTED


def test_steps_are_written_in_an_order_in_which_they_run() -> None:
    seen: set[str] = set()
    for step, upstream in STEPS.items():
        assert set(upstream) <= seen, step
        seen.add(step)


@pytest.mark.parametrize("profile", Project.at().profiles())
def test_every_profile_is_valid(profile: str) -> None:
    found = set(load_profile(Project.at(), profile))
    assert found == set(STEPS) if profile == "quick" else found <= set(STEPS)


@pytest.mark.parametrize("step", COMMITTED or [pytest.param("", marks=pytest.mark.skip("no notebook yet"))])
class TestCommitted:
    def test_is_valid(self, step: str) -> None:
        nbformat.validate(load(step))

    def test_parameters_are_those_declared_and_of_the_quick_profile(self, step: str) -> None:
        assert set(defaults(step)) == set(parameters.MODELS[step].model_fields)
        assert defaults(step) == load_profile(Project.at(), "quick")[step]

    def test_every_cell_was_executed_in_order(self, step: str) -> None:
        counts = [cell.execution_count for cell in code_cells(step)]
        assert counts == list(range(1, len(counts) + 1))

    def test_outputs_hold_no_error_and_no_warning(self, step: str) -> None:
        assert not [o for o in outputs(step) if o.output_type == "error" or o.get("name") == "stderr"]

    def test_nothing_of_one_machine_is_left(self, step: str) -> None:
        notebook = load(step)
        assert "papermill" not in notebook.metadata
        assert not [c for c in notebook.cells if {"papermill", "execution"} & set(c.metadata)]
        assert not [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", ())]
        shown = [t for o in outputs(step) for t in texts(o)] + [c.source for c in notebook.cells]
        assert not [m for t in shown for m in refresh_notebooks.ABSOLUTE_PATH.findall(t)]

    def test_cells_are_short_and_functions_are_in_the_package(self, step: str) -> None:
        for cell in code_cells(step):
            assert len(cell.source.splitlines()) <= MAX_LINES, cell.source
            source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, node.name

    def test_something_is_compared(self, step: str) -> None:
        marked = [cell for cell in code_cells(step) if MARK in cell.source]
        empty = [c.source for c in marked if not any(t.strip() for o in c.outputs for t in texts(o))]
        assert len(marked) >= MIN_COMPARED and not empty

    def test_it_starts_and_finishes_its_run(self, step: str) -> None:
        sources = [cell.source for cell in code_cells(step)]
        assert any(f'study.start("{step}", globals())' in source for source in sources)
        assert "run.finish()" in sources[-1]


def executed(source: NotebookNode, text: str = "done\n") -> NotebookNode:
    """What papermill makes of a notebook: a cell more, numbers, outputs in pieces, warnings."""
    result = nbformat.from_dict(dict(source)).copy()
    result = nbformat.reads(nbformat.writes(result), 4)
    injected = nbformat.v4.new_code_cell("# Parameters", metadata={"tags": ["injected-parameters"]})
    result.cells.insert(2, injected)
    stream = nbformat.v4.new_output
    for count, cell in enumerate((c for c in result.cells if c.cell_type == "code"), 1):
        cell.execution_count = count
        cell.metadata["papermill"] = {"duration": 1.0}
        cell.outputs = [
            stream("stream", name="stdout", text=text),
            stream("stream", name="stdout", text="more\n"),
            stream("stream", name="stderr", text="a warning"),
            stream("execute_result", {"text/plain": "1"}, execution_count=count),
        ]
    result.metadata["papermill"] = {"output_path": "somewhere"}
    return result


def test_refreshing_takes_outputs_and_leaves_the_rest() -> None:
    source = tiny_project.notebook(tiny_project.SUM)
    new = refresh_notebooks.refreshed(source, executed(source), "tiny")
    nbformat.validate(new)
    assert [c.source for c in new.cells] == [c.source for c in source.cells]
    assert [c.id for c in new.cells] == ["cell-00", "cell-01", "cell-02", "cell-03"]
    code = [c for c in new.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == [1, 2, 3] == [c.outputs[-1].execution_count for c in code]
    assert code[0].metadata == {"tags": ["parameters"]} and code[1].metadata == {}
    assert [o.get("text") for o in code[0].outputs] == ["done\nmore\n", None]
    assert new.metadata == refresh_notebooks.METADATA
    again = refresh_notebooks.refreshed(new, executed(new), "tiny")
    assert nbformat.writes(again) == nbformat.writes(new)


def test_refreshing_refuses_other_code_and_machine_paths() -> None:
    source = tiny_project.notebook(tiny_project.SUM)
    ran = executed(source)
    ran.cells[-1].source += "\nprint(1)"
    with pytest.raises(DataError, match="its code is not what was executed"):
        refresh_notebooks.refreshed(source, ran, "tiny")
    with pytest.raises(DataError, match="machine's path '/home/me/x.csv'"):
        refresh_notebooks.refreshed(source, executed(source, "see /home/me/x.csv\n"), "tiny")
    ran = executed(source)
    ran.cells[-1].execution_count = None
    with pytest.raises(DataError, match="was not executed"):
        refresh_notebooks.refreshed(source, ran, "tiny")


def test_relative_names_and_addresses_of_the_web_are_no_machine_paths() -> None:
    text = "results/quick/tables/x.csv https://example.org/home/page 3/4 data/tmp/x a/b and/or"
    assert not refresh_notebooks.ABSOLUTE_PATH.findall(text)


def test_a_changed_parameter_changes_a_real_result(tmp_path: Path) -> None:
    """The first notebook, run with another seed, writes other tables."""
    from metastudy.execute import run_notebook
    from metastudy.verify import read_table, table_names

    step = "00_start_here"
    if step not in COMMITTED:
        pytest.skip("no notebook yet")
    project = Project(ROOT, tmp_path.resolve())
    values = load_profile(project, "quick")[step]
    run_notebook(project, step, {**values, "seed": values["seed"] + 1}, key="", progress=False)
    committed = ROOT / "results" / "quick"
    names = table_names(tmp_path / "quick")
    assert names
    assert any(not read_table(tmp_path / "quick", n).equals(read_table(committed, n)) for n in names)
