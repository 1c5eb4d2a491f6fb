"""data/README.md, written from the registry: a datasheet for every source (after Gebru et al. 2021).

python -m metastudy.datasheets            what `make datasheets` runs
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from metastudy import registry
from metastudy.project import find_root, write_atomic
from metastudy.registry import FIELDS, File, Registry, Source

TITLES = {
    "images": "Images",
    "summarization": "Summarization",
    "medical": "Medical tables",
    "search": "Search",
    "intents": "Intents",
    "symptoms": "Symptoms",
}
HEAD = """\
# Data

<!-- Written from registry.yaml by `make datasheets`: edit that file. -->

| here | what |
|---|---|
| `registry.yaml` | every public file: URL at a pinned commit, checksum, size, terms, counts, traps, what reads it |
| `tasks/<profile>/` | frozen evaluation tasks: ids and a hash, never data |
| `splits/` | published class splits |
| `published.yaml` | published results of the classic benchmarks, and how far each was checked |
| `published_search.yaml` | the same for first stages of search |
| `raw/` | downloads; never committed |
| `cache/` | what was built from them; may be deleted at any time |

The profile `quick` needs none of this: its data comes with the pinned packages. For `full`:

    make data PROFILE=full

A file is looked for in `data/raw`, then in the folder that `METASTUDY_DATA_MIRROR` names (same paths), then fetched
from its URL. It is used only where its size and sha256 are the registered ones. Counts are compared whenever a source
is loaded. The data is not ours and is not part of this repository: each source keeps its own terms, given below as
found. Where it says *confirm* or *from memory*, look them up before passing data on. Nothing here is suited to
decisions about people.

"""


def _number(value: int) -> str:
    return f"{value:,}"


def overview(sources: Iterable[Source]) -> str:
    """A row per source: name, what it is, size."""
    rows = ["| source | field | what | files | kB |", "|---|---|---|---|---|"]
    for s in sources:
        link = f"[{s.title}](#{s.name})"
        rows.append(f"| {link} | {s.field} | {s.what} | {len(s.files)} | {s.bytes / 1e3:,.0f} |")
    return "\n".join(rows)


def _file_rows(file: File) -> list[str]:
    rows = [f"| `{file.path}` | {_number(file.bytes)} | `{file.sha256[:16]}…` | "]
    if file.url:
        return [f"{rows[0]}[{file.url.split('/')[2]}]({file.url}) |"]
    rows[0] += f"repack of the below; content `{(file.content_sha256 or '')[:16]}…` ({file.content}) |"
    for original in file.originals:
        kind = "sha256" if original.sha256 else "md5" if original.md5 else "git tree"
        digest = original.sha256 or original.md5 or original.git_tree_sha1 or ""
        size = _number(original.bytes) if original.bytes else ""
        host = original.url.split("/")[2]
        rows.append(f"| `{original.path}` | {size} | {kind} `{digest[:16]}…` | [{host}]({original.url}) |")
    return rows


def datasheet(source: Source) -> str:
    """One source: what it is, who made it, counts, terms, traps, what it must not be used for, files."""
    counts = ", ".join(f"{_number(v)} {k.replace('_', ' ')}" for k, v in source.counts.items())
    lines = [
        f'### <a id="{source.name}"></a>{source.title}',
        "",
        f"`{source.name}`, read by `{source.loader}`",
        "",
        f"- **What it is**: {source.what}",
        f"- **Who made it**: {source.made_by}",
        f"- **Holds**: {counts}",
        f"- **Terms**: {source.licence}",
        f"- **Cite**: {source.citation}",
        *[f"- **Trap**: {trap}" for trap in source.traps],
        f"- **Not for**: {source.not_for}",
        "",
        "| file | bytes | sha256 | from |",
        "|---|---|---|---|",
        *[row for file in source.files for row in _file_rows(file)],
        "",
    ]
    wrapped = (
        textwrap.fill(line, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        if line.startswith("- ")
        else line
        for line in lines
    )
    return "\n".join(wrapped)


def text(known: Registry) -> str:
    """The whole of data/README.md."""
    total = sum(s.bytes for s in known.sources)
    files = sum(len(s.files) for s in known.sources)
    parts = [HEAD, f"{len(known.sources)} sources, {files} files, {total / 1e6:.1f} MB.\n\n", overview(known.sources)]
    for field in FIELDS:
        sheets = "\n".join(datasheet(s) for s in known.of_field(field))
        parts.append(f"\n\n## {TITLES[field]}\n\n{sheets}")
    return "".join(parts).rstrip() + "\n"


def main() -> None:
    """Write data/README.md."""
    path = find_root() / "data" / "README.md"
    write_atomic(path, text(registry.load()).encode())
    print(f"data/README.md: {len(registry.load().sources)} datasheets")


if __name__ == "__main__":
    main()
