"""What every way of adapting must keep, whatever it does inside."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import batch_of, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt import REGISTRY
from metastudy.errors import TaskError
from metastudy.losses import predict
from metastudy.mixture import MetaLearner
from metastudy.tasks import KINDS, Task, TaskBatch, collate

MODEL = small_mlp()
CASES = [(name, kind) for name, cls in REGISTRY.items() for kind in KINDS if kind in cls.kinds]
REFUSED = [(name, kind) for name, cls in REGISTRY.items() for kind in KINDS if kind not in cls.kinds]
every_case = pytest.mark.parametrize(("name", "kind"), CASES)
sizes = st.tuples(st.integers(0, 999), st.integers(2, 8), st.integers(1, 5))


def adapted(name: str, batch: TaskBatch, seed: int = 0) -> Tensor:
    """Predictions of a mapping with random θ and α in float64."""
    mapping = REGISTRY[name]()
    alpha = moved(mapping.init(MODEL, torch.Generator().manual_seed(seed)), seed)
    scores = mapping(MODEL, random_params(MODEL, seed), alpha, batch)
    return predict(batch.kind, scores, batch.class_mask).detach()


def one(task: Task) -> TaskBatch:
    return in_double(collate([task]))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_names_in_the_registry_are_the_mappings_own() -> None:
    assert {name: cls.name for name, cls in REGISTRY.items()} == {name: name for name in REGISTRY}


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_a_kind_without_sense_is_refused_by_name(name, kind) -> None:
    with pytest.raises(TaskError, match=f"'{name}' cannot adapt to {kind} tasks"):
        adapted(name, batch_of(kind))


@every_case
def test_the_support_matters(name, kind) -> None:
    batch = batch_of(kind)
    y = 1 - batch.support_y if kind == "binary" else batch.support_y.roll(1, 1)
    changed = adapted(name, dataclasses.replace(batch, support_y=y))
    assert torch.allclose(changed, adapted(name, batch)) == (name == "unadapted")


@every_case
@settings(max_examples=8, deadline=None)
@given(size=sizes, order=st.randoms(use_true_random=False))
def test_the_order_of_the_support_does_not_matter(name, kind, size, order) -> None:
    task = make_task(kind, *size)
    rows = list(range(len(task.support_x)))
    order.shuffle(rows)
    group = None if task.support_group is None else task.support_group[rows]
    shuffled = dataclasses.replace(
        task, support_x=task.support_x[rows], support_y=task.support_y[rows], support_group=group
    )
    close(adapted(name, one(shuffled)), adapted(name, one(task)))


@pytest.mark.parametrize("name", [n for n, k in CASES if k == "classification"])
@settings(max_examples=8, deadline=None)
@given(size=sizes, renamed=st.permutations(range(4)))
def test_renaming_classes_renames_predictions(name, size, renamed) -> None:
    task, new = make_task("classification", *size, ways=4), torch.tensor(renamed)
    other = dataclasses.replace(task, support_y=new[task.support_y], query_y=new[task.query_y])
    close(adapted(name, one(other))[..., new], adapted(name, one(task)))


@every_case
@settings(max_examples=8, deadline=None)
@given(size=sizes, larger=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(0, 2)))
def test_larger_tasks_in_the_batch_do_not_matter(name, kind, size, larger) -> None:
    seed, n_support, n_query = size
    task = make_task(kind, seed, n_support, n_query, ways=2)
    more_support, more_query, more_ways = larger
    big = make_task(kind, seed + 1, n_support + more_support, n_query + more_query, 2 + more_ways, n_groups=3)
    both = adapted(name, in_double(collate([big, task])))
    alone = adapted(name, one(task))
    close(both[1:, :n_query, : alone.shape[2]], alone)
    close(both[:1], adapted(name, one(big)))


@every_case
def test_what_stands_in_padded_rows_does_not_matter(name, kind) -> None:
    batch = in_double(collate([make_task(kind, 0, 4, 3), make_task(kind, 1, 8, 6)]))
    noise = 1e3 * torch.randn(batch.support_x.shape, generator=torch.Generator().manual_seed(0)).double()
    padded = (1 - batch.support_mask)[..., None] * noise
    found = adapted(name, dataclasses.replace(batch, support_x=batch.support_x + padded))
    close(found, adapted(name, batch))


@every_case
@settings(max_examples=8, deadline=None)
@given(size=sizes, other_seed=st.integers(1000, 1999))
def test_a_query_is_predicted_as_if_it_were_alone(name, kind, size, other_seed) -> None:
    task, other = make_task(kind, *size), make_task(kind, other_seed, n_query=4)
    group = None if kind != "ranking" else torch.cat([task.query_group[:1], other.query_group])
    changed = dataclasses.replace(
        task,
        query_x=torch.cat([task.query_x[:1], other.query_x]),
        query_y=torch.cat([task.query_y[:1], other.query_y]),
        query_group=group,
    )
    close(adapted(name, one(changed))[:, :1], adapted(name, one(task))[:, :1])


@every_case
def test_one_example_is_enough(name, kind) -> None:
    task = make_task(kind, 0, n_support=1, n_groups=1)  # classification: one of each class
    found = adapted(name, one(task))
    assert found.shape == (1, 5, {"classification": 3, "binary": 2}.get(kind, 1))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in CASES if k != "classification"])
def test_a_support_without_any_gain_or_of_one_class_stays_finite(name, kind) -> None:
    batch = batch_of(kind)
    mapping = REGISTRY[name]()
    alpha = {k: v.requires_grad_() for k, v in moved(mapping.init(MODEL, torch.Generator())).items()}
    theta = {k: v.requires_grad_() for k, v in random_params(MODEL).items()}
    scores = mapping(MODEL, theta, alpha, dataclasses.replace(batch, support_y=torch.zeros_like(batch.support_y)))
    gradients = torch.autograd.grad(scores.square().sum(), list(theta.values()), allow_unused=True)
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(g).all() for g in gradients if g is not None)


@every_case
def test_adapting_twice_gives_the_same_bits(name, kind) -> None:
    assert torch.equal(adapted(name, batch_of(kind)), adapted(name, batch_of(kind)))


@every_case
def test_evaluation_leaves_no_graph(name, kind) -> None:
    mapping, batch = REGISTRY[name](), collate([make_task(kind)])
    theta = {k: v.requires_grad_() for k, v in MODEL.init(torch.Generator().manual_seed(0)).items()}
    alpha = {k: v.requires_grad_() for k, v in mapping.init(MODEL, torch.Generator().manual_seed(0)).items()}
    with torch.no_grad():
        quiet = mapping(MODEL, theta, alpha, batch)
    assert quiet.grad_fn is None and not quiet.requires_grad
    assert all(v.grad is None for v in (theta | alpha).values())
    loud = mapping(MODEL, theta, alpha, batch)
    assert loud.requires_grad
    torch.testing.assert_close(quiet, loud.detach(), rtol=0, atol=1e-6)


@every_case
def test_all_of_alpha_is_learned(name, kind) -> None:
    mapping, batch = REGISTRY[name](), batch_of(kind)
    alpha = {k: v.requires_grad_() for k, v in moved(mapping.init(MODEL, torch.Generator())).items()}
    scores = mapping(MODEL, random_params(MODEL), alpha, batch)
    used = {
        k: g is not None and bool(g.abs().max() > 0)
        for k, v in alpha.items()
        for g in torch.autograd.grad(scores[0, 0, 0] + scores[1, 1, 0], v, retain_graph=True, allow_unused=True)
    }
    unused = {
        ("prototypes", "classification"): {"offset"},  # documented: for binary tasks only
        ("attention", "classification"): {"log_scale"},
        ("attention", "binary"): {"log_scale"},
        ("attention", "regression"): {"log_scale"},
    }
    assert {k for k, learned in used.items() if not learned} == unused.get((name, kind), set())


@every_case
def test_float64_stays_float64_and_agrees_with_float32(name, kind) -> None:
    mapping, batch = REGISTRY[name](), collate([make_task(kind, 0), make_task(kind, 1, 9, 7)])
    learner = MetaLearner(MODEL, (mapping,))
    params = learner.init(torch.Generator().manual_seed(3))
    single = learner.predict(params, batch)
    wide = learner.predict({k: v.double() for k, v in params.items()}, in_double(batch))
    assert single.dtype == torch.float32 and wide.dtype == torch.float64
    torch.testing.assert_close(single.double(), wide, rtol=1e-3, atol=1e-4)
