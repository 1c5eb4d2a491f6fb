"""Things that take long to build and are always the same, kept in data/cache under a hash of what they depend on.

A file that cannot be read (cut short by hand, another format) is built again; writing is atomic.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metastudy.project import find_root, write_atomic


def folder() -> Path:
    """data/cache in the project."""
    return find_root() / "data" / "cache"


def key(*parts: object) -> str:
    """A short hash of whatever the content depends on: file hashes, settings, `staleness.code_hash(...)`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _kept(name: str, key: str, ending: str) -> tuple[Path, Sequence[Path]]:
    """The file of this key, and files of the same name that other keys left behind."""
    path = folder() / f"{name}-{key}{ending}"
    return path, [p for p in folder().glob(f"{name}-*{ending}") if p != path and len(p.name) == len(path.name)]


def _write(path: Path, outdated: Sequence[Path], content: bytes) -> None:
    write_atomic(path, content)
    for old in outdated:
        old.unlink(missing_ok=True)


def arrays(name: str, key: str, build: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by name. `name` says what it is (letters, digits and _ only), `key` on what it depends."""
    path, outdated = _kept(name, key, ".npz")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {k: stored[k] for k in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        built = dict(build())
    buffer = io.BytesIO()
    np.savez(buffer, **built)
    _write(path, outdated, buffer.getvalue())
    return built


def plain(name: str, key: str, build: Callable[[], Any]) -> Any:
    """Anything JSON can hold; tuples come back as lists, so `build` should give lists."""
    path, outdated = _kept(name, key, ".json.gz")
    try:
        return json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, ValueError, EOFError):
        built = build()
    content = json.dumps(built, ensure_ascii=False, separators=(",", ":")).encode()
    _write(path, outdated, gzip.compress(content, compresslevel=3, mtime=0))
    return json.loads(content)  # the same object, cached or not
