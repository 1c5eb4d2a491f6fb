"""The library documentation corpus: real text by many hands that arrives with the pinned dependencies.

A package is a domain. Each entry is one documented function, class or method: the first line is a human summary
of the text below it, and See Also names are human judgements of relevance. The source is read with `ast` and
never imported. A corpus of given package versions is always the same: `content_hash` says so.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from joblib import Parallel, delayed

from metastudy import docstrings, installed, text
from metastudy.installed import MIN_SENTENCES, MIN_SUMMARY_WORDS, Candidate, package_root, read_files, source_files
from metastudy.project import find_root, write_atomic

PACKAGES: dict[str, str] = {  # top-level module: distribution that pins it
    "numpy": "numpy", "scipy": "scipy", "pandas": "pandas", "sklearn": "scikit-learn", "matplotlib": "matplotlib",
    "statsmodels": "statsmodels", "networkx": "networkx", "torch": "torch", "sympy": "sympy", "seaborn": "seaborn",
}  # fmt: skip
CACHE = Path("data/cache")
MAX_PER_PACKAGE = 600


@dataclass(frozen=True)
class Entry:
    """One documented object. `see_also` holds ids of the same package; code in text is in single backticks."""

    id: str
    package: str
    kind: str  # function, class or method
    summary: str
    body: tuple[str, ...]
    see_also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last component of the id."""
        return self.id.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Corpus:
    """All entries, sorted by package (in the order of PACKAGES) and id."""

    entries: tuple[Entry, ...]

    def by_package(self) -> dict[str, tuple[Entry, ...]]:
        groups: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            groups[entry.package].append(entry)
        return {package: tuple(group) for package, group in groups.items()}

    def content_hash(self) -> str:
        """sha256 over canonical JSON of all entries."""
        return hashlib.sha256(_canonical(self.entries)).hexdigest()


def _canonical(entries: Iterable[Entry]) -> bytes:
    rows = [asdict(e) for e in entries]
    return json.dumps(rows, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def select(candidates: Iterable[Candidate], limit: int = MAX_PER_PACKAGE) -> list[Candidate]:
    """One package's candidates, the first of each id and of each summary (inherited or copied text), sorted by id.

    Above `limit`, those first by `Candidate.rank` are kept.
    """
    ids: dict[str, Candidate] = {}
    summaries: set[str] = set()
    for candidate in sorted(candidates, key=lambda c: (c.id, c.doc.paragraphs)):
        summary = candidate.doc.paragraphs[0].lower()
        if candidate.id not in ids and summary not in summaries:
            ids[candidate.id] = candidate
            summaries.add(summary)
    return sorted(sorted(ids.values(), key=lambda c: c.rank)[:limit], key=lambda c: c.id)


def to_entries(package: str, candidates: Sequence[Candidate]) -> list[Entry]:
    """Entries of the candidates that do have a summary and a body; See Also names still as written."""
    entries: list[Entry] = []
    summaries: set[str] = set()
    for candidate in candidates:
        summary, body = candidate.doc.summary_and_body()
        long_enough = len(text.words(summary)) >= MIN_SUMMARY_WORDS and len(body) >= MIN_SENTENCES
        if long_enough and docstrings.is_prose(summary) and summary.lower() not in summaries:
            summaries.add(summary.lower())
            entries.append(Entry(candidate.id, package, candidate.kind, summary, body, candidate.doc.see_also))
    return entries


def resolve_links(entries: Sequence[Entry]) -> list[Entry]:
    """See Also names to ids of the same package; names that fit nothing, itself or two equally near ids are dropped."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_name[entry.name].append(entry.id)

    def nearness(a: str, b: str) -> int:
        return len(os.path.commonprefix([a.split("."), b.split(".")]))

    def resolve(name: str, source: str) -> str | None:
        parts = name.split(".")
        if parts[0] in ALIASES:
            parts = parts[1:]
        fits = [i for i in by_name[parts[-1]] if i.split(".")[-len(parts) :] == parts]
        best = max((nearness(i, source) for i in fits), default=0)
        nearest = [i for i in fits if nearness(i, source) == best]
        return nearest[0] if len(nearest) == 1 and nearest[0] != source else None

    resolved = []
    for e in entries:
        links = {target for name in e.see_also if (target := resolve(name, e.id))}
        resolved.append(Entry(e.id, e.package, e.kind, e.summary, e.body, tuple(sorted(links))))
    return resolved


ALIASES = {*PACKAGES, "np", "pd", "sp", "nx", "plt", "sm", "sns"}


def build(packages: Sequence[str] = tuple(PACKAGES), n_jobs: int = 2) -> Corpus:
    """Read the installed packages (half a minute on two cores); `load` is the cached way."""
    jobs = []
    for package in packages:
        root = package_root(package)
        files = source_files(root)
        jobs += [(package, root, files[i : i + 40]) for i in range(0, len(files), 40)]
    with Parallel(n_jobs=n_jobs) as parallel:
        chunks = parallel(delayed(read_files)(*job) for job in jobs)
        selected = []
        for package in packages:
            found = [c for job, chunk in zip(jobs, chunks, strict=True) if job[0] == package for c in chunk]
            chosen = select(found)
            selected += [(package, chosen[i : i + 100]) for i in range(0, len(chosen), 100)]
        split = parallel(delayed(to_entries)(*job) for job in selected)
    unique: dict[tuple[str, tuple[str, ...]], Entry] = {}
    for entry in (e for part in split for e in part):
        unique.setdefault((entry.summary, entry.body), entry)
    entries = [resolve_links([e for e in unique.values() if e.package == p]) for p in packages]
    return Corpus(tuple(e for part in entries for e in part))


def versions(packages: Sequence[str] = tuple(PACKAGES)) -> dict[str, str]:
    """Installed versions without local label ("+cpu"), which differs between builds of the same source."""
    return {p: importlib.metadata.version(PACKAGES[p]).split("+")[0] for p in packages}


@lru_cache(maxsize=1)
def load() -> Corpus:
    """The corpus of the installed versions, from the cache or built and cached."""
    code = b"".join(Path(m.__file__).read_bytes() for m in (docstrings, installed, text)) + Path(__file__).read_bytes()
    key = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode() + code).hexdigest()[:16]
    path = find_root() / CACHE / f"corpus-{key}.json.gz"
    if path.exists():
        rows = json.loads(gzip.decompress(path.read_bytes()))
        return Corpus(tuple(Entry(**{k: tuple(v) if isinstance(v, list) else v for k, v in r.items()}) for r in rows))
    corpus = build()
    write_atomic(path, gzip.compress(_canonical(corpus.entries), mtime=0))
    return corpus
