"""Run one notebook with papermill, in this very Python; leave a whole executed copy or a failed one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metastudy.errors import MetastudyError
from metastudy.project import KEY_VARIABLE, Project, write_atomic

KERNEL = "metastudy-run"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
TRACEBACK_LINES = 6


class NotebookError(MetastudyError):
    """A notebook stopped with an error; the message holds it, and where the failed copy lies."""


@contextlib.contextmanager
def own_kernel() -> Iterator[None]:
    """A kernel spec that is this interpreter: a "python3" found on the machine may be another one."""
    with tempfile.TemporaryDirectory(prefix="metastudy-") as folder:
        spec = Path(folder) / "kernels" / KERNEL / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"]
        spec.write_text(json.dumps({"argv": argv, "display_name": KERNEL, "language": "python"}))
        with environment({"JUPYTER_PATH": os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))}):
            yield


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while; kernels inherit them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def portable(notebook: dict) -> dict:
    """The notebook without the paths, times and kernel name that belong to one run on one machine."""
    notebook["metadata"].pop("papermill", None)
    notebook["metadata"]["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    for cell in notebook["cells"]:
        for name in ("papermill", "execution"):
            cell["metadata"].pop(name, None)
    return notebook


def summary(error: Exception) -> str:
    """What went wrong in the notebook, short and without colours: error and last traceback lines."""
    name, value = getattr(error, "ename", None), getattr(error, "evalue", None)
    if name is None:
        return f"{type(error).__name__}: {ANSI.sub('', str(error)).strip()}"
    text = ANSI.sub("", f"{name}: {value}")
    lines = ANSI.sub("", "\n".join(error.traceback)).splitlines()
    tail = [line for line in lines if line.strip() and line not in text.splitlines()][-TRACEBACK_LINES:]
    return "\n".join([text, *(f"    {line}" for line in tail)])


def run_notebook(project: Project, step: str, values: Mapping[str, Any], key: str, progress: bool) -> None:
    """Execute a notebook with these parameters; its executed copy appears only when it succeeded.

    Raises NotebookError; then the partly executed notebook lies beside, named <step>.failed.ipynb.
    """
    import papermill  # slow to import, and not needed when nothing is stale
    from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    profile = values["profile"]
    final, failed = project.executed(profile, step), project.failed(profile, step)
    final.parent.mkdir(parents=True, exist_ok=True)
    for old in (final, failed):
        old.unlink(missing_ok=True)  # from here on, and until it succeeds, this step counts as not run
    partial = final.with_name(f".{step}.{os.getpid()}.partial.ipynb")
    variables = {
        KEY_VARIABLE: key,
        "METASTUDY_ROOT": str(project.root),
        "METASTUDY_RESULTS": str(project.results),
    }
    try:
        with own_kernel(), environment(variables):
            papermill.execute_notebook(
                str(project.notebook(step)),
                str(partial),
                parameters=dict(values),
                kernel_name=KERNEL,
                language="python",
                cwd=str(project.root),
                progress_bar=progress,
            )
        _publish(partial, final)
    except (papermill.PapermillExecutionError, CellControlSignal, CellTimeoutError, DeadKernelError) as error:
        _publish(partial, failed)
        raise NotebookError(f"{step} failed: {summary(error)}\n  partly executed: {project.name(failed)}") from None
    finally:
        partial.unlink(missing_ok=True)


def _publish(partial: Path, target: Path) -> None:
    notebook = portable(json.loads(partial.read_text(encoding="utf-8")))
    write_atomic(target, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
