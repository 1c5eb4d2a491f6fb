"""Black and white drawings as packed bits, and smaller grey ones made from them. N pictures, s their new side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from metastudy import archives
from metastudy.errors import DataError, ParameterError

SIDE = 105  # pixels of a drawing, in both directions
CHUNK = 1000  # pictures resized at once


def packed(pngs: Mapping[str, bytes]) -> np.ndarray:
    """Pictures by name to (N, 105, 14) uint8: ink (black in the files) is 1, eight pixels of a line to a byte.

    Raises DataError, naming it, for what is no picture, has another size, or has ink and paper exchanged.
    """
    pictures = []
    for name, png in pngs.items():
        ink = ~archives.pixels(png, name)
        if ink.shape != (SIDE, SIDE):
            raise DataError(f"{name} has {ink.shape[1]} x {ink.shape[0]} pixels; expected {SIDE} x {SIDE}")
        if not 0 < np.count_nonzero(ink) <= ink.size // 2:
            raise DataError(f"{name} is {ink.mean():.0%} black; expected thin black strokes on white paper")
        pictures.append(np.packbits(ink, axis=1))
    return np.stack(pictures)


def unpacked(bits: np.ndarray) -> np.ndarray:
    """(N, 105, 14) back to (N, 105, 105) uint8, ink 1."""
    return np.unpackbits(bits, axis=2, count=SIDE)


def resize(bits: np.ndarray, side: int) -> np.ndarray:
    """Packed pictures (N, 105, 14) to (N, s, s) uint8: how much of each new pixel's area is ink, 0 to 255.

    A box filter with exact edges: an old pixel that two new ones share counts for each by its share. Pillow's box
    counts it whole or not at all, which makes strokes uneven. All sums are whole numbers, so every machine finds the
    same. Raises ParameterError for a side outside 1..105.
    """
    if not 1 <= side <= SIDE:
        raise ParameterError(f"side is {side}; expected 1 to {SIDE}, since pictures are only made smaller")
    old, new = np.arange(SIDE) * side, np.arange(side)[:, None] * SIDE  # left edges, in a unit that fits both
    share = np.clip(np.minimum(old + side, new + SIDE) - np.maximum(old, new), 0, None).astype(np.float32)
    resized = np.empty((len(bits), side, side), np.uint8)
    for start in range(0, len(bits), CHUNK):
        ink = unpacked(bits[start : start + CHUNK]).astype(np.float32)
        covered = (share @ (ink @ share.T)).astype(np.int32)  # at most 105 * 105: exact in float32
        resized[start : start + CHUNK] = (255 * covered + SIDE * SIDE // 2) // (SIDE * SIDE)
    return resized


def content_hash(names: Sequence[object], *arrays: np.ndarray) -> str:
    """sha256 of names and of what arrays hold."""
    digest = hashlib.sha256(json.dumps(names).encode())
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
