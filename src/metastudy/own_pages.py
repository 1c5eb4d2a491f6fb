"""People's own pages and judgements as what is searched, or one error that says which of them cannot be read."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd

from metastudy.beir import read_corpus
from metastudy.errors import DataError, ParameterError
from metastudy.families.candidates import summary_and_body

Id = str | int
FORMS = "a mapping of ids to texts or to pairs (title, text), a DataFrame with a column text, or a folder as BEIR's"
TEXT, TITLE, ID = "text", "title", "id"  # columns of a DataFrame


@dataclass(frozen=True, eq=False)
class OwnPages:
    """N pages in their order: `ids` (strings or whole numbers, each once), `titles` and `texts` (some may be empty).

    A page's line is its title, or its first words (`summaries`), as in the collections that g learned from.
    """

    ids: tuple[Id, ...]
    titles: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, pages: object) -> OwnPages:
        """Pages as a mapping (or a Series) id -> text or (title, text); as a DataFrame with a column `text`, perhaps
        `title`, and ids in a column `id` or else in its index; or as the path of a folder in BEIR's layout.

        In a DataFrame a missing text or title (None, NaN) is an empty one. Raises ParameterError for another form and
        another type, DataError for no page at all, an id that comes twice, and as `beir.read_corpus`.
        """
        if isinstance(pages, str | Path):
            if not Path(pages).is_dir():
                raise DataError(f"pages = {str(pages)[:60]!r} is no folder; expected {FORMS}")
            pages = read_corpus(pages)
        if isinstance(pages, pd.DataFrame):
            rows = _of_frame(pages)
        elif isinstance(pages, Mapping | pd.Series):
            rows = pages.items()
        else:
            raise ParameterError(
                f"pages is a {type(pages).__name__}; expected {FORMS}: of a list, dict(enumerate(...))"
            )
        ids, titles, texts = [], [], []
        for id_, page in rows:
            title, text = _title_and_text(id_, page)
            ids.append(_id(id_))
            titles.append(title)
            texts.append(text)
        if not ids:
            raise DataError("there are no pages; expected at least one")
        found = cls(tuple(ids), tuple(titles), tuple(texts))
        if len(found.place) < len(ids):
            again = next(id_ for row, id_ in enumerate(ids) if found.place[id_] != row)
            raise DataError(f"page id {again!r} comes twice; expected each id once")
        return found

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def place(self) -> Mapping[Id, int]:
        """Id -> row."""
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def _split(self) -> tuple[tuple[str, str], ...]:
        return tuple(map(summary_and_body, self.titles, self.texts))

    @cached_property
    def summaries(self) -> list[str]:
        """The line of each page."""
        return [summary for summary, _ in self._split]

    @cached_property
    def pages(self) -> list[str]:
        """All of each page, as it is searched."""
        return [f"{summary} {body}" for summary, body in self._split]

    @cached_property
    def written(self) -> np.ndarray:
        """(N,) whether there is anything on a page."""
        return np.array([bool(page.strip()) for page in self.pages])


def read_feedback(feedback: object, pages: OwnPages) -> dict[int, bool]:
    """Row of each judged page -> whether it is relevant: True, or a grade above 0.

    `feedback` is a mapping (or a Series) of page ids to bools or grades, or None. Raises ParameterError for another
    type, an unknown id, an id that comes twice, and a grade that is no finite number (NaN, None, text).
    """
    if feedback is None:
        return {}
    if not isinstance(feedback, Mapping | pd.Series):
        raise ParameterError(
            f"feedback is a {type(feedback).__name__}; expected a mapping of page ids to True, False or a grade: of "
            "relevant ids alone, dict.fromkeys(ids, True)"
        )
    found: dict[int, bool] = {}
    for id_, grade in feedback.items():
        if not isinstance(id_, Hashable) or id_ not in pages.place:
            raise ParameterError(_unknown(id_, pages))
        if not isinstance(grade, Real | np.bool_) or not math.isfinite(grade):
            raise ParameterError(
                f"feedback of page {id_!r} is {grade!r}; expected True, False or a finite grade: leave out what nobody "
                "judged"
            )
        if pages.place[id_] in found:
            raise ParameterError(f"feedback names page {id_!r} twice; expected once")
        found[pages.place[id_]] = bool(grade > 0)
    return found


def _unknown(id_: object, pages: OwnPages) -> str:
    found = f"feedback names page {id_!r}, which is none of the {len(pages)} pages ({_some(pages.ids)})"
    other = str(id_) if not isinstance(id_, str) else int(id_) if id_.isdecimal() else None
    if other is not None and other in pages.place:
        return f"{found}; there is {other!r}, of another type: give that"
    return f"{found}; give their ids"


def _some(ids: Iterable[Id]) -> str:
    first = [repr(id_) for _, id_ in zip(range(4), ids, strict=False)]
    return ", ".join([*first[:3], *["..."] * (len(first) > 3)])


def _of_frame(frame: pd.DataFrame) -> Iterable[tuple[object, tuple[str, str]]]:
    """Rows as pages; what is missing is empty."""
    if TEXT not in frame.columns:
        raise ParameterError(f"the DataFrame has columns {_some(frame.columns)}; expected one called {TEXT!r}")
    if twice := [c for c in (ID, TITLE, TEXT) if list(frame.columns).count(c) > 1]:
        raise ParameterError(f"the DataFrame has two columns called {twice[0]!r}; expected one")
    ids = frame[ID] if ID in frame.columns else frame.index
    texts, titles = (
        [("" if v is None or v is pd.NA or v != v else v) for v in frame[c]]
        if c in frame.columns
        else [""] * len(frame)
        for c in (TEXT, TITLE)
    )
    return zip(ids, zip(titles, texts, strict=True), strict=True)


def _title_and_text(id_: object, page: object) -> tuple[str, str]:
    if isinstance(page, str):
        return "", page
    if isinstance(page, tuple | list) and len(page) == 2:
        for what, value in zip((TITLE, TEXT), page, strict=True):
            if not isinstance(value, str):
                raise ParameterError(f"the {what} of page {id_!r} is a {type(value).__name__}; expected a string")
        return page[0], page[1]
    size = f" of {len(page)}" if isinstance(page, tuple | list) else ""
    raise ParameterError(f"page {id_!r} is a {type(page).__name__}{size}; expected a text or a pair (title, text)")


def _id(id_: object) -> Id:
    if isinstance(id_, bool | np.bool_) or not isinstance(id_, str | Integral):
        raise ParameterError(f"page id {id_!r} is a {type(id_).__name__}; expected a string or a whole number")
    return str(id_) if isinstance(id_, str) else int(id_)
