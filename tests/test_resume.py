"""A run that was killed goes on bit for bit, and only from a file that is its own."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import ToyFamily
from learners import MAPPINGS, QUICK, Remembering, counted, learner_of, sampler, stops, train
from metastudy import checkpoint, resume
from metastudy.adapt import RidgeHead
from metastudy.errors import DataError, TrainingError
from metastudy.methods import training_batches
from metastudy.mixture import MetaLearner
from metastudy.model import MLP
from metastudy.optimise import Optimizer
from metastudy.resume import Keeper, Training
from metastudy.train import TrainConfig, Trained, minimise, rng_for, with_gradient


def same(found: Trained, expected: Trained) -> None:
    assert list(found.params) == list(expected.params)
    assert all(torch.equal(found.params[k], expected.params[k]) for k in expected.params)
    assert str(found.history) == str(expected.history)


def files(path: Path) -> tuple[dict, dict]:
    return checkpoint.read(path, resume.KIND)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


@pytest.fixture
def save_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "SAVE_SECONDS", 0.0)


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(name: str, tmp_path: Path) -> None:
    learner = learner_of(*MAPPINGS[name])
    n_memory = 2 if learner.memory_size else 0  # calls that fill the memory, in each attempt
    whole, whole_rng = tmp_path / "whole.safetensors", rng_for(3)
    whole.parent.mkdir(exist_ok=True)
    with pytest.raises(KeyboardInterrupt):  # so that there is a file, which is brought up to date at the end
        train(learner, rng_for(3), checkpoint=whole, sample=stops(sampler(), n_memory + 1))
    expected = train(learner, whole_rng, checkpoint=whole)
    same(expected, train(learner))

    path, rng = tmp_path / "run.safetensors", rng_for(3)
    for call in (1, 1, 4, 5, 2):  # steps 0, 0, 3, 7, 8: before and after validations, and twice at one place
        rng = rng_for(3)
        with pytest.raises(KeyboardInterrupt):
            train(learner, rng, checkpoint=path, sample=stops(sampler(), n_memory + call))
    assert files(path)[1]["course"]["step"] == 8
    rng = rng_for(3)
    same(train(learner, rng, checkpoint=path), expected)
    assert rng.bit_generator.state == whole_rng.bit_generator.state
    (tensors, record), (other_tensors, other_record) = files(path), files(whole)
    assert str(record) == str(other_record) and list(tensors) == list(other_tensors)
    assert all(torch.equal(tensors[k], other_tensors[k]) for k in tensors)
    assert any(k.startswith("optimizer/theta.") for k in tensors) and not any(".memory." in k for k in tensors)


def test_a_run_stopped_by_patience_is_resumed_as_well(path: Path) -> None:
    config = dataclasses.replace(QUICK, steps=40, validate_every=2, patience=2, learning_rate=0.3)
    learner = learner_of(RidgeHead())
    expected = train(learner, config=config)
    stopped_at = expected.history[-1]["step"]
    assert 4 <= stopped_at < 40
    with pytest.raises(KeyboardInterrupt):
        train(learner, config=config, checkpoint=path, sample=stops(sampler(config), stopped_at))
    same(train(learner, config=config, checkpoint=path), expected)


def test_an_interrupt_while_validating_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of(*MAPPINGS["mixture"])
    expected = train(learner)
    with monkeypatch.context() as patch:
        query_loss, calls = counted(MetaLearner.query_loss)

        def interrupted(*arguments):
            if len(calls) == 5:  # two batches of validation at steps 0 and 4, the first of step 8
                raise KeyboardInterrupt
            return query_loss(*arguments)

        patch.setattr(MetaLearner, "query_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(learner, checkpoint=path)
    assert files(path)[1]["course"]["step"] == 8 and len(files(path)[1]["course"]["history"]) == 2
    same(train(learner, checkpoint=path), expected)


def test_an_interrupt_in_the_middle_of_a_step_leaves_the_file_of_the_step_before(
    path: Path, save_always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = learner_of(*MAPPINGS["mixture"])
    expected = train(learner)
    with monkeypatch.context() as patch:
        step = Optimizer.step

        def half(self: Optimizer, gradient, norm, number) -> None:
            step(self, gradient, norm, number)
            if number == 6:
                raise KeyboardInterrupt

        patch.setattr(Optimizer, "step", half)
        with pytest.raises(KeyboardInterrupt):
            train(learner, checkpoint=path)
    assert files(path)[1]["course"]["step"] == 6
    same(train(learner, checkpoint=path), expected)


def test_when_it_is_saved_changes_no_number_and_short_runs_leave_no_file(path: Path, monkeypatch) -> None:
    learner = learner_of(*MAPPINGS["mixture"])
    expected = train(learner)
    same(train(learner, checkpoint=path), expected)
    assert not path.exists() and not path.with_suffix(".json").exists()
    monkeypatch.setattr(resume, "SAVE_SECONDS", 0.0)
    same(train(learner, checkpoint=path), expected)
    assert files(path)[1]["course"]["step"] == 12


def test_a_run_that_had_ended_gives_its_result_without_a_step(path: Path, save_always: None) -> None:
    learner = learner_of(RidgeHead())
    expected = train(learner, checkpoint=path)
    sample, calls = counted(sampler())
    same(train(learner, checkpoint=path, sample=sample), expected)
    assert not calls


def test_time_decides_when_it_is_saved(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(resume.time, "monotonic", lambda: now)
    training = Training({"theta.w": torch.ones(2)}, QUICK, rng_for(0))
    keeper = Keeper(path, training, {})
    for now, expected in ((59.0, False), (60.0, True), (119.0, False), (120.0, True)):
        path.unlink(missing_ok=True)
        keeper.save_now_and_then()
        assert path.exists() == expected, now


def test_other_errors_leave_the_file_that_was_written_before(path: Path, save_always: None) -> None:
    learner, config = learner_of(*MAPPINGS["maml"]), QUICK
    expected = train(learner)

    def breaks(rng: np.random.Generator):
        batch = sample(rng)
        return dataclasses.replace(batch, query_y=batch.query_y * math.nan) if len(calls) == 6 else batch

    sample, calls = counted(sampler(config))
    with pytest.raises(TrainingError, match="the loss is nan at step 5"):
        train(learner, checkpoint=path, sample=breaks)
    assert files(path)[1]["course"]["step"] == 5
    same(train(learner, checkpoint=path), expected)


OTHERS = {
    "config": {"config": dataclasses.replace(QUICK, clip_norm=4.0)},
    "label": {"label": "other"},
    "start": {"rng": rng_for(4)},
    "learner": {"learner": learner_of(RidgeHead(initial_penalty=2.0))},
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(what: str, path: Path) -> None:
    arguments = {"learner": learner_of(RidgeHead()), "rng": rng_for(3), "config": QUICK, "label": "toy"}
    with pytest.raises(KeyboardInterrupt):
        train(**arguments, checkpoint=path, sample=stops(sampler(), 3))
    before = path.read_bytes()
    message = rf"run\.safetensors belongs to another run: its {what} is .+, expected .+\. Delete it to start afresh"
    with pytest.raises(TrainingError, match=message):
        train(**(arguments | OTHERS[what] | {"rng": OTHERS[what].get("rng", rng_for(3))}), checkpoint=path)
    assert path.read_bytes() == before


def test_other_shapes_and_other_validation_tasks_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(learner_of(RidgeHead()), checkpoint=path, sample=stops(sampler(), 3))
    monkeypatch.setattr("learners.validation", lambda: [next(iter(ordinary()))])
    with pytest.raises(TrainingError, match="its validation tasks is"):
        train(learner_of(RidgeHead()), checkpoint=path)
    monkeypatch.undo()
    monkeypatch.setattr(MLP, "__repr__", lambda self: "MLP(in_dim=3, hidden=(6, 4))")  # a change in the code only
    with pytest.raises(TrainingError, match=r"its shapes is \{.*\[6, 4\].*\}, expected \{.*\[6, 5\]"):
        train(MetaLearner(MLP(3, (6, 5)), (RidgeHead(),)), checkpoint=path)


def ordinary():
    yield training_batches(ToyFamily(), ToyFamily().folds()[1], QUICK)(rng_for(8))


def test_a_damaged_checkpoint_is_refused_by_name(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(learner_of(RidgeHead()), checkpoint=path, sample=stops(sampler(), 3))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"run\.safetensors is damaged .* delete it, and the run starts afresh"):
        train(learner_of(RidgeHead()), checkpoint=path)


def test_the_memory_of_a_resumed_run_is_the_one_it_had(path: Path) -> None:
    learner = learner_of(Remembering())
    expected = train(learner)
    with pytest.raises(KeyboardInterrupt):
        train(learner, checkpoint=path, sample=stops(sampler(), 2 + 7))
    found = train(learner, checkpoint=path)
    same(found, expected)
    assert found.params["alpha.remembering.memory.y"].shape[0] == 5


LONG = TrainConfig(steps=160, tasks_per_step=2, validate_every=100)
SCRIPT = """
import sys
from pathlib import Path
from learners import *
from metastudy import resume
from test_resume import LONG
resume.SAVE_SECONDS = 0.0
sample = sampler(LONG)
def speaking(rng):
    print("step", flush=True)
    return sample(rng)
