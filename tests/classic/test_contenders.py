"""Scores of trained models: as if evaluated one by one, kept by what they depend on, equal for any number of jobs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

from helpers import ToyFamily
from learners import QUICK, TOY
from metastudy import trained
from metastudy.adapt import MAML, RidgeHead
from metastudy.classic import contenders
from metastudy.classic.artefacts import Artefact
from metastudy.classic.contenders import Contender, scores
from metastudy.classic.views import over_views, together
from metastudy.errors import DataError, TrainingError
from metastudy.evaluate import score_tasks
from metastudy.families.base import TaskSpec
from metastudy.families.digits import Digits
from metastudy.families.warps import Warp
from metastudy.methods import Fitted, MetaMethod
from metastudy.tables import SCORES
from metastudy.tasks import Task
from metastudy.trained import Trained

RIDGE = Artefact("toy/ridge", MetaMethod("ridge", (RidgeHead(),)), TOY, QUICK)
MIXTURE = Artefact("toy/g", MetaMethod("g", (MAML(1), RidgeHead())), TOY, QUICK, seed=4)
ALL = [Contender("ridge", (RIDGE,)), Contender("g", (MIXTURE,)), Contender("both", (MIXTURE, RIDGE))]
FOLD = TOY.folds()[0]
SPECS = [s for s in TOY.freeze(np.random.default_rng(0)) if s.fold == FOLD.name]
OTHERS = [dataclasses.replace(s, id=f"other/{i}", family="c") for i, s in enumerate(SPECS)]  # another test family
LOOK = Warp(rotation=0.2, shift=0.1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both models, trained once; never written to again."""
    folder = tmp_path_factory.mktemp("models")
    for artefact in (RIDGE, MIXTURE):
        artefact.train(folder, progress=False)
    return folder


