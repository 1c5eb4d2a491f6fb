"""Texts or numbers with a class each: `metastudy compare classification FILE.csv --target COLUMN [--text COLUMN]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from torch import Tensor

from metastudy.errors import ParameterError
from metastudy.models.vectors import VectorNet
from metastudy.own_data import class_file, class_labels
from metastudy.own_data.blocks import deal
from metastudy.own_data.class_earlier import MOST_SHOTS
from metastudy.own_data.class_methods import CLASSICAL, class_methods
from metastudy.own_data.class_reading import Labelled, NumberRows, Rows, TextRows, check_ids
from metastudy.own_data.kind import Asked, Kind, Options, Prepared, the_method
from metastudy.own_data.own_classes import OwnClasses, RowNet
from metastudy.train import TrainConfig

DRAWS, QUICK_DRAWS = 40, 20
CELLS = 2_000_000  # query rows times support rows of one task of `predict`: bounds memory, not results


def training(texts: bool, quick: bool = False) -> TrainConfig:
    """Tasks of tables are small: many steps cost little."""
    steps = (40 if quick else 120) if texts else (120 if quick else 400)
    return TrainConfig(steps=steps, tasks_per_step=4 if quick else 8, validate_every=20 if texts else 40)


class ClassificationOptions(Options):
    """Options of `classification`."""

    target: str = Field(description="column that holds the class")
    text: str | None = Field(None, description="column of texts to learn from; without it, all other columns are")
    drop: tuple[str, ...] = Field((), description="columns to leave out")
    group: str | None = Field(None, description="column whose equal rows belong together: never on both sides")
    id: str | None = Field(None, description="column that names rows: no input, kept in predictions")
    encoder: Literal["tfidf", "minilm"] = Field("tfidf", description="what makes vectors of texts")
    blocks: int = Field(20, ge=class_labels.MIN_BLOCKS, description="blocks of the data: the units of intervals")


class ClassificationKind(Kind):
    """Rows of a CSV file with a class each: texts, or numbers and categories."""

    name: ClassVar[str] = "classification"
    summary: ClassVar[str] = (
        "A CSV file with a row an example: which way of adapting tells its classes apart from a few examples of each?"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "messages.csv --target topic --text message",
        "measured.csv --target species --drop place --shots 1 3 5",
    )
    options: ClassVar[type[Options]] = ClassificationOptions

    def prepare(self, options: ClassificationOptions) -> Prepared:
        found, text = Labelled.read(options), options.text is not None
        draws = options.draws or (QUICK_DRAWS if options.quick else DRAWS)
        class_labels.check_draws(draws)
        same = found.same(options.group, text)
        grouped = f"different values of {options.group!r}" if options.group else "different rows"
        n_blocks = class_labels.check_blocks(same, options.blocks, grouped)
        blocks = deal(found.y, np.array(same), n_blocks, np.random.default_rng((options.seed, 11)))
        class_labels.check_shots(found.classes, found.y, blocks, options.shots)
        rows = _rows(found, options)
        family = _family(found, rows, options, blocks, draws)
        counts = np.bincount(found.y)
        example = "text" if text else "row"
        facts: dict[str, str | int | float] = {
            f"{example}s": len(found.y),
            "classes": len(found.classes),
            "smallest class": f"{found.classes[counts.argmin()]} ({counts.min()})",
            "largest class": f"{found.classes[counts.argmax()]} ({counts.max()})",
            "numbers in a row": rows.dim,
            "blocks": n_blocks,
            "draws": draws,
        }
        return Prepared(
            family,
            tuple(class_methods(rows.dim, text, options.quick)),
            training(text, options.quick),
            metric="accuracy",
            classical=CLASSICAL,
            labelled=round(len(found.y) / len(found.classes)),
            unit=f"labelled {example}s of each class",
            counted=f"{example}s of each class",
            facts=facts,
            notes=tuple(_notes(found, family, options, len(set(same)))),
        )

    def ask(self, options: ClassificationOptions, method: str, new: Path | None) -> Asked:
        if new is None:
            raise ParameterError("nothing to predict: name a CSV file with the same columns (no target is needed)")
        text = options.text is not None
        the_method(class_methods(1, text), method)  # a wrong name is refused before anything is read
        found = Labelled.read(options)
        asked = class_file.read_table(new)
        if lost := [name for name in (*found.inputs, options.id) if name and name not in asked.columns]:
            class_file.check_columns(asked, [(f"{new.name}: column of {options.path.name}", lost[0])])
        if options.id is not None:
            check_ids(asked[options.id])
        rows = _rows(found, options)
        chosen = the_method(class_methods(rows.dim, text), method)
        x = rows(asked, new.name)
        family = _family(found, rows, options, np.zeros(len(found.y), dtype=int), 1)
        everyone = np.argsort(found.y, kind="stable")
        size = max(1, CELLS // len(everyone))
        tasks = []
        for start in range(0, len(x), size):
            part = x[start : start + size]
            unknown = np.zeros(len(part), dtype=np.int64)  # labels that nothing looks at
            tasks.append(family.task(f"new/{start}", "new rows", everyone, part, unknown, range(len(part))))
        usual = float(np.median(np.bincount(found.y)))
        shots = max((k for k in options.shots if k <= usual), default=min(options.shots))

        def table(predictions: Sequence[Tensor]) -> pd.DataFrame:
            return _table(np.concatenate([p.double().numpy() for p in predictions]), found.classes, asked, options.id)

        return Asked(family, chosen, training(text), shots, tasks, table)


def _rows(found: Labelled, options: ClassificationOptions) -> Rows:
    if options.text is not None:
        return TextRows(found.frame, options.text, options.encoder, options.path.name)
    return NumberRows(found.frame, found.inputs)


def _family(found: Labelled, rows: Rows, options: ClassificationOptions, blocks: np.ndarray, draws: int) -> OwnClasses:
    x = rows(found.frame, options.path.name)
    base = VectorNet(rows.dim) if options.text is not None else RowNet(rows.dim)
    earlier = rows.earlier(len(found.classes), max(options.shots))
    return OwnClasses(x, found.y, found.classes, blocks, earlier, base, options.shots, draws)


def _table(p: np.ndarray, classes: Sequence[str], asked: pd.DataFrame, name: str | None) -> pd.DataFrame:
    """A row for each new one: line of the file, its id, the likeliest class, and the probability of each class."""
    table = {"line": asked.index}
    if name is not None:
        table[name] = asked[name].to_numpy()
    table["predicted"] = np.array(classes)[p.argmax(1)]
    return pd.DataFrame(table | {f"probability of {c}": p[:, i] for i, c in enumerate(classes)})


def _notes(found: Labelled, family: OwnClasses, options: ClassificationOptions, n_same: int) -> Iterator[str]:
    """What a reader of the result has to know."""
    text, earlier = options.text is not None, family.earlier
    if found.unlabelled:
        yield f"{found.unlabelled:,} rows have no label and were left out."
    if options.group is None and n_same < len(found.y):
        yield f"{len(found.y) - n_same:,} rows repeat another one; equal rows are never on both sides of a draw."
    if text and options.encoder == "tfidf":
        yield (
            "Vectors of texts are TF-IDF in directions (SVD) that all texts of the file have, those of the query among "
            "them; no label was looked at. All methods see the same vectors."
        )
    elif text:
        yield "Vectors of texts are those of MiniLM, a pretrained encoder, as it is."
    else:
        yield (
            "Columns are standardised by all rows of the file, those of the query among them; missing numbers are the "
            "column's median, categories columns of 0 and 1. No label was looked at. All methods see the same columns."
        )
    learned, tuned = (", ".join(part) for part in (earlier.train, earlier.validation))
    if text:
        yield (
            "Methods that learn from earlier tasks, g too, learned which module of its library a docstring belongs to "
            f"({learned}), and were tuned on {tuned}: on nothing of this file. No g for such data is stored, so it is "
            "trained each time."
        )
    else:
        yield (
            "Methods that learn from earlier tasks, g too, learned from random columns and mixtures of scikit-learn's "
            f"{learned}, and were tuned on {tuned} (other digits): on nothing of this file, unless it is one of these "
            "tables, and then it should not be judged. No g for such data is stored, so it is trained each time."
        )
    limit = max(len(d.classes) for d in earlier.train.values())
    if limit < len(found.classes):
        yield f"Earlier tasks have up to {limit} classes, this file has {len(found.classes)}."
    if max(options.shots) > MOST_SHOTS:
        yield f"Earlier tasks have up to {MOST_SHOTS} examples of a class, fewer than --shots {max(options.shots)}."
    yield "A draw has equally many labelled examples of each class; its query has classes as the file has them."
