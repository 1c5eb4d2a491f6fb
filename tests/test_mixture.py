"""g is literally Σ_j β_j ψ_j."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from helpers import batch_of, in_double, make_task, small_mlp
from metastudy.adapt import ANIL, MAML, Attention, CosinePrototypes, Prototypes, RidgeHead, Unadapted
from metastudy.errors import TaskError
from metastudy.losses import loss, predict
from metastudy.mixture import MetaLearner, task_embedding, without_prefix
from metastudy.model import MLP, ColumnNet, Params
from metastudy.resplit import resplit
from metastudy.tasks import KINDS, Task, TaskBatch, collate

MODEL = small_mlp()
MAPPINGS = (MAML(), RidgeHead(), Attention())
HEADS = (Prototypes(), RidgeHead(), CosinePrototypes())


def learner(beta: str = "task") -> MetaLearner:
    return MetaLearner(MODEL, MAPPINGS, beta)


def params_of(g: MetaLearner, seed: int = 0):
    """All of (θ, α, β) away from their start, in float64."""
    generator = torch.Generator().manual_seed(seed)
    start = g.init(generator)
    return {k: v.double() + 0.5 * torch.randn(v.shape, generator=generator).double() for k, v in start.items()}


@pytest.mark.parametrize("beta", ["task", "global"])
@pytest.mark.parametrize("kind", KINDS)
def test_prediction_is_literally_the_weighted_sum(kind, beta) -> None:
    g, batch = learner(beta), batch_of(kind)
    params = params_of(g)
    weights, members, found = g.weights(params, batch), g.members(params, batch), g.predict(params, batch)
    assert weights.shape == (2, 3) and len(members) == 3
    for t in range(2):
        if kind in ("classification", "binary"):
            total = sum(weights[t, j] * members[j][t].exp() for j in range(3))
            torch.testing.assert_close(found[t].exp(), total, rtol=0, atol=1e-12)
            torch.testing.assert_close(found[t].exp().sum(-1), torch.ones(5).double(), rtol=0, atol=1e-10)
        else:
            total = sum(weights[t, j] * members[j][t] for j in range(3))
            torch.testing.assert_close(found[t], total, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chosen", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_all_weight_on_one_member_gives_that_member(kind, chosen) -> None:
    g, batch = learner("global"), batch_of(kind)
    params = params_of(g)
    params["beta.bias"] = torch.zeros(3).double()
    params["beta.bias"][chosen] = 200
    alone = MetaLearner(MODEL, (MAPPINGS[chosen],))
    own = {k: v for k, v in params.items() if k.startswith(("theta.", f"alpha.{MAPPINGS[chosen].name}."))}
    found, expected = g.predict(params, batch), alone.predict(own, batch)
    if kind in ("classification", "binary"):
        found, expected = found.exp(), expected.exp()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(g.predict(params | {"beta.bias": torch.zeros(3).double()}, batch), found, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_non_negative_sum_to_one_and_start_equal(kind) -> None:
    g, batch = learner(), batch_of(kind)
    weights = g.weights(params_of(g), batch)
    assert float(weights.min()) >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(2).double())
    assert not torch.allclose(weights[0], weights[1])  # they depend on the task
    start = g.weights(g.init(torch.Generator().manual_seed(0)), collate([make_task(kind)]))
    torch.testing.assert_close(start, torch.full((1, 3), 1 / 3))


def test_weights_depend_on_the_support_alone_and_not_on_its_order_or_padding() -> None:
    g, small, large = learner(), make_task("regression", 0, 4, 3), make_task("regression", 1, 9, 8)
    params, alone = params_of(g), in_double(collate([small]))
    expected = g.weights(params, alone)
    for other in (
        dataclasses.replace(alone, query_x=alone.query_x + 5),
        dataclasses.replace(alone, support_x=alone.support_x.flip(1), support_y=alone.support_y.flip(1)),
        in_double(collate([small, large])),
    ):
        torch.testing.assert_close(g.weights(params, other)[:1], expected, rtol=0, atol=1e-10)


def test_the_embedding_tells_sizes() -> None:
    batch = in_double(collate([make_task("classification", 0, 4, ways=2), make_task("classification", 1, 9, ways=4)]))
    theta = without_prefix(params_of(learner()), "theta.")
    expected = torch.tensor([[4.0, 2.0], [9.0, 4.0]]).double().log()
    torch.testing.assert_close(task_embedding(MODEL, theta, batch)[:, :2], expected)


@pytest.mark.parametrize("beta", ["task", "global"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_everything_that_is_learned(kind, beta) -> None:
    g, batch = learner(beta), batch_of(kind)
    params = {k: v.requires_grad_() for k, v in params_of(g).items()}
    gradients = torch.autograd.grad(g.query_loss(params, batch), list(params.values()), allow_unused=True)
    moved = {k for k, d in zip(params, gradients, strict=True) if d is not None and float(d.abs().max()) > 0}
    expected = set(params)
    if kind != "ranking":
        expected.remove("alpha.attention.log_scale")
    else:  # a bias common to all rows of a group changes no order, in f and in each mapping
        expected -= {"theta.head.bias", "alpha.maml.log_step.head.bias"}
        moved -= {"theta.head.bias", "alpha.maml.log_step.head.bias"}  # zero up to rounding
    if kind == "classification":  # likewise a bias common to all classes
        expected, moved = expected - {"theta.head.bias"}, moved - {"theta.head.bias"}
    assert moved == expected


def test_a_certain_but_wrong_member_costs_a_finite_loss() -> None:
    g, batch = learner("global"), batch_of("binary")
    params = params_of(g)
    params["alpha.ridge.log_scale"] = torch.tensor(12.0).double()
    params["beta.bias"] = torch.tensor([0.0, 200.0, 0.0]).double()
    assert 1 < g.query_loss(params, batch).item() < 1e7


@pytest.mark.parametrize("kind", KINDS)
def test_training_adds_the_members_own_losses_as_far_as_g_relies_on_them(kind) -> None:
    g, batch = learner(), batch_of(kind)
    params = params_of(g)
    beta, expected = g.weights(params, batch), 0.0
    for t in range(2):
        own = [loss(kind, p, batch.query_y, batch.query_mask, batch.query_group)[t] for p in g.members(params, batch)]
        for j in range(3):
            expected = expected + (0.8 * float(beta[t, j]) + 0.2 / 3) * own[j] / 2
    torch.testing.assert_close(g.training_loss(params, batch), g.query_loss(params, batch) + expected)
    alone = MetaLearner(MODEL, MAPPINGS[:1])
    torch.testing.assert_close(alone.training_loss(params, batch), alone.query_loss(params, batch))


def test_bad_mixtures_are_refused() -> None:
    with pytest.raises(TaskError, match=r"each name once; found \['ridge', 'ridge'\]"):
        MetaLearner(MODEL, (RidgeHead(), RidgeHead(initial_penalty=2.0)))
    with pytest.raises(TaskError, match="at least one mapping"):
        MetaLearner(MODEL, ())
    g = MetaLearner(MODEL, (RidgeHead(), Unadapted()))
    with pytest.raises(TaskError, match="'unadapted' cannot adapt to classification"):
        g.predict(params_of(g), batch_of("classification"))


def test_tables_are_adapted_with_a_head_per_column() -> None:
    model = ColumnNet(channels=2, n_columns=3, hidden=4, width=2)
    g = MetaLearner(model, (MAML(), RidgeHead(), Prototypes(), Unadapted()))
    x = torch.randn(2, 6, 3, 2, generator=torch.Generator().manual_seed(0))
    x[..., -1] = 1
    y = torch.tensor([0.0, 1.0] * 3)
    params = g.init(torch.Generator().manual_seed(0))
    assert params["theta.head.weight"].shape == (2, 1)
    batch = collate([Task("t", "f", "binary", x[0], y, x[1], y)])
    turned = dataclasses.replace(batch, support_x=batch.support_x.flip(2), query_x=batch.query_x.flip(2))
    torch.testing.assert_close(g.predict(params, turned), g.predict(params, batch), rtol=0, atol=1e-5)


def pieces(counts: tuple[int, ...] = (2, 3)) -> TaskBatch:
    """Classification tasks of so many classes, two support rows and four others of each, in float64."""
    tasks = [make_task("classification", w, 2 * w, 4 * w, ways=w) for w in counts]
    return in_double(collate(tasks))


@pytest.mark.parametrize("kind", KINDS)
def test_members_that_share_a_pass_through_phi_predict_as_if_alone(kind) -> None:
    mappings = tuple(m for m in (MAML(), Attention(), RidgeHead(), ANIL(), *HEADS[::2]) if kind in m.kinds)
    g, batch = MetaLearner(MODEL, mappings), batch_of(kind)
    params = params_of(g)
    theta = without_prefix(params, "theta.")
    assert sum(m.on_features for m in mappings) > 1 and not mappings[0].on_features
    for mapping, found in zip(mappings, g.members(params, batch), strict=True):
        scores = mapping(MODEL, theta, without_prefix(params, f"alpha.{mapping.name}."), batch)
        torch.testing.assert_close(found, predict(kind, scores, batch.class_mask), rtol=0, atol=1e-12)


def test_a_head_that_features_share_is_written_out_for_what_is_handed_on() -> None:
    """A column net ties the head of its columns; φ alone does not say which feature belongs to which."""
    model = ColumnNet(channels=2, n_columns=3, hidden=4, width=2)
    g = MetaLearner(model, (RidgeHead(), Prototypes()))
    x = torch.randn(2, 6, 3, 2, generator=torch.Generator().manual_seed(0))
    x[..., -1] = 1
    y = torch.tensor([0.0, 1.0] * 3)
    params, batch = g.init(torch.Generator().manual_seed(0)), collate([Task("t", "f", "binary", x[0], y, x[1], y)])
    theta = model.untied(without_prefix(params, "theta."))
    members = [
        predict("binary", m(model, theta, without_prefix(params, f"alpha.{m.name}."), batch), batch.class_mask)
        for m in g.mappings
    ]
    found = g.predict(params, batch).exp()
    torch.testing.assert_close(found, torch.stack(members).exp().mean(0), rtol=0, atol=1e-6)


def test_phi_is_computed_once_for_all_members_that_can_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    features = MLP.features

    def counting(self: MLP, params: Params, x: Tensor) -> Tensor:
        if self.hidden:  # the network itself; features handed on go through an MLP without layers
            passes.append(len(x))
        return features(self, params, x)

    g, batch = MetaLearner(MODEL, HEADS), pieces()
    params = params_of(g)
    monkeypatch.setattr(MLP, "features", counting)
    g.members(params, batch)
    assert len(passes) == 2, "support and query, once each"


def test_on_features_hands_on_what_the_mappings_would_see() -> None:
    g, batch = MetaLearner(MODEL, (MAML(), *HEADS)), pieces()
    params = params_of(g)
    shared, _, embedded = g.on_features(params, batch)
    theta = without_prefix(params, "theta.")
    assert [m.name for m in shared.mappings] == [m.name for m in HEADS] and shared.model == MLP(5, ())
    for part in ("support", "query"):
        expected = MODEL.features(theta, getattr(batch, f"{part}_x"))
        torch.testing.assert_close(getattr(embedded, f"{part}_x"), expected, rtol=0, atol=0)
        torch.testing.assert_close(shared.model.features({}, expected), expected, rtol=0, atol=0)
    with pytest.raises(TaskError, match="at least one mapping"):
        MetaLearner(MODEL, (MAML(),)).on_features(params, batch)


@pytest.mark.parametrize("mappings", [HEADS[:1], HEADS], ids=["alone", "mixture"])
def test_dividing_anew_gives_the_gradient_of_the_mean_over_those_tasks(mappings) -> None:
    whole, batch = MetaLearner(MODEL, mappings, resplit=True), pieces()
    plain = dataclasses.replace(whole, resplit=False)
    params = {k: v.requires_grad_() for k, v in params_of(whole).items()}
    divided = resplit(batch)  # of the rows themselves: φ is computed anew for every task
    assert divided.n_tasks == 6, "every one of six rows of a class, two at a time, for two tasks"
    found, expected = whole.training_loss(params, batch), plain.training_loss(params, divided)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    gradients = [torch.autograd.grad(total, list(params.values()), allow_unused=True) for total in (found, expected)]
    moved = 0
    for name, own, other in zip(params, *gradients, strict=True):
        assert (own is None) == (other is None), name
        if own is not None:
            torch.testing.assert_close(own, other, rtol=0, atol=1e-9)
            moved += float(own.abs().max()) > 1e-6
    assert moved >= 4 + len(mappings), "weights and biases of both layers, and each mapping's α"
    assert not torch.allclose(found, plain.training_loss(params, batch))


def test_dividing_anew_is_a_matter_of_training_alone() -> None:
    whole, batch = MetaLearner(MODEL, HEADS, resplit=True), pieces()
    plain, params = dataclasses.replace(whole, resplit=False), params_of(whole)
    assert torch.equal(whole.predict(params, batch), plain.predict(params, batch))
    assert torch.equal(whole.query_loss(params, batch), plain.query_loss(params, batch))


def test_dividing_anew_is_refused_for_mappings_that_move_phi() -> None:
    with pytest.raises(TaskError, match=r"\['maml'\] adapt more than a head on φ, .* choose resplit=False"):
        MetaLearner(MODEL, (MAML(), RidgeHead()), resplit=True)
