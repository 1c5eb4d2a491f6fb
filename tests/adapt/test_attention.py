"""Attention over the support is a kernel smoother; sharpened, it is the nearest neighbour."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from helpers import Linear, batch_of, in_double, make_task, random_params, small_mlp
from metastudy.adapt import Attention
from metastudy.tasks import KINDS, collate

MODEL = small_mlp()


def scores(batch, temperature: float, scale: float = 1.0, model=MODEL, similarity="euclidean"):
    alpha = {
        k: torch.tensor(v, dtype=torch.float64).log()
        for k, v in (("log_temperature", temperature), ("log_scale", scale))
    }
    return Attention(similarity)(model, random_params(model), alpha, batch)


ALIKE = {
    "euclidean": lambda a, b: -float(((a - b) ** 2).sum()),
    "cosine": lambda a, b: float(a @ b / (a @ a).sqrt() / (b @ b).sqrt()),
}


@pytest.mark.parametrize("similarity", ALIKE)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_loop(kind, similarity) -> None:
    batch, temperature = batch_of(kind, n_support=6), 0.4
    found = scores(batch, temperature, scale=1.5, model=Linear(), similarity=similarity)
    for t in range(2):
        y, group = batch.support_y[t].tolist(), batch.support_group[t].tolist()
        total = {g: sum(v for v, h in zip(y, group, strict=True) if h == g) for g in set(group)}
        for q in range(5):
            kernel = [math.exp(temperature * ALIKE[similarity](batch.query_x[t, q], x)) for x in batch.support_x[t]]
            weight = [k / sum(kernel) for k in kernel]
            if kind == "classification":
                expected = [math.log(sum(w for w, c in zip(weight, y, strict=True) if c == k)) for k in range(3)]
            elif kind == "ranking":
                expected = [1.5 * sum(w * v / total[g] for w, v, g in zip(weight, y, group, strict=True))]
            else:
                mean = sum(w * v for w, v in zip(weight, y, strict=True))
                expected = [math.log(mean / (1 - mean)) if kind == "binary" else mean]
            assert found[t, q].tolist() == pytest.approx(expected, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(3, 10))
def test_sharp_attention_is_the_nearest_neighbour(seed, n_support) -> None:
    batch = in_double(collate([make_task("classification", seed, n_support)]))
    nearest = KNeighborsClassifier(1).fit(batch.support_x[0].numpy(), batch.support_y[0].numpy())
    expected = nearest.predict(batch.query_x[0].numpy()).tolist()
    assert scores(batch, 1e9, model=Linear())[0].argmax(1).tolist() == expected


def test_flat_attention_is_the_mean_of_the_support() -> None:
    batch = batch_of("regression")
    expected = batch.support_y.mean(1)[:, None, None].expand(2, 5, 1)
    torch.testing.assert_close(scores(batch, 1e-12), expected, rtol=0, atol=1e-9)
