"""A linear ranker with a centre: its convex problem against scipy, what it may look at, and that both parts help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from metastudy import collection_ranker
from metastudy.collection_ranker import (
    FAR,
    PENALTIES,
    CollectionRanker,
    Ranked,
    adapted,
    mean_ndcg,
    of_collection,
    stack,
    standardised,
)
from metastudy.families.search_base import JudgedQuery, measured
from metastudy.fused_scores import Scaling
from metastudy.train import TrainConfig
from toy_fusion import FOLD, Made

CONFIG = TrainConfig(steps=1)
RANKER = CollectionRanker(steps=10)
RNG = np.random.default_rng(0)


def made(n_queries: int, true: np.ndarray, rng: np.random.Generator, n: int = 12) -> list[tuple]:
    """Queries whose grades follow `true` (F,) and noise; each has a relevant candidate and one that was not found."""
    queries = []
    for _ in range(n_queries):
        x = rng.normal(size=(n, len(true)))
        y = np.zeros(n)
        y[np.argsort(-(x @ true + rng.normal(size=n)))[:3]] = [2, 1, 1]
        queries.append((torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32), [3.0, 2, 1, 1]))
    return queries


@pytest.mark.parametrize("penalty", [0.5, 8.0])
def test_adapting_solves_its_convex_problem(penalty) -> None:
    queries, centre = made(4, np.array([1.0, -0.5, 0.0]), RNG), np.array([0.2, 0.1, 0.4])

    def objective(w: np.ndarray) -> float:
        total = penalty / 2 * ((w - centre) ** 2).sum()
        for x, y, _ in queries:
            scores = standardised(x).double().numpy() @ w
            total += logsumexp(scores) - (y.numpy() / y.sum().item()) @ scores
        return total

    expected = minimize(objective, centre, tol=1e-12).x
    found = adapted(torch.tensor(centre, dtype=torch.float32), stack(queries), penalty)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


def test_an_infinite_penalty_adapts_nothing_and_a_large_one_hardly() -> None:
    w0, support = torch.tensor([0.3, 0.7]), stack(made(3, np.array([1.0, 1.0]), RNG))
    assert torch.equal(adapted(w0, support, float("inf")), w0)
    far = [float((adapted(w0, support, p) - w0).norm()) for p in (1e4, 16.0, 1.0)]
    assert far[0] < far[1] < far[2] and far[0] < 1e-2


def test_columns_are_standard_within_a_query() -> None:
    x = torch.tensor(RNG.normal(size=(9, 3)), dtype=torch.float32)
    x[:, 2] = 5.0
    found = standardised(x)
    assert torch.allclose(found.mean(0), torch.zeros(3), atol=1e-6)
    assert torch.allclose(found[:, :2].std(0, unbiased=False), torch.ones(2), atol=1e-5)
    assert torch.equal(found[:, 2], torch.zeros(9))
    assert torch.allclose(standardised(x * torch.tensor([3.0, 0.1, 2.0]) + 7), found, atol=1e-4)
    many = torch.zeros(500, 1)
    many[0] = 1
    assert float(standardised(many).max()) == FAR


def test_ndcg_is_that_of_the_study_and_padding_counts_for_nothing() -> None:
    queries, w = made(5, np.array([1.0, 0.2]), RNG), torch.tensor([0.6, -0.3])
    queries.append(made(1, np.array([1.0, 0.2]), RNG, n=4)[0])
    values = []
    for x, y, _ in queries:
        order = torch.argsort(-(standardised(x) @ w), stable=True).tolist()
        grades = {f"c{i}": int(g) for i, g in enumerate(y.tolist()) if g} | {"not found": 3}
        values.append(measured({"q": grades}, {"q": [f"c{i}" for i in order]})["q"]["ndcg@10"])
    ranked = stack(queries)
    np.testing.assert_allclose([mean_ndcg(ranked.of([i]), w) for i in range(6)], values, atol=1e-6)
    assert mean_ndcg(ranked, w) == pytest.approx(np.mean(values))


def test_only_queries_with_a_relevant_page_are_learned_from() -> None:
    x = torch.tensor(RNG.normal(size=(6, 2)), dtype=torch.float32)
    some = JudgedQuery(tuple("abcdef"), x, torch.tensor([0.0, 1, 0, 0, 2, 1]), 5)  # the last page was not found
    none = JudgedQuery(tuple("abcdef"), x, torch.zeros(6), 6)
    found = of_collection([some, none])
    assert found.x.shape == (1, 5, 2) and torch.equal(found.grades[0], torch.tensor([0.0, 1, 0, 0, 2]))
    discount = 1 / np.log2(np.arange(2, 5))
    assert float(found.ideal[0]) == pytest.approx(discount @ [2, 1, 1])


def test_the_centre_recovers_what_all_collections_share() -> None:
    true = np.array([1.0, -1.0, 0.0, 0.5])
    collections = [stack(made(40, true, np.random.default_rng(i))) for i in range(3)]
    w = RANKER.centre(collections, np.random.default_rng(0)).numpy()
    assert w @ true / np.linalg.norm(w) / np.linalg.norm(true) > 0.97
    again = RANKER.centre(collections, np.random.default_rng(0)).numpy()
    assert np.array_equal(w, again)


def test_a_penalty_is_chosen_by_whether_adapting_helps() -> None:
    true = np.eye(8)[0]
    w0 = torch.tensor(true, dtype=torch.float32)
    alike = [stack(made(60, true, np.random.default_rng(1)))]
    unlike = [stack(made(60, -true, np.random.default_rng(2)))]
    assert RANKER.choose(w0, unlike, 20, np.random.default_rng(0)) == min(PENALTIES)
    assert RANKER.choose(w0, alike, 5, np.random.default_rng(0)) > min(PENALTIES)
    assert RANKER.choose(w0, [stack(made(5, np.ones(2), RNG))], 5, RNG) == float("inf")


def tasks(family: Made, name: str, k: int):
    ids = family.ids(name)
    return [family._task("t", name, tuple(ids[:k]), tuple(ids[k:]), FOLD)]


def test_it_is_a_method_that_never_sees_the_tested_collection(monkeypatch) -> None:
    family = Made()
    asked = tasks(family, "d", 6)
    expected = RANKER.fit(family, FOLD, CONFIG, 0).predict(asked, 6)
    other = Made()
    other._rows["d"] = {q: replace(j, y=torch.flip(j.y, [0]) + 1) for q, j in other._rows["d"].items()}
    found = RANKER.fit(other, FOLD, CONFIG, 0).predict(asked, 6)
    assert torch.equal(expected[0], found[0])
    assert torch.isfinite(expected[0]).all() and len(expected[0]) == len(asked[0].query_y)


def test_a_prediction_does_not_depend_on_other_queries() -> None:
    family = Made()
    fitted = RANKER.fit(family, FOLD, CONFIG, 0)
    (task,) = tasks(family, "d", 3)
    (together,) = fitted.predict([task], 3)
    first = task.query_group == task.query_group[0]
    alone = replace(
        task, query_x=task.query_x[first], query_y=task.query_y[first], query_group=task.query_group[first],
        query_ids=tuple(i for i, kept in zip(task.query_ids, first.tolist(), strict=True) if kept),
    )  # fmt: skip
    assert torch.allclose(fitted.predict([alone], 3)[0], together[first], atol=1e-6)


def test_pages_that_were_not_found_teach_nothing(monkeypatch) -> None:
    """Rows of the support that are no candidates do not move the standardisation or the loss."""
    family = Made()
    monkeypatch.setattr(collection_ranker, "PENALTIES", (4.0,))
    fitted = RANKER.fit(family, FOLD, CONFIG, 0)
    (task,) = tasks(family, "d", 6)
    scaling = Scaling.of(family, FOLD)
    outside = torch.zeros(len(task.support_y), dtype=torch.bool)
    for g in task.support_group.unique():
        rows = task.support_group == g
        outside[rows] = ~torch.from_numpy(scaling.inside(task.support_x[rows]))
    assert outside.any()
    ranks = [family.features.index(f"{n}_reciprocal_rank") for n in ("bm25", "dense")]
    moved = task.support_x.clone()
    kept = moved[:, ranks].clone()
    moved[outside] += 3.0
    moved[:, ranks] = kept
    other = replace(task, support_x=moved)
    assert torch.equal(fitted.predict([task], 6)[0], fitted.predict([other], 6)[0])


def test_ranked_queries_can_be_picked() -> None:
    ranked = stack(made(4, np.ones(2), RNG))
    assert isinstance(ranked.of([2, 0]), Ranked) and torch.equal(ranked.of([2, 0]).x, ranked.x[[2, 0]])
