"""Gradient steps: the batched meta-gradient against one task at a time, written out, and against a pen."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers import Linear, batch_of, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt import Unadapted
from metastudy.adapt.gradient import (
    ANIL,
    BOIL,
    MAML,
    FirstOrderMAML,
    GradientSteps,
    MetaSGD,
    gradient_steps,
    linear_chain,
    widen_head,
)
from metastudy.errors import TaskError
from metastudy.losses import loss, predict
from metastudy.model import ConvNet, Params, is_head, per_task
from metastudy.tasks import KINDS, Task, TaskBatch, collate

MODEL = small_mlp()
CASES = [(a, k) for a in ("all", "head", "body") for k in KINDS if (a, k) != ("body", "classification")]


def plain_scores(theta: Params, x: Tensor) -> Tensor:
    """The MLP for one task, without any code of the package."""
    for name in ("layer0", "layer1"):
        x = (x @ theta[f"{name}.weight"] + theta[f"{name}.bias"]).clamp(min=0)
    return x @ theta["head.weight"] + theta["head.bias"]


def plain_loss(kind: str, scores: Tensor, y: Tensor, group: Tensor | None) -> Tensor:
    if kind == "classification":
        return F.cross_entropy(scores, y)
    if kind == "binary":
        return F.binary_cross_entropy_with_logits(scores[:, 0], y.double())
    if kind == "regression":
        return F.mse_loss(scores[:, 0], y.double())
    losses = []
    for g in group.unique():
        gain = y[group == g].double()
        if gain.sum() > 0:
            losses.append(-(gain / gain.sum() * F.log_softmax(scores[group == g, 0], 0)).sum())
    return torch.stack(losses).mean() if losses else scores.sum() * 0


def plain_meta_loss(theta: Params, alpha: Params, task: Task, n_steps: int, first_order: bool) -> Tensor:
    """Query loss after adapting to one task: Finn et al. 2017, algorithm 1, lines 5 to 8."""
    own = dict(theta)
    if task.kind == "classification":
        own |= {n: theta[n].repeat(1, task.n_classes) for n in ("head.weight", "head.bias")}
    for _ in range(n_steps):
        support = plain_loss(task.kind, plain_scores(own, task.support_x.double()), task.support_y, task.support_group)
        names = [n.removeprefix("log_step.") for n in alpha]
        gradients = torch.autograd.grad(support, [own[n] for n in names], create_graph=True)
        if first_order:
            gradients = [g.detach() for g in gradients]
        own |= {n: own[n] - alpha[f"log_step.{n}"].exp() * g for n, g in zip(names, gradients, strict=True)}
    return plain_loss(task.kind, plain_scores(own, task.query_x.double()), task.query_y, task.query_group)


def learnable(params: Params) -> Params:
    return {k: v.clone().requires_grad_() for k, v in params.items()}


def meta_gradient(mapping: GradientSteps, batch: TaskBatch) -> dict[str, Tensor]:
    theta, alpha = learnable(random_params(MODEL)), learnable(moved(mapping.init(MODEL, torch.Generator())))
    prediction = predict(batch.kind, mapping(MODEL, theta, alpha, batch), batch.class_mask)
    total = loss(batch.kind, prediction, batch.query_y, batch.query_mask, batch.query_group).sum()
    return dict(zip([*theta, *alpha], torch.autograd.grad(total, [*theta.values(), *alpha.values()]), strict=True))


def plain_meta_gradient(mapping: GradientSteps, tasks: list[Task]) -> dict[str, Tensor]:
    theta, alpha = learnable(random_params(MODEL)), learnable(moved(mapping.init(MODEL, torch.Generator())))
    total = sum(plain_meta_loss(theta, alpha, task, mapping.n_steps, mapping.first_order) for task in tasks)
    return dict(zip([*theta, *alpha], torch.autograd.grad(total, [*theta.values(), *alpha.values()]), strict=True))


@pytest.mark.parametrize(("adapts", "kind"), CASES)
@pytest.mark.parametrize("first_order", [False, True])
def test_meta_gradient_equals_a_loop_over_tasks(adapts, kind, first_order) -> None:
    mapping = GradientSteps(n_steps=3, adapts=adapts, first_order=first_order, initial_step_size=0.2)
    tasks = [make_task(kind, i, 5 + i, 4 + 2 * i, ways=2 + i) for i in range(3)]
    found, expected = meta_gradient(mapping, in_double(collate(tasks))), plain_meta_gradient(mapping, tasks)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-2  # the comparison is not of zeros


@pytest.mark.parametrize("kind", KINDS)
def test_second_order_differs_from_first(kind) -> None:
    batch = batch_of(kind)
    second, first = (meta_gradient(GradientSteps(first_order=f), batch) for f in (False, True))
    assert not torch.allclose(first["layer0.weight"], second["layer0.weight"], rtol=1e-3)
    torch.testing.assert_close(first["log_step.head.bias"].sign().abs(), torch.tensor(1.0).double())


def one_column(xs: list[float], ys: list[float], xq: list[float], yq: list[float]) -> Task:
    column = [torch.tensor(v, dtype=torch.float32) for v in (xs, ys, xq, yq)]
    return Task("t", "f", "regression", column[0][:, None], column[1], column[2][:, None], column[3])


@pytest.mark.parametrize("first_order", [False, True])
def test_meta_gradient_of_a_line_by_hand(first_order) -> None:
    # support (1, 2), (3, 2), query (2, 4); w = 1/2, step a = 1/10
    # L_s = mean (wx - y)², L_s' = 2 mean x(wx - y) = (1/2 - 2) + 3 (3/2 - 2) = -3, L_s'' = 2 mean x² = 10
    # w' = w - a L_s' = 0.8; L_q' (w') = 2 · 2 (2 · 0.8 - 4) = -9.6
    # dL_q/dw = L_q'(w') (1 - a L_s'') = -9.6 · 0 = 0 in second order, -9.6 in first
    # dL_q/d log a = L_q'(w') · (-a L_s') = -9.6 · 0.3 = -2.88
    batch = in_double(collate([one_column([1, 3], [2, 2], [2], [4])]))
    theta = {"head.weight": torch.tensor([[0.5]]).double().requires_grad_(), "head.bias": torch.zeros(1, 1).double()}
    alpha = {"log_step.head.weight": torch.tensor(0.1, dtype=torch.float64).log().requires_grad_()}
    mapping = GradientSteps(n_steps=1, first_order=first_order)
    score = mapping(Linear(1), theta, alpha, batch)
    assert score.item() == pytest.approx(1.6, abs=1e-7)
    query_loss = ((score[..., 0] - batch.query_y) ** 2).mean()
    by_w, by_step = torch.autograd.grad(query_loss, [theta["head.weight"], alpha["log_step.head.weight"]])
    assert float(by_w) == pytest.approx(-9.6 if first_order else 0, abs=1e-6)
    assert float(by_step) == pytest.approx(-2.88, abs=1e-6)


@pytest.mark.parametrize(("adapts", "kind"), CASES)
def test_only_the_named_part_adapts(adapts, kind) -> None:
    moves = {"all": {True, False}, "head": {True}, "body": {False}}[adapts]
    mapping, batch = GradientSteps(adapts=adapts), batch_of(kind)
    alpha, theta = mapping.init(MODEL, torch.Generator()), widen_head(random_params(MODEL), batch.n_classes)
    assert {is_head(n.removeprefix("log_step.")) for n in alpha} == moves
    sizes = {n.removeprefix("log_step."): v.exp() for n, v in alpha.items()}
    adapted = gradient_steps(MODEL, theta, batch, sizes, 2, create_graph=False)
    for name, start in per_task(theta, 2).items():
        # the bias of a ranking head moves all scores of a group alike: its gradient is zero
        still = is_head(name) not in moves or (kind == "ranking" and name == "head.bias")
        assert torch.allclose(adapted[name], start, rtol=0, atol=1e-12) == still, name


def test_a_shared_head_column_hides_the_classes_from_the_body() -> None:
    theta, batch = widen_head(random_params(MODEL), 3), batch_of("classification")
    sizes = {n: torch.tensor(1.0) for n in theta if not is_head(n)}
    adapted = gradient_steps(MODEL, theta, batch, sizes, 3, create_graph=False)
    torch.testing.assert_close(adapted["layer0.weight"][0], theta["layer0.weight"], rtol=0, atol=1e-12)
    mapping = GradientSteps(adapts="body")
    with pytest.raises(TaskError, match='choose adapts="all" or "head"'):
        mapping(MODEL, random_params(MODEL), mapping.init(MODEL, torch.Generator()), batch)


@pytest.mark.parametrize("kind", ["binary", "regression", "ranking"])
def test_a_zero_step_is_no_step(kind) -> None:
    theta, batch = random_params(MODEL), batch_of(kind)
    alpha = {k: torch.full_like(v, -torch.inf) for k, v in GradientSteps().init(MODEL, torch.Generator()).items()}
    found = GradientSteps()(MODEL, theta, alpha, batch)
    torch.testing.assert_close(found, Unadapted()(MODEL, theta, {}, batch), rtol=0, atol=1e-12)


def test_one_small_step_lowers_the_support_loss_of_every_task() -> None:
    batch = batch_of("regression", range(5))
    on_support = dataclasses.replace(batch, query_x=batch.support_x, query_y=batch.support_y)
    theta, alpha = random_params(MODEL), GradientSteps().init(MODEL, torch.Generator())
    small = {k: torch.full_like(v, 1e-3).log().double() for k, v in alpha.items()}

    def error(scores: Tensor) -> Tensor:
        return ((scores[..., 0] - batch.support_y) ** 2).mean(1)

    before, after = (error(m(MODEL, theta, a, on_support)) for m, a in ((Unadapted(), {}), (GradientSteps(1), small)))
    assert (after < before).all()


def test_classes_share_one_start() -> None:
    theta = random_params(MODEL)
    wide = widen_head(theta, 4)
    assert wide["head.weight"].shape == (5, 4) and wide["head.bias"].shape == (1, 4)
    assert torch.equal(wide["head.weight"], theta["head.weight"].repeat(1, 4))
    assert widen_head(theta, 1) is theta


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        (MAML, {}),
        (FirstOrderMAML, {"first_order": True}),
        (ANIL, {"adapts": "head"}),
        (BOIL, {"adapts": "body"}),
        (MetaSGD, {"per_parameter": True}),
    ],
)
@pytest.mark.parametrize("kind", ["binary", "regression", "ranking"])
def test_named_methods_are_settings_of_gradient_steps(named, fields, kind) -> None:
    batch = batch_of(kind)
    found, expected = meta_gradient(named(), batch), meta_gradient(GradientSteps(**fields), batch)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("kind", KINDS)
def test_meta_sgd_equals_a_loop_over_tasks(kind) -> None:
    """One step size per parameter; nothing but autograd is involved, so the fast path is bypassed."""
    mapping = MetaSGD(n_steps=2, initial_step_size=0.2)
    tasks = [make_task(kind, i, 5 + i, 4 + 2 * i, ways=2 + i) for i in range(3)]
    found, expected = meta_gradient(mapping, in_double(collate(tasks))), plain_meta_gradient(mapping, tasks)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-9)
    sizes = mapping.step_sizes({}, mapping.init(MODEL, torch.Generator()))
    assert sizes["layer0.weight"].shape == (3, 7) and linear_chain(MODEL, sizes) is None


def test_where_steps_are_written_out() -> None:
    def chain(mapping: GradientSteps, model=MODEL):
        return linear_chain(model, mapping.step_sizes({}, mapping.init(model, torch.Generator())))

    assert chain(MAML()) == chain(BOIL()) != chain(ANIL()) == ("head",)
    assert chain(MAML()) == ("layer0", "layer1", "head")
    images = ConvNet(side=4, channels=(2,))
    assert chain(MAML(), images) is None and chain(ANIL(), images) == ("head",)


@pytest.mark.parametrize("adapts", ["all", "head", "body"])
def test_fixed_step_sizes_give_the_gradient_of_learned_ones_at_their_start(adapts) -> None:
    batch, theta = batch_of("regression"), learnable(random_params(MODEL))
    found = []
    for mapping in (GradientSteps(adapts=adapts), GradientSteps(adapts=adapts, learned=False)):
        alpha = {k: v.double() for k, v in mapping.init(MODEL, torch.Generator()).items()}
        assert bool(alpha) == mapping.learned
        scores = mapping(MODEL, theta, learnable(alpha), batch)
        found.append(torch.autograd.grad(scores.square().sum(), list(theta.values())))
    for learned, fixed in zip(*found, strict=True):
        torch.testing.assert_close(fixed, learned, rtol=1e-6, atol=1e-6)  # exp(log(0.1)) in float32
