"""The labelled rows of somebody's file, and what turns them, and new rows, into vectors."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from metastudy.errors import DataError, ParameterError
from metastudy.minilm import MiniLM
from metastudy.own_data import class_file, class_labels
from metastudy.own_data.class_earlier import EarlierTasks, table_tasks, text_tasks
from metastudy.own_data.class_file import Numbers
from metastudy.own_data.class_vectors import OwnDirections, in_own_directions
from metastudy.text import words
from metastudy.vector_cache import CachedEncoder

DIM = 128  # directions of texts, at most
LENGTHS = (8, 16, 32, 64, 128)  # words that earlier texts may have: of these, the one nearest to the user's median


class Asked(Protocol):
    """What of the options says how to read a file."""

    path: Path
    target: str
    text: str | None
    drop: tuple[str, ...]
    group: str | None
    id: str | None
    encoder: str


class Rows(Protocol):
    """What makes vectors of a table's rows. It never looks at a label, and a row depends on no other new row."""

    dim: int

    def __call__(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """(N, dim) in float32. `name` is the file's, for messages. Raises DataError for what cannot be read."""

    def earlier(self, ways: int, shots: int) -> EarlierTasks:
        """Earlier tasks whose rows are like these."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """N labelled rows: `frame` as text by line number, classes by alphabet, y (N,), the names of input columns, and
    how many rows had no label."""

    frame: pd.DataFrame
    classes: tuple[str, ...]
    y: np.ndarray
    inputs: tuple[str, ...]
    unlabelled: int

    @classmethod
    def read(cls, asked: Asked) -> Labelled:
        """Raises DataError and ParameterError as `class_file` and `class_labels`, and for roles that do not fit."""
        frame = class_file.read_table(asked.path)
        roles = [("--target", asked.target), ("--text", asked.text), ("--group", asked.group), ("--id", asked.id)]
        roles += [("--drop", name) for name in asked.drop]
        class_file.check_columns(frame, roles)
        taken: dict[str, str] = {}
        for what, name in roles:
            if name is not None and taken.setdefault(name, what) != what and {what, taken[name]} != {"--group", "--id"}:
                raise ParameterError(f"column {name!r} is both {taken[name]} and {what}; expected two columns")
        if asked.encoder != "tfidf" and asked.text is None:
            raise ParameterError(f"--encoder {asked.encoder} is for texts: give --text COLUMN too, or leave it out")
        if asked.id is not None:
            check_ids(frame[asked.id])
        classes, y = class_labels.classes_of(frame[asked.target], asked.target)
        inputs = (asked.text,) if asked.text else tuple(name for name in frame.columns if name not in taken)
        return cls(frame[y >= 0], classes, y[y >= 0], inputs, int((y < 0).sum()))

    def same(self, group: str | None, texts: bool) -> list[str]:
        """What rows that belong together have in common: their group; without one, their inputs (of texts, words)."""
        if group is not None:
            none = class_file.missing(self.frame[group])
            return [f"row {i}" if none[i] else f"group {v}" for i, v in enumerate(self.frame[group])]
        if texts:
            return [" ".join(words(text)) for text in self.frame[self.inputs[0]]]
        return ["\x1f".join(row) for row in self.frame[list(self.inputs)].itertuples(index=False)]


class TextRows:
    """Vectors of texts: TF-IDF in directions that the labelled file's own texts have, or a pretrained encoder's."""

    def __init__(self, frame: pd.DataFrame, column: str, encoder: str, name: str):
        self.column, self.pretrained = column, encoder == "minilm"
        texts = _texts(frame, column, name)
        if self.pretrained and importlib.util.find_spec("sentence_transformers") is None:
            raise DataError(
                "--encoder minilm runs on sentence-transformers, which is not installed: install the extra `search` "
                "(pip install -e '.[search]'), or use --encoder tfidf"
            )
        self.encode = CachedEncoder(MiniLM()) if self.pretrained else OwnDirections.of(texts, DIM)
        self.dim = self.encode.dim
        self.median = float(np.median([len(text.split()) for text in texts]))

    def __call__(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        return self.encode(_texts(frame, self.column, name))

    def earlier(self, ways: int, shots: int) -> EarlierTasks:
        """Docstrings about as long, each domain in directions of its own; MiniLM's are the same for all texts."""
        n_words = min(LENGTHS, key=lambda n: abs(np.log(n / self.median)))
        if self.pretrained:
            return text_tasks(self.encode, self.dim, ways, shots, n_words)
        return text_tasks(lambda own: in_own_directions(own, self.dim), self.dim, ways, shots, n_words)


class NumberRows:
    """Standardised columns, by means and deviations of all rows of the labelled file."""

    def __init__(self, frame: pd.DataFrame, inputs: Sequence[str]):
        self.numbers = Numbers.of(frame[list(inputs)])
        self.dim = self.numbers.dim

    def __call__(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        return self.numbers.rows(frame)

    def earlier(self, ways: int, shots: int) -> EarlierTasks:
        return table_tasks(self.dim, ways)


def check_ids(ids: pd.Series) -> None:
    """Raises DataError for an id that comes twice, or is not there, naming the line."""
    if (none := class_file.missing(ids)).any():
        raise DataError(f"column {ids.name!r}, line {ids.index[none][0]}: no id; expected one a row")
    if (twice := ids.duplicated()).any():
        value = ids[twice].iloc[0]
        first, again = ids.index[ids == value][:2]
        raise DataError(f"id {value!r} comes in line {first} and again in line {again}; expected each id once")


def _texts(frame: pd.DataFrame, column: str, name: str) -> list[str]:
    """Raises DataError, naming the line, for a text without a word."""
    texts = frame[column].tolist()
    empty = [i for i, text in enumerate(texts) if not words(text)]
    if empty:
        raise DataError(
            f"{name}, line {frame.index[empty[0]]}: the text {texts[empty[0]][:40]!r} has no word of the letters a to "
            f"z or digits (so have {len(empty):,} rows); leave such rows out"
        )
    return texts
