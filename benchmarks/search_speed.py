"""`make bench`, third table: how fast a search adapts, and how fast it finds. Writes results/bench/search.csv.

Three works (`search_works`), on one core:

- adapt: from 2 judged pages of a query to a new order of 1,000 candidates, on the largest public collection here: the
  columns of all pages (`feedback.components`), the same of the candidates alone (`feedback.fast`), and those of g
  (`feedback.learned_columns`, and the same by `feedback.fast_columns`); others share the machine, so look at `low`;
- scan: exact nearest vectors in one pass over a file (`feedback.scan`), beside a plain read of the same bytes;
- index: an index library on the first vectors of that file, recall against time, beside the scan of the same vectors.

Ways to do the same are compared before they are timed. Each work runs in a process of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from benchmarks.nearest import Mixture
from benchmarks.search_works import WORKS, ResultsDiffer, Row, Sizes, measure
from benchmarks.table import machine
from benchmarks.worker import limit_cores
from metastudy.errors import DataError
from metastudy.project import Project, write_atomic

COLUMNS = (
    "work", "implementation", "expansion", "size", "queries_at_once", "ms_per_query", "low", "high", "target_ms",
    "gb_per_second", "recall_at_10", "build_s", "index_mb", "query_mb", "cores_taken_by_others", "version", "machine",
)  # fmt: skip
"""`ms_per_query` is the median of the rounds, `low` and `high` are the fastest and the slowest of them; `target_ms` is
what the study means to stay below. `size`: pages or vectors; `expansion`: candidates that the index holds in a search.
`gb_per_second`: bytes of the file over the time of a pass, however many queries share it. Memory in MiB: `index_mb` is
what must be at hand, of the scan its file (mapped, so the system may drop it), of the index its own memory; `query_mb`
is what answering takes besides, at its peak."""
SHOWN = [c for c in COLUMNS if c not in ("work", "low", "high", "cores_taken_by_others", "version", "machine")]
WHOLE = ("expansion", "size", "queries_at_once", "index_mb")


def merged(rows: list[Row], path: Path) -> pd.DataFrame:
    """The rows as a table, with those of works that were not measured now as they stand in the file."""
    records = pd.DataFrame(rows, columns=list(COLUMNS)).to_dict("records")
    if path.is_file():
        earlier = pd.read_csv(path)
        if list(earlier.columns) == list(COLUMNS):
            records += earlier[~earlier["work"].isin({r["work"] for r in records})].to_dict("records")
    order = list(WORKS.values())
    records = sorted((r for r in records if r["work"] in order), key=lambda r: order.index(r["work"]))
    return pd.DataFrame(records, columns=list(COLUMNS)).astype(dict.fromkeys(WHOLE, "Int64"))


def main() -> None:
    default = Sizes()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), help="default: all")
    parser.add_argument("--vectors", type=int, default=default.vectors, help="in the file, 768 bytes each")
    parser.add_argument("--indexed", type=int, default=default.indexed, help="of them in the index")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="turns of each implementation")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="length of a turn, at least one step")
    parser.add_argument("--threads", type=int, default=default.threads)
    given = vars(parser.parse_args())
    works, sizes = given.pop("works"), Sizes(**given)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        if set(works) & {"scan", "index"}:
            Mixture().write(path, sizes.vectors)
        for work in works:
            print(WORKS[work], flush=True)
            with ProcessPoolExecutor(1, get_context("spawn"), limit_cores, (sizes.threads,)) as process:
                try:
                    rows += process.submit(measure, work, path, sizes).result()
                except DataError as error:
                    print(f"  left out: {error}", flush=True)
                except ResultsDiffer as error:
                    raise SystemExit(f"error: {error}") from error
    project = Project.at()
    file = project.results / "bench" / "search.csv"
    table = merged(rows, file)
    write_atomic(file, table.to_csv(index=False, lineterminator="\n").encode())
    for work, part in table.groupby("work", sort=False):
        print(f"{work}\n{part[SHOWN].dropna(axis=1, how='all').astype(object).fillna('').to_string(index=False)}")
    print(f"written to {project.name(file)}; {machine(sizes.threads)}")


if __name__ == "__main__":
    main()
