"""What notebook 03 runs at profile full: models that are there or are trained, and their scores on the frozen tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import pandas as pd

from metastudy import recipes
from metastudy.classic import cost, labels, settings, steps
from metastudy.classic import mistakes as errors
from metastudy.classic.artefacts import Artefact
from metastudy.classic.contenders import Contender, scores
from metastudy.classic.results import collected
from metastudy.families.base import Family, Fold, TaskSpec
from metastudy.families.digits import Digits
from metastudy.families.omniglot import Omniglot
from metastudy.families.omniglot_challenge import BACKGROUNDS, OmniglotChallenge
from metastudy.families.sinusoid import Sinusoid
from metastudy.lineups.digits import digits_methods
from metastudy.methods import Fitted
from metastudy.study import Run
from metastudy.train import TrainConfig

MODELS = "models"


def models(run: Run, artefacts: Iterable[Artefact], retrain: bool) -> pd.DataFrame:
    """Make sure that every model is there, and say where it comes from: one row a model.

    A missing one is trained, with `retrain` every one; that takes minutes each, and goes on where it was interrupted.
    Errors as in `Artefact.load`.
    """
    folder, rows = run.folder / MODELS, []
    for artefact in artefacts:
        path = artefact.path(folder)
        train = retrain or not path.is_file()
        if train:
            artefact.train(folder)
        _, record = artefact.load(folder)
        run.input(path)
        origin = "trained now" if train else "loaded"
        device = record.get("device", "cpu")
        minutes, size = record["seconds"] / 60, path.stat().st_size / 1000
        rows.append((artefact.name, origin, artefact.config.steps, device, minutes, size))
    return pd.DataFrame(rows, columns=["model", "origin", "steps", "trained on", "minutes of training", "kB"])


def _scores(
    run: Run, contenders: list[Contender], family: Family, specs: Sequence[TaskSpec] | None = None
) -> pd.DataFrame:
    """On all frozen tasks of the family, or on some."""
    specs = recipes.frozen(run, family) if specs is None else specs
    return scores(
        contenders, run.folder / MODELS, family, specs, run.folder / ".partial" / "classic", run.parameters.jobs
    )


def sinusoid(run: Run) -> pd.DataFrame:
    """Scores on the 1,000 frozen tasks, each number of points with the models that were trained for it."""
    found = [_scores(run, settings.sinusoid_contenders(k), Sinusoid(shots=(k,), n_test=1000)) for k in settings.POINTS]
    return pd.concat(found, ignore_index=True)


def _omniglot(run: Run) -> list[tuple[list[Contender], Omniglot, list[TaskSpec]]]:
    """Who answers which frozen tasks: those of 5 ways, then those of 20."""
    family = Omniglot()
    specs = recipes.frozen(run, family)
    return [
        (settings.omniglot_contenders(ways), family, [s for s in specs if s.family == f"{ways}-way"])
        for ways in family.ways
    ]


def omniglot(run: Run) -> pd.DataFrame:
    """Scores on the frozen tasks of the standard split: 1,000 of 5 ways and 1,000 of 20, with 1 and 5 shots."""
    return pd.concat([_scores(run, *asked) for asked in _omniglot(run)], ignore_index=True)


def challenge(run: Run) -> pd.DataFrame:
    """Scores on the 20 runs, from each of the three backgrounds."""
    parts = {}
    for background in BACKGROUNDS:
        family = OmniglotChallenge(background=background, side=settings.CHALLENGE_SIDE)
        found = _scores(run, settings.challenge_contenders(background), family)
        parts[f"omniglot_challenge_{background}"] = found
    return collected(parts)


def adaptation(
    run: Run, family: Sinusoid, specs: Sequence[TaskSpec]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Curves, truth and support of some frozen tasks, by every model for the family's number of points."""
    artefacts = [a for contender in settings.sinusoid_contenders(family.shots[0]) for a in contender.artefacts]
    return steps.adaptation(artefacts, run.folder / MODELS, family, specs)


def mistakes(run: Run, background: str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """What the best contender of one background gets wrong: the last one listed."""
    family = OmniglotChallenge(background=background, side=settings.CHALLENGE_SIDE)
    fitted = settings.challenge_contenders(background)[-1].fitted(run.folder / MODELS)
    return errors.mistakes(fitted, family, recipes.frozen(run, family))


@cache
def _digits_g(fold: Fold, shots: tuple[int, ...], steps: int, seed: int) -> Fitted:
    """g as notebook 03 trains it on digits, for all numbers of shots at once."""
    method = next(m for m in digits_methods() if m.name == labels.G)
    config = TrainConfig(steps=steps, validate_every=30, tasks_per_step=8)
    return method.fit(Digits(shots=shots), fold, config, seed)


def labels_saved(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves of learning without earlier tasks, and how many labels that needs to reach g with 1, 5, 10: see `labels`.

    All learners' curves; of levels those against the best learner at every n.
    """
    folder, p = run.folder / MODELS, run.parameters
    drawings = next(a for a in settings.omniglot() if a.name == "omniglot/g")
    asked = (
        (labels.sinusoid(), lambda _, k: settings.sinusoid_g(k).load(folder)[0]),
        (labels.digits(), lambda fold, _: _digits_g(fold, tuple(p.digits_shots), p.digits_steps, p.seed)),
        (labels.omniglot(ways=5, n_tasks=40), lambda *_: drawings.load(folder)[0]),
    )
    curves, levels = [], []
    for question, g in asked:
        found = labels.scores(question, g, seed=p.seed, jobs=p.jobs)
        curves.append(labels.curves(found))
        own = labels.levels(found, question.higher_is_better, p.seed)
        levels.append(own[own["against"] == (labels.BETTER if len(question.learners) > 1 else own["against"].iloc[0])])
    return tuple(pd.concat(frames, ignore_index=True) for frames in (curves, levels))


def hardest(curves: pd.DataFrame) -> pd.DataFrame:
    """Of the learners without earlier tasks the best at every n."""
    others = curves[curves["learner"] != labels.G]
    better = others["mean"].where(others["metric"] != "mse", -others["mean"])
    best = better.groupby([others["study"], others["n"]]).idxmax()
    return curves.loc[best.to_numpy()].sort_values(["study", "n"], ignore_index=True)


def costs(run: Run) -> pd.DataFrame:
    """Time, memory and size of every contender of the three benchmarks; the challenge with its larger background."""
    folder = run.folder / MODELS
    points = Sinusoid(shots=settings.POINTS[:1], n_test=1000)
    challenged = OmniglotChallenge(side=settings.CHALLENGE_SIDE)
    asked = [
        (settings.sinusoid_contenders(settings.POINTS[0]), points, recipes.frozen(run, points)),
        *_omniglot(run),
        (settings.challenge_contenders("full"), challenged, recipes.frozen(run, challenged)),
    ]
    found = [cost.costs(contenders, folder, family, specs, repeats=5) for contenders, family, specs in asked]
    return pd.concat(found, ignore_index=True)
