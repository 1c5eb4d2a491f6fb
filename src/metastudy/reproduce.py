"""Run the study's notebooks with a profile's parameters: in order, only what is stale, stop at the first error.

    python -m metastudy.reproduce --profile quick [--only STEP] [--force] [--status]

Nothing heavy is imported until a notebook must run, so finding that nothing is stale takes a moment.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import sys
import time
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from typing import Any

import yaml

from metastudy import parameters
from metastudy.errors import DataError, MetastudyError, ParameterError
from metastudy.project import Project
from metastudy.staleness import code_cells, step_key, why_stale

Values = dict[str, Any]


def read_profile(project: Project, profile: str) -> tuple[dict[str, Values], list[str]]:
    """A profile's file as it stands, and the steps it has: those that `steps: [...]` in it names, or all.

    Raises ParameterError for a missing or malformed file, an unknown step, or one without what it builds on.
    """
    path = project.root / "notebooks" / "parameters" / f"{profile}.yaml"
    if profile not in project.profiles():
        found = ", ".join(project.profiles()) or "none"
        raise ParameterError(f"profile {profile!r} has no file notebooks/parameters/{path.name}; there are: {found}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ParameterError(f"{path.name} is no valid YAML: {error}") from None
    steps = content.pop("steps", list(project.steps)) if isinstance(content, dict) else None
    if steps is None or any(not isinstance(v or {}, dict) for v in content.values()):
        raise ParameterError(f"{path.name}: expected `common:` and one mapping of names to values per step")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise ParameterError(f"{path.name}: steps is {steps!r}; expected a list of notebooks")
    for step in sorted({*content, *steps} - {"common"}):
        project.check_step(step)
        if step not in steps:
            raise ParameterError(f"{path.name} has parameters of {step} but `steps` does not name it; add it there")
        if lacking := [upstream for upstream in project.steps[step] if upstream not in steps]:
            raise ParameterError(f"{path.name}: {step} builds on {lacking[0]}, which `steps` does not name; add it")
    return content, [step for step in project.steps if step in steps]


def load_profile(project: Project, profile: str) -> dict[str, Values]:
    """Parameters of every step of a profile, common ones merged in and all checked.

    Raises ParameterError as `read_profile` does, and for a parameter that its notebook refuses.
    """
    content, steps = read_profile(project, profile)
    common = {"profile": profile, **(content.get("common") or {})}
    merged = {step: {**common, **(content.get(step) or {})} for step in steps}
    for step, values in merged.items():
        if values["profile"] != profile:
            raise ParameterError(
                f"{profile}.yaml: profile is {values['profile']!r}; expected the file's name, {profile!r}"
            )
        parameters.validate(step, values)
    return merged


def in_order(project: Project, only: str | None = None) -> list[str]:
    """Steps so that each comes after what it reads; with `only`, that step and what it needs."""
    order = list(TopologicalSorter(project.steps).static_order())
    rank = {step: i for i, step in enumerate(project.steps)}
    order.sort(key=lambda step: (_depth(project, step), rank[step]))
    if only is None:
        return order
    project.check_step(only)
    needed, waiting = set(), [only]
    while waiting:
        needed.add(step := waiting.pop())
        waiting += project.steps[step]
    return [step for step in order if step in needed]


def _depth(project: Project, step: str) -> int:
    return 1 + max((_depth(project, upstream) for upstream in project.steps[step]), default=0)


@contextlib.contextmanager
def locked(project: Project, profile: str) -> Iterator[None]:
    """One run at a time; the system lets go of the lock even when the holder is killed."""
    path = project.results / profile / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another reproduction of {profile!r} is running here; wait for it to end") from None
        yield


def _chosen(project: Project, profile: str, plan: dict[str, Values], only: str | None) -> list[str]:
    """The profile's steps in order; with `only`, that one and what it needs."""
    if only is not None:
        project.check_step(only)
        if only not in plan:
            raise ParameterError(f"profile {profile!r} has no {only}; it has {', '.join(plan)}")
    return [step for step in in_order(project, only) if step in plan]


def show_status(project: Project, profile: str, only: str | None = None) -> None:
    """Print each step's state, running nothing."""
    plan = load_profile(project, profile)
    for step in _chosen(project, profile, plan, only):
        print(f"{step:24} {why_stale(project, step, plan[step]) or 'up to date'}")


def reproduce(project: Project, profile: str, only: str | None = None, force: bool = False) -> int:
    """Run what is stale; returns how many notebooks ran.

    Raises ParameterError before anything ran, or NotebookError at the first notebook that fails.
    """
    plan = load_profile(project, profile)
    steps = _chosen(project, profile, plan, only)
    for step in steps:
        code_cells(project.notebook(step))  # a missing notebook is found before an hour of work, not after
    ran, started = 0, time.perf_counter()
    with locked(project, profile):
        for index, step in enumerate(steps, 1):
            key = step_key(project, step, plan[step])
            reason = "forced" if force else why_stale(project, step, plan[step], key)
            if reason is None:
                continue
            _run_step(project, step, plan[step], key, f"[{index}/{len(steps)}] {step:24}", reason)
            ran += 1
    if ran:
        print(f"{profile}: {ran} of {len(steps)} steps run in {time.perf_counter() - started:.0f} s, all up to date")
    else:
        print(f"{profile}: all {len(steps)} steps up to date")
    return ran


def _run_step(project: Project, step: str, values: Values, key: str, label: str, reason: str) -> None:
    from metastudy.execute import NotebookError, run_notebook

    print(f"{label} running ({reason})", flush=True)
    started = time.perf_counter()
    run_notebook(project, step, values, key, progress=sys.stderr.isatty())
    left = why_stale(project, step, values, key)
    if left:
        raise NotebookError(f"{step} ran, but {left}; its last cell must call run.finish()")
    print(f"{label} done in {time.perf_counter() - started:.1f} s", flush=True)


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> int:
    """Exit code: 0 done, 1 a notebook failed, 2 refused before running anything, 130 stopped by hand."""
    parser = argparse.ArgumentParser(prog="python -m metastudy.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", help="a file in notebooks/parameters (default: quick)")
    parser.add_argument("--only", metavar="STEP", help="this notebook and what it needs")
    parser.add_argument("--force", action="store_true", help="run also what is up to date")
    parser.add_argument("--status", action="store_true", help="say what is stale and why; run nothing")
    options = parser.parse_args(arguments)
    try:
        project = project or Project.at()
        if options.status:
            show_status(project, options.profile, options.only)
        else:
            reproduce(project, options.profile, options.only, options.force)
    except KeyboardInterrupt:
        print("stopped; run again to go on where it stopped", file=sys.stderr)
        return 130
    except MetastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, (ParameterError, DataError)) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
