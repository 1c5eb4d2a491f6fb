"""Encoders of table rows: what they may see of a column, and what they may not."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers import random_params
from metastudy.model import HEAD_WEIGHT, ColumnNet, SetNet

COLUMNS, SET = ColumnNet(channels=3, n_columns=4, hidden=5, width=3), SetNet(channels=3, hidden=6, width=5)


def table() -> torch.Tensor:
    x = torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[..., -1] = 1
    return x


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_a_shared_head_does_not_see_the_order_of_columns(order) -> None:
    model, x = COLUMNS, table()
    params = model.untied(random_params(model))
    torch.testing.assert_close(model(params, x[:, :, list(order)]), model(params, x), rtol=0, atol=1e-12)


def test_an_untied_head_tells_columns_apart() -> None:
    model, x = COLUMNS, table()
    shared = random_params(model)
    params = model.untied(shared)
    assert shared[HEAD_WEIGHT].shape == (3, 1) and params[HEAD_WEIGHT].shape == (model.feature_dim, 1) == (12, 1)
    params[HEAD_WEIGHT] = params[HEAD_WEIGHT] * torch.linspace(0, 1, 12)[:, None]
    assert not torch.allclose(model(params, x.flip(2)), model(params, x))


def test_padding_columns_have_no_influence() -> None:
    model, x = COLUMNS, table()
    narrow = ColumnNet(channels=3, n_columns=2, hidden=5, width=3)
    shared = random_params(model)
    padded = x.clone()
    padded[:, :, 2:, -1] = 0  # the last two columns are padding; what stands in their other channels is not read
    expected = narrow(narrow.untied(shared), x[:, :, :2])
    torch.testing.assert_close(model(model.untied(shared), padded), expected, rtol=0, atol=1e-12)


def test_the_first_feature_of_a_column_is_its_plain_value() -> None:
    model, x = COLUMNS, table()
    phi = model.features(random_params(model), x).reshape(2, 3, 4, 3)
    torch.testing.assert_close(phi[..., 0], x[..., 0] / 2, rtol=0, atol=1e-12)  # four columns: divided by sqrt(4)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_a_set_has_no_order(order) -> None:
    x, params = table(), random_params(SET)
    torch.testing.assert_close(SET(params, x[:, :, list(order)]), SET(params, x), rtol=0, atol=1e-12)


def test_a_set_is_as_wide_as_its_real_columns() -> None:
    x, params = table(), random_params(SET)
    padded = x.clone()
    padded[:, :, 2:, -1] = 0  # what stands in the other channels of a padding column is not read
    torch.testing.assert_close(SET(params, padded), SET(params, x[:, :, :2]), rtol=0, atol=1e-12)
    assert not torch.allclose(SET(params, padded), SET(params, x))


def test_a_row_without_a_real_column_is_still_a_number() -> None:
    x, params = table(), random_params(SET)
    assert torch.isfinite(SET(params, torch.zeros_like(x))).all()


def test_a_set_of_cells_by_hand() -> None:
    x, p = table(), random_params(SET)

    def layer(name: str, h: torch.Tensor) -> torch.Tensor:
        return F.relu(F.linear(h, p[f"{name}.weight"].T, p[f"{name}.bias"][0]))

    for t in range(2):
        for n in range(3):
            cells = torch.stack([layer("cell1", layer("cell0", x[t, n, c])) for c in range(4)])
            expected = layer("row1", layer("row0", cells.mean(0)))
            torch.testing.assert_close(SET.features(p, x)[t, n], expected, rtol=0, atol=1e-12)