train(learner_of(*MAPPINGS["maml"]), config=LONG, checkpoint=Path(sys.argv[1]), sample=speaking)
"""


def test_a_process_killed_while_it_saves_at_every_step_is_resumed(path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["src", "tests"])}
    root = Path(__file__).resolve().parents[1]
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.PIPE, cwd=root, env=environment, text=True
    )
    with child:
        for _ in range(20):
            assert child.stdout.readline() == "step\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    reached = files(path)[1]["course"]["step"]
    assert 18 <= reached < LONG.steps
    learner, rngs = learner_of(*MAPPINGS["maml"]), [rng_for(3), rng_for(3)]
    sample, calls = counted(sampler(LONG))
    resumed = train(learner, rngs[0], LONG, path, sample)
    assert len(calls) == LONG.steps - reached
    same(resumed, train(learner, rngs[1], LONG))
    assert rngs[0].bit_generator.state == rngs[1].bit_generator.state


def test_any_objective_can_be_resumed(path: Path) -> None:
    """No learner, no validation: what `minimise` alone promises."""
    start, calls = {"theta.w": torch.ones(3), "beta.b": torch.ones(2)}, []

    def noisy(params, rng):
        calls.append(None)
        noise = torch.tensor(rng.normal(size=3), dtype=torch.float32)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return ((params["theta.w"] - noise) ** 2).sum() + params["beta.b"].abs().sum()

    arguments = start, with_gradient(noisy), None, QUICK
    with pytest.raises(KeyboardInterrupt):
        minimise(*arguments, rng_for(0), checkpoint=path)
    found = minimise(*arguments, rng_for(0), checkpoint=path)
    assert len(calls) == 13, "the interrupted step is made again, and no other"
    same(found, minimise(*arguments, rng_for(0)))
