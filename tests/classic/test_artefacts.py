"""Models that a command trains: the file gives the same model, says what it is, and is refused for anything else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from helpers import ToyFamily, make_task
from learners import QUICK, TOY, sampler, stops
from metastudy.adapt import MAML, Prototypes, RidgeHead
from metastudy.classic import artefacts
from metastudy.classic.artefacts import Artefact
from metastudy.errors import DataError, TrainingError
from metastudy.families.digits import Digits
from metastudy.methods import Fitted, MetaMethod
from metastudy.model import BaseModel, Conv4
from metastudy.tasks import Task
from metastudy.train import TrainConfig

METHOD = MetaMethod("g", (MAML(1), RidgeHead()))
ARTEFACT = Artefact("toy/g, twice", METHOD, TOY, QUICK, seed=2)
FOLD = TOY.folds()[0]
TASKS = [make_task("regression", seed) for seed in range(3)]


@dataclasses.dataclass(frozen=True)
class Small(Digits):
    """Digits seen by a network that knows bfloat16."""

    def model(self) -> BaseModel:
        return Conv4(side=8, channels=4, n_blocks=3)


def same(a: Fitted, b: Fitted, tasks: list[Task] = TASKS, shots: int = 2) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.predict(tasks, shots), b.predict(tasks, shots), strict=True))


def test_a_loaded_model_is_the_one_that_fitting_gives(tmp_path: Path) -> None:
    ARTEFACT.train(tmp_path, progress=False)
    fitted, record = ARTEFACT.load(tmp_path)
    assert same(fitted, METHOD.fit(TOY, FOLD, QUICK, seed=2))
    assert not same(fitted, METHOD.fit(TOY, FOLD, QUICK, seed=3))
    assert {p.name for p in tmp_path.iterdir()} == {"toy_g_twice.safetensors", "toy_g_twice.json"}
    assert ARTEFACT.path(tmp_path).stat().st_size < 20_000
    assert record["seconds"] > 0 and record["peak_rss_mb"] > 50
    assert record["history"][-1]["step"] == QUICK.steps and record["precision"] == "float32"
    assert record["device"] == "cpu" and record["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 3}, "its seed is 2, expected 3"),
        ({"config": dataclasses.replace(QUICK, learning_rate=0.1)}, "its config is .*0.003.*, expected .*=0.1,"),
        ({"method": MetaMethod("g", (RidgeHead(), MAML(1)))}, "its method is "),
        ({"family": ToyFamily(shots=(2,))}, r"its family is .*shots=\(2, 4\).*, expected .*shots=\(2,\)"),
        ({"bfloat16": True}, "its precision is float32, expected bfloat16 convolutions"),
    ],
)
def test_a_file_that_was_trained_by_something_else_is_refused(change: dict, named: str, tmp_path: Path) -> None:
    ARTEFACT.train(tmp_path, progress=False)
    with pytest.raises(TrainingError, match=rf"toy_g_twice.safetensors belongs to another run: {named}"):
        dataclasses.replace(ARTEFACT, **change).load(tmp_path)


def test_a_file_of_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ARTEFACT.train(tmp_path, progress=False)
    monkeypatch.setattr(ToyFamily, "content_hash", lambda self: "other")
    with pytest.raises(TrainingError, match="its data is toy, expected other"):
        ARTEFACT.load(tmp_path)


def test_a_missing_or_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    command = "python -m metastudy.classic 'toy/g, twice'"
    with pytest.raises(DataError, match=rf"toy_g_twice.safetensors is missing .* restore it from git.*{command}"):
        ARTEFACT.load(tmp_path)
    ARTEFACT.path(tmp_path).write_bytes(b"nothing")
    with pytest.raises(DataError, match="toy_g_twice.safetensors is damaged"):
        ARTEFACT.load(tmp_path)


def test_an_interrupted_training_goes_on_and_leaves_nothing_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "parts"
    ARTEFACT.train(whole, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "training_batches", lambda *_: stops(sampler(), 7))
        with pytest.raises(KeyboardInterrupt):
            ARTEFACT.train(folder, progress=False)
    unfinished = folder / "toy_g_twice.unfinished.safetensors"
    assert unfinished.is_file() and not ARTEFACT.path(folder).is_file()
    calls = []

    def counted(*arguments: object):
        draw = sampler()
        return lambda rng: calls.append(None) or draw(rng)

    monkeypatch.setattr(artefacts, "training_batches", counted)
    ARTEFACT.train(folder, progress=False)
    assert len(calls) == QUICK.steps - 6, "six steps were made before"
    assert same(ARTEFACT.load(folder)[0], ARTEFACT.load(whole)[0])
    assert {p.name for p in folder.iterdir()} == {p.name for p in whole.iterdir()}


def test_without_validation_the_last_parameters_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("validation tasks were asked for")

    monkeypatch.setattr(artefacts, "validation_tasks", refused)
    longer = dataclasses.replace(QUICK, steps=30, validate_every=7, patience=2)
    artefact = dataclasses.replace(ARTEFACT, config=longer, validated=False)
    artefact.train(tmp_path, progress=False)
    fitted, record = artefact.load(tmp_path)
    assert [entry["step"] for entry in record["history"]] == [0, 7, 14, 21, 28, 30], "its full length"
    early = dataclasses.replace(artefact, config=dataclasses.replace(longer, steps=29))
    early.train(tmp_path, progress=False)
    assert not same(fitted, early.load(tmp_path)[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_drawn(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(artefacts, "training_batches", lambda *_: pytest.fail("drawn"))
    with pytest.raises(TrainingError, match="device is 'cuda', but torch .* finds no GPU; choose cpu"):
        ARTEFACT.train(tmp_path, progress=False, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mappings", [(Prototypes(), RidgeHead()), (MAML(1),)])
def test_a_gpu_trains_the_same_model_up_to_rounding(mappings: tuple, tmp_path: Path) -> None:
    config = TrainConfig(steps=3, tasks_per_step=2, validate_every=1)
    artefact = Artefact("small/g", MetaMethod("g", mappings, resplit=len(mappings) > 1), Small(shots=(1,)), config)
    found = {}
    for device in ("cpu", "cuda"):
        artefact.train(tmp_path / device, progress=False, device=device)
        fitted, record = artefact.load(tmp_path / device)
        found[device] = fitted.trained
        assert (record["device"] == "cpu") == (device == "cpu")
    for a, b in zip(found["cpu"].history, found["cuda"].history, strict=True):
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], rel=1e-2)
    for name, value in found["cpu"].params.items():
        torch.testing.assert_close(found["cuda"].params[name], value, rtol=0, atol=2e-2)


def test_bfloat16_is_of_training_alone(tmp_path: Path) -> None:
    family = Small(shots=(1,))
    config = TrainConfig(steps=3, tasks_per_step=2, validate_every=3)
    short = Artefact("small/prototypes", MetaMethod("prototypes", (Prototypes(),)), family, config, bfloat16=True)
    short.train(tmp_path, progress=False)
    fitted, record = short.load(tmp_path)
    assert record["precision"] == "bfloat16 convolutions" and fitted.learner.model == family.model()
    assert {v.dtype for v in fitted.trained.params.values()} == {torch.float32}
    exact = dataclasses.replace(short, name="small/exact", bfloat16=False)
    exact.train(tmp_path, progress=False)
    kernels = [one.trained.params["theta.conv1.weight"] for one in (fitted, exact.load(tmp_path)[0])]
    assert 0 < float((kernels[0] - kernels[1]).abs().max()) < 0.05, "other roundings, the same training"
