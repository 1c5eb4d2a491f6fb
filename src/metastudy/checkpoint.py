"""Tensors and a record in one file that is whole or refused: safetensors, with the record as JSON in its metadata.

One file, written atomically, so that a kill can never pair the tensors of one moment with the record of another. A
copy of the record lies beside it as `.json`, for people; it is never read back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from metastudy.errors import DataError, TrainingError
from metastudy.model import Params
from metastudy.project import write_atomic

FORMAT = 1
SUFFIX = ".safetensors"


def _own(tensors: Params) -> Params:
    """Copies that share no memory, as the format wants them."""
    return {k: v.detach().to("cpu").clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}


def digest(tensors: Params, text: str = "") -> str:
    """sha256 over names, types, shapes and bits of the tensors, and a text."""
    return hashlib.sha256(text.encode() + to_bytes(_own(tensors))).hexdigest()


def description(something: object) -> str:
    """The repr of settings, without addresses in memory, so that it is the same in another process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(something))


def write(path: Path, kind: str, tensors: Params, record: Mapping[str, Any]) -> None:
    """Write both, all or nothing. Raises DataError for a path with another ending."""
    if path.suffix != SUFFIX:
        raise DataError(f"{path.name} does not end in {SUFFIX}; choose a name that does")
    record = {"format": FORMAT, "kind": kind, **record}
    text = json.dumps(record)  # not strict JSON: NaN and Infinity come back as they were
    # one entry: the format writes several in an order that changes from time to time
    content = to_bytes(_own(tensors), metadata={"record": f"{digest(tensors, text)} {text}"})
    write_atomic(path, content)
    write_atomic(path.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())


def read(path: Path, kind: str) -> tuple[Params, dict[str, Any]]:
    """What `write` wrote. Raises DataError for a file that is missing, damaged, or of another kind or format."""
    if not path.is_file():
        raise DataError(f"{path.name} is missing; expected a {kind} that an earlier run wrote")
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118 (no mapping)
        expected, _, text = metadata["record"].partition(" ")
        if digest(tensors, text) != expected:
            raise ValueError("its content does not match its sha256")
        record = json.loads(text)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{path.name} is damaged ({error}); delete it, and the run starts afresh") from error
    if (record["kind"], record["format"]) != (kind, FORMAT):
        found = f"{record['kind']} of format {record['format']}"
        raise DataError(f"{path.name} is a {found}, expected a {kind} of format {FORMAT}; delete it or name another")
    return tensors, record


def check(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises TrainingError naming the first entry in which a file is of something else."""
    for name in expected:
        if found.get(name) != expected[name]:
            raise TrainingError(
                f"{path.name} belongs to another run: its {name} is {found.get(name)}, expected {expected[name]}. "
                "Delete it to start afresh, or name another file"
            )


def remove(path: Path) -> None:
    """Remove a checkpoint and the readable copy of its record, where there are any."""
    for old in (path, path.with_suffix(".json")):
        old.unlink(missing_ok=True)
