"""Write requirements/lock.txt from pyproject.toml: exact pins of every extra, installable anywhere.

Run by `make lock`. Versions are those that this machine's pip would reach (its index settings are handed on
to uv), but none of those settings is written down, nor a local version label, nor the CUDA packages that
some builds of torch ask for: the torch of each platform brings its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = Path("requirements/lock.txt")
DIGEST_LABEL = "# dependency tables of pyproject.toml: sha256 "
PLATFORM_PACKAGES = re.compile(r"^(nvidia-|cuda-|triton$|pytorch-triton)")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;+]+)(?:\+[^\s;]+)?(?P<marker>\s*;.*)?$")


def tables(root: Path = ROOT) -> dict:
    """The parts of pyproject.toml that the lock depends on."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = ("requires-python", "dependencies", "optional-dependencies")
    return {name: project[name] for name in names}


def digest(root: Path = ROOT) -> str:
    return hashlib.sha256(json.dumps(tables(root), sort_keys=True).encode()).hexdigest()


def requirements(root: Path = ROOT) -> list[Requirement]:
    """Every direct requirement, extras included."""
    found = tables(root)
    extras = [line for lines in found["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*found["dependencies"], *extras]]


def pins(text: str) -> dict[str, Version]:
    """Package name (canonical) to version. Raises ValueError at a line that is no plain pin."""
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = PIN.match(line)
        if match is None:
            raise ValueError(f"lock line {line!r}: expected name==version; run `make lock` again")
        found[canonicalize_name(match["name"])] = Version(match["version"])
    return found


def is_stale(root: Path = ROOT) -> bool:
    """Whether pyproject.toml changed since the lock was written."""
    return f"{DIGEST_LABEL}{digest(root)}" not in (root / LOCK).read_text(encoding="utf-8").splitlines()


def portable(text: str) -> str:
    """What uv wrote, without platform packages, local labels and its own header."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if not line.startswith((" ", "#")) and line.strip():
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    kept = []
    for first, *comments in blocks:
        match = PIN.match(first)
        if match is None:
            continue  # an index or find-links line
        if not PLATFORM_PACKAGES.match(canonicalize_name(match["name"])):
            kept += [f"{match['name']}=={match['version']}{match['marker'] or ''}".rstrip(), *comments]
    return "\n".join(kept) + "\n"


def pip_sources() -> list[str]:
    """uv's options for the index settings that pip has here, so that both see the same versions."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    options = []
    for name in ("find-links", "extra-index-url", "index-url"):
        for value in re.findall(rf"^[^=\s]*\.{name}='([^']*)'", listing, flags=re.MULTILINE):
            options += [part for item in value.split() for part in (f"--{name}", item)]
    return options


def resolve(root: Path, upgrade: bool) -> str:
    """uv's resolution of all extras. Pins already in the lock are kept where they still fit."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras", "--quiet"]
    command += ["--python-version", "3.11", "--no-config", "--no-header"]
    command += ["--index-strategy", "unsafe-best-match", *pip_sources(), *(["--upgrade"] if upgrade else [])]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock.txt"  # uv prefers the versions that it finds in its output file
        if (root / LOCK).is_file():
            shutil.copy(root / LOCK, output)
        done = subprocess.run([*command, "--output-file", str(output)], cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"uv could not resolve pyproject.toml:\n{done.stderr.strip()}")
        return output.read_text(encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    parser.add_argument("--check", action="store_true", help="only say whether the lock is up to date")
    arguments = parser.parse_args()
    if arguments.check:
        raise SystemExit("requirements/lock.txt is stale: run `make lock`" if is_stale() else 0)
    body = portable(resolve(ROOT, arguments.upgrade))
    header = ["# Written by tools/lock.py (`make lock`): do not edit.", f"{DIGEST_LABEL}{digest()}", ""]
    (ROOT / LOCK).parent.mkdir(exist_ok=True)
    (ROOT / LOCK).write_text("\n".join(header) + "\n" + body, encoding="utf-8")
    print(f"{LOCK}: {len(pins(body))} packages")


if __name__ == "__main__":
    main()
