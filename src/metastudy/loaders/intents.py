"""Short texts with one label each: Banking77 (Casanueva et al. 2020) and CLINC150 (Larson et al. 2019).

What is repaired, and counted in `LabelledTexts.repaired`: runs of blanks and line breaks become one blank; of texts
with the same words and the same label the first is kept; a text that occurs with several labels is left out entirely.
Without that, copies of a query could lie in its support.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.parameters import nearest
from metastudy.text import words

BANKING77, CLINC150 = "fewshot_text/banking77", "fewshot_text/clinc150"
SPLITS = {"train": "train", "val": "validation", "test": "test"}
OUT_OF_SCOPE = "oos"


@dataclass(frozen=True)
class LabelledTexts:
    """N texts after repair, with label, domain of each label, and the split that their source put them in.

    `repaired`: how many texts were respaced, repeated (left out) and contradictory (left out). `counts`: what the
    files hold before that. `synthetic`: nobody wrote these texts.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    domains: Mapping[str, str]
    counts: dict[str, int]
    repaired: dict[str, int]
    synthetic: bool = False

    @classmethod
    def repair(cls, rows: pd.DataFrame, domains: Mapping[str, str], counts: dict[str, int], synthetic: bool = False):
        """From a table with columns text, label and split. Raises DataError for a text without any letter."""
        spaced = rows["text"].str.split().str.join(" ")
        if (empty := spaced == "").any():
            at = int(empty.to_numpy().argmax())
            label = rows["label"].iloc[at]
            raise DataError(f"text {at + 1} of {len(rows)}, labelled {label!r}, is empty; expected words")
        same = spaced.map(lambda t: " ".join(words(t)) or t)  # the terms that vectors are made of
        contradictory = rows["label"].groupby(same).transform("nunique") > 1
        repeated = same.duplicated() & ~contradictory
        kept = ~(contradictory | repeated)
        repaired = {
            "respaced": int((spaced != rows["text"]).sum()),
            "repeated": int(repeated.sum()),
            "contradictory": int(contradictory.sum()),
        }
        columns = (tuple(column[kept]) for column in (spaced, rows["label"], rows["split"]))
        return cls(*columns, dict(domains), counts, repaired, synthetic)


def read_csv(files: Files, path: str, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of a CSV file, as text. Raises DataError where one is missing or a row has more fields.

    What a row lacks at its end is read as empty, which neither a text nor a label may be.
    """
    name = PurePosixPath(path).name
    try:
        # keep_default_na: "null" and "NA" are words here
        table = pd.read_csv(StringIO(files.text(path)), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{name} is no readable table ({error}); fetch it again") from None
    for column in columns:
        if column not in table:
            hint = nearest(column, list(table))
            raise DataError(f"{name} has the columns {', '.join(table)}; expected {column!r} among them{hint}")
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{name}: rows have more fields than the {table.shape[1]} columns; quote texts with commas")
    return table[list(columns)]


def read_json(files: Files, path: str, kind: Any) -> Any:
    """A JSON file of a given type, such as list[str]. Raises DataError, naming the first wrong place."""
    try:
        return TypeAdapter(kind).validate_json(files.text(path), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([PurePosixPath(path).name, *map(str, first["loc"])])
        raise DataError(f"{where}: {first['msg']}; fetch it again") from None


def check_labels(found: Sequence[str], known: Sequence[str], name: str, where: str) -> None:
    """Raises DataError where labels of `name` and those listed in `where` are not the same set."""
    if unknown := sorted(set(found) - set(known)):
        raise DataError(
            f"{name} has {len(unknown)} labels that are not among the {len(set(known))} of {where}, the first is "
            f"{unknown[0]!r}{nearest(unknown[0], list(known))}"
        )
    if missing := sorted(set(known) - set(found)):
        raise DataError(f"{name} has no text for {len(missing)} of the labels of {where}, the first is {missing[0]!r}")


def banking77(files: Files) -> LabelledTexts:
    """Questions to a bank, one domain. Labels are those of categories.json."""
    parts = [
        read_csv(files, f"{BANKING77}/{split}.csv", ("text", "category")).assign(split=split)
        for split in ("train", "test")
    ]
    rows = pd.concat(parts, ignore_index=True).rename(columns={"category": "label"})
    known = read_json(files, f"{BANKING77}/categories.json", list[str])
    check_labels(list(rows["label"]), known, "Banking77", "categories.json")
    counts = {"texts": len(rows), **{part["split"].iloc[0]: len(part) for part in parts}, "classes": len(set(known))}
    return LabelledTexts.repair(rows, dict.fromkeys(known, "banking77"), counts)


def clinc150(files: Files) -> LabelledTexts:
    """Requests to an assistant; domains.json gives every intent its domain.

    Out-of-scope requests belong to no intent and are counted, not kept.
    """
    held = read_json(files, f"{CLINC150}/data_full.json", dict[str, list[tuple[str, str]]])
    expected = [*SPLITS, *(f"{OUT_OF_SCOPE}_{part}" for part in SPLITS)]
    if sorted(held) != sorted(expected):
        raise DataError(f"data_full.json has parts {', '.join(sorted(held))}; expected {', '.join(sorted(expected))}")
    rows = pd.DataFrame(
        [(text, label, split) for part, split in SPLITS.items() for text, label in held[part]],
        columns=["text", "label", "split"],
    )
    domains: dict[str, str] = {}
    for domain, labels in read_json(files, f"{CLINC150}/domains.json", dict[str, list[str]]).items():
        for label in labels:
            if label in domains:
                raise DataError(f"domains.json has {label!r} in {domains[label]} and in {domain}; expected it once")
            domains[label] = domain
    check_labels(list(rows["label"]), list(domains), "data_full.json", "domains.json")
    outside = [label for part in SPLITS for _, label in held[f"{OUT_OF_SCOPE}_{part}"]]
    if wrong := sorted(set(outside) - {OUT_OF_SCOPE}):
        raise DataError(f"data_full.json labels an out-of-scope text {wrong[0]!r}; expected {OUT_OF_SCOPE!r}")
    counts = {
        "texts": len(rows),
        **{split: len(held[part]) for part, split in SPLITS.items()},
        "classes": len(domains),
        "domains": len(set(domains.values())),
        "out_of_scope": len(outside),
    }
    return LabelledTexts.repair(rows, domains, counts)
