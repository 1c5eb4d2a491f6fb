"""Costs are measured: memory to the byte on known calls, time as a median, numbers as counted by hand."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers import ToyFamily
from learners import QUICK, TOY, Remembering, learner_of, sampler
from metastudy.adapt import MAML, RidgeHead
from metastudy.classic import cost
from metastudy.classic.artefacts import Artefact
from metastudy.classic.contenders import Contender
from metastudy.classic.cost import COLUMNS, costs, example_tasks, milliseconds, numbers, peak_megabytes
from metastudy.errors import DataError, ParameterError
from metastudy.methods import MetaMethod
from metastudy.samplers import earlier_tasks
from metastudy.train import rng_for

MILLION = 10**6  # float32 numbers: 4 MB


def test_memory_is_what_lives_at_one_moment() -> None:
    def together() -> None:
        x = torch.zeros(MILLION)
        torch.cat([x, x])

    def one_after_another() -> None:
        for _ in range(5):
            torch.zeros(MILLION)

    assert peak_megabytes(together) == pytest.approx(12, abs=0.01)
    assert peak_megabytes(one_after_another) == pytest.approx(4, abs=0.01)
    assert peak_megabytes(together) == peak_megabytes(together), "it repeats exactly"


def test_memory_that_was_there_before_does_not_count() -> None:
    x = torch.zeros(MILLION)
    assert peak_megabytes(lambda: x.add_(1)) < 0.01
    assert peak_megabytes(lambda: x + x) == pytest.approx(4, abs=0.01)
    assert peak_megabytes(lambda: None) == 0
    held = [torch.zeros(MILLION)]
    assert peak_megabytes(lambda: [held.clear(), torch.zeros(MILLION)]) == pytest.approx(4, abs=0.01), "given back"


def test_a_graph_would_be_seen() -> None:
    w = torch.ones(MILLION, requires_grad=True)

    def run() -> None:
        x = w
        for _ in range(4):
            x = x.exp()

    with_graph = peak_megabytes(run)
    with torch.no_grad():
        without = peak_megabytes(run)
    assert with_graph == pytest.approx(16, abs=0.01) and without == pytest.approx(8, abs=0.01)


def test_time_is_the_median_without_the_first_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = 0.0, iter([9.0, 9.0, 9.0, 0.1, 0.2, 7.0, 0.4, 0.3])

    def work() -> None:
        nonlocal now
        now += next(pauses)

    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: now))
    assert milliseconds(work, repeats=5) == pytest.approx(300)
    assert next(pauses, None) is None, "three calls to warm up and five that count"
    with pytest.raises(ParameterError, match="0 repeats; expected at least 1"):
        milliseconds(lambda: None, 0)


def test_one_thread_while_measuring_and_as_many_as_before_afterwards() -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        milliseconds(lambda: seen.append(torch.get_num_threads()), 1)
        peak_megabytes(lambda: seen.append(torch.get_num_threads()))
        with pytest.raises(ZeroDivisionError):
            milliseconds(lambda: 1 / 0, 1)
        assert seen == [1] * 5 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_numbers_are_counted_by_part() -> None:
    learner = learner_of(Remembering(), MAML(1))
    memory = earlier_tasks(sampler(), learner.memory_size, rng_for(0))
    found = numbers(learner.init(torch.Generator().manual_seed(0), memory))
    theta = (3 * 6 + 6) + (6 * 4 + 4) + (4 + 1)
    names = 6  # a step size for each tensor of θ
    beta = 2 + 2 * (2 + 2 * 4)
    rows = memory.support_y[: learner.memory_size].numel()
    assert found == {"theta": theta, "alpha": 1 + names, "beta": beta, "remembered": rows}


def test_one_task_of_every_size_is_an_example() -> None:
    specs = TOY.freeze(rng_for(0))
    assert example_tasks(TOY, specs[::-1]) == [specs[2]], "the first of the first round"
    other = dataclasses.replace(specs[1], family="20-way")
    assert example_tasks(TOY, [specs[0], specs[2], other]) == [specs[0], other]

    class Clustered(ToyFamily):
        clustered = True

    assert example_tasks(Clustered(), [specs[0], specs[2], other]) == [specs[0]]
    with pytest.raises(DataError, match="no frozen task of round 'one' of toy; draw the task lists anew"):
        example_tasks(TOY, specs[3:])


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, list[Artefact]]:
    maml, ridge = MetaMethod("maml", (MAML(1),)), MetaMethod("ridge", (RidgeHead(),))
    made = [Artefact(f"toy/{m.name}/{s}", m, TOY, QUICK, seed=s) for m, s in ((maml, 0), (ridge, 0), (ridge, 1))]
    for artefact in made:
        artefact.train(tmp_path, progress=False)
    return tmp_path, made


def test_the_table_has_a_row_for_each_contender_and_number_of_shots(trained) -> None:
    folder, (maml, *ridges) = trained
    contenders = [Contender("maml", (maml,)), *(Contender(f"ridge {i}", (r,)) for i, r in enumerate(ridges))]
    contenders.append(Contender("both", tuple(ridges)))
    table = costs(contenders, folder, TOY, TOY.freeze(rng_for(0)), repeats=3)
    assert list(table.columns) == list(COLUMNS)
    expected = itertools.product(["maml", "ridge 0", "ridge 1", "both"], (2, 4))
    assert list(zip(table["method"], table["shots"], strict=True)) == list(expected)
    assert set(table["study"]) == {"toy"} and set(table["family"]) == {"d"}
    rows = table.drop_duplicates("method").set_index("method")
    for name, artefact in (("maml", maml), ("ridge 0", ridges[0])):
        record = artefact.load(folder)[1]
        assert rows.loc[name, "train_s"] == record["seconds"] and rows.loc[name, "steps"] == QUICK.steps
        assert rows.loc[name, "train_rss_mb"] == record["peak_rss_mb"]
        assert rows.loc[name, "file_kb"] == artefact.path(folder).stat().st_size / 1000
    assert rows["alpha"].to_dict() == {"maml": 6, "ridge 0": 2, "ridge 1": 2, "both": 4}
    assert rows["models"].tolist() == [1, 1, 1, 2] and set(rows["beta"]) == {0}
    for column in ("train_s", "steps", "theta", "alpha", "file_kb"):
        assert rows.loc["both", column] == pytest.approx(rows.loc[["ridge 0", "ridge 1"], column].sum()), column
    assert rows.loc["both", "train_rss_mb"] == rows.loc[["ridge 0", "ridge 1"], "train_rss_mb"].max()
    assert (table["adapt_ms"] > 0).all() and (table["adapt_mb"] > 0).all()


def test_what_is_measured_is_the_prediction_of_one_frozen_task(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, (maml, *_) = trained
    specs, asked = TOY.freeze(rng_for(0)), []

    def measured(work, *_: object) -> float:
        asked.append(work())
        return 1.5

    monkeypatch.setattr(cost, "milliseconds", measured)
    monkeypatch.setattr(cost, "peak_megabytes", measured)
    table = costs([Contender("maml", (maml,))], folder, TOY, specs)
    assert (table[["adapt_ms", "adapt_mb"]] == 1.5).all(axis=None)
    fitted, fold = maml.load(folder)[0], TOY.folds()[0]
    for shots, answers in zip(TOY.shots, (asked[:2], asked[2:]), strict=True):
        expected = fitted.predict([TOY.build(specs[0], shots, fold)], shots)
        assert all(len(found) == 1 and torch.equal(found[0], expected[0]) for found in answers)
        assert not expected[0].requires_grad


def test_a_missing_model_is_named(trained) -> None:
    folder, (maml, *_) = trained
    other = dataclasses.replace(maml, name="toy/none")
    with pytest.raises(DataError, match="toy_none.safetensors is missing"):
        costs([Contender("none", (other,))], folder, TOY, TOY.freeze(rng_for(0)))
