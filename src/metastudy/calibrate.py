"""`make calibrate`: do the tests keep what they promise? Each judges thousands of studies whose truth is known.

    python -m metastudy.calibrate [--fast] [--jobs 2]

A test at 5% must reject about 5% of studies without a difference, a 95% interval must hold the truth in about 95%, and
power must be what theory says. Negative controls are known mistakes and must fail: where they stop failing, the
simulation is broken, not the mistake cured. The full version writes results/calibration/calibration.csv and .png. The
fast one, for the tests, has fewer replicates, bands as wide as these need, and writes nothing. Exit code 1 where a row
is not ok.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from metastudy.abtest.claims import measure_all
from metastudy.figures_evidence import calibration
from metastudy.null_studies import ALPHA, BAND, SHAPES, suite
from metastudy.project import Project, write_atomic
from metastudy.tables import to_bytes

SEED = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write (full version), and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="few replicates and wide bands; writes nothing")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    chosen = parser.parse_args(arguments)
    table = measure_all(suite(), chosen.fast, chosen.jobs, SEED)
    print(report(table))
    if not chosen.fast:
        project = Project.at()
        path = project.results / "calibration" / "calibration.csv"
        write_atomic(path, to_bytes(table))
        figure, content = draw(table), io.BytesIO()
        figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
        plt.close(figure)
        write_atomic(path.with_suffix(".png"), content.getvalue())
        print(f"written to {project.name(path)} and {project.name(path.with_suffix('.png'))}")
    return int(not table["ok"].all())


def report(table: pd.DataFrame) -> str:
    """The table as text, shares in percent, and how many rows are not ok."""
    shown = table.drop(columns="note").assign(ok=table["ok"].map({True: "ok", False: "NOT OK"}))
    for column in ("low", "high", "found"):
        shown[column] = (100 * table[column]).map("{:.1f}".format)
    bad = table[~table["ok"]]
    last = [f"{r.check}, {r.shape}, n = {r.n}: {r.quantity} {r.found:.1%}" for r in bad.itertuples()]
    return "\n".join([shown.to_string(index=False), f"{len(bad)} of {len(table)} rows are not ok", *last])


def draw(table: pd.DataFrame) -> Figure:
    """Rates of false alarms: tests that reject, and intervals that miss the truth, with negative controls last."""
    table = table[table["quantity"] != "power"].sort_values("kind", ascending=False, kind="stable")
    miss = table["quantity"] == "covers"
    rate = table["found"].where(~miss, 1 - table["found"])
    ends = [stats.binomtest(round(r * k), k).proportion_ci() for r, k in zip(rate, table["replicates"], strict=True)]
    figure = calibration(
        pd.DataFrame(
            {
                "test": table["check"] + np.where(miss, ": misses", "") + ", n = " + table["n"].map("{:,}".format),
                "shape": table["shape"].where(table["shape"].isin([*SHAPES, "lopsided"]), "other (see table)"),
                "rate": rate, "low": [e.low for e in ends], "high": [e.high for e in ends],
                "control": table["kind"] == "negative control",
            }
        ),
        BAND, ALPHA,
    )  # fmt: skip
    figure.set_size_inches(10, 1.6 + 0.36 * len(figure.axes[0].get_yticks()))  # most tests have few shapes
    return figure


if __name__ == "__main__":
    sys.exit(main())
