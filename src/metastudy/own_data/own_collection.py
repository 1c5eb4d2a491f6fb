"""Relevance feedback on somebody's own collection, after earlier collections that come with the pinned packages.

The protocol is that of `SearchFeedback`: the same rows, support, residual ranking and scores. Only the collections are
others: the user's is tested, and the documentation of libraries (`searched.LIBRARIES`) trains and validates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakValueDictionary

import numpy as np

from metastudy.encoders import Encoder
from metastudy.errors import DataError
from metastudy.families.base import Fold
from metastudy.families.candidates import DEPTH, Candidates
from metastudy.families.judged_results import JudgedResults, judged_results
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback.components import Scores, components, judged_places
from metastudy.feedback.learned_columns import learned_columns
from metastudy.own_data import searched
from metastudy.own_data.searched import Arrays, Searched
from metastudy.tasks import Task

VALIDATES = "numpy"  # the library with the most judgements


@dataclass(frozen=True, eq=False)
class Sides:
    """One query of a collection with k judged pages, as rows of its index: those that are relevant, those that are
    not; and which of its candidates are left, as rows of `results`."""

    query: str
    results: JudgedResults
    positives: list[int]
    negatives: list[int]
    left: list[int]


class OwnCollection(SearchFeedback):
    """`arrays` is what `searched.build` made of the user's collection `name`, which is the test part of the only fold.

    With `judged` (query -> pages) nothing is held out: the support of a query are these pages, and all its other
    candidates are to be ranked (`asked`). Pages of `hidden` (rows) are no candidates then. What methods keep of a
    family, and send between processes, is its repr: `here` finds the one that built tasks.
    """

    study = "own_search"
    clustered = False

    def __init__(
        self,
        name: str,
        arrays: Arrays,
        encoder: Encoder | None = None,
        shots: tuple[int, ...] = (1, 2, 4, 8),
        max_queries: int = 100,
        judged: Mapping[str, tuple[str, ...]] | None = None,
        hidden: tuple[int, ...] = (),
        libraries: tuple[str, ...] | None = None,
    ):
        self.max_shots = max(shots)
        super().__init__(DEPTH, max_queries, encoder, shots)
        self.name, self.arrays, self.judged, self.hidden = name, arrays, judged, hidden
        self.libraries = libraries or searched.LIBRARIES

    def __repr__(self) -> str:
        held = json.dumps([self.judged, list(self.hidden)], sort_keys=True)
        asked = hashlib.sha256(held.encode()).hexdigest()[:12] if self.judged is not None else None
        content = str(self.arrays["candidates/content_hash"])[:24]
        rest = f"{self.encoder!r}, {self.shots}, {self.max_queries}, {self.libraries}"
        return f"{type(self).__name__}({self.name!r}, {content}, {rest}, asked={asked})"

    def __getstate__(self) -> dict:
        """Pickled without what can be built again."""
        return {k: self.__dict__[k] for k in _STATE} | {"_scales": {}}

    @property
    def task_list(self) -> str:  # type: ignore[override]
        """None is committed."""
        return self.study

    @cached_property
    def searched(self) -> dict[str, Searched]:
        """All collections by name."""
        found = {name: searched.load_library(name, self.encoder) for name in self.libraries}
        return found | {self.name: searched.of_arrays(self.name, self.arrays)}

    @cached_property
    def found(self) -> dict[str, Candidates]:
        return {name: one.candidates for name, one in self.searched.items()}

    @cached_property
    def _split(self) -> dict[str, tuple[dict[str, JudgedResults], dict[str, int]]]:
        split = {name: judged_results(found, self.pool, self.max_shots) for name, found in self.found.items()}
        return split if self.judged is None else split | {self.name: (self._asked(), {})}

    def _asked(self) -> dict[str, JudgedResults]:
        """Judged pages and the `DEPTH` first of the fusion, without hidden ones."""
        found, usable = self.found[self.name], {}
        for q, query in enumerate(map(str, found.queries)):
            judged, grades = set(self.judged[query]), found.relevant[query]
            places, x = found.rows(q)
            pages = found.pages[places].tolist()
            shown = [i for i, place in enumerate(places[: self.pool].tolist()) if place not in set(self.hidden)]
            kept = sorted({*shown, *(i for i, page in enumerate(pages) if page in judged)})
            y = np.array([grades.get(pages[i], 0) for i in kept], dtype=np.float32)
            usable[query] = JudgedResults(
                tuple(pages[i] for i in kept), places[kept], x[kept], y, tuple(self.judged[query])
            )
        return usable

    @property
    def earlier(self) -> tuple[str, ...]:
        """Libraries with queries that can be tasks, the one that validates at the end."""
        usable = [name for name in self.libraries if self.results(name)]
        last = VALIDATES if VALIDATES in usable else usable[-1]
        return (*(name for name in usable if name != last), last)

    def folds(self) -> tuple[Fold, ...]:
        return (Fold("own", self.earlier[:-1], self.earlier[-1:], (self.name,)),)

    def _task(self, task_id: str, name: str, query: str, judged: Sequence[str], shots: int, fold: Fold) -> Task:
        _HERE.setdefault(self._name, self)
        return super()._task(task_id, name, query, judged, shots, fold)

    @cached_property
    def _name(self) -> str:
        return repr(self)

    def asked(self) -> list[Task]:
        """With `judged`: a task for each query, its support all its judged pages."""
        fold = self.folds()[0]
        return [
            self._task(f"{self.name}/{query}", self.name, query, results.judged, len(results.judged), fold)
            for query, results in self.results(self.name).items()
        ]

    def sides(self, name: str, shots: int) -> Iterator[Sides]:
        """All queries of a collection that can be tasks, with k = `shots`, as in `SearchFeedback.build`."""
        place = self.searched[name].around.index.place
        for query, results in self.results(name).items():
            grades, judged = self.found[name].relevant[query], set(results.judged)
            seen = [(place[page], page in grades) for page in results.judged[:shots]]
            positives, negatives = ([p for p, relevant in seen if relevant == side] for side in (True, False))
            left = [i for i, page in enumerate(results.pages) if page not in judged]
            yield Sides(query, results, positives, negatives, left)

    def columns(self, task: Task, learned: bool) -> tuple[Scores, bool]:
        """Columns of a task's query rows, `learned_columns.COLUMNS` or `components.NAMES`, and whether a judged page is
        relevant. Kept in this process, as several methods ask for the same."""
        key = (task.id, len(task.support_y), learned)
        if key not in self._columns:
            around = self.searched[task.family].around
            query = around.index.query(task.query_ids[0].split("|")[0])
            places = [around.index.place[row.split("|")[1]] for row in task.query_ids]
            positives, negatives = judged_places(self, task)
            if learned:
                found = learned_columns(around, query, positives, negatives, places)
            else:
                found = components(around.index, query, positives, negatives)[places]
            self._columns[key] = found, bool(positives)
        return self._columns[key]

    @cached_property
    def _columns(self) -> dict[tuple[str, int, bool], tuple[Scores, bool]]:
        return {}

    def content_hash(self) -> str:
        return str(self.arrays["candidates/content_hash"])


_STATE = ("name", "arrays", "encoder", "shots", "max_shots", "max_queries", "pool", "judged", "hidden", "libraries")
_HERE: WeakValueDictionary[str, OwnCollection] = WeakValueDictionary()


def here(name: str) -> OwnCollection:
    """The family of this repr in this process. Raises DataError where it never came."""
    family = _HERE.get(name)
    if family is None:
        raise DataError(f"{name[:60]} is not in this process; build a task of it first")
    return family
