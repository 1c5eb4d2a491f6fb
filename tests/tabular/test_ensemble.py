"""Several trainings on one table: the study's own numbers, without padding, and what each column adds to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from metastudy.adapt import RidgeHead
from metastudy.errors import ParameterError
from metastudy.families.diagnosis import channels, lean, standardise
from metastudy.mixture import MetaLearner
from metastudy.model import MLP
from metastudy.tabular.ensemble import Ensemble, in_double
from metastudy.tabular.learner import TableLearner
from metastudy.tabular.varied import averaged
from metastudy.tasks import Task, collate
from metastudy.trained import Trained
from toy_tables import WIDTH, patients, toy_model


def task(n_columns: int, seed: int = 0, width: int | None = None, order: tuple[int, ...] | None = None) -> Task:
    """12 labelled patients, 5 to diagnose, columns in an order of choice."""
    x, y = patients(17, n_columns, seed)
    x = x[:, list(order or range(n_columns))]
    seen, asked = standardise(x[:12], x[12:])
    rows = [channels(r, lean(seen), width) for r in (seen, asked)]
    labels = [torch.tensor(part, dtype=torch.float32) for part in (y[:12], y[12:])]
    return Task("t", "toy", "binary", rows[0], labels[0], rows[1], labels[1])


def test_tables_are_diagnosed_as_in_the_study():
    model = toy_model()
    study = averaged(model.learner, [Trained(p, []) for p in model.params])
    for n in (1, 4, WIDTH):
        expected = study.predict([task(n, width=WIDTH)], 6)[0][:, 1]
        np.testing.assert_allclose(expit(model.on_table(n).log_odds(task(n))), expected, atol=2e-6)


@pytest.mark.parametrize("n", [4, WIDTH + 5])
def test_neither_columns_nor_patients_have_an_order(n):
    own = toy_model().on_table(n)
    order = tuple(np.random.default_rng(1).permutation(n).tolist())
    rows = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    here, turned = task(n), task(n, order=order)
    turned = replace(turned, support_x=turned.support_x[rows], support_y=turned.support_y[rows])
    for oriented in (True, False):
        np.testing.assert_allclose(own.log_odds(turned, oriented), own.log_odds(here, oriented), atol=1e-6)
        parts = own.by_column(here, oriented)
        np.testing.assert_allclose(own.by_column(turned, oriented), parts[:, list(order)], atol=1e-6)


def test_without_orientation_swapped_classes_swap_the_answer():
    own, here = toy_model().on_table(4), task(4)
    swapped = replace(here, support_y=1 - here.support_y)
    for what in (own.log_odds, own.members, own.by_column):
        np.testing.assert_array_equal(what(swapped, False), -what(here, False))
    assert np.abs(own.log_odds(swapped) + own.log_odds(here)).max() > 0.01, "with it they do not"


def test_contributions_add_up_to_the_linear_member():
    for n in (4, WIDTH + 5):
        own, here = toy_model().on_table(n), task(n)
        seen = replace(here, query_x=here.support_x, query_y=here.support_y)
        for oriented in (True, False):
            expected = own.members(here, oriented)[:, 0] - own.members(seen, oriented)[:, 0].mean()
            np.testing.assert_allclose(own.by_column(here, oriented).sum(1), expected, atol=1e-9)
        assert np.abs(own.by_column(here)).max() > 0.05


def test_the_answer_mixes_the_members():
    own, here = toy_model().on_table(4), task(4)
    p = own.params[0]
    alone = replace(own, params=(p,))
    beta = own.learner.weights(p, in_double(here))[0].numpy()
    assert 0.05 < beta[0] < 0.95
    np.testing.assert_allclose(alone.log_odds(here), logit(expit(alone.members(here)) @ beta), atol=1e-9)


def test_query_labels_are_never_read():
    own, here = toy_model().on_table(4), task(4)
    other = replace(here, query_y=1 - here.query_y)
    np.testing.assert_array_equal(own.log_odds(here, False), own.log_odds(other, False))


def test_what_does_not_fit_is_refused():
    model = toy_model()
    with pytest.raises(ParameterError, match="0 trainings of TableLearner of ColumnNet; expected one or more"):
        Ensemble(model.learner, ())
    for learner, found in (
        (MetaLearner(model.learner.model, (RidgeHead(),)), "MetaLearner of ColumnNet"),
        (TableLearner(MLP(3), (RidgeHead(),)), "TableLearner of MLP"),
    ):
        with pytest.raises(ParameterError, match=f"1 trainings of {found}; expected one or more, TableLearner of"):
            Ensemble(learner, ({},))
    kernel = replace(model.learner, mappings=model.learner.mappings[1:])
    params = kernel.init(torch.Generator().manual_seed(0))
    own = Ensemble(kernel, (params,)).on_table(4)
    assert own.log_odds(task(4)).shape == (5,)
    with pytest.raises(ParameterError, match=r"\['kernel_ridge'\]; expected 'column_prior' among them"):
        own.by_column(task(4))


def test_precision_is_double_inside():
    batch = in_double(task(3))
    study = collate([task(3)])
    assert batch.support_x.dtype == batch.support_mask.dtype == batch.class_mask.dtype == torch.float64
    assert batch.support_group.dtype == study.support_group.dtype
    torch.testing.assert_close(batch.support_x.float(), study.support_x, rtol=0, atol=0)
