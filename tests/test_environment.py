"""The lock says what pyproject.toml asks for, in a form that any machine can install."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools import lock

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / lock.LOCK).read_text(encoding="utf-8")
TEXTS = {"lock": TEXT} | {extra: (ROOT / lock.lock_of(extra)).read_text(encoding="utf-8") for extra in lock.SEPARATE}
DIRECT = [("lock", requirement) for requirement in lock.requirements(ROOT)]
DIRECT += [(extra, requirement) for extra in lock.SEPARATE for requirement in lock.extra_requirements(extra, ROOT)]


def test_lock_is_not_stale() -> None:
    assert not lock.is_stale(ROOT), "pyproject.toml changed: run `make lock`"


def test_a_changed_dependency_makes_the_lock_stale(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    for path in (lock.LOCK, *map(lock.lock_of, lock.SEPARATE)):
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    assert not lock.is_stale(tmp_path)
    (tmp_path / "pyproject.toml").write_text(re.sub(r'"seaborn==[\d.]+"', '"seaborn==0.13.1"', pyproject))
    assert lock.is_stale(tmp_path)


def test_a_missing_lock_of_a_separate_extra_is_stale(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    for path in ("pyproject.toml", lock.LOCK):
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    assert lock.is_stale(tmp_path)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_locks_hold_only_plain_pins(text: str) -> None:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert not [line for line in lines if "+" in line or line.startswith("-") or "@" in line or "/" in line]
    assert not [name for name in lock.pins(text) if lock.PLATFORM_PACKAGES.match(name)]


def test_a_separate_extra_adds_to_the_lock_and_replaces_nothing() -> None:
    assert len(lock.pins(TEXT)) > 50
    for extra in lock.SEPARATE:
        own = set(lock.pins(TEXTS[extra]))
        assert own and not own & set(lock.pins(TEXT))
        assert {canonicalize_name(r.name) for r in lock.extra_requirements(extra, ROOT)} <= own


def test_beyond_refuses_two_versions_of_a_package() -> None:
    text = "numpy==2.0\n    # via jax\njax==0.10.2\n    # via metastudy (pyproject.toml)\n"
    assert lock.beyond(text, {"numpy": Version("2.0")}) == "jax==0.10.2\n    # via metastudy (pyproject.toml)\n"
    with pytest.raises(SystemExit, match="numpy: 2.0 beside"):
        lock.beyond(text, {"numpy": Version("1.0")})


@pytest.mark.parametrize(("name", "requirement"), DIRECT, ids=str)
def test_every_requirement_is_locked_within_its_range(name: str, requirement: Requirement) -> None:
    version = lock.pins(TEXTS[name]).get(canonicalize_name(requirement.name))
    assert version is not None, "not in the lock: run `make lock`"
    assert requirement.specifier.contains(version)


def test_portable_strips_what_only_this_machine_has() -> None:
    text = (
        "--find-links /somewhere\ntorch==2.13.0+cpu\n    # via metastudy (pyproject.toml)\n"
        "nvidia-nccl-cu13==2.1\n    # via torch\ncolorama==0.4.6 ; sys_platform == 'win32'\n    # via tqdm\n"
    )
    assert lock.portable(text) == (
        "torch==2.13.0\n    # via metastudy (pyproject.toml)\n"
        "colorama==0.4.6 ; sys_platform == 'win32'\n    # via tqdm\n"
    )


def test_a_line_that_is_no_pin_is_refused() -> None:
    with pytest.raises(ValueError, match="expected name==version"):
        lock.pins("torch>=2\n")


def test_conda_file_pins_only_python() -> None:
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert dependencies == ["python=3.11", "pip", {"pip": ["-r requirements/lock.txt", "-e ."]}]
