"""Tiny files in the layouts of the summarization sources, under their registered paths."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from metastudy.loaders.summaries.schema import SourceDocument, Summaries


def put(folder: Path, path: str, content: list | str | bytes) -> None:
    """One file: rows as JSON lines, bytes or text as they are."""
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)


def tar_xz(members: Mapping[str, bytes | None]) -> bytes:
    """An archive of the members that are not None."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for name, content in members.items():
            if content is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def only(found: Summaries) -> SourceDocument:
    """The one document of a source."""
    assert len(found.documents) == 1
    return found.documents[0]
