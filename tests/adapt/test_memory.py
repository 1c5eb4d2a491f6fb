"""A new task starts where similar earlier tasks ended: against plain loops over tasks, and at the limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from helpers import DIM, Linear, batch_of, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt import TaskMemory
from metastudy.errors import TaskError
from metastudy.mixture import MetaLearner, without_prefix
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, Params
from metastudy.optimise import TrainConfig, with_gradient
from metastudy.tasks import KINDS, Task, TaskBatch, collate
from metastudy.train import minimise

MODEL = small_mlp()
MAPPING = TaskMemory(memory_size=4)
every_kind = pytest.mark.parametrize("kind", KINDS)


def earlier_tasks(kind: str, seeds=(10, 11, 12, 13)) -> list[Task]:
    """Tasks of unequal size (and, with classes, of unequal number of classes)."""
    return [make_task(kind, s, n_support=4 + i, n_query=3 + i, ways=2 + i % 2) for i, s in enumerate(seeds)]


def alpha_of(earlier: TaskBatch, mapping: TaskMemory = MAPPING, **changed: float) -> Params:
    alpha = moved(mapping.init(MODEL, torch.Generator()), 5)
    alpha |= {name: torch.tensor(value).double() for name, value in changed.items()}
    return alpha | {f"memory.{k}": v for k, v in mapping.remember(earlier).items()}


def close(found: Tensor, expected: Tensor | np.ndarray, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=tolerance)


# --- the plain way: one task at a time, in numpy, with scikit-learn's ridge ---


def all_rows(task: Task) -> Task:
    """The task with its query rows moved to the support."""
    group = None
    if task.support_group is not None:
        group = torch.cat([task.support_group, task.query_group + task.support_group.max() + 1])
    x, y = torch.cat([task.support_x, task.query_x]), torch.cat([task.support_y, task.query_y])
    return dataclasses.replace(task, support_x=x, support_y=y, support_group=group)


def plain_problem(theta: Params, task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """φ, inputs with intercept, and targets of a task's support."""
    phi = MODEL.features(theta, task.support_x[None].double())[0].detach().numpy()
    y = task.support_y.numpy().astype(float)[:, None]
    x = np.hstack([phi, np.ones((len(phi), 1))])
    if task.kind == "classification":
        y = np.eye(task.n_classes)[task.support_y] - 1 / task.n_classes
    elif task.kind == "binary":
        y = 2 * y - 1
    elif task.kind == "ranking":
        x[:, -1] = 0
        for g in set(task.support_group.tolist()):
            rows = task.support_group.numpy() == g
            x[rows] -= x[rows].mean(0)
            y[rows] = y[rows] / y[rows].sum() if y[rows].sum() else 0 * y[rows]
            y[rows] -= y[rows].mean() if y[rows].any() else 0
    return phi, x, y


def plain_statistics(theta: Params, task: Task) -> np.ndarray:
    phi, x, y = plain_problem(theta, task)
    d, off = phi.shape[1], y - y.mean(0)

    def normalised(v: np.ndarray) -> np.ndarray:
        return (v - v.mean()) / np.sqrt(v.var() + 1e-5)

    correlation = np.zeros(d)
    for f in range(d):
        column = x[:, f] - x[:, f].mean()
        moments = np.array([np.mean(column * off[:, c]) for c in range(y.shape[1])])
        size = np.sqrt((column**2).mean() + 1e-6) * np.sqrt((off**2).sum(1).mean() + 1e-6)
        correlation[f] = (moments[0] if y.shape[1] == 1 else np.sqrt((moments**2).sum() + 1e-12)) / size
    label = np.array([y.mean(), np.sqrt(y.var() + 1e-6)]) if y.shape[1] == 1 else np.zeros(2)
    mean, spread = phi.mean(0), np.sqrt(phi.var(0) + 1e-6)
    return np.hstack([np.hstack([normalised(mean), normalised(spread), correlation]) / np.sqrt(d), label / np.sqrt(2)])


def plain_solution(theta: Params, alpha: Params, task: Task) -> np.ndarray:
    """The head of an earlier task: (d + 1, C)."""
    _, x, y = plain_problem(theta, task)
    prior = np.zeros((x.shape[1], y.shape[1]))
    if task.kind != "classification":
        prior = torch.cat([theta[HEAD_WEIGHT], theta[HEAD_BIAS]]).numpy()
    ridge = Ridge(alpha=float(alpha["log_memory_penalty"].exp()), fit_intercept=False, solver="svd")
    return prior + ridge.fit(x, y - x @ prior).coef_.reshape(y.shape[1], -1).T


