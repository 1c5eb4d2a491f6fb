"""The command `metastudy`: compare, predict, list. Options come from the kinds, so that the command and the call agree.

Exit codes: 0 done; 2 the command or the data cannot be used, one line on stderr says why, nothing was written; 1 any
other failure, with a traceback; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from metastudy.errors import MetastudyError
from metastudy.own_data.kinds import KINDS, kind_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from metastudy.own_data.kind import Kind

EXITS = (
    "exit codes: 0 done; 2 the command or the data cannot be used (one line says why, nothing was written); 1 another "
    "failure; 130 interrupted"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parsed = vars(parser(arguments).parse_args(arguments))
        return parsed.pop("run")(parsed)
    except MetastudyError as error:
        print(f"metastudy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("metastudy: interrupted; the same command goes on with what had not finished", file=sys.stderr)
        return 130


def parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser; options of a kind are built only for the kind that `arguments` name, which is what takes time."""
    top = argparse.ArgumentParser(
        prog="metastudy", description="Which way of adapting should one use with few labels, and how sure is that?",
        epilog=EXITS,
    )  # fmt: skip
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    comparing = commands.add_parser("compare", help="compare every method on your data", epilog=EXITS)
    predicting = commands.add_parser("predict", help="use the chosen method on new data", epilog=EXITS)
    listing = commands.add_parser("list", help="mappings, base models, families, and trained models with their scores")
    listing.set_defaults(run=_list)
    for command, run in ((comparing, _compare), (predicting, _predict)):
        kinds = command.add_subparsers(title="kinds of data", required=True, metavar="KIND", dest="kind")
        for name in KINDS:
            _add_kind(kinds, name, command is predicting, run, build=name in arguments)
    return top


def _add_kind(kinds: Any, name: str, predicting: bool, run: Any, build: bool) -> None:
    if not build:
        kinds.add_parser(name, help=HELP[name])
        return
    from metastudy.own_data.kind import COMPARING, option

    kind = kind_of(name)
    verb = "predict" if predicting else "compare"
    examples = "\n".join(f"  metastudy {verb} {name} {e}" for e in _examples(kind, predicting))
    own = kinds.add_parser(
        name, help=HELP[name], description=kind.summary, epilog=f"examples:\n{examples}\n\n{EXITS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    own.add_argument("path", type=Path, help="the labelled data")
    if predicting:
        own.add_argument("new", type=Path, nargs="?", help="what shall be predicted")
        own.add_argument("--method", required=True, help="one that the comparison names")
        own.add_argument("--out", type=Path, help="CSV to write (default: it is printed)")
    for field, info in kind.options.model_fields.items():
        if field == "path" or (predicting and field in COMPARING):
            continue
        own.add_argument(option(field), dest=field, required=info.is_required(), **_typed(info))
    own.set_defaults(run=run)


HELP = {
    "search": "a folder in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/*.tsv",
    "summarization": "a JSONL file of documents and their summaries",
    "diagnosis": "a CSV file of patients, one column of which is the diagnosis",
    "classification": "a CSV file of texts or numbers, one column of which is the class",
}


def _examples(kind: Kind, predicting: bool) -> list[str]:
    if not predicting:
        return list(kind.examples)
    return [f"{e.split(' ', 1)[0]} NEW --method g --out predictions.csv" for e in kind.examples[:1]]


def _typed(info: FieldInfo) -> dict[str, Any]:
    """What argparse needs to know of a pydantic field."""
    text = (info.description or "").replace("%", "%%")
    default = info.get_default()
    given = [] if info.is_required() or default in (None, False, ()) else [_shown(default)]
    said = {"help": f"{text} (default: {given[0]})" if given and "default" not in text else text,
            "default": argparse.SUPPRESS}  # fmt: skip
    inner = info.annotation
    if get_origin(inner) in (Union, types.UnionType):
        inner = next(a for a in get_args(inner) if a is not type(None))
    if inner is bool:
        return said | {"action": "store_true"}
    if get_origin(inner) is Literal:
        return said | {"choices": get_args(inner)}
    if get_origin(inner) is tuple:
        return said | {"nargs": "+", "type": _plain(get_args(inner)[0])}
    return said | {"type": _plain(inner)}


def _plain(annotation: Any) -> type:
    """int of Annotated[int, ...]."""
    found = get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    return found if found in (int, float, str, Path) else str


def _shown(default: object) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _compare(given: dict[str, Any]) -> int:
    from metastudy.own_data.comparing import compare
    from metastudy.own_data.judging import too_few

    found = compare(given.pop("kind"), given.pop("path"), say=print, **given)
    print()
    print(wide(found))
    print()
    print(found)
    for note in too_few(found.prepared, found.scores):
        print(note)
    print(f"\nwritten to {found.folder}: report.html, figure.png, summary.csv, scores.csv, draws.csv, manifest.json")
    return 0


def wide(found: Any) -> str:
    """Methods by number of shots in fixed width, the best at the most shots first."""
    prepared, table = found.prepared, found.table
    shots = prepared.family.shots
    last = table[table["shots"] == shots[-1]].sort_values("mean", ascending=prepared.lower_is_better, kind="stable")
    marks = {"better": "+", "worse": "-", "undecided": " ", "reference": "="}
    cells = {(r.method, r.shots): f"{r.mean:.3f} [{r.low:.3f}, {r.high:.3f}] {marks[r.verdict]}"
             for r in table.itertuples()}  # fmt: skip
    width = max(map(len, [*last["method"], prepared.metric]))
    rows = [[f"{prepared.metric:<{width}}", *(f"k = {k}" for k in shots)]]
    rows += [[f"{m:<{width}}", *(cells[m, k] for k in shots)] for m in last["method"]]
    wider = max(map(len, cells.values()))
    lines = ["  ".join([row[0], *(f"{c:<{wider}}" for c in row[1:])]).rstrip() for row in rows]
    told = f"+ better, - worse than {prepared.reference} (paired, Holm-adjusted p < .05; intervals 95%)"
    return "\n".join([*lines, told])


def _predict(given: dict[str, Any]) -> int:
    from metastudy.own_data.comparing import predict

    out = given.pop("out", None)
    names = ("kind", "path", "new", "method")
    first = [given.pop(name) for name in names]
    table = predict(*first, out=out, **given)
    if out is None:
        from metastudy.tables import to_bytes

        print(to_bytes(table).decode(), end="")
    else:
        print(f"{len(table):,} rows written to {out}")
    return 0


def _list(given: dict[str, Any]) -> int:
    from metastudy.own_data.listing import lines

    print("\n".join(lines()))
    return 0
