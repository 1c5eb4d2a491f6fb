"""One table from methods x folds x seeds: the same wherever it is computed, and never computed twice."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

from helpers import ToyFamily
from metastudy import evaluate, methods, resume
from metastudy.adapt import MAML, RidgeHead
from metastudy.errors import ParameterError
from metastudy.evaluate import Evaluation, cross_validate
from metastudy.families.base import Family, Fold
from metastudy.methods import FineTuned, Fitted, InputColumn, MetaMethod, Method, mixture_and_members, pooled
from metastudy.mixture import MetaLearner
from metastudy.optimise import Optimizer
from metastudy.tables import SCORES
from metastudy.tasks import Task, collate
from metastudy.train import TrainConfig

FAMILY = ToyFamily("regression", shots=(1, 3), n_test=2)
SPECS = FAMILY.freeze(np.random.default_rng(0))
CONFIG = TrainConfig(steps=3, tasks_per_step=2, validate_every=2)
METHODS = [InputColumn("first column", 0), *mixture_and_members(MAML(1), RidgeHead())[1:]]
SEEDS = [5, 6]
N_CELLS = 2 * (1 + 2 + 2)  # folds x (deterministic once + two methods with two seeds)


def run(**changed) -> Evaluation:
    arguments = {"family": FAMILY, "specs": SPECS, "methods": METHODS, "config": CONFIG, "seeds": SEEDS} | changed
    return cross_validate(**arguments)


def same(found: Evaluation, expected: Evaluation) -> None:
    """Bit for bit."""
    for part in ("scores", "history", "weights"):
        assert_frame_equal(getattr(found, part), getattr(expected, part), check_exact=True)


@pytest.fixture(scope="module")
def serial() -> Evaluation:
    return run()


def cells(folder: Path) -> list[Path]:
    return sorted((folder / "toy").glob("*.joblib"))


def test_the_table_is_tidy_and_complete(serial: Evaluation) -> None:
    scores = serial.scores
    assert list(scores.columns) == list(SCORES) and set(scores["study"]) == {"toy"}
    assert not scores.duplicated(["task", "method", "shots", "seed", "metric"]).any()
    assert len(scores) == len(SPECS) * 2 * (1 + 2 + 2)  # shots x (method, seed)
    assert scores.groupby("task")["family"].first().to_dict() == {s.id: s.family for s in SPECS}
    assert np.isfinite(scores["value"]).all()


def test_rows_come_in_the_order_asked_for_whatever_ran_first(serial: Evaluation) -> None:
    found = serial.scores[["family", "method", "seed"]].drop_duplicates().itertuples(index=False, name=None)
    runs = [("first column", 5), ("ridge", 5), ("ridge", 6), ("g", 5), ("g", 6)]
    assert list(found) == [(fold.test[0], *r) for fold in FAMILY.folds() for r in runs]


def test_methods_without_randomness_run_with_the_first_seed_only(serial: Evaluation) -> None:
    seeds = serial.scores.groupby("method")["seed"].unique().map(list).to_dict()
    assert seeds == {"first column": [5], "ridge": [5, 6], "g": [5, 6]}
    values = serial.scores[serial.scores["method"] == "ridge"].pivot(
        index=["task", "shots"], columns="seed", values="value"
    )
    assert not np.allclose(values[5], values[6])


def test_scores_are_those_of_the_method_fitted_on_the_fold_of_the_task(serial: Evaluation) -> None:
    by_name = {m.name: m for m in METHODS}
    for fold in FAMILY.folds():
        fitted = by_name["ridge"].fit(FAMILY, fold, CONFIG, 6)
        for spec in (s for s in SPECS if s.fold == fold.name):
            task = FAMILY.build(spec, 3, fold)
            (expected,) = FAMILY.score(task, fitted.predict([task], 3)[0])
            s = serial.scores.query("task == @spec.id and method == 'ridge' and shots == 3 and seed == 6")
            assert s["value"].tolist() == pytest.approx([expected.value], rel=1e-5)


def test_history_and_weights_of_the_mixture(serial: Evaluation) -> None:
    assert set(serial.history["method"]) == {"ridge", "g"}
    steps = [group["step"].tolist() for _, group in serial.history.groupby(["fold", "method", "seed"])]
    assert steps == [[0, 2, 3]] * 8
    totals = serial.weights.groupby(["fold", "seed", "shots"])["beta"].sum()
    assert len(totals) == 2 * 2 * 2 and totals.to_numpy() == pytest.approx(1, abs=1e-6)
    fold = FAMILY.folds()[1]
    fitted = METHODS[-1].fit(FAMILY, fold, CONFIG, 5)
    batch = collate([FAMILY.build(s, 1, fold) for s in SPECS if s.fold == "two"])
    expected = MetaLearner(FAMILY.model(), METHODS[-1].mappings).weights(fitted.trained.params, batch).mean(0)
    found = serial.weights.query("fold == 'two' and seed == 5 and shots == 1")
    assert found["mapping"].tolist() == ["maml", "ridge"]
    assert found["beta"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


class Answering(ToyFamily):
    """Shows a user the row with the highest prediction."""

    def answers(self, task: Task, prediction: torch.Tensor) -> dict[str, str]:
        return {task.id: f"row {int(prediction.argmax())}"}


def test_answers_are_kept_beside_the_scores_where_a_family_gives_any(serial: Evaluation) -> None:
    assert serial.answers.empty
    family = Answering("regression", shots=(1, 3), n_test=2)
    found = run(family=family).answers
    assert list(found.columns) == ["family", "task", "method", "shots", "seed", "answer"]
    assert len(found) == len(serial.scores)
    fold = family.folds()[0]
    spec = next(s for s in SPECS if s.fold == fold.name)
    fitted = METHODS[-1].fit(family, fold, CONFIG, 6)
    best = int(fitted.predict([family.build(spec, 3, fold)], 3)[0].argmax())
    row = found.query("task == @spec.id and method == 'g' and shots == 3 and seed == 6")
    assert row["answer"].tolist() == [f"row {best}"] and row["family"].tolist() == [spec.family]


def test_one_method_may_have_more_seeds(serial: Evaluation) -> None:
    found = run(seeds_of={"g": [5, 6, 7], "first column": [5, 6]}).scores
    seeds = found.groupby("method")["seed"].unique().map(list).to_dict()
    assert seeds == {"first column": [5], "ridge": [5, 6], "g": [5, 6, 7]}
    both = found[found["seed"] < 7].reset_index(drop=True)
    assert_frame_equal(both, serial.scores, check_exact=True)


def test_two_processes_give_the_same_bits(serial: Evaluation) -> None:
    same(run(jobs=2), serial)


def test_a_dask_cluster_gives_the_same_bits(serial: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    threads, original = set(), evaluate.run_cell

    def watched(*cell):
        threads.add(threading.get_ident())
        return original(*cell)

    monkeypatch.setattr(evaluate, "run_cell", watched)
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0", protocol="inproc"
    )
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        found = run()
    same(found, serial)
    assert threads and threading.get_ident() not in threads


def test_the_order_of_specs_methods_and_seeds_changes_no_value(serial: Evaluation) -> None:
    other = run(specs=SPECS[::-1], methods=METHODS[::-1]).scores
    keys = list(SCORES[:-1])
    ordered = [s.sort_values(keys, ignore_index=True) for s in (other, serial.scores)]
    assert_frame_equal(*ordered, rtol=1e-5)


def test_finished_cells_are_read_and_not_computed_again(
    serial: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same(run(cache=tmp_path), serial)
    assert len(cells(tmp_path)) == N_CELLS

    def never(*_: object) -> None:
        raise AssertionError("a finished cell was computed again")

    monkeypatch.setattr(evaluate, "run_cell", never)
    same(run(cache=tmp_path), serial)


@dataclass(frozen=True)
class OtherData(ToyFamily):
    def content_hash(self) -> str:
        return "other"


OtherData.__qualname__ = ToyFamily.__qualname__  # the same repr, other data


@pytest.mark.parametrize(
    "changed",
    [
        {"config": TrainConfig(steps=4, tasks_per_step=2, validate_every=2)},
        {"code_key": "newer"},
        {"family": ToyFamily("regression", shots=(1, 4), n_test=2)},
        {"family": OtherData("regression", shots=(1, 3), n_test=2)},
        {"seeds": [7]},
        {"methods": [MetaMethod("ridge", (RidgeHead(initial_penalty=2.0),))]},
        {"specs": SPECS[:1] + SPECS[-1:]},
    ],
    ids=["config", "code", "shots", "data", "seed", "method", "specs"],
)
def test_whatever_a_cell_depends_on_makes_another_cell(changed, tmp_path: Path, monkeypatch) -> None:
    computed = []

    def counted(family, fold, specs, method, config, seed, checkpoint):
        computed.append(seed)
        return {"scores": pd.DataFrame()}

    monkeypatch.setattr(evaluate, "run_cell", counted)
    base = {"methods": METHODS[1:2], "seeds": [5], "cache": tmp_path}
    run(**base)
    run(**base)
    assert len(computed) == 2  # one per fold
    run(**(base | changed))
    assert len(computed) == 4


def test_an_interrupted_cell_is_computed_again(
    serial: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_while_writing(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.1.partial").write_bytes(content[:9])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "write_atomic", dies_while_writing)
        with pytest.raises(KeyboardInterrupt):
            run(cache=tmp_path)
    assert cells(tmp_path) == [] and list((tmp_path / "toy").glob(".*.partial"))
    same(run(cache=tmp_path), serial)
    assert len(cells(tmp_path)) == N_CELLS


def test_a_run_goes_on_where_it_stopped(serial: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, original = [], evaluate.run_cell

    def third_time_fails(*cell):
        calls.append(cell)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*cell)

    monkeypatch.setattr(evaluate, "run_cell", third_time_fails)
    with pytest.raises(KeyboardInterrupt):
        run(cache=tmp_path)
    assert len(cells(tmp_path)) == 2
    same(run(cache=tmp_path), serial)
    assert len(calls) == 3 + N_CELLS - 2


def test_a_cell_that_was_interrupted_goes_on_in_its_middle_and_leaves_no_checkpoint(
    serial: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_SECONDS", 0.0)
    steps, original = [], Optimizer.step

    def sixth_stops(self: Optimizer, gradient, norm, step) -> None:
        steps.append(step)
        if len(steps) == 6:
            raise KeyboardInterrupt
        original(self, gradient, norm, step)

    monkeypatch.setattr(Optimizer, "step", sixth_stops)
    with pytest.raises(KeyboardInterrupt):
        run(cache=tmp_path)
    assert steps == [0, 1, 2, 0, 1, 2], "one cell done, one stopped in its last step"
    (left,) = (tmp_path / "toy").glob("*.safetensors")
    assert left.with_suffix(".json").exists() and len(cells(tmp_path)) == 1
    same(run(cache=tmp_path), serial)
    trained = 2 * 2 * 2  # folds x methods that train x seeds
    assert len(steps) == 6 + 1 + 3 * (trained - 2), "the step that was stopped is made again, and none before it"
    assert len(cells(tmp_path)) == len(list((tmp_path / "toy").iterdir())) == N_CELLS


@pytest.mark.parametrize("name", ["fine-tuned", "pooled"])
def test_baselines_that_train_go_on_in_the_middle_too(name: str, tmp_path: Path, monkeypatch) -> None:
    method = FineTuned(rates=(0.01,), n_steps=(1,)) if name == "fine-tuned" else pooled()
    expected = run(methods=[method], seeds=[5])
    monkeypatch.setattr(resume, "SAVE_SECONDS", 0.0)
    steps, original = [], Optimizer.step

    def second_stops(self: Optimizer, gradient, norm, step) -> None:
        steps.append(step)
        if len(steps) == 2:
            raise KeyboardInterrupt
        original(self, gradient, norm, step)

    monkeypatch.setattr(Optimizer, "step", second_stops)
    with pytest.raises(KeyboardInterrupt):
        run(methods=[method], seeds=[5], cache=tmp_path)
    assert_frame_equal(run(methods=[method], seeds=[5], cache=tmp_path).scores, expected.scores, check_exact=True)
    assert steps == [0, 1, 1, 2, 0, 1, 2]


def test_scoring_holds_few_tasks_at_once_whatever_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods.chunks, "__defaults__", (4,))
    alive: weakref.WeakSet[Task] = weakref.WeakSet()
    most = []
    build = ToyFamily.build

    def watched(self: ToyFamily, spec, shots: int, fold: Fold) -> Task:
        task = build(self, spec, shots, fold)
        alive.add(task)
        most.append(len(alive))
        return task

    family = ToyFamily("regression", shots=(1, 3), n_test=25)
    fold = family.folds()[0]
    specs = [s for s in family.freeze(np.random.default_rng(0)) if s.fold == fold.name]
    fitted = METHODS[-1].fit(family, fold, CONFIG, 5)
    monkeypatch.setattr(ToyFamily, "build", watched)
    scores, answers = evaluate.score_tasks(family, fold, specs, fitted, "g", 5)
    assert len(scores) == 2 * 25 and answers.empty
    assert len(evaluate.mean_weights(family, fold, specs, fitted, 5)) == 2 * 2
    assert len(most) == 2 * 2 * 25 and max(most) <= 2 * 4


class Broken(Method):
    name: ClassVar[str] = "broken"

    def fit(self, family: Family, fold: Fold, config: TrainConfig, seed: int, checkpoint: Path | None = None) -> Fitted:
        return Fitted(lambda tasks, shots: [torch.zeros(8)] * (len(tasks) - 1))


def test_a_missing_prediction_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        run(methods=[Broken()])


def test_doubled_names_and_no_seed_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"different names .* found \['ridge', 'ridge'\]"):
        run(methods=[METHODS[1], METHODS[1]])
    with pytest.raises(ParameterError, match="at least one seed"):
        run(seeds=[])