def plain_scores(theta: Params, alpha: Params, earlier: list[Task], task: Task) -> np.ndarray:
    new = plain_statistics(theta, task)
    logits, solved = [], []
    for old in map(all_rows, earlier):
        off = (new - plain_statistics(theta, old)) * alpha["log_metric"].exp().numpy()
        logits.append(-float(alpha["log_temperature"].exp()) * float(off @ off))
        solved.append(plain_solution(theta, alpha, old))
    s = np.exp(logits) / np.exp(logits).sum()
    _, x, y = plain_problem(theta, task)
    if task.kind == "classification":
        start = np.zeros((x.shape[1], y.shape[1]))
        variance = sum(s_i * (w**2).sum(1) / w.shape[1] for s_i, w in zip(s, solved, strict=True))
    else:
        start = sum(s_i * w for s_i, w in zip(s, solved, strict=True))
        variance = sum(s_i * ((w - start) ** 2)[:, 0] for s_i, w in zip(s, solved, strict=True))
    relative = (variance + 1e-6) / (variance + 1e-6).mean()
    share = float(alpha["relevance"].sigmoid())
    v = 1 - share + share * relative
    # ridge with a penalty per feature as least squares with a row more for each feature
    penalty = np.diag(np.sqrt(float(alpha["log_penalty"].exp()) / v))
    rows, wanted = np.vstack([x, penalty]), np.vstack([y - x @ start, np.zeros_like(start)])
    weight = start + np.linalg.lstsq(rows, wanted, rcond=None)[0]
    phi = MODEL.features(theta, task.query_x[None].double())[0].numpy()
    return float(alpha["log_scale"].exp()) * np.hstack([phi, np.ones((len(phi), 1))]) @ weight


@every_kind
def test_batched_and_padded_it_is_the_plain_loop_over_tasks(kind) -> None:
    earlier, theta = earlier_tasks(kind), random_params(MODEL)
    tasks = [make_task(kind, 0, 5, 4, ways=2), make_task(kind, 1, 8, 7, ways=3)]
    alpha = alpha_of(in_double(collate(earlier)))
    found = MAPPING(MODEL, theta, alpha, in_double(collate(tasks)))
    for task, scores in zip(tasks, found, strict=True):
        expected = plain_scores(theta, alpha, earlier, task)
        close(scores[: expected.shape[0], : expected.shape[1]], expected)


@every_kind
def test_the_order_of_earlier_tasks_does_not_matter(kind) -> None:
    earlier, theta, batch = earlier_tasks(kind), random_params(MODEL), batch_of(kind)
    order = [2, 0, 3, 1]
    first, second = (alpha_of(in_double(collate(tasks))) for tasks in (earlier, [earlier[i] for i in order]))
    close(MAPPING(MODEL, theta, second, batch), MAPPING(MODEL, theta, first, batch))
    s = MAPPING.similarity(MODEL, theta, first, batch)
    close(MAPPING.similarity(MODEL, theta, second, batch), s[:, order])
    close(s.sum(1), torch.ones(2).double())


@every_kind
def test_what_stands_in_padded_rows_of_the_memory_does_not_matter(kind) -> None:
    theta, batch, alpha = random_params(MODEL), batch_of(kind), alpha_of(in_double(collate(earlier_tasks(kind))))
    noise = 1e3 * torch.randn(alpha["memory.x"].shape, generator=torch.Generator().manual_seed(0)).double()
    noisy = alpha | {"memory.x": alpha["memory.x"] + (1 - alpha["memory.mask"])[..., None] * noise}
    close(MAPPING(MODEL, theta, noisy, batch), MAPPING(MODEL, theta, alpha, batch))


@pytest.mark.parametrize("kind", ["binary", "regression", "ranking"])
def test_a_task_that_is_remembered_starts_from_its_own_solution(kind) -> None:
    """With a sharp similarity and a correction that costs too much: the solution of the very task."""
    earlier, theta = earlier_tasks(kind), random_params(MODEL)
    task = all_rows(earlier[2])
    alpha = alpha_of(in_double(collate(earlier)), log_temperature=30.0, log_penalty=60.0, log_scale=0.0)
    phi = MODEL.features(theta, task.query_x[None].double())[0]
    expected = torch.cat([phi, torch.ones_like(phi[:, :1])], 1) @ torch.tensor(plain_solution(theta, alpha, task))
    close(MAPPING(MODEL, theta, alpha, in_double(collate([task])))[0], expected)


@every_kind
def test_without_a_correction_it_is_the_mean_of_solutions_weighted_by_similarity(kind) -> None:
    earlier, theta, batch = earlier_tasks(kind), random_params(MODEL), batch_of(kind)
    alpha = alpha_of(in_double(collate(earlier)), log_penalty=60.0, log_scale=0.0)
    found, s = MAPPING(MODEL, theta, alpha, batch), MAPPING.similarity(MODEL, theta, alpha, batch)
    phi = MODEL.features(theta, batch.query_x)
    x = torch.cat([phi, torch.ones_like(phi[..., :1])], -1)
    if kind == "classification":  # names of classes mean nothing elsewhere: no start at all
        close(found, torch.zeros_like(found))
        return
    solved = [torch.tensor(plain_solution(theta, alpha, all_rows(t))) for t in earlier]
    for t in range(2):
        assert 0.01 < float(s[t].max()) < 0.99
        close(found[t], x[t] @ sum(s[t, i] * w for i, w in enumerate(solved)))


