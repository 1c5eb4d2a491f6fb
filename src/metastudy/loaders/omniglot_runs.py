"""The 20 official runs of Omniglot's one-shot challenge: one drawing each of 20 characters, and 20 to recognise.

Source: Lake, Salakhutdinov and Tenenbaum 2015. Letters in shapes: R runs, s side of a picture after resizing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from metastudy.errors import DataError
from metastudy.loaders.files import Files, decode
from metastudy.loaders.pictures import content_hash, packed, resize

WAYS = 20  # characters of a run
NUMBERS = range(1, WAYS + 1)
TRAINING = tuple(f"training/class{i:02d}.png" for i in NUMBERS)
TEST = tuple(f"test/item{i:02d}.png" for i in NUMBERS)
LABELS = "class_labels.txt"
MEMBER = re.compile(r"(?:.*/)?(run\d\d)/(.+)")


@dataclass(frozen=True, eq=False)
class Challenge:
    """Shapes: training and test (R, 20, 105, 14) uint8, packed, ink 1; answers (R, 20).

    answers[r, i] is the row of `training` that shows the same character as test picture i of run r. In a run all
    training pictures are by one person and all test pictures by another. All are of one alphabet, which is not named;
    there are ten, with two runs each.
    """

    runs: tuple[str, ...]
    training: np.ndarray
    test: np.ndarray
    answers: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """Runs, images (training and test), trials (test images)."""
        trials = self.answers.size
        return {"runs": len(self.runs), "images": self.training.shape[1] * len(self.runs) + trials, "trials": trials}

    def resized(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Training and test pictures, (R, 20, s, s) uint8, ink 255: see `pictures.resize`."""
        training, test = (
            resize(bits.reshape(-1, *bits.shape[2:]), side).reshape(*bits.shape[:2], side, side)
            for bits in (self.training, self.test)
        )
        return training, test

    def content_hash(self) -> str:
        """sha256 of names, answers and pixels."""
        return content_hash(self.runs, self.answers.astype("<i8"), self.training, self.test)


def _answers(run: str, labels: str) -> list[int]:
    """The training row of each test picture, from lines such as "run01/test/item01.png run01/training/class08.png"."""
    items, classes = [f"{run}/{name}" for name in TEST], [f"{run}/{name}" for name in TRAINING]
    right: dict[str, int] = {}
    for number, line in enumerate(labels.splitlines(), start=1):
        item, answer, *_ = *line.split(), "", ""
        if item not in items or answer not in classes or item in right:
            raise DataError(
                f"{run}/{LABELS} line {number} is {line!r}; expected a test picture of this run that has no answer "
                "yet, and a training picture of this run"
            )
        right[item] = classes.index(answer)
    if sorted(right.values()) != list(range(WAYS)):
        raise DataError(
            f"{run}/{LABELS} answers {len(right)} test pictures with {len(set(right.values()))} characters; expected "
            f"{WAYS} pictures of {WAYS} different ones"
        )
    return [right[item] for item in items]


def load_challenge(files: Files) -> Challenge:
    """The runs in order. Raises DataError where a run lacks a picture or has one too many, or answers do not fit."""
    archive, again = "omniglot/all_runs.zip", "fetch all_runs.zip again"
    runs: dict[str, dict[str, bytes]] = {}
    for name, content in files.members(archive).items():
        if not (m := MEMBER.fullmatch(name)):
            raise DataError(f"{archive} holds {name!r}; expected folders run01, run02 and so on: {again}")
        runs.setdefault(m[1], {})[m[2]] = content
    for run, held in runs.items():
        if differing := sorted(set(held) ^ {*TRAINING, *TEST, LABELS}):
            state = "is one file too many" if differing[0] in held else "is missing"
            raise DataError(f"{archive}: {run}/{differing[0]} {state}; {again}")
    if not runs:
        raise DataError(f"{archive} holds no run; {again}")
    order = sorted(runs)
    training, test = (
        np.stack([packed({f"{run}/{name}": runs[run][name] for name in names}) for run in order])
        for names in (TRAINING, TEST)
    )
    answers = [_answers(run, decode(runs[run][LABELS], f"{run}/{LABELS}")) for run in order]
    return Challenge(tuple(order), training, test, np.array(answers))
