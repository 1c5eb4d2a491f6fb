"""A field's own tool as a member of g: its order is the input's, its scale is learned, nothing else matters."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from helpers import DIM, batch_of, random_params, small_mlp
from metastudy.adapt import InputScore, Unadapted
from metastudy.losses import loss
from metastudy.methods import InputColumn
from metastudy.mixture import MetaLearner
from metastudy.tasks import collate

MODEL = small_mlp()


def scores(mapping: InputScore, batch, log_scale: float = 0.0, seed: int = 0) -> torch.Tensor:
    alpha = {"log_scale": torch.tensor(log_scale, dtype=torch.float64)}
    return mapping(MODEL, random_params(MODEL, seed), alpha, batch)


@pytest.mark.parametrize("column", range(DIM))
def test_it_is_a_column_times_a_scale(column: int) -> None:
    batch = batch_of("ranking")
    found = scores(InputScore(column, "lead"), batch, 0.7)
    assert found.shape == (2, 5, 1)
    for t in range(2):
        for q in range(5):
            expected = 2.718281828459045**0.7 * float(batch.query_x[t, q, column])
            assert float(found[t, q, 0]) == pytest.approx(expected, abs=1e-12)
    start = InputScore(column).init(MODEL, torch.Generator().manual_seed(0))
    assert start["log_scale"].shape == () and start["log_scale"] == 0, "it starts as the tool itself"


def test_rows_of_any_shape_are_read_flat() -> None:
    batch = batch_of("ranking")
    tables = dataclasses.replace(batch, query_x=torch.stack([batch.query_x, 10 + batch.query_x], -1))  # (T, Q, 3, 2)
    assert torch.equal(scores(InputScore(1), tables), 10 + batch.query_x[..., :1])


def test_neither_theta_nor_the_support_counts() -> None:
    batch = batch_of("ranking")
    found = scores(InputScore(), batch)
    assert torch.equal(scores(InputScore(), batch, seed=5), found)
    other = dataclasses.replace(batch, support_x=batch.support_x + 1, support_y=batch.support_y.flip(1))
    assert torch.equal(scores(InputScore(), other), found)


def test_alone_it_orders_rows_as_the_tool_does() -> None:
    batch = batch_of("ranking")
    task = batch.tasks[0]
    learner = MetaLearner(MODEL, (InputScore(2, "lexrank"),))
    params = learner.init(torch.Generator().manual_seed(0)) | {"alpha.lexrank.log_scale": torch.tensor(-1.3)}
    found = learner.predict(params, collate([task]))[0, :, 0]
    (tool,) = InputColumn("lexrank", 2).fit(None, None, None, 0).predict([task], 1)
    assert torch.equal(found.argsort(), tool.argsort())


def test_several_tools_are_members_by_their_own_names() -> None:
    mappings = InputScore(0, "lead"), InputScore(1, "lexrank"), Unadapted()
    g = MetaLearner(MODEL, mappings, "uniform")
    params, batch = g.init(torch.Generator().manual_seed(0)), batch_of("ranking")
    assert {"alpha.lead.log_scale", "alpha.lexrank.log_scale"} <= set(params)
    params = {k: v.double() for k, v in params.items()} | {"alpha.lexrank.log_scale": torch.tensor(1.0).double()}
    lead, lexrank, pooled = g.members(params, batch)
    assert torch.equal(lead, batch.query_x[..., :1])
    torch.testing.assert_close(lexrank, torch.tensor(1.0).double().exp() * batch.query_x[..., 1:2])
    torch.testing.assert_close(g.predict(params, batch), (lead + lexrank + pooled) / 3, rtol=0, atol=1e-12)


def test_the_scale_grows_where_the_tool_is_right_and_shrinks_where_it_is_wrong() -> None:
    batch = batch_of("ranking")
    for sign in (1.0, -1.0):
        right = dataclasses.replace(batch, query_y=(sign * batch.query_x[..., 0]).exp())
        log_scale = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        found = InputScore()(MODEL, {}, {"log_scale": log_scale}, right)
        gradient = torch.autograd.grad(
            loss("ranking", found / 3, right.query_y, right.query_mask, right.query_group).sum(), log_scale
        )[0]
        assert float(gradient) * sign < 0, "a third of the tool is too little if gains follow it, and too much if not"
