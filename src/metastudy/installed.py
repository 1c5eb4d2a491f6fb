"""Documented objects of an installed package, found in its source with `ast` and never imported."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metastudy import docstrings, text
from metastudy.errors import DataError

SKIPPED_FOLDERS = {"tests", "testing", "test", "_vendor", "externals", "extern", "vendored", "sandbox", "benchmarks"}
PUBLIC_FOLDERS = {"_core"}  # private folders whose functions are documented elsewhere as public ones
MIN_SUMMARY_WORDS, MIN_SENTENCES = 4, 3


def package_root(package: str) -> Path:
    """The folder of an installed package, found without importing it. Raises DataError where it is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        raise DataError(f"package {package!r} is not installed; its documentation is data: run `make env`")
    return Path(spec.origin).parent


def source_files(root: Path) -> list[Path]:
    """Python files with public documentation, sorted by path; tests, vendored and private folders are skipped."""

    def public(folders: Sequence[str]) -> bool:
        return not any(f in SKIPPED_FOLDERS or (f[0] == "_" and f not in PUBLIC_FOLDERS) for f in folders)

    return sorted(p for p in root.rglob("*.py") if public(p.relative_to(root).parts[:-1]) and p.name != "conftest.py")


def public_name(package: str, relative: Path) -> str:
    """Module path without private parts: numpy, linalg/_linalg.py -> numpy.linalg."""
    parts = [part for part in relative.with_suffix("").parts if not part.startswith("_")]
    return ".".join([package, *parts])


def documented(source: str) -> Iterator[tuple[str, str, str]]:
    """(name, kind, raw docstring) of public functions, classes and methods of a module, in source order."""
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        if doc := ast.get_docstring(node, clean=False):
            yield node.name, kind, doc
        for child in node.body if kind == "class" else ():
            if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
                if doc := ast.get_docstring(child, clean=False):
                    yield f"{node.name}.{child.name}", "method", doc


@dataclass(frozen=True)
class Candidate:
    """A documented object before its text is split into sentences."""

    id: str
    kind: str
    doc: docstrings.Docstring

    @property
    def rank(self) -> tuple[bool, bytes]:
        """Objects with See Also links first (search needs them), then in an order that is no order: by hash."""
        return not self.doc.see_also, hashlib.sha256(self.id.encode()).digest()


def read_files(package: str, root: Path, files: Sequence[Path]) -> list[Candidate]:
    """Documented objects of some source files that may have a summary and a body."""
    found = []
    for path in files:
        module = public_name(package, path.relative_to(root))
        for name, kind, raw in documented(path.read_text(encoding="utf-8", errors="replace")):
            doc = docstrings.parse(raw)
            enough = sum(p.count(". ") + 1 for p in doc.paragraphs) > MIN_SENTENCES
            if enough and len(text.words(doc.paragraphs[0])) >= MIN_SUMMARY_WORDS:
                found.append(Candidate(f"{module}.{name}", kind, doc))
    return found
