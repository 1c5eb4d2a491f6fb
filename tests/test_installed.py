"""What counts as a documented public object of an installed package."""

from pathlib import Path

import pytest

from metastudy.errors import DataError
from metastudy.installed import documented, package_root, public_name, source_files


def test_public_objects_only():
    source = """
def f():
    "Doc of f."
def _g():
    "Private."
class C:
    "Doc of C."
    def m(self):
        "Doc of m."
    def __init__(self):
        "Special."
def undocumented(): ...
"""
    assert list(documented(source)) == [
        ("f", "function", "Doc of f."),
        ("C", "class", "Doc of C."),
        ("C.m", "method", "Doc of m."),
    ]


def test_private_modules_have_a_public_name():
    assert public_name("numpy", Path("linalg/_linalg.py")) == "numpy.linalg"
    assert public_name("numpy", Path("__init__.py")) == "numpy"


def test_a_missing_package_is_an_error_that_says_what_to_do():
    with pytest.raises(DataError, match="no_such_package.*make env"):
        package_root("no_such_package")


def test_tests_and_vendored_folders_are_skipped(tmp_path):
    for name in (
        "a.py",
        "_b.py",
        "tests/c.py",
        "_private/d.py",
        "_core/e.py",
        "externals/f.py",
        "conftest.py",
        "g.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [p.relative_to(tmp_path).as_posix() for p in source_files(tmp_path)] == ["_b.py", "_core/e.py", "a.py"]
