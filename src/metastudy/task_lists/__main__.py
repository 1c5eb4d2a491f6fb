"""Draw the frozen task lists of a profile anew. Apart from reading them, since this needs every family there is, and
whoever reads a list should be stale for a change of its own family alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from metastudy.errors import MetastudyError
from metastudy.families.catalogue import encoded, families
from metastudy.project import find_root
from metastudy.study import one_thread
from metastudy.task_lists import read, write


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the lists of one profile anew. Exit code: 0 done, 2 refused."""
    parser = argparse.ArgumentParser(
        prog="python -m metastudy.task_lists", description="Draw frozen evaluation tasks anew into data/tasks."
    )
    parser.add_argument("--profile", default="quick", help="quick or full (default: quick)")
    parser.add_argument("--only", nargs="+", metavar="STUDY", help="these studies")
    parser.add_argument(
        "--encoded", action="store_true", help="those of profile full that rest on a pretrained encoder, instead"
    )
    options = parser.parse_args(arguments)
    if options.encoded:
        options.profile = "full"
    one_thread()
    try:
        for family in encoded() if options.encoded else families(options.profile):
            if not options.only or family.study in options.only:
                path = write(family, find_root() / "data" / "tasks" / options.profile)
                print(f"data/tasks/{options.profile}/{path.name}: {len(read(family, path.parent))} tasks")
    except MetastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
