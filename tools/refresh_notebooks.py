"""Put the outputs of executed notebooks (results/<profile>/notebooks) into notebooks/, fit to be committed.

Run by `make notebooks`. What belongs to one machine or one run stays out: papermill's cell and metadata,
times, paths, warnings on stderr. Prose may differ from the executed copy, code may not.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from metastudy.errors import DataError, MetastudyError
from metastudy.project import Project, write_atomic

NOT_OURS = {"injected-parameters", "papermill-error-cell-tag"}
ABSOLUTE_PATH = re.compile(r"(?<![\w:/.])/(?:home|root|tmp|var|usr|opt|work|mnt|Users|private)/[^\s'\"<>)]*")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Code cells, without those that papermill adds."""
    return [c for c in notebook.cells if c.cell_type == "code" and not NOT_OURS & set(c.metadata.get("tags", ()))]


def clean_output(output: NotebookNode, count: int) -> NotebookNode:
    """The output with its cell's number and nothing of one run in its metadata."""
    output = nbformat.from_dict(dict(output))
    if output.output_type == "execute_result":
        output.execution_count = count
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    return output


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of stdout as one: where they are cut depends on timing."""
    result: list[NotebookNode] = []
    for output in outputs:
        if result and output.output_type == "stream" == result[-1].output_type and output.name == result[-1].name:
            result[-1].text += output.text
        else:
            result.append(output)
    return result


def refreshed(source: NotebookNode, executed: NotebookNode, name: str) -> NotebookNode:
    """`source` with the outputs of `executed`.

    Raises DataError where their code differs, a cell was not executed, or an output shows a machine's path.
    """
    ours, theirs = code_cells(source), code_cells(executed)
    if [c.source for c in ours] != [c.source for c in theirs]:
        raise DataError(f"{name}: its code is not what was executed; run `make reproduce` first")
    result = nbformat.from_dict(dict(source))
    result.metadata, result.nbformat, result.nbformat_minor = nbformat.from_dict(METADATA), 4, 5
    count = 0
    for index, cell in enumerate(result.cells):
        cell["id"] = f"cell-{index:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type != "code":
            continue
        run = theirs[count]
        count += 1
        if run.execution_count is None:
            raise DataError(f"{name}: code cell {count} was not executed; run `make reproduce` first")
        cell.execution_count = count
        kept = [o for o in run.outputs if not (o.output_type == "stream" and o.name == "stderr")]
        cell.outputs = joined([clean_output(output, count) for output in kept])
        for output in cell.outputs:
            check_no_path(output, f"{name}: code cell {count}")
    return result


def check_no_path(output: NotebookNode, where: str) -> None:
    """Raises DataError where an output's text shows an absolute path."""
    texts = [output.get("text", "")] + [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
    for text in texts:
        if match := ABSOLUTE_PATH.search(text if isinstance(text, str) else "".join(text)):
            raise DataError(f"{where} shows the machine's path {match[0]!r}; show a name relative to the project")


def refresh(project: Project, profile: str) -> list[str]:
    """Rewrite the notebooks whose outputs changed; returns their names. All are checked before any is written."""
    written: dict[Path, bytes] = {}
    for step in project.steps:
        path, executed = project.notebook(step), project.executed(profile, step)
        if not executed.is_file():
            raise DataError(f"{step} has no executed copy for {profile!r}; run `make reproduce PROFILE={profile}`")
        new = refreshed(nbformat.read(path, 4), nbformat.read(executed, 4), step)
        nbformat.validate(new)
        content = (nbformat.writes(new) + "\n").encode("utf-8")
        if content != path.read_bytes():
            written[path] = content
    for path, content in written.items():
        write_atomic(path, content)
    return [path.name for path in written]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick")
    try:
        changed = refresh(Project.at(), parser.parse_args().profile)
    except MetastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"notebooks refreshed: {', '.join(changed) or 'none, all were up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
