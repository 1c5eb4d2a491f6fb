"""Prototypes are class means; the nearest one wins, as in scikit-learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from helpers import Linear, batch_of, in_double, make_task, random_params, small_mlp
from metastudy.adapt import Prototypes
from metastudy.adapt.prototypes import squared_distances, weighted_means
from metastudy.tasks import collate

MODEL = small_mlp()


def scores(batch, temperature: float = 1.0, offset: float = 0.0, model=MODEL):
    alpha = {
        "log_temperature": torch.tensor(temperature, dtype=torch.float64).log(),
        "offset": torch.tensor(offset, dtype=torch.float64),
    }
    return Prototypes()(model, random_params(model), alpha, batch)


@pytest.mark.filterwarnings("ignore:self.within_class_std", "ignore:invalid value encountered")  # one row a class
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(4, 12), st.integers(2, 4))
def test_the_winner_is_that_of_nearest_centroid(seed, n_support, ways) -> None:
    batch = in_double(collate([make_task("classification", seed, n_support, 6, ways)]))
    phi_s, phi_q = (MODEL.features(random_params(MODEL), x)[0] for x in (batch.support_x, batch.query_x))
    expected = NearestCentroid().fit(phi_s.numpy(), batch.support_y[0].numpy()).predict(phi_q.numpy())
    assert scores(batch)[0].argmax(1).tolist() == expected.tolist()


def test_scores_are_minus_squared_distances_to_the_means() -> None:
    batch = batch_of("classification", n_support=7)
    found = scores(batch, temperature=2.5, model=Linear())
    for t in range(2):
        for q in range(5):
            for c in range(3):
                mean = batch.support_x[t, batch.support_y[t] == c].mean(0)
                distance = float(((batch.query_x[t, q] - mean) ** 2).sum())
                assert float(found[t, q, c]) == pytest.approx(-2.5 * distance, abs=1e-9)


def test_binary_scores_compare_the_two_means() -> None:
    batch = batch_of("binary", n_support=7)
    found = scores(batch, temperature=2.5, offset=0.3, model=Linear())
    for t in range(2):
        healthy, sick = (batch.support_x[t, batch.support_y[t] == c].mean(0) for c in (0, 1))
        difference = ((batch.query_x[t] - healthy) ** 2).sum(1) - ((batch.query_x[t] - sick) ** 2).sum(1)
        torch.testing.assert_close(found[t, :, 0], 2.5 * difference + 0.3, rtol=0, atol=1e-9)


def test_ranking_means_are_weighted_by_gain() -> None:
    batch = batch_of("ranking", n_support=8)
    found = scores(batch, model=Linear())
    for t in range(2):
        share = torch.zeros(8, dtype=torch.float64)
        for g in (0, 1):
            rows = batch.support_group[t] == g
            share[rows] = batch.support_y[t, rows] / batch.support_y[t, rows].sum()
        wanted = share / share.max()
        means = [(w[:, None] * batch.support_x[t]).sum(0) / w.sum() for w in (1 - wanted, wanted)]
        apart = [((batch.query_x[t] - mean) ** 2).sum(1) for mean in means]
        torch.testing.assert_close(found[t, :, 0], apart[0] - apart[1], rtol=0, atol=1e-9)


def test_distances_and_means_equal_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, n, 3, generator=generator, dtype=torch.float64) for n in (4, 5))
    torch.testing.assert_close(squared_distances(a, b), torch.cdist(a, b) ** 2, rtol=0, atol=1e-9)
    weights = torch.rand(2, 5, 2, generator=generator, dtype=torch.float64)
    expected = torch.stack([(weights[..., c, None] * b).sum(1) / weights[..., c].sum(1)[:, None] for c in (0, 1)], 1)
    torch.testing.assert_close(weighted_means(b, weights), expected, rtol=0, atol=1e-12)
