"""A study of two tiny notebooks in a temporary folder, run through the real runner."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat

from metastudy import parameters
from metastudy.project import Project
from metastudy.reproduce import main

STEPS = {"00_draw": (), "01_sum": ("00_draw",)}


class Draw(parameters.Parameters):
    rows: parameters.Count
    crash: bool


class Sum(parameters.Parameters):
    scale: float


MODELS = {"00_draw": Draw, "01_sum": Sum}

DRAW = """
profile = "quick"
seed = 0
jobs = 1
rows = 4
crash = False
# %%
import os
import time
import numpy as np
import pandas as pd
import tiny_project
from metastudy import study
tiny_project.register()
run = study.start("00_draw", globals())
# %%
frame = pd.DataFrame({"task": range(rows), "value": np.random.default_rng(seed).normal(size=rows)})
run.scores(frame.assign(study="tiny", family="f", method="m", shots=1, seed=seed, metric="mse"), "tiny");
# %%
time.sleep(float(os.environ.get("TINY_PAUSE", "0")))
if crash:
    raise ValueError("a tiny failure")
# %%
run.table(frame.describe().reset_index(), "draw", free=True);
run.finish()
"""
SUM = """
profile = "quick"
seed = 0
jobs = 1
scale = 1.0
# %%
import tiny_project
from metastudy import study
tiny_project.register()
run = study.start("01_sum", globals())
# %%
total = run.read_scores("tiny")[["value"]].sum().to_frame("total").reset_index()
run.table(total.assign(total=total["total"] * scale), "sum", free=True);
run.finish()
"""


def register() -> None:
    """Declare the tiny notebooks' parameters; called here and in their kernels."""
    parameters.MODELS.update(MODELS)


def notebook(script: str) -> nbformat.NotebookNode:
    sources = (part.strip() for part in script.split("# %%"))
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    cells[0].metadata["tags"] = ["parameters"]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Tiny", id="prose"), *cells])


def write_profile(root: Path, draw: dict | None = None, total: dict | None = None, common: dict | None = None) -> None:
    content = {
        "common": {"seed": 0, "jobs": 1, **(common or {})},
        "00_draw": {"rows": 4, "crash": False, **(draw or {})},
        "01_sum": {"scale": 1.0, **(total or {})},
    }
    (root / "notebooks" / "parameters" / "quick.yaml").write_text(json.dumps(content))  # JSON is YAML


def make(root: Path) -> Project:
    register()
    (root / "notebooks" / "parameters").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "tiny"\ndependencies = ["numpy"]\n')
    for step, script in (("00_draw", DRAW), ("01_sum", SUM)):
        nbformat.write(notebook(script), root / "notebooks" / f"{step}.ipynb")
    write_profile(root)
    return Project(root.resolve(), root.resolve() / "results", STEPS)


if __name__ == "__main__":
    register()
    folder = Path(sys.argv[1]).resolve()
    sys.exit(main(sys.argv[2:], Project(folder, folder / "results", STEPS)))
