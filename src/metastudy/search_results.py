"""Pages that were found, as a list that a program reads and a table that people do: where each was before, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from metastudy.own_pages import Id

SHOWN = 3  # columns of a page in a table
WIDTH = 60  # characters of a title in the plain table

MEANINGS = {
    "bm25": "has the query's words (BM25)",
    "dense": "is about what the query says",
    "lsa": "has words that go with the query's",
    "dense_positive": "is about what the relevant pages are on average",
    "bm25_positive": "has the relevant pages' words (BM25)",
    "tfidf_positive": "has the relevant pages' words (TF-IDF)",
    "lsa_positive": "has words that go with the relevant pages'",
    "dense_negative": "is about what the other judged pages are on average",
    "bm25_negative": "has the other judged pages' words (BM25)",
    "tfidf_negative": "has the other judged pages' words (TF-IDF)",
    "lsa_negative": "has words that go with the other judged pages'",
    "rm3_30_0.5": "has the query's words, or the relevant pages' 30 most likely ones",
    "rm3_100_0.5": "has the query's words, or the relevant pages' 100 most likely ones",
    "bo1_30": "has the 30 words that set the relevant pages most apart",
    "bo1_100": "has the 100 words that set the relevant pages most apart",
    "title": "has the query's words in its title",
    "title_positive": "has the relevant pages' words in its title",
    "dense_nearest": "is about the same as one of the relevant pages",
    "lsa_nearest": "has words that go with those of one of the relevant pages",
    "tfidf_nearest": "has the words of one of the relevant pages",
    "late": "has, for each word of the query, one like it",
    "late_positive": "has, for each weighty word of the relevant pages, one like it",
    "propagated_dense": "lies near pages that match, by what they are about",
    "propagated_lsa": "lies near pages that match, by words that go together",
}
"""What a page with a large value in a column is like."""

QUERY, RELEVANT, BOTH, OTHERS = "query", "relevant pages", "query and relevant pages", "other judged pages"


def source(column: str) -> str:
    """What a column compares a page with."""
    if column.startswith(("rm3_", "propagated_")):
        return BOTH
    if column.endswith("_negative"):
        return OTHERS
    return RELEVANT if column.startswith("bo1_") or column.endswith(("_positive", "_nearest")) else QUERY


@dataclass(frozen=True)
class Result:
    """One page. `rank` counts from 1; `before` is its rank for the query alone, without feedback.

    Pages that were judged count in neither rank, so taking them out moves nothing. `why`: column -> what it adds to
    the score (weight times value, in standard deviations of the column over the collection); they add up to `score`,
    and are 0 for a page like the average one. The largest come first, whatever their sign.
    """

    id: Id
    title: str
    score: float
    rank: int
    before: int
    why: Mapping[str, float]

    @property
    def sources(self) -> Mapping[str, float]:
        """Query, relevant pages, both together, other judged pages -> what each adds to the score.

        Columns that compare with the same thing measure much the same, and weights of some are negative: sums over them
        say more than one alone.
        """
        found: dict[str, float] = {}
        for name, value in self.why.items():
            found[source(name)] = found.get(source(name), 0.0) + value
        return {name: found[name] for name in (QUERY, RELEVANT, BOTH, OTHERS) if name in found}


@dataclass(frozen=True, repr=False)
class Results(Sequence[Result]):
    """The best pages of `searched` ones, best first. `judged`: page id -> whether it is relevant, which are no results.

    `note` says why there are none, where there are none; else it is empty.
    """

    query: str
    found: tuple[Result, ...]
    judged: Mapping[Id, bool]
    searched: int
    note: str = ""

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, place):
        return self.found[place]

    @property
    def ids(self) -> list[Id]:
        """Of the pages, best first."""
        return [result.id for result in self.found]

    def frame(self) -> pd.DataFrame:
        """One row a page: rank, before, id, title, score, and the contribution of each column."""
        return pd.DataFrame(
            [
                {"rank": r.rank, "before": r.before, "id": r.id, "title": r.title, "score": r.score}
                | {f"why: {name}": value for name, value in r.why.items()}
                for r in self.found
            ]
        )

    @property
    def _head(self) -> str:
        told = f"{_flat(self.query)!r}: {len(self)} of {self.searched:,} pages"
        if self.judged:
            told += f", after {len(self.judged)} judged (relevant: {sum(self.judged.values())})"
        return f"{told}; {self.note}" if self.note else told

    def __repr__(self) -> str:
        lines = [self._head]
        for r in self.found:
            was = f" (was {r.before})" if self.judged else ""
            lines.append(f"{r.rank:3}{was:12} {_flat(str(r.id))}: {_cut(r.title)} [{_signed(r.sources)}]")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Text is escaped, and classes keep MathJax from making formulas of dollars. What a column means stands under
        the mouse; nothing rests on colour."""
        names = ["rank", *(["before"] if self.judged else []), "page", "title", "score", "from", "largest columns"]
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in names)
        rows = "".join(f"<tr>{self._cells(r)}</tr>" for r in self.found)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if self.found else ""
        return f'<div class="tex2jax_ignore mathjax_ignore"><div>{escape(self._head)}</div>{table}</div>'

    def _cells(self, r: Result) -> str:
        moved = [f"{r.before} {_arrow(r.before - r.rank)}"] if self.judged else []
        columns = ", ".join(
            f'<span title="{escape(MEANINGS[name])}">{escape(name)} {value:+.2f}</span>'
            for name, value in list(r.why.items())[:SHOWN]
        )
        plain = [str(r.rank), *moved, _flat(str(r.id)), _flat(r.title), f"{r.score:.2f}", _signed(r.sources)]
        cells = [*map(escape, plain), columns]
        return "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells)


def _signed(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:+.2f}" for name, value in parts.items())


def _arrow(places: int) -> str:
    return "=" if not places else f"{'▲' if places > 0 else '▼'}{abs(places)}"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str) -> str:
    text = _flat(text)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