@pytest.fixture
def own(models: Path, tmp_path: Path) -> Path:
    """A copy of that folder, for tests that change it."""
    return Path(shutil.copytree(models, tmp_path / "models"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Contender and first task of every evaluation that is made, as opposed to read."""
    found: list[tuple[str, str]] = []

    def watched(*arguments):
        found.append((arguments[4], arguments[2][0].id))
        return score_tasks(*arguments)

    monkeypatch.setattr(contenders, "score_tasks", watched)
    return found


def changed(artefact: Artefact, folder: Path) -> None:
    """Writes other parameters under the same record, as training again with another version of torch might."""
    fitted, record = artefact.load(folder)
    params = {name: value + 0.1 for name, value in fitted.trained.params.items()}
    trained.save(artefact.path(folder), fitted.learner, Trained(params, fitted.trained.history), record)


def test_scores_are_those_of_every_contender_evaluated_by_itself(models: Path, tmp_path: Path) -> None:
    found = scores(ALL, models, TOY, [*SPECS, *OTHERS], tmp_path)
    ridge, mixture = RIDGE.load(models)[0], MIXTURE.load(models)[0]
    expected = [
        score_tasks(TOY, FOLD, some, fitted, name, seed)[0]
        for name, fitted, seed in (("ridge", ridge, 0), ("g", mixture, 4), ("both", together([mixture, ridge]), 4))
        for some in (SPECS, OTHERS)
    ]
    assert_frame_equal(found, pd.concat(expected, ignore_index=True), check_exact=True)
    assert tuple(found.columns) == SCORES and len(found) == 3 * 2 * 3 * 2  # contenders, families, tasks, shots
    assert found.groupby("method")["value"].mean().nunique() == 3, "three different contenders"


def test_finished_pieces_are_read_and_not_computed_again(models: Path, tmp_path: Path, calls: list) -> None:
    first = scores(ALL, models, TOY, [*SPECS, *OTHERS], tmp_path)
    assert calls == [(c.name, some[0].id) for c in ALL for some in (SPECS, OTHERS)]
    assert len(list(tmp_path.iterdir())) == 6
    calls.clear()
    assert_frame_equal(scores(ALL, models, TOY, [*SPECS, *OTHERS], tmp_path), first, check_exact=True)
    assert_frame_equal(
        scores(ALL[1:], models, TOY, SPECS, tmp_path),
        first[(first["method"] != "ridge") & (first["family"] == "d")].reset_index(drop=True),
        check_exact=True,
    )
    assert not calls


def test_an_interrupted_evaluation_goes_on(
    models: Path, tmp_path: Path, calls: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = contenders.score_tasks

    def stopping(*arguments):
        if len(calls) == 4:
            raise KeyboardInterrupt
        return watched(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(contenders, "score_tasks", stopping)
        scores(ALL, models, TOY, [*SPECS, *OTHERS], tmp_path / "cache")
    calls.clear()
    found = scores(ALL, models, TOY, [*SPECS, *OTHERS], tmp_path / "cache")
    assert calls == [("both", SPECS[0].id), ("both", OTHERS[0].id)]
    assert_frame_equal(found, scores(ALL, models, TOY, [*SPECS, *OTHERS], tmp_path / "whole"), check_exact=True)


def test_a_changed_model_is_evaluated_again_and_the_others_are_not(own: Path, tmp_path: Path, calls: list) -> None:
    cache = tmp_path / "cache"
    before = scores(ALL, own, TOY, SPECS, cache)
    calls.clear()
    changed(RIDGE, own)
    after = scores(ALL, own, TOY, SPECS, cache)
    assert [name for name, _ in calls] == ["ridge", "both"], "what the file is part of"
    same = before["method"] == "g"
    assert_frame_equal(after[same], before[same], check_exact=True)
    assert (after.loc[~same, "value"] != before.loc[~same, "value"]).all()


@pytest.mark.parametrize(
    ("change", "specs"),
    [
        ({"family": ToyFamily(shots=(2,))}, SPECS),
        ({"family": ToyFamily(n_test=4)}, SPECS),
        ({}, SPECS[:2]),
        ({}, [dataclasses.replace(SPECS[0], support=((7,),)), *SPECS[1:]]),
        ({"contenders": [dataclasses.replace(ALL[0], warp=LOOK)]}, SPECS),
        ({"contenders": [dataclasses.replace(ALL[0], artefacts=(RIDGE, RIDGE))]}, SPECS),
    ],
    ids=["shots", "family", "fewer tasks", "other task", "warp", "models"],
)
def test_whatever_else_scores_depend_on_makes_them_anew(
    change: dict, specs: list[TaskSpec], models: Path, tmp_path: Path, calls: list
) -> None:
    asked = {"contenders": ALL[:1], "folder": models, "family": TOY, "cache": tmp_path}
    scores(**asked, specs=SPECS)
    scores(**{**asked, **change}, specs=specs)
    assert len(calls) == 2
    scores(**asked, specs=SPECS)
    assert len(calls) == 2, "the first ones are still there"


def test_other_data_and_other_code_make_scores_anew(
    models: Path, tmp_path: Path, calls: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(ALL[1:2], models, TOY, SPECS, tmp_path)
    monkeypatch.setattr(contenders, "code_hash", lambda *modules: "other code" if len(modules) == 2 else "")
    scores(ALL[1:2], models, TOY, SPECS, tmp_path)
    assert len(calls) == 2
    monkeypatch.setattr(ToyFamily, "content_hash", lambda self: "other data")
    with pytest.raises(TrainingError, match="its data is toy, expected other data"):
        scores(ALL[1:2], models, TOY, SPECS, tmp_path)


def test_jobs_do_not_change_numbers(models: Path, tmp_path: Path) -> None:
    alone, spread = (scores(ALL[:2], models, TOY, [*SPECS, *OTHERS], tmp_path / str(n), jobs=n) for n in (1, 2))
    assert_frame_equal(spread, alone, check_exact=True)
    assert {p.name for p in (tmp_path / "1").iterdir()} == {p.name for p in (tmp_path / "2").iterdir()}


@dataclasses.dataclass(frozen=True)
class Clustered(ToyFamily):
    """Every task is a family of its own, as are the runs of the one-shot challenge."""

    clustered = True


def test_tasks_that_are_families_of_their_own_are_evaluated_together(models: Path, tmp_path: Path, calls: list) -> None:
    specs = [dataclasses.replace(s, family="abc"[i]) for i, s in enumerate(SPECS)]
    found = scores(ALL[:1], models, Clustered(), specs, tmp_path)
    assert len(calls) == 1 and len(list(tmp_path.iterdir())) == 1
    assert found["task"].nunique() == len(specs)


def predictions(fitted: Fitted, tasks: list[Task]) -> torch.Tensor:
    return torch.cat(fitted.predict(tasks, 1))


def test_a_contender_looks_several_times_with_the_mean_of_its_models(tmp_path: Path) -> None:
    family = Digits(shots=(1,), n_test=1)
    method, config = MetaMethod("ridge", (RidgeHead(),)), dataclasses.replace(QUICK, steps=2, tasks_per_step=1)
    pair = tuple(Artefact(f"digits/ridge/{seed}", method, family, config, seed, validated=False) for seed in (0, 1))
    for artefact in pair:
        artefact.train(tmp_path, progress=False)
    fold = family.folds()[0]
    tasks = [family.build(s, 1, fold) for s in family.freeze(np.random.default_rng(0)) if s.fold == fold.name]
    found = predictions(Contender("g", pair, views=3, warp=LOOK).fitted(tmp_path), tasks)
    each = [predictions(over_views(a.load(tmp_path)[0], LOOK, 3), tasks) for a in pair]
    torch.testing.assert_close(found, (each[0] + each[1]) / 2, rtol=0, atol=1e-6)
    plain = predictions(Contender("g", pair).fitted(tmp_path), tasks)
    assert not torch.allclose(each[0], each[1], atol=1e-4) and not torch.allclose(found, plain, atol=1e-4)
    keys = [
        Contender("g", *settings).key(tmp_path)
        for settings in ((pair,), (pair[:1],), (pair, 3), (pair, 3, LOOK), (pair[::-1],))
    ]
    assert len(set(keys)) == len(keys)


def test_a_contender_under_another_name_is_scored_under_that_name(models: Path, tmp_path: Path) -> None:
    scores(ALL[:1], models, TOY, SPECS, tmp_path)
    found = scores([dataclasses.replace(ALL[0], name="renamed")], models, TOY, SPECS, tmp_path)
    assert set(found["method"]) == {"renamed"}


def test_two_names_for_one_model_both_appear(models: Path, tmp_path: Path) -> None:
    found = scores([ALL[0], dataclasses.replace(ALL[0], name="again")], models, TOY, SPECS, tmp_path)
    assert found["method"].unique().tolist() == ["ridge", "again"]


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing in results/full/models; restore it from git"):
        scores(ALL[:1], tmp_path, TOY, SPECS, tmp_path)
