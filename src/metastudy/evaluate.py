"""Cross-validation over tasks: methods x folds x seeds on frozen tasks -> the tidy score table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from metastudy import checkpoint as checkpoints
from metastudy.errors import ParameterError
from metastudy.families.base import Family, Fold, TaskSpec
from metastudy.methods import Fitted, Method, chunks
from metastudy.project import write_atomic
from metastudy.tables import SCORES
from metastudy.train import TrainConfig

ANSWERS = ("family", "task", "method", "shots", "seed", "answer")

# A family builds its data on first use; a worker process that gets several cells of one family builds it once.
_IN_THIS_PROCESS: dict[str, Family] = {}


@dataclass(frozen=True)
class Evaluation:
    """What a cross-validation leaves: tidy scores, training curves, and how β was spent.

    `history`: fold, method, seed, step, train_loss, validation_loss. `weights`: fold, seed, shots, mapping, beta.
    `answers`: family, task, method, shots, seed, answer, where the family keeps any (`Family.answers`).
    """

    scores: pd.DataFrame
    history: pd.DataFrame
    weights: pd.DataFrame
    answers: pd.DataFrame


def score_tasks(
    family: Family, fold: Fold, specs: Sequence[TaskSpec], fitted: Fitted, method: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores, and answers, of one fitted method on a fold's frozen tasks, for every number of shots.

    Holds few tasks at once.
    """
    rows, answers = [], []
    for shots in family.shots:
        for some in chunks(specs):
            tasks = [family.build(spec, shots, fold) for spec in some]
            for task, prediction in zip(tasks, fitted.predict(tasks, shots), strict=True):
                for s in family.score(task, prediction):
                    rows.append((family.study, task.family, s.task, method, shots, seed, s.metric, s.value))
                for unit, answer in family.answers(task, prediction).items():
                    answers.append((task.family, unit, method, shots, seed, answer))
    return pd.DataFrame(rows, columns=list(SCORES)), pd.DataFrame(answers, columns=list(ANSWERS))


def mean_weights(family: Family, fold: Fold, specs: Sequence[TaskSpec], fitted: Fitted, seed: int) -> pd.DataFrame:
    """β(T) of a fitted mixture, averaged over the fold's frozen tasks, for every number of shots."""
    rows = []
    for shots in family.shots:
        parts = ([family.build(spec, shots, fold) for spec in some] for some in chunks(specs))
        beta = torch.cat([fitted.weights(tasks) for tasks in parts]).mean(0)
        names = [m.name for m in fitted.learner.mappings]
        rows += [(fold.name, seed, shots, n, float(b)) for n, b in zip(names, beta, strict=True)]
    return pd.DataFrame(rows, columns=["fold", "seed", "shots", "mapping", "beta"])


def run_cell(
    family: Family,
    fold: Fold,
    specs: Sequence[TaskSpec],
    method: Method,
    config: TrainConfig,
    seed: int,
    checkpoint: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Train and score one method on one fold with one seed: the unit of work that is spread and cached."""
    torch.set_num_threads(1)  # the same sums on every machine size; the work is spread over processes instead
    family = _IN_THIS_PROCESS.setdefault(f"{type(family).__module__}.{family!r}", family)
    fitted = method.fit(family, fold, config, seed, checkpoint)
    scores, answers = score_tasks(family, fold, specs, fitted, method.name, seed)
    out = {"scores": scores, "answers": answers}
    if fitted.trained is not None:
        history = pd.DataFrame(fitted.trained.history)
        out["history"] = history.assign(fold=fold.name, method=method.name, seed=seed)
        if fitted.weights is not None:
            out["weights"] = mean_weights(family, fold, specs, fitted, seed)
    return out


def _cached_cell(path: Path | None, *cell: object) -> dict[str, pd.DataFrame]:
    if path is None:
        return run_cell(*cell)
    checkpoint = path.with_suffix(checkpoints.SUFFIX)
    if path.exists():
        result = joblib.load(path)
    else:
        result = run_cell(*cell, checkpoint)
        buffer = BytesIO()
        joblib.dump(result, buffer)
        write_atomic(path, buffer.getvalue())
    checkpoints.remove(checkpoint)
    return result


def cross_validate(
    family: Family,
    specs: Sequence[TaskSpec],
    methods: Sequence[Method],
    config: TrainConfig,
    seeds: Sequence[int],
    jobs: int = 1,
    cache: Path | None = None,
    code_key: str = "",
    seeds_of: Mapping[str, Sequence[int]] | None = None,
) -> Evaluation:
    """Every method on every fold with every seed, on the same frozen tasks.

    Cells run through joblib: `jobs` processes here, or whatever `joblib.parallel_config` names (a Dask cluster).
    Results do not depend on either. With a `cache` folder each finished cell is kept under a hash of everything it
    depends on (`code_key` stands for the code), and a cell in the making keeps a checkpoint beside it, so that an
    interrupted run goes on where it stopped.
    Methods that draw nothing at random run with the first seed only; `seeds_of` gives methods other seeds by name
    (A/A needs several of one method). Raises ParameterError for doubled names.
    """
    names = [m.name for m in methods]
    if len(set(names)) < len(names) or not seeds:
        raise ParameterError(f"methods need different names and at least one seed; found {names} and {list(seeds)}")
    cells = []
    for fold in family.folds():
        own = [s for s in specs if s.fold == fold.name]
        for method in methods:
            own_seeds = (seeds_of or {}).get(method.name, seeds)
            for seed in own_seeds[:1] if method.deterministic else own_seeds:
                cell = (family, fold, own, method, config, int(seed))
                described = f"{code_key}{family.content_hash()}{family!r}{cell[1:]!r}"
                key = hashlib.sha256(described.encode()).hexdigest()[:20]
                cells.append((cache / family.study / f"{key}.joblib" if cache else None, *cell))
    # the slowest first, so that no process is left alone with one at the end
    order = sorted(range(len(cells)), key=lambda i: cells[i][4].name != "g")
    found = joblib.Parallel(n_jobs=jobs, return_as="generator")(joblib.delayed(_cached_cell)(*cells[i]) for i in order)
    done = list(tqdm(found, total=len(cells), desc=family.study, unit="fit", mininterval=1, leave=False))
    results = [done[i] for i in np.argsort(order, kind="stable")]

    def gather(part: str) -> pd.DataFrame:
        frames = [r[part] for r in results if part in r]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    return Evaluation(gather("scores"), gather("history"), gather("weights"), gather("answers"))
