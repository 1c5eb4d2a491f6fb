"""What is kept is what was built, whatever happened to the file in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metastudy import cache


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METASTUDY_ROOT", str(tmp_path))
    return tmp_path


def never():
    raise AssertionError("built again")


def test_arrays_are_built_once() -> None:
    built = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "b": np.array(["x", "yz"])}
    for build in (lambda: built, never):
        found = cache.arrays("things", "k" * 24, build)
        assert found.keys() == built.keys()
        assert all((found[k] == built[k]).all() and found[k].dtype == built[k].dtype for k in built)


def test_plain_things_are_the_same_before_and_after() -> None:
    for build in (lambda: [("a", 1), {"ü": None}], never):
        assert cache.plain("things", "k" * 24, build) == [["a", 1], {"ü": None}]


def test_another_key_builds_anew_and_clears_what_it_replaces() -> None:
    for key in ("1" * 24, "2" * 24):
        cache.plain("things", key, lambda: [1])
        cache.arrays("things", key, lambda: {"a": np.zeros(1)})
        cache.plain("things_more", "1" * 24, lambda: [1])
    kept = sorted(p.name for p in cache.folder().iterdir())
    assert kept == [f"things-{'2' * 24}.json.gz", f"things-{'2' * 24}.npz", f"things_more-{'1' * 24}.json.gz"]


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_file_is_built_again(damage: str) -> None:
    def ruin(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "other": b"not this format"}[damage])

    for kept, build in ((cache.plain, lambda: [1, 2]), (cache.arrays, lambda: {"a": np.arange(99)})):
        kept("things", "k" * 24, build)
        ruin(next(p for p in cache.folder().iterdir() if p.stat().st_size))
        assert str(kept("things", "k" * 24, build)) == str(build())
        assert str(kept("things", "k" * 24, never)) == str(build())
        next(cache.folder().iterdir()).unlink()


def test_an_error_while_building_keeps_nothing() -> None:
    with pytest.raises(AssertionError, match="built again"):
        cache.plain("things", "k" * 24, never)
    assert not cache.folder().exists() or not list(cache.folder().iterdir())


def test_a_key_depends_on_every_part_and_not_on_the_order_of_names() -> None:
    assert cache.key("a", {"x": 1, "y": 2}) == cache.key("a", {"y": 2, "x": 1})
    keys = {cache.key(*parts) for parts in (("a",), ("a", 1), ("a", "1"), ("a", [1]), ({"a": 1},))}
    assert len(keys) == 5 and all(len(k) == 24 for k in keys)
