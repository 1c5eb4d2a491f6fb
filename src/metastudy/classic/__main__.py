"""`python -m metastudy.classic`: see `metastudy.classic.artefacts`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from metastudy import trained
from metastudy.classic import artefacts as docs
from metastudy.classic.settings import artefacts
from metastudy.errors import MetastudyError
from metastudy.project import Project
from metastudy.study import one_thread

FOLDER = "results/full/models"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, or list. Exit code: 0 done, 2 refused."""
    parser = argparse.ArgumentParser(prog="python -m metastudy.classic", description=docs.__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="which to train; none: list them")
    parser.add_argument("--again", action="store_true", help="also those that are there")
    parser.add_argument("--device", default="cpu", help="where to train: cpu (default) or cuda")
    options = parser.parse_args(arguments)
    known, folder = artefacts(), Project.at().path(FOLDER)
    one_thread()
    if unknown := [name for name in options.names if name not in known]:
        print(f"error: {unknown[0]!r} is unknown; expected one of {', '.join(known)}", file=sys.stderr)
        return 2
    try:
        for name in options.names or known:
            path = known[name].path(folder)
            if not options.names:
                there = path.is_file()
                print(f"{name}: " + (f"trained in {trained.record(path)['seconds']:.0f} s" if there else "not trained"))
            elif len(options.names) > 1:  # each in a process of its own, whose memory is that of one training
                same = ["--device", options.device, *(["--again"] if options.again else [])]
                if code := subprocess.run([sys.executable, "-m", "metastudy.classic", name, *same]).returncode:
                    return code
            elif options.again or not path.is_file():
                known[name].train(folder, device=options.device)
                print(f"{name}: trained in {trained.record(path)['seconds']:.0f} s", flush=True)
    except MetastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
