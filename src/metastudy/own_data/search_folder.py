"""A folder in BEIR's layout as the collection that is compared on: what is there, whether it is enough, and what of it
is looked at. Nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from metastudy.beir import QRELS, Qrels, read_corpus, read_qrels, read_queries
from metastudy.encoders import terms
from metastudy.errors import DataError
from metastudy.families.candidates import summary_and_body
from metastudy.families.collection import Collection
from metastudy.families.judged_results import SEARCHED, judged_results
from metastudy.families.search_feedback import SearchFeedback
from metastudy.own_data.searched import Searched, first_by_hash

LEAST = 6  # queries: fewer cannot reach p < .05 by sign flips
LEFT = 10  # pages beside the judged ones: the depth of nDCG@10
PAGES = 50_000  # nearest pages of each page take time with their square
CELLS = 10_000_000  # pairs of a query and a page: each takes some 170 bytes for a moment, 1.7 GB in all
LOOKED_AT = 3  # times as many queries as are compared are looked at, since some cannot be tasks
TEST = "test"


@dataclass(frozen=True, eq=False)
class Read:
    """Pages (title, text), queries and the judgements of one part, by id."""

    name: str
    part: str
    pages: Mapping[str, tuple[str, str]]
    queries: Mapping[str, str]
    qrels: Qrels

    @property
    def relevant(self) -> Qrels:
        """Grades above 0, of queries that have one."""
        found = {q: {page: g for page, g in grades.items() if g > 0} for q, grades in self.qrels.items()}
        return {q: grades for q, grades in found.items() if grades}


def read(folder: Path, part: str | None) -> Read:
    """Read and check a folder. Raises DataError for a file, as `beir` does, for pages without a word, and for too many.

    Without `part` it is test, or the only one there is.
    """
    if folder.is_file():
        raise DataError(f"{folder.name} is a file; expected a folder with corpus.jsonl, queries.jsonl and qrels/*.tsv")
    pages, queries = read_corpus(folder), read_queries(folder)
    parts = sorted(path.stem for path in (folder / QRELS).glob("*.tsv"))
    part = part or (parts[0] if len(parts) == 1 else TEST)
    found = Read(folder.resolve().name, part, pages, queries, read_qrels(folder, part, queries, pages))
    if len(pages) > PAGES:
        raise DataError(
            f"{found.name} has {len(pages):,} pages; expected at most {PAGES:,}, since all are compared with each "
            "other: leave out pages that no query needs, or use metastudy.search, which only ranks"
        )
    if not any(terms(f"{title} {text}") for title, text in pages.values()):
        raise DataError(
            f"none of the {len(pages):,} pages of {found.name} has a word of the letters a to z (very common ones do "
            "not count), and others are not seen; expected text in Latin letters"
        )
    return found


def check_enough(found: Read, max_shots: int) -> None:
    """Raises DataError where it is plain from the counts that too few queries can be tasks."""
    if len(found.pages) < max_shots + LEFT:
        raise DataError(
            f"{found.name} has {len(found.pages)} pages; expected at least {max_shots + LEFT}: the {max_shots} that "
            f"--shots takes, and {LEFT} to rank{_smaller(len(found.pages) - LEFT)}"
        )
    several = sum(len(grades) > 1 for grades in found.relevant.values())
    if several < LEAST:
        raise DataError(
            f"{several} of the {len(found.qrels)} queries that qrels/{found.part}.tsv names have two or more relevant "
            f"pages (grade above 0); expected {LEAST} such queries: one page is judged, another is to be found"
        )


def _smaller(shots: int) -> str:
    return f"; --shots {shots} would do" if shots >= 1 else ""


def check_usable(found: Read, one: Searched, shots: Sequence[int], pool: int) -> None:
    """Raises DataError where fewer than `LEAST` queries can be tasks, and says with which shots there would be more."""
    usable, left_out = judged_results(one.candidates, pool, max(shots))
    if len(usable) >= LEAST:
        return
    smaller = range(max(shots) - 1, 0, -1)
    would = next((k for k in smaller if len(judged_results(one.candidates, pool, k)[0]) >= LEAST), None)
    advice = f"--shots {would} would do" if would else "judge more pages of more queries"
    none, nothing = left_out.values()
    raise DataError(
        f"{len(usable)} of {len(one.candidates.queries)} queries of {found.name} can be compared on with "
        f"--shots {max(shots)}; expected {LEAST}. {none} have no relevant page among the first {SEARCHED} results, "
        f"{nothing} have none left when {max(shots)} results are judged: {advice}"
    )


def check_memory(found: Read, queries: Sequence[str]) -> None:
    """Raises DataError for more queries than can be asked at once, and where every page of one is judged."""
    if len(queries) * len(found.pages) > CELLS:
        most = CELLS // len(found.pages)
        raise DataError(
            f"{len(queries):,} queries of {len(found.pages):,} pages would take too much memory; expected at most "
            f"{most:,}: name some in a file of ids"
        )
    if full := [q for q in queries if len(found.qrels[q]) >= len(found.pages)]:
        raise DataError(
            f"query {full[0]!r}: all {len(found.pages)} pages are judged; expected one that is left to rank"
        )


def best_first(grades: Mapping[str, int]) -> list[str]:
    """Judged pages, the highest grade first."""
    return sorted(grades, key=lambda page: -grades[page])


def looked_at(found: Read, wanted: int) -> list[str]:
    """Queries with two or more relevant pages, of which `wanted` shall be tasks: as many as are worth a look, and as
    memory allows, the first by a hash; in the order of the judgements."""
    able = [q for q, grades in found.relevant.items() if len(grades) > 1]
    n = max(LEAST, min(LOOKED_AT * wanted, CELLS // len(found.pages)))
    chosen = set(first_by_hash(found.name, [safe(q) for q in able], n))
    return [q for q in able if safe(q) in chosen]


def collection_of(found: Read, queries: Sequence[str]) -> Collection:
    """The pages with these queries and their relevant pages; ids made `safe`."""
    split = [summary_and_body(title, text) for title, text in found.pages.values()]
    summaries, bodies = zip(*split, strict=True)
    relevant = found.relevant
    return Collection(
        found.name, [safe(page) for page in found.pages], summaries, bodies,
        {safe(q): found.queries[q] for q in queries},
        {safe(q): {safe(page): g for page, g in relevant.get(q, {}).items()} for q in queries},
    )  # fmt: skip


def safe(id_: str) -> str:
    """An id without what stands between ids (spaces, |, control characters): percent-encoded."""
    return re.sub(r"[%|\s\x00-\x1f]", lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), id_)


def plain(id_: str) -> str:
    """The id that `safe` was given."""
    return unquote(id_)


def facts(found: Read, family: SearchFeedback, n_looked_at: int) -> dict[str, str | int | float]:
    """What was read, and which queries are compared on."""
    left_out = family.left_out[found.name]
    single = len(found.qrels) - sum(len(grades) > 1 for grades in found.relevant.values())
    usable = len(family.results(found.name))
    lengths = sorted(len(f"{title} {text}".split()) for title, text in found.pages.values())
    told = {"left out: fewer than two relevant pages": single, "looked at": n_looked_at}
    told |= {f"left out: {why}": n for why, n in left_out.items()}
    return {
        "pages": len(found.pages),
        "words of a page (median)": lengths[len(lengths) // 2],
        "part": found.part,
        "judged queries": len(found.qrels),
        **{k: v for k, v in told.items() if v},
        "queries compared": min(usable, family.max_queries),
    }
