"""Read every public source and compare what is counted with the registry: `make check-data`.

    python -m metastudy.loaders [--only SOURCE ...] [--offline]

Everything that was read is held until the end, so the peak memory printed is that of all sources together.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import pandas as pd

from metastudy import registry
from metastudy.errors import MetastudyError
from metastudy.loaders import Loaded, load
from metastudy.registry import Source
from metastudy.study import peak_rss_mb


def report(sources: Sequence[Source], offline: bool = False) -> tuple[pd.DataFrame, dict[str, Loaded]]:
    """One row a source: source, counts, status, seconds; and what was read. A source that fails stops no other."""
    rows, held = [], {}
    for source in sources:
        started = time.perf_counter()
        try:
            held[source.name] = load(source.name, offline)
            counts, status = held[source.name].counts, "as registered"
        except MetastudyError as error:
            counts, status = {}, f"refused: {error}"
        text = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())
        rows.append((source.name, text, status, time.perf_counter() - started))
    return pd.DataFrame(rows, columns=["source", "counts", "status", "seconds"]), held


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 all as registered, 1 a source is not, 2 refused, 130 stopped by hand."""
    parser = argparse.ArgumentParser(prog="python -m metastudy.loaders", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="SOURCE", help="these sources of data/registry.yaml")
    parser.add_argument("--offline", action="store_true", help="look in data/raw and the mirror only")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        known = registry.load()
        sources = [known[name] for name in options.only] if options.only else known.sources
        found, held = report(sources, options.offline)
    except KeyboardInterrupt:
        print("stopped; run again to go on", file=sys.stderr)
        return 130
    except MetastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(found.to_string(index=False, formatters={"seconds": "{:.2f}".format}))
    print(
        f"{len(held)} of {len(found)} sources as registered, all held at once; "
        f"{time.perf_counter() - started:.1f} s, peak memory {peak_rss_mb():,} MB"
    )
    return int(len(held) < len(found))


if __name__ == "__main__":
    sys.exit(main())
