"""Prototypes are class means; the nearest one wins, as in scikit-learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestCentroid

from helpers import Linear, batch_of, in_double, make_task, random_params, small_mlp
from metastudy.adapt import CosinePrototypes, Prototypes
from metastudy.adapt.prototypes import cosines, squared_distances, weighted_means
from metastudy.tasks import collate

MODEL = small_mlp()


def scores(batch, temperature: float = 1.0, offset: float = 0.0, model=MODEL, cls=Prototypes):
    alpha = {
        "log_temperature": torch.tensor(temperature, dtype=torch.float64).log(),
        "offset": torch.tensor(offset, dtype=torch.float64),
    }
    return cls()(model, random_params(model), alpha, batch)


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


@pytest.mark.filterwarnings("ignore:self.within_class_std", "ignore:invalid value encountered")  # one row a class
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(4, 12), st.integers(2, 4))
def test_cosine_scores_are_those_of_scikit_learn_between_queries_and_its_centroids(seed, n_support, ways) -> None:
    batch = in_double(collate([make_task("classification", seed, n_support, 6, ways)]))
    phi_s, phi_q = (MODEL.features(random_params(MODEL), x)[0].numpy() for x in (batch.support_x, batch.query_x))
    centroids = NearestCentroid().fit(phi_s, batch.support_y[0].numpy()).centroids_
    expected = torch.tensor(cosine_similarity(phi_q, centroids))
    found = scores(batch, temperature=2.5, cls=CosinePrototypes)[0]
    torch.testing.assert_close(found, 2.5 * expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["binary", "ranking"])
def test_cosine_compares_two_means(kind) -> None:
    batch = batch_of(kind, n_support=7)
    found = scores(batch, temperature=2.5, offset=0.3, model=Linear(), cls=CosinePrototypes)
    for t in range(2):
        positive = batch.support_y[t].clone()
        if kind == "ranking":
            for g in (0, 1):
                positive[batch.support_group[t] == g] /= positive[batch.support_group[t] == g].sum()
            positive /= positive.max()
        means = [(w[:, None] * batch.support_x[t]).sum(0) / w.sum() for w in (1 - positive, positive)]
        for q in range(5):
            without, with_it = (float(torch.cosine_similarity(batch.query_x[t, q], mean, dim=0)) for mean in means)
            assert float(found[t, q, 0]) == pytest.approx(2.5 * (with_it - without) + 0.3, abs=1e-9)


def test_a_cosine_does_not_depend_on_length_and_stands_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, n, 3, generator=generator, dtype=torch.float64) for n in (4, 5))
    torch.testing.assert_close(cosines(7 * a, b), cosines(a, 0.2 * b), rtol=0, atol=1e-12)
    zero = torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cosines(zero, b[:1]).sum(), zero)
    assert torch.isfinite(gradient).all() and float(gradient.abs().max()) < 1e4
