"""Figures of the data itself: what the pictures of a source look like."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from metastudy.figures import style


def _sheet(rows: list[tuple[str, np.ndarray]], title: str) -> Figure:
    """Labelled rows of pictures, each (n, side, side) with ink 255, side by side as one strip."""
    style()
    n = max(len(pictures) for _, pictures in rows)
    figure, axes = plt.subplots(len(rows), 1, figsize=(0.48 * n + 2.2, 0.52 * len(rows) + 0.5), squeeze=False)
    for ax, (name, pictures) in zip(axes[:, 0], rows, strict=True):
        framed = np.pad(pictures, [(0, 0), (2, 2), (2, 2)])
        ax.imshow(np.concatenate(list(framed), axis=1), cmap="gray_r", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        ax.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def alphabets(pictures: np.ndarray, names: list[str], drawers: int, n_rows: int = 8, n_characters: int = 20) -> Figure:
    """First drawings of the first characters of some alphabets. `pictures` (N, side, side): `drawers` a character,
    in order; `names` the alphabet of each character."""
    chosen = list(dict.fromkeys(names))
    chosen = chosen[:: max(1, len(chosen) // n_rows)][:n_rows]
    rows = []
    for alphabet in chosen:
        first = [i * drawers for i, name in enumerate(names) if name == alphabet][:n_characters]
        rows.append((alphabet.replace("_", " "), pictures[first]))
    return _sheet(rows, f"Omniglot: one drawing of each of up to {n_characters} characters of {len(rows)} alphabets")


def challenge_run(training: np.ndarray, test: np.ndarray, answers: np.ndarray, run: str) -> Figure:
    """One run of the one-shot challenge: training pictures, and below each the test picture that shows the same
    character. Shapes: training and test (20, side, side), answers (20,) the row of `training` for each test picture."""
    matching = test[np.argsort(answers)]
    rows = [("learn from", training), ("recognise", matching)]
    return _sheet(rows, f"Omniglot challenge, {run}: one person's drawings, and another's of the same characters")
