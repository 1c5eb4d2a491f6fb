"""The standard split of Omniglot's characters: which train, validate and test (data/splits/omniglot_vinyals.yaml)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from metastudy.errors import DataError
from metastudy.loaders.omniglot import Character
from metastudy.project import find_root

SIZES = {"train": 1028, "validation": 172, "test": 423}
RESTORE = "restore the file from git"


def path() -> Path:
    """Where the split lies in the project."""
    return find_root() / "data" / "splits" / "omniglot_vinyals.yaml"


def read(split: Path) -> dict[str, set[str]]:
    """Names of validation and test characters, such as "Greek/character01".

    Raises DataError where the file is damaged, or names other characters than its sha256 stands for.
    """
    try:
        content = yaml.safe_load(split.read_text(encoding="utf-8"))
        found = {
            part: {f"{a}/character{n:02d}" for a, (low, high) in content[part].items() for n in range(low, high + 1)}
            for part in ("validation", "test")
        }
        expected = content["sha256"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{split.name} cannot be read ({said}); {RESTORE}") from None
    lines = sorted(f"{part} {name}\n" for part, names in found.items() for name in names)
    if (digest := hashlib.sha256("".join(lines).encode()).hexdigest()) != expected:
        raise DataError(f"{split.name} names characters with sha256 {digest}, expected {expected}: edited? {RESTORE}")
    return found


def divide(characters: Sequence[Character], named: dict[str, set[str]]) -> dict[str, list[int]]:
    """Positions in `characters` of each part; whatever is not named trains.

    Raises DataError where a named character does not exist, or is in two parts.
    """
    position = {c.name: i for i, c in enumerate(characters)}
    if unknown := sorted((named["validation"] | named["test"]) - position.keys()):
        raise DataError(
            f"the split names {len(unknown)} characters that are not among the {len(position)} of the data, first "
            f"{unknown[0]}; expected the full Omniglot: {RESTORE}, or fetch the data again"
        )
    if both := sorted(named["validation"] & named["test"]):
        raise DataError(f"the split has {both[0]} in validation and in test; expected each in one part: {RESTORE}")
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for name, i in position.items():
        parts["validation" if name in named["validation"] else "test" if name in named["test"] else "train"].append(i)
    return parts


def standard(characters: Sequence[Character]) -> dict[str, list[int]]:
    """The split of all 1,623 characters: 1028, 172 and 423. Raises DataError where the data has others."""
    parts = divide(characters, read(path()))
    if (sizes := {part: len(found) for part, found in parts.items()}) != SIZES:
        raise DataError(f"the split has sizes {sizes}, expected {SIZES}: not the full Omniglot; fetch the data again")
    return parts
