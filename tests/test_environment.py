"""The lock says what pyproject.toml asks for, in a form that any machine can install."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from tools import lock

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / lock.LOCK).read_text(encoding="utf-8")


def test_lock_is_not_stale() -> None:
    assert not lock.is_stale(ROOT), "pyproject.toml changed: run `make lock`"


def test_a_changed_dependency_makes_the_lock_stale(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / lock.LOCK).write_text(TEXT, encoding="utf-8")
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    assert not lock.is_stale(tmp_path)
    (tmp_path / "pyproject.toml").write_text(re.sub(r'"seaborn==[\d.]+"', '"seaborn==0.13.1"', pyproject))
    assert lock.is_stale(tmp_path)


def test_lock_holds_only_plain_pins() -> None:
    assert len(lock.pins(TEXT)) > 50
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert not [line for line in lines if "+" in line or line.startswith("-") or "@" in line or "/" in line]
    assert not [name for name in lock.pins(TEXT) if lock.PLATFORM_PACKAGES.match(name)]


@pytest.mark.parametrize("requirement", lock.requirements(ROOT), ids=str)
def test_every_requirement_is_locked_within_its_range(requirement) -> None:
    version = lock.pins(TEXT).get(canonicalize_name(requirement.name))
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
