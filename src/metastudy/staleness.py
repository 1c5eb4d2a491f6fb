"""When a notebook must run again: a key over all that its numbers depend on. Light to import.

A key covers the notebook's code cells (prose may change freely), its parameters except `jobs`, the package
modules it reaches by import (without comments and docstrings), the pinned versions, what papers say, and the tables of
the notebooks it builds on. A notebook is fresh when its manifest has today's key and every recorded input (task lists
and plans among them) and output still has its hash.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from metastudy.errors import DataError
from metastudy.project import Project, sha256

PACKAGE = "metastudy"
SHARED_FILES = ("data/splits/*", "data/published.yaml")
"""Files that code reads without recording them as inputs of its run."""
SPEED_ONLY = {"jobs"}
"""Parameters that change how long a step takes and never what it finds."""
ORCHESTRATION = {f"{PACKAGE}.{name}" for name in ("parameters", "project", "staleness", "reproduce", "verify")}
"""Modules that decide which notebook runs when: what they decide enters the key by itself."""


def read_manifest(path: Path) -> dict | None:
    """The manifest, or None where there is none or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def code_cells(notebook: Path) -> list[str]:
    """Sources of the code cells, without what papermill adds. Raises DataError for no readable notebook."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"notebook {notebook.name} cannot be read ({error}); restore it from git") from None
    skip = {"injected-parameters", "papermill-error-cell-tag"}
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and not skip & set(cell["metadata"].get("tags", ()))
    ]


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Names of modules that code may import, lazily or by a string such as "metastudy.families.omniglot"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parent, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(rf"{PACKAGE}(\.\w+)+", node.value):
                yield node.value


def _without_magics(source: str) -> str:
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)


def _drop_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
    return tree


@cache
def _module(path: Path, package: str, modified_ns: int) -> tuple[str, tuple[str, ...]]:
    """Hash of a module's code, and the names it may import. `modified_ns` only keys the cache."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise DataError(f"{path.name} line {error.lineno} is no valid Python: {error.msg}; mend it first") from None
    names = tuple(sorted(set(_imports(tree, package))))
    return hashlib.sha256(ast.dump(_drop_docstrings(tree)).encode()).hexdigest(), names


def reachable_modules(sources: list[str], source_root: Path) -> dict[str, str]:
    """Package modules that notebook code reaches by import, mapped to the hash of their code."""
    waiting: set[str] = set()
    for source in sources:
        try:
            waiting |= set(_imports(ast.parse(_without_magics(source)), ""))
        except SyntaxError:
            continue  # the notebook's own run will say it better
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name != PACKAGE and not name.startswith(f"{PACKAGE}."):
            continue
        waiting |= {name.rpartition(".")[0]} - set(found) - {""}
        base = source_root.joinpath(*name.split("."))
        is_package = (base / "__init__.py").is_file()
        path = base / "__init__.py" if is_package else base.with_suffix(".py")
        if name in found or name in ORCHESTRATION or not path.is_file():
            continue
        package = name if is_package else name.rpartition(".")[0]
        found[name], names = _module(path, package, path.stat().st_mtime_ns)
        waiting |= set(names) - set(found)
    return found


def code_hash(*modules: str) -> str:
    """One hash over the code that these modules reach by import, for caches of finished pieces of work."""
    reached = reachable_modules([f"import {module}" for module in modules], Path(__file__).resolve().parents[1])
    return hashlib.sha256(json.dumps(reached, sort_keys=True).encode()).hexdigest()


def _pins(lock: Path) -> list[str]:
    if not lock.is_file():
        return []
    lines = (line.strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def upstream_tables(project: Project, step: str, profile: str) -> dict[str, dict[str, str] | None]:
    """Hashes of the tables that upstream notebooks wrote: an upstream run that changes none changes nothing."""
    found = {}
    for upstream in project.steps[step]:
        manifest = read_manifest(project.manifest(profile, upstream))
        outputs = manifest.get("outputs", {}) if manifest else None
        found[upstream] = outputs and {k: v for k, v in outputs.items() if not k.endswith(".png")}
    return found


def step_key(project: Project, step: str, values: Mapping[str, Any]) -> str:
    """The staleness key of a notebook with these parameters, as things stand on disk now."""
    sources = code_cells(project.notebook(step))
    shared = sorted({p for glob in SHARED_FILES for p in project.root.glob(glob) if p.is_file()})
    parts = {
        "step": step,
        "cells": sources,
        "parameters": {k: v for k, v in values.items() if k not in SPEED_ONLY},
        "modules": reachable_modules(sources, Path(__file__).resolve().parents[1]),
        "pins": _pins(project.root / "requirements" / "lock.txt"),
        "shared": {project.name(path): sha256(path) for path in shared},
        "upstream": upstream_tables(project, step, values["profile"]),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def why_stale(project: Project, step: str, values: Mapping[str, Any], key: str | None = None) -> str | None:
    """The reason why a notebook must run, or None where it is fresh."""
    profile = values["profile"]
    manifest = read_manifest(project.manifest(profile, step))
    if manifest is None or not project.executed(profile, step).is_file():
        return "never run here"
    if manifest.get("key") is None:
        return "last run by hand"
    for kind in ("inputs", "outputs"):
        for name, digest in manifest.get(kind, {}).items():
            path = project.path(name)
            if not path.is_file():
                return f"{name} is missing"
            if sha256(path) != digest:
                return f"{name} changed"
    if manifest["key"] != (key or step_key(project, step, values)):
        return "code, parameters or upstream tables changed"
    return None
