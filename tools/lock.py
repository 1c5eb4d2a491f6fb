"""Write requirements/*.txt from pyproject.toml: exact pins of every extra, installable anywhere.

lock.txt is what `make env` installs. Extras named in SEPARATE are large and rarely needed: each has a file of its
own, which holds only what it adds to lock.txt, at versions that fit it, so it is installed on top without anything
being replaced.

Run by `make lock`. Versions are those that this machine's pip would reach (its index settings are handed on to uv),
but none of those settings is written down, nor a local version label, nor the CUDA packages that some builds of
torch ask for: the torch of each platform brings its own.
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
SEPARATE = ("bench",)
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


def lock_of(extra: str) -> Path:
    """The lock of an extra in SEPARATE."""
    return Path(f"requirements/{extra}.txt")


def extra_requirements(extra: str, root: Path = ROOT) -> list[Requirement]:
    """The direct requirements of one extra."""
    return [Requirement(line) for line in tables(root)["optional-dependencies"][extra]]


def requirements(root: Path = ROOT) -> list[Requirement]:
    """Every direct requirement of lock.txt: all extras but the SEPARATE ones."""
    found = tables(root)
    extras = [extra for extra in found["optional-dependencies"] if extra not in SEPARATE]
    return [Requirement(line) for line in found["dependencies"]] + [
        requirement for extra in extras for requirement in extra_requirements(extra, root)
    ]


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
    """Whether pyproject.toml changed since the locks were written, or one of them is missing."""
    label = f"{DIGEST_LABEL}{digest(root)}"
    locks = [root / path for path in (LOCK, *map(lock_of, SEPARATE))]
    return any(not path.is_file() or label not in path.read_text(encoding="utf-8").splitlines() for path in locks)


def beyond(text: str, base: dict[str, Version]) -> str:
    """The blocks of a lock whose package `base` does not pin. Raises SystemExit where both pin it differently."""
    kept, wanted = [], False
    for line in text.splitlines():
        if match := PIN.match(line):
            name, version = canonicalize_name(match["name"]), Version(match["version"])
            if base.get(name, version) != version:
                raise SystemExit(f"{name}: {version} beside lock.txt's {base[name]}; loosen pyproject.toml, lock again")
            wanted = name not in base
        if wanted:
            kept.append(line)
    return "\n".join(kept) + "\n"


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


def resolve(root: Path, path: Path, options: list[str], upgrade: bool) -> str:
    """uv's resolution of pyproject.toml. Pins already in the file at `path` are kept where they still fit."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", *options]
    command += ["--python-version", "3.11", "--no-config", "--no-header"]
    command += ["--index-strategy", "unsafe-best-match", *pip_sources(), *(["--upgrade"] if upgrade else [])]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock.txt"  # uv prefers the versions that it finds in its output file
        if (root / path).is_file():
            shutil.copy(root / path, output)
        done = subprocess.run([*command, "--output-file", str(output)], cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"uv could not resolve pyproject.toml:\n{done.stderr.strip()}")
        return output.read_text(encoding="utf-8")


def write(path: Path, body: str) -> None:
    header = ["# Written by tools/lock.py (`make lock`): do not edit.", f"{DIGEST_LABEL}{digest()}", ""]
    (ROOT / path).parent.mkdir(exist_ok=True)
    (ROOT / path).write_text("\n".join(header) + "\n" + body, encoding="utf-8")
    print(f"{path}: {len(pins(body))} packages")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    parser.add_argument("--check", action="store_true", help="only say whether the locks are up to date")
    arguments = parser.parse_args()
    if arguments.check:
        raise SystemExit("requirements/ is stale: run `make lock`" if is_stale() else 0)
    extras = [extra for extra in tables()["optional-dependencies"] if extra not in SEPARATE]
    body = portable(resolve(ROOT, LOCK, [f"--extra={extra}" for extra in extras], arguments.upgrade))
    write(LOCK, body)
    for extra in SEPARATE:
        options = ["--extra", extra, "--constraints", str(LOCK)]
        write(lock_of(extra), beyond(portable(resolve(ROOT, lock_of(extra), options, arguments.upgrade)), pins(body)))


if __name__ == "__main__":
    main()
