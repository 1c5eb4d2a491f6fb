"""Every method fits and predicts through one call, tunes on validation tasks only, and never sees the test."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from helpers import NoTestFold, ToyFamily, batch_of, make_task, small_mlp
from metastudy import methods
from metastudy.adapt import MAML, Prototypes, RidgeHead, Unadapted
from metastudy.adapt.adam import train_on_support
from metastudy.adapt.gradient import support_loss, widen_head
from metastudy.losses import loss, predict
from metastudy.methods import (
    Classifier,
    FineTuned,
    InputColumn,
    MetaMethod,
    Method,
    RandomScores,
    Scratch,
    field_baselines,
    mixture_and_members,
    pooled,
    tuned,
    validation_tasks,
)
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT
from metastudy.tasks import KINDS, Task, collate
from metastudy.train import TrainConfig, Trained

CONFIG = TrainConfig(steps=4, tasks_per_step=3, validate_every=2)
LOGISTIC = Classifier("logistic", LogisticRegression, ({"C": 0.01}, {"C": 1.0}))


def methods_for(kind: str) -> list[Method]:
    found = [
        MetaMethod("ridge", (RidgeHead(),)),
        *mixture_and_members(MAML(1), RidgeHead())[2:],
        FineTuned(rates=(0.01,), n_steps=(1, 3)),
        Scratch(n_steps=(1, 3)),
    ]
    if kind != "classification":
        found.append(pooled())
    if kind in ("classification", "binary"):
        found.append(LOGISTIC)
    else:
        found += [InputColumn("first column", 0), RandomScores()]
    return found


CASES = [pytest.param(kind, m, id=f"{m.name}-{kind}") for kind in KINDS for m in methods_for(kind)]


class Guarded(ToyFamily):
    """Fails where fitting asks for anything of the evaluation."""

    def build(self, *_: object) -> Task:
        raise AssertionError("a frozen task was built before evaluation")

    score = freeze = build


@pytest.fixture(autouse=True)
def few_validation_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "N_VALIDATION", 5)


def evaluation_tasks(family: ToyFamily, shots: int, n: int = 34) -> list[Task]:
    """Tasks that no training saw; 34 are more than one chunk."""
    return [family._task(f"t{i}", "d", shots, i) for i in range(n)]


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_fit_never_sees_the_test_and_predicts_each_task_by_itself(kind, method) -> None:
    family = ToyFamily(kind)
    fitted = method.fit(Guarded(kind), NoTestFold(family.folds()[0]), CONFIG, seed=0)
    for shots in family.shots:
        tasks = evaluation_tasks(family, shots)
        predictions = fitted.predict(tasks, shots)
        assert len(predictions) == len(tasks)
        for p in predictions:
            assert p.shape == ((8, 2) if kind in ("classification", "binary") else (8,))
            assert p.dtype == torch.float32 and not p.requires_grad and torch.isfinite(p).all()
            if kind in ("classification", "binary"):
                torch.testing.assert_close(p.sum(1), torch.ones(8), rtol=0, atol=1e-5)
                assert float(p.min()) >= 0
        for i in (0, 33):
            torch.testing.assert_close(fitted.predict([tasks[i]], shots)[0], predictions[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_fitting_repeats_and_only_deterministic_methods_ignore_the_seed(kind, method) -> None:
    family = ToyFamily(kind)
    tasks = evaluation_tasks(family, 2, 3)
    first, again, other = (
        torch.cat(method.fit(family, family.folds()[0], CONFIG, seed).predict(tasks, 2)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert torch.equal(first, other) == method.deterministic


@pytest.mark.parametrize("kind", KINDS)
def test_scratch_trains_each_task_as_adam_would_alone(kind) -> None:
    model, batch = small_mlp(), batch_of(kind, range(3))
    theta = {k: v.double() for k, v in model.init(torch.Generator().manual_seed(0)).items()}
    together = train_on_support(model, theta, batch, rate=0.05, n_steps=6)
    for t in range(3):
        alone = dataclasses.replace(
            batch, **{k: v[t : t + 1] for k, v in vars(batch).items() if isinstance(v, torch.Tensor)}
        )
        start = widen_head(theta, batch.n_classes)
        if kind == "classification":  # what all classes share changes no score
            start |= {name: torch.zeros_like(start[name]) for name in (HEAD_WEIGHT, HEAD_BIAS)}
        own = {k: v.clone().requires_grad_() for k, v in start.items()}
        optimizer = torch.optim.Adam(own.values(), lr=0.05)
        for _ in range(6):
            optimizer.zero_grad()
            support_loss(model, own, alone).sum().backward()
            optimizer.step()
        for name, value in own.items():
            if kind == "ranking" and name == "head.bias":
                continue  # its gradient is zero but for rounding, which Adam scales up to whole steps
            torch.testing.assert_close(together[name][t], value.detach(), rtol=0, atol=1e-8)


def test_adam_makes_no_step_of_rounding() -> None:
    """Equal columns score all classes alike: whatever the features, their first gradient is zero."""
    model, batch = small_mlp(), collate([make_task("classification", i, n_support=7) for i in range(20)])
    theta = model.init(torch.Generator().manual_seed(0))
    trained = train_on_support(model, theta, batch, rate=0.05, n_steps=1)
    assert torch.equal(trained["layer0.weight"], theta["layer0.weight"].expand(20, -1, -1))


def test_tuning_takes_the_lowest_validation_loss_for_each_number_of_shots() -> None:
    family, calls = ToyFamily("regression"), []
    best = {2: 0.5, 4: 2.0}  # by number of shots: the support has 2 * shots rows

    def adapt(batch, setting):
        shots = batch.support_x.shape[1] // 2
        calls.append((shots, setting))
        miss = torch.nan if setting == 3.0 else abs(setting - best[shots])
        return batch.query_y[..., None] + miss

    fitted = tuned(family, family.folds()[0], adapt, [3.0, 0.5, 1.0, 2.0])
    for shots in family.shots:
        calls.clear()
        tasks = evaluation_tasks(family, shots, 2)
        found = fitted.predict(tasks, shots)
        assert calls == [(shots, best[shots])]
        assert torch.equal(found[1], tasks[1].query_y)


def test_scratch_and_fine_tuning_choose_the_setting_that_validates_best() -> None:
    family = ToyFamily("regression")
    fold, model = family.folds()[0], family.model()
    method = Scratch(n_steps=(1, 60), learning_rate=0.05)
    theta = model.init(methods.torch_generator(methods.rng_for(0, 1)))
    for shots, tasks in validation_tasks(family, fold).items():
        batch = collate(tasks)
        losses = {}
        for n in method.n_steps:
            p = predict("regression", model(train_on_support(model, theta, batch, 0.05, n), batch.query_x), None)
            losses[n] = float(loss("regression", p, batch.query_y, batch.query_mask, batch.query_group).mean())
        best = min(losses, key=losses.get)
        test = collate(evaluation_tasks(family, shots, 3))
        expected = model(train_on_support(model, theta, test, 0.05, best), test.query_x)[..., 0]
        found = method.fit(family, fold, CONFIG, 0).predict(list(test.tasks), shots)
        torch.testing.assert_close(torch.stack(found), expected, rtol=0, atol=1e-6)
        assert losses[60] != losses[1]


def test_validation_tasks_are_the_same_for_all_and_differ_by_fold_and_shots() -> None:
    family = ToyFamily()
    first, again = (validation_tasks(family, family.folds()[0]) for _ in range(2))
    other = validation_tasks(family, family.folds()[1])
    assert set(first) == set(family.shots) and all(len(tasks) == 5 for tasks in first.values())
    assert torch.equal(first[2][0].query_x, again[2][0].query_x)
    assert not torch.equal(first[2][0].query_x, other[2][0].query_x)
    assert not torch.equal(first[2][0].query_x, first[4][0].query_x)


def test_classifier_is_scikit_learn_on_each_support_with_the_best_validated_setting() -> None:
    family = ToyFamily("binary")
    fold = family.folds()[0]

    def probabilities(task: Task, c: float) -> np.ndarray:
        fitted = LogisticRegression(C=c).fit(task.support_x.numpy(), task.support_y.numpy())
        return fitted.predict_proba(task.query_x.numpy())

    fitted = LOGISTIC.fit(family, fold, CONFIG, 0)
    for shots, tasks in validation_tasks(family, fold).items():
        losses = {c: np.mean([log_loss(t.query_y.numpy(), probabilities(t, c)) for t in tasks]) for c in (0.01, 1.0)}
        best = min(losses, key=losses.get)
        for task, found in zip(test := evaluation_tasks(family, shots, 3), fitted.predict(test, shots), strict=True):
            np.testing.assert_allclose(found.numpy(), probabilities(task, best), rtol=0, atol=1e-6)


def test_classifier_reads_the_named_channel() -> None:
    x = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0.0, 1.0] * 3)
    family = ToyFamily("binary")
    fitted = Classifier("lr", LogisticRegression, channel=1).fit(family, family.folds()[0], CONFIG, 0)
    (found,) = fitted.predict([Task("t", "f", "binary", x, y, x, y)], 2)
    expected = LogisticRegression().fit(x[..., 1].numpy(), y.numpy()).predict_proba(x[..., 1].numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


def test_input_columns_are_read_with_their_sign() -> None:
    family = ToyFamily("ranking")
    (task,) = evaluation_tasks(family, 2, 1)
    fitted = InputColumn("lead", 1, -1.0).fit(family, family.folds()[0], CONFIG, 0)
    assert torch.equal(fitted.predict([task], 2)[0], -task.query_x[:, 1])
    assert field_baselines(family) == []


def test_random_scores_are_of_seed_and_task_and_of_nothing_in_the_task() -> None:
    family = ToyFamily("ranking")
    tasks = evaluation_tasks(family, 2, 30)
    method = RandomScores()
    fitted, other_seed = (method.fit(family, family.folds()[0], CONFIG, seed) for seed in (0, 1))
    found = torch.stack(fitted.predict(tasks, 2))  # (30, 8)
    changed = [
        dataclasses.replace(t, query_x=-t.query_x, query_y=1 - t.query_y, support_y=1 - t.support_y) for t in tasks
    ]
    assert torch.equal(torch.stack(fitted.predict(changed[::-1], 4)), found.flip(0)), "same names, same scores"
    renamed = [dataclasses.replace(t, id=f"other {t.id}") for t in tasks]
    for others in (fitted.predict(renamed, 2), other_seed.predict(tasks, 2)):
        assert not set(torch.stack(others).flatten().tolist()) & set(found.flatten().tolist())
    assert method.name == "random" and not method.deterministic, "several seeds are drawn"
    assert found.min() >= 0 and found.max() < 1 and len(set(found.flatten().tolist())) == 240
    firsts = found.argmax(1).bincount(minlength=8)
    assert firsts.max() < 15, "no row is chosen for its place"


def test_a_mixture_tells_its_weights_and_one_mapping_has_none() -> None:
    family = ToyFamily("ranking")
    tasks = evaluation_tasks(family, 2)  # more than one chunk
    fitted = MetaMethod("g", (Unadapted(), RidgeHead())).fit(family, family.folds()[0], CONFIG, 0)
    found, expected = fitted.weights(tasks), fitted.learner.weights(fitted.trained.params, collate(tasks))
    assert found.shape == (34, 2) and not found.requires_grad
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-6)
    assert float(found.std(0).max()) > 0, "they depend on the task"
    for other in (MetaMethod("ridge", (RidgeHead(),)), RandomScores()):
        assert other.fit(family, family.folds()[0], CONFIG, 0).weights is None


class Uneven(ToyFamily):
    """Training tasks in which some have two classes and some have three."""

    def training_classes(self, fold) -> tuple[str, ...]:
        return "red", "green", "blue"

    def sample(self, fold, part, shots: int, n_tasks: int, rng: np.random.Generator) -> list[Task]:
        tasks = []
        for i in range(n_tasks):
            ways = 2 + i % 2
            task = make_task("classification", int(rng.integers(1000)), ways * shots, 4 + i, ways)
            tasks.append(dataclasses.replace(task, class_names=("red", "green", "blue")[:ways]))
        return tasks


@pytest.mark.parametrize("name", ["g", "fine-tuned", "from scratch", "logistic"])
def test_tasks_of_unequal_numbers_of_classes_are_learned_and_predicted(name: str) -> None:
    family = Uneven("classification")
    method = next(m for m in methods_for("classification") if m.name == name)
    fitted = method.fit(family, family.folds()[0], CONFIG, 0)
    tasks = family.sample(None, "train", 2, 6, np.random.default_rng(9))
    together = fitted.predict(tasks, 2)
    for task, found in zip(tasks, together, strict=True):
        assert found.shape == (len(task.query_y), task.n_classes)
        torch.testing.assert_close(found.sum(1), torch.ones(len(found)), rtol=0, atol=1e-5)
        torch.testing.assert_close(fitted.predict([task], 2)[0], found, rtol=1e-4, atol=1e-5)


def test_pretraining_is_cross_entropy_over_the_classes_of_all_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(params, objective, validation, config, rng, label, checkpoint):
        batch_rng = np.random.default_rng(4)
        seen.append((params, objective(params, batch_rng)[0]))
        return Trained(params, [])

    monkeypatch.setattr(methods, "minimise", watched)
    family = Uneven("classification")
    FineTuned(rates=(0.01,), n_steps=(1,)).fit(family, family.folds()[0], CONFIG, 0)
    params, found = seen[0]
    batch = methods.training_batches(family, family.folds()[0], CONFIG)(np.random.default_rng(4))
    index, losses = {"blue": 0, "green": 1, "red": 2}, []
    for task in batch.tasks:
        logits = family.model()({k.removeprefix("theta."): v for k, v in params.items()}, task.query_x[None])[0]
        for row, y in zip(logits.log_softmax(-1), task.query_y.tolist(), strict=True):
            losses.append(-row[index[task.class_names[y]]])
    assert found.item() == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    assert params["theta.head.weight"].shape[1] == 3


@pytest.mark.parametrize("method", [*methods_for("binary"), InputColumn("first", 0)], ids=lambda m: m.name)
def test_tasks_stream_into_predictions_that_hold_no_graph(method, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods.chunks, "__defaults__", (4,))
    family = ToyFamily("binary")
    fitted = method.fit(family, family.folds()[0], CONFIG, 0)
    alive: weakref.WeakSet[Task] = weakref.WeakSet()
    most, saved = [], []

    def stream():
        for i in range(20):
            alive.add(task := family._task(f"t{i}", "d", 2, i))
            most.append(len(alive))
            yield task

    class Held:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor
            saved.append(weakref.ref(self))

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        found = fitted.predict(stream(), 2)
    gc.collect()
    assert len(most) == 20 and max(most) <= 9, "a chunk, and the one before it"
    assert not [ref for ref in saved if ref() is not None]
    assert (method.name in ("maml", "g", "fine-tuned", "from scratch")) >= bool(saved), "adapting alone needs graphs"
    expected = fitted.predict([family._task(f"t{i}", "d", 2, i) for i in range(20)], 2)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(
        p.untyped_storage().nbytes() <= 2 * p.numel() * p.element_size() for p in found if method.name != "first"
    )


def test_chunks_take_no_more_than_they_give() -> None:
    taken = []
    source = (taken.append(i) or i for i in range(7))
    found = methods.chunks(source, 3)
    assert next(found) == [0, 1, 2] and taken == [0, 1, 2]
    assert list(found) == [[3, 4, 5], [6]] and list(methods.chunks([], 3)) == []


def test_g_comes_with_each_of_its_members_alone() -> None:
    found = mixture_and_members(Unadapted(), RidgeHead(), Prototypes())
    assert [m.name for m in found] == ["pooled", "ridge", "prototypes", "g"]
    assert found[-1].mappings == tuple(m.mappings[0] for m in found[:-1])