def test_statistics_do_not_grow_with_the_number_of_rows_nor_depend_on_names_of_classes() -> None:
    theta, task = random_params(MODEL), make_task("classification", 3, 9)
    twice = [torch.cat([v, v]) for v in (task.support_x, task.support_y)]
    doubled = dataclasses.replace(task, support_x=twice[0], support_y=twice[1])
    renamed = dataclasses.replace(task, support_y=(task.support_y + 1) % 3, query_y=(task.query_y + 1) % 3)
    alpha = alpha_of(in_double(collate(earlier_tasks("classification"))))
    first, *others = (
        MAPPING.similarity(MODEL, theta, alpha, in_double(collate([t]))) for t in (task, doubled, renamed)
    )
    for other in others:
        close(other, first)


def test_only_the_first_tasks_are_kept() -> None:
    tasks = [make_task("regression", i) for i in range(7)]
    kept, all_of_them = MAPPING.remember(collate(tasks)), MAPPING.remember(collate(tasks[:4]))
    assert set(kept) == set(all_of_them) and kept["x"].shape == (4, 6 + 5, DIM)
    assert all(torch.equal(kept[k], all_of_them[k]) for k in kept)
    with pytest.raises(TaskError, match="keeps 4 earlier tasks but was given 3"):
        MAPPING.remember(collate(tasks[:3]))


def test_a_memory_that_does_not_fit_is_refused() -> None:
    theta, batch = random_params(MODEL), batch_of("binary")
    alpha = alpha_of(in_double(collate(earlier_tasks("binary"))))
    with pytest.raises(TaskError, match=r"has no memory \(x, y, mask, group, class_mask, kind missing\)"):
        MAPPING(MODEL, theta, {k: v for k, v in alpha.items() if not k.startswith("memory.")}, batch)
    with pytest.raises(TaskError, match="remembers binary tasks .* but the batch holds regression tasks"):
        MAPPING(MODEL, theta, alpha, batch_of("regression"))
    wider = dataclasses.replace(batch, support_x=torch.zeros(2, 6, DIM + 1).double())
    with pytest.raises(TaskError, match=rf"rows of shape \({DIM},\), but .* rows of shape \({DIM + 1},\)"):
        MAPPING.similarity(MODEL, theta, alpha, wider)


def test_a_gradient_through_remembered_rows_is_a_choice_that_changes_no_prediction() -> None:
    batch, earlier = batch_of("regression"), in_double(collate(earlier_tasks("regression")))
    theta = {k: v.requires_grad_() for k, v in random_params(MODEL).items()}
    found = []
    for through in (False, True):
        mapping = dataclasses.replace(MAPPING, through_memory=through)
        scores = mapping(MODEL, theta, alpha_of(earlier, mapping), batch)
        # with a correction that costs too much only the start is left, and it comes from the memory
        free = mapping(MODEL, theta, alpha_of(earlier, mapping, log_penalty=60.0), batch)
        (gradient,) = torch.autograd.grad(free.sum(), theta["layer0.weight"])
        found.append((scores.detach(), gradient))
    (without, first), (through, second) = found
    assert torch.equal(without, through)
    assert float((first - second).abs().max()) > 1e-3


def two_sources(source: int, seed: int) -> Task:
    """y = x₀ or y = -x₀, seen through a shift of the inputs that says nothing about the source."""
    rng = np.random.default_rng([source, seed])
    x = rng.normal(size=(12, DIM)) + 3 * rng.normal(size=DIM) * (np.arange(DIM) > 0)
    y = (1 - 2 * source) * x[:, 0]
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    return Task(f"{source}/{seed}", str(source), "regression", x[:3], y[:3], x[3:], y[3:])


def test_the_similarity_learns_which_earlier_tasks_are_of_use() -> None:
    learner = MetaLearner(Linear(), (TaskMemory(memory_size=16),))
    earlier = collate([two_sources(i % 2, i) for i in range(16)])
    new = collate([two_sources(i % 2, 1000 + i) for i in range(40)])
    same = torch.tensor([[float(n.family == e.family) for e in earlier.tasks] for n in new.tasks])

    def on_own_source(params: Params) -> float:
        parts = (without_prefix(params, p) for p in ("theta.", "alpha.task_memory."))
        return float((learner.mappings[0].similarity(learner.model, *parts, new) * same).sum(1).mean())

    def loss(params: Params, rng: np.random.Generator) -> Tensor:
        return learner.training_loss(params, collate([two_sources(*rng.integers((2, 900))) for _ in range(8)]))

    start = learner.init(torch.Generator().manual_seed(0), earlier)
    start["alpha.task_memory.log_temperature"] -= 3.0  # nearly blind: all earlier tasks count alike
    config = TrainConfig(steps=150, learning_rate=0.01)
    end = minimise(start, with_gradient(loss), None, config, np.random.default_rng(0), progress=False).params
    assert on_own_source(start) < 0.6
    assert on_own_source(end) > 0.9
    assert learner.query_loss(end, new) < 0.5 * learner.query_loss(start, new)
    assert all(torch.equal(end[k], v) for k, v in start.items() if ".memory." in k)
