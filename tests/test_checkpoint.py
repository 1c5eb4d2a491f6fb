"""One file holds tensors and record bit for bit, and is whole or refused."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from metastudy import checkpoint
from metastudy.errors import DataError, TrainingError
from metastudy.model import Params

RECORD = {"step": 3, "losses": [0.1, math.nan, -math.inf], "state": 2**127 + 1, "name": "α"}


def tensors() -> Params:
    base = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    return {
        "scalar": torch.tensor(1.5),
        "double": base.double(),
        "turned": base.T,
        "one row of it": base[1],
        "repeated": base[:1].expand(3, 6),
        "counts": torch.arange(3),
        "special": torch.tensor([math.nan, math.inf, -0.0, 1e-45]),
        "empty": torch.zeros(0, 2),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.safetensors"
    checkpoint.write(path, "thing", tensors(), RECORD)
    return path


def test_what_is_written_is_read_bit_for_bit(path: Path) -> None:
    found, record = checkpoint.read(path, "thing")
    assert set(found) == set(tensors())
    for name, value in tensors().items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        assert found[name].numpy().tobytes() == value.contiguous().numpy().tobytes(), name
    assert str({k: record[k] for k in RECORD}) == str(RECORD)  # nan is not equal to itself


def test_writing_again_gives_the_same_bytes_and_the_record_can_be_read_beside_it(path: Path) -> None:
    first = path.read_bytes()
    for _ in range(20):
        checkpoint.write(path, "thing", tensors(), RECORD)
        assert path.read_bytes() == first
    beside = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert beside["kind"] == "thing" and beside["step"] == 3 and beside["format"] == checkpoint.FORMAT


def test_tensors_that_were_read_do_not_hang_on_the_file(path: Path) -> None:
    found, _ = checkpoint.read(path, "thing")
    path.write_bytes(b"\0" * path.stat().st_size)
    assert torch.equal(found["double"], tensors()["double"])


def test_a_damaged_file_is_refused_by_name(path: Path) -> None:
    whole = path.read_bytes()
    cut = [whole[:n] for n in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1)]
    spots = [*range(0, 120, 7), *range(120, len(whole), 61), len(whole) - 1]
    flipped = [whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :] for i in spots]
    for content in [*cut, *flipped, whole + b"more", b"not a checkpoint at all"]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"run\.safetensors is damaged \(.+\); delete it"):
            checkpoint.read(path, "thing")


def test_a_missing_file_another_kind_and_another_format_are_refused(path: Path, monkeypatch) -> None:
    with pytest.raises(DataError, match=r"other\.safetensors is missing; expected a thing"):
        checkpoint.read(path.with_name("other.safetensors"), "thing")
    with pytest.raises(DataError, match=r"is a thing of format 1, expected a model of format 1; delete it"):
        checkpoint.read(path, "model")
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    with pytest.raises(DataError, match=r"is a thing of format 1, expected a thing of format 2; delete it"):
        checkpoint.read(path, "thing")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.json does not end in \.safetensors"):
        checkpoint.write(tmp_path / "run.json", "thing", {}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_is_killed_leaves_the_file_before_it(path: Path, monkeypatch) -> None:
    whole = path.read_bytes()

    def dies(path: Path, content: bytes) -> None:
        path.with_name(f".{path.name}.1.partial").write_bytes(content[:50])
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_atomic", dies)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(path, "thing", {"other": torch.zeros(2)}, {"step": 4})
    assert path.read_bytes() == whole
    assert checkpoint.read(path, "thing")[1]["step"] == 3


def test_files_of_another_run_are_refused_with_what_differs(path: Path) -> None:
    checkpoint.check(path, {"a": 1, "b": 2, "more": 3}, {"a": 1, "b": 2})
    with pytest.raises(TrainingError, match=r"run\.safetensors belongs to another run: its b is 2, expected 5"):
        checkpoint.check(path, {"a": 1, "b": 2}, {"a": 1, "b": 5})
    with pytest.raises(TrainingError, match=r"its b is None, expected 5\. Delete it to start afresh"):
        checkpoint.check(path, {"a": 1}, {"a": 1, "b": 5})


def test_removing_leaves_nothing_and_needs_nothing(path: Path) -> None:
    checkpoint.remove(path)
    assert list(path.parent.iterdir()) == []
    checkpoint.remove(path)


@dataclass(frozen=True)
class Settings:
    size: int
    make: object


def test_a_description_is_the_same_in_another_process() -> None:
    first, other = (checkpoint.description(Settings(3, lambda: None)) for _ in range(2))
    assert first == other and "size=3" in first and "0x" not in first


def test_the_digest_is_of_bits_names_and_text() -> None:
    base = {"a": torch.zeros(2), "b": torch.ones(1)}
    changed = [
        {"a": torch.tensor([0.0, -0.0]), "b": torch.ones(1)},
        {"a": torch.zeros(2), "c": torch.ones(1)},
        {"a": torch.zeros(2, 1), "b": torch.ones(1)},
        {"a": torch.zeros(2).double(), "b": torch.ones(1)},
    ]
    digests = [checkpoint.digest(t) for t in [base, *changed]] + [checkpoint.digest(base, "x")]
    assert len(set(digests)) == 6
    assert checkpoint.digest(dict(reversed(base.items()))) == digests[0]
