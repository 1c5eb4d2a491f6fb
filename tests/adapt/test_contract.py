"""What every way of adapting must keep, whatever it does inside."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._functorch import config as functorch_config
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode

from helpers import DIM, batch_of, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt import REGISTRY, Mapping
from metastudy.errors import TaskError
from metastudy.losses import predict
from metastudy.mixture import MetaLearner
from metastudy.model import MLP, Params
from metastudy.tasks import KINDS, Kind, Task, TaskBatch, collate

MODEL = small_mlp()
CASES = [(name, kind) for name, cls in REGISTRY.items() for kind in KINDS if kind in cls.kinds]
REFUSED = [(name, kind) for name, cls in REGISTRY.items() for kind in KINDS if kind not in cls.kinds]
every_case = pytest.mark.parametrize(("name", "kind"), CASES)
sizes = st.tuples(st.integers(0, 999), st.integers(2, 8), st.integers(1, 5))
few = settings(max_examples=5, deadline=None)

# Exceptions, all of them. A new mapping should need none.
IGNORES_THE_SUPPORT = {"unadapted", "input_score"}
NO_GRADIENT_INTO_THETA = {"estimator", "fine_tuned", "from_scratch", "input_score", "reptile"}  # by their scores
# θ is nothing to what starts from random weights, nor to a tool of the field
NO_RULE_FOR_THETA = {"from_scratch", "input_score"}
UNUSED_ALPHA: dict[tuple[str, Kind], set[str]] = {
    ("prototypes", "classification"): {"offset"},  # documented: for two prototypes and one score only
    ("cosine_prototypes", "classification"): {"offset"},
    ("proto_maml", "classification"): {"offset"},
    ("attention", "classification"): {"log_scale"},
    ("attention", "binary"): {"log_scale"},
    ("attention", "regression"): {"log_scale"},
}
LEAVES_TORCH = {"estimator"}  # scikit-learn computes in the main memory, wherever the inputs are
# Adam divides each gradient by its own size, so where classes balance and the gradient is zero but for rounding, single
# precision decides where the step goes; how far is at most the learning rate
STEPS_OF_ROUNDING = {"from_scratch", "fine_tuned"}


def small(name: str) -> Mapping:
    """A mapping of the registry, with fewer steps and a shorter memory where it has any."""
    mapping = REGISTRY[name]()
    own = {f.name for f in dataclasses.fields(mapping)}
    return dataclasses.replace(mapping, **{k: v for k, v in (("n_steps", 2), ("memory_size", 4)) if k in own})


def memory_of(mapping: Mapping, kind: Kind) -> Params:
    """What a mapping keeps of earlier tasks, as `MetaLearner` stores it; empty for most."""
    if not mapping.memory_size:
        return {}
    return {f"memory.{k}": v for k, v in mapping.remember(earlier_tasks(mapping, kind)).items()}


def earlier_tasks(mapping: Mapping, kind: Kind) -> TaskBatch:
    return collate([make_task(kind, 50 + i) for i in range(mapping.memory_size)])


def everything(name: str, kind: Kind, seed: int = 0) -> tuple[Mapping, Params, Params]:
    """A mapping with random θ and α in float64."""
    mapping = small(name)
    alpha = moved(mapping.init(MODEL, torch.Generator().manual_seed(seed)), seed)
    return mapping, random_params(MODEL, seed), alpha | {k: v.double() for k, v in memory_of(mapping, kind).items()}


def learned(params: Params) -> Params:
    """The parameters with gradients switched on, but for those of a memory."""
    return {k: v if k.startswith("memory.") else v.requires_grad_() for k, v in params.items()}


def adapted(name: str, batch: TaskBatch, seed: int = 0) -> Tensor:
    """Predictions of a mapping with random θ and α in float64."""
    mapping, theta, alpha = everything(name, batch.kind, seed)
    return predict(batch.kind, mapping(MODEL, theta, alpha, batch), batch.class_mask).detach()


def one(task: Task) -> TaskBatch:
    return in_double(collate([task]))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_names_in_the_registry_are_the_mappings_own() -> None:
    assert {name: cls.name for name, cls in REGISTRY.items()} == {name: name for name in REGISTRY}
    assert all(cls().name == name for name, cls in REGISTRY.items())


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_a_kind_without_sense_is_refused_by_name(name, kind) -> None:
    with pytest.raises(TaskError, match=f"'{name}' cannot adapt to {kind} tasks"):
        small(name)(MODEL, {}, {}, batch_of(kind))


def test_one_way_classification_never_reaches_a_mapping() -> None:
    x = torch.zeros(3, DIM)
    with pytest.raises(TaskError, match="task lonely: 1 class; classification needs at least 2"):
        Task("lonely", "toy", "classification", x, torch.zeros(3).long(), x, torch.zeros(3).long(), n_classes=1)


@every_case
def test_the_support_matters(name, kind) -> None:
    batch = batch_of(kind)
    y = 1 - batch.support_y if kind == "binary" else batch.support_y.roll(1, 1)
    changed = adapted(name, dataclasses.replace(batch, support_y=y))
    assert torch.allclose(changed, adapted(name, batch)) == (name in IGNORES_THE_SUPPORT)


@every_case
@few
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
@few
@given(size=sizes, renamed=st.permutations(range(4)))
def test_renaming_classes_renames_predictions(name, size, renamed) -> None:
    task, new = make_task("classification", *size, ways=4), torch.tensor(renamed)
    other = dataclasses.replace(task, support_y=new[task.support_y], query_y=new[task.query_y])
    close(adapted(name, one(other))[..., new], adapted(name, one(task)))


@every_case
@few
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
@few
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
    mapping, theta, alpha = everything(name, kind)
    theta, alpha = learned(theta), learned(alpha)
    scores = mapping(MODEL, theta, alpha, dataclasses.replace(batch, support_y=torch.zeros_like(batch.support_y)))
    gradients = torch.autograd.grad(scores.square().sum(), list(theta.values()), allow_unused=True)
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(g).all() for g in gradients if g is not None)


@every_case
def test_adapting_twice_gives_the_same_bits(name, kind) -> None:
    assert torch.equal(adapted(name, batch_of(kind)), adapted(name, batch_of(kind)))


@every_case
def test_evaluation_leaves_no_graph(name, kind) -> None:
    mapping, batch = small(name), collate([make_task(kind)])
    theta = learned(MODEL.init(torch.Generator().manual_seed(0)))
    alpha = learned(mapping.init(MODEL, torch.Generator().manual_seed(0))) | memory_of(mapping, kind)
    with torch.no_grad():
        quiet = mapping(MODEL, theta, alpha, batch)
    assert quiet.grad_fn is None and not quiet.requires_grad
    assert all(v.grad is None for v in (theta | alpha).values())
    loud = mapping(MODEL, theta, alpha, batch)
    assert loud.requires_grad
    torch.testing.assert_close(quiet, loud.detach(), rtol=0, atol=1e-6)


@every_case
def test_all_of_alpha_is_learned(name, kind) -> None:
    batch = batch_of(kind)
    mapping, theta, alpha = everything(name, kind)
    alpha = learned(alpha)
    scores = mapping(MODEL, theta, alpha, batch)
    total, rule = scores[0, 0, 0] + scores[1, 1, 0], mapping.outer_loss(MODEL, theta, alpha, batch)
    if rule is not None:
        total = total + rule
    names = [k for k, v in alpha.items() if v.requires_grad]
    gradients = torch.autograd.grad(total, [alpha[k] for k in names], allow_unused=True) if names else ()
    unused = {k for k, g in zip(names, gradients, strict=True) if g is None or float(g.abs().max()) < 1e-12}
    # in ranking the gradient of a bias that all rows share is zero but for rounding
    rounding = {"log_step.head.bias"} if kind == "ranking" else set()
    assert unused - rounding == UNUSED_ALPHA.get((name, kind), set())


@every_case
def test_theta_is_learned_from_the_scores_or_by_a_rule_of_their_own(name, kind) -> None:
    batch = batch_of(kind)
    mapping, theta, alpha = everything(name, kind)
    theta, alpha = learned(theta), learned(alpha)
    scores, rule = mapping(MODEL, theta, alpha, batch), mapping.outer_loss(MODEL, theta, alpha, batch)
    by_scores, by_rule = (
        total is not None
        and any(g is not None for g in torch.autograd.grad(total, list(theta.values()), allow_unused=True))
        for total in (scores.sum(), rule)
    )
    assert by_scores == (name not in NO_GRADIENT_INTO_THETA)
    assert (by_scores or by_rule) == (name not in NO_RULE_FOR_THETA)


@every_case
def test_float64_stays_float64_and_agrees_with_float32(name, kind) -> None:
    mapping, batch = small(name), collate([make_task(kind, 0), make_task(kind, 1, 9, 7)])
    learner = MetaLearner(MODEL, (mapping,))
    earlier = earlier_tasks(mapping, kind) if mapping.memory_size else None
    params = learner.init(torch.Generator().manual_seed(3), earlier)
    single = learner.predict(params, batch)
    wide = learner.predict({k: v.double() for k, v in params.items()}, in_double(batch))
    assert single.dtype == torch.float32 and wide.dtype == torch.float64
    tolerance = 2e-2 if name in STEPS_OF_ROUNDING else 1e-4
    torch.testing.assert_close(single.double(), wide, rtol=1e-3, atol=tolerance)


ON_FEATURES = [(name, kind) for name, kind in CASES if REGISTRY[name].on_features]


def test_heads_and_distances_say_that_phi_is_all_they_see() -> None:
    found = {name for name, cls in REGISTRY.items() if cls.on_features}
    assert found == {"anil", "attention", "cosine_prototypes", "prototypes", "ridge"}


@pytest.mark.parametrize(("name", "kind"), ON_FEATURES)
def test_who_sees_phi_alone_answers_the_same_given_phi(name, kind) -> None:
    batch = batch_of(kind)
    mapping, theta, alpha = everything(name, kind)
    phi = {f"{part}_x": MODEL.features(theta, getattr(batch, f"{part}_x")) for part in ("support", "query")}
    given = MLP(MODEL.feature_dim, ())
    close(mapping(given, theta, alpha, dataclasses.replace(batch, **phi)), mapping(MODEL, theta, alpha, batch))


class Elsewhere(FakeTensorMode):
    """Tensors without values whose device is not the main memory: an operation that mixes devices fails, as on a GPU.

    Stands in for a GPU on machines that have none. PyTorch without CUDA can differentiate on one other device, "meta".
    """

    device = torch.device("meta")

    def __init__(self, item: int) -> None:
        super().__init__()
        self.item = item  # what reading a number from the device gives, as there are no values

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            # a number in the main memory is the count of steps that an optimizer of torch keeps there
            return self.item if args[0].device == self.device else 1
        return super().__torch_dispatch__(func, types, args, kwargs)

    def move(self, values: Params) -> Params:
        return {k: torch.empty(v.shape, dtype=v.dtype, device=self.device) for k, v in values.items()}


def test_the_other_device_refuses_what_is_made_in_the_main_memory() -> None:
    with functorch_config.patch(fake_tensor_allow_meta=True), Elsewhere(1) as mode:
        (x,) = mode.move({"x": torch.eye(3)}).values()
        assert (x @ x.new_zeros(3, 3) + 2).device == mode.device
        with pytest.raises(FakeTensorDeviceMismatchError):
            x @ torch.eye(3)
        with pytest.raises(FakeTensorDeviceMismatchError):
            x.masked_fill(torch.eye(3) > 0, 0)


@pytest.mark.parametrize(("name", "kind"), [c for c in CASES if c[0] not in LEAVES_TORCH])
def test_all_that_is_made_on_the_way_is_on_the_device_of_the_inputs(name, kind) -> None:
    batch = batch_of(kind)
    mapping, theta, alpha = everything(name, kind)
    tensors = {k: v for k, v in vars(batch).items() if isinstance(v, Tensor)}
    # the numbers that are read are the largest group, for which any will do, and a remembered kind
    with functorch_config.patch(fake_tensor_allow_meta=True), Elsewhere(KINDS.index(kind)) as mode:
        theta, alpha, moved_batch = map(mode.move, (theta, alpha, tensors))
        batch = dataclasses.replace(batch, **moved_batch, tasks=())
        theta, alpha = learned(theta), learned(alpha)
        scores = mapping(MODEL, theta, alpha, batch)
        rule = mapping.outer_loss(MODEL, theta, alpha, batch)
        for total in (scores.sum(), rule):
            if total is not None:
                leaves = [v for v in [*theta.values(), *alpha.values()] if v.requires_grad]
                gradients = torch.autograd.grad(total, leaves, allow_unused=True)
                assert {g.device for g in gradients if g is not None} == {mode.device}
        assert scores.device == mode.device and scores.shape == (2, 5, batch.n_classes)
