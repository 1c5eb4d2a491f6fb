"""Training examples are what the family's own tasks show, padded; kept once; and only k judgements are in a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.families.base import TaskSpec
from metastudy.families.search_feedback import NAMES as COLLECTIONS
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import examples, surroundings
from metastudy.feedback.approximate import DEPTH, ideal_dcg
from metastudy.feedback.examples import build, load, of_arrays
from metastudy.feedback.grid import ndcg
from metastudy.feedback.learned_columns import COLUMNS, of_task
from toy_collections import toy
from toy_feedback import ToyCollections

torch.set_num_threads(1)  # on sums this small more threads only wait for each other
# of different sizes: candidates of some queries are fewer, and queries themselves
SOURCES = {name: toy(name, seed, 4 + seed, 90 + 10 * seed, 6) for seed, name in enumerate(COLLECTIONS)}
NAME = COLLECTIONS[2]


@pytest.fixture(scope="module")
def toys():
    return ToyCollections.of(SOURCES)


@pytest.fixture
def family(toys, monkeypatch, tmp_path):
    toys.in_place(monkeypatch, tmp_path)
    return SearchFeedback(shots=(1, 4))


def tasks_of(family: SearchFeedback, name: str, shots: int):
    """Every query of a collection, as an evaluation would build it."""
    fold = next(f for f in family.folds() if name in f.test)
    for query, results in family.results(name).items():
        yield family.build(TaskSpec(f"{name}/{query}", name, fold.name, (results.judged,), (query,)), shots, fold)


@pytest.mark.parametrize("shots", [1, 4, 8])
def test_what_is_trained_on_is_what_an_evaluation_would_show(family, shots):
    found, tasks = load(family, NAME, shots), list(tasks_of(family, NAME, shots))
    n = max(len(t.query_y) for t in tasks)
    assert len(tasks) == len(family.results(NAME)) > 3 and found.x.shape == (len(tasks), n, len(COLUMNS))
    assert found.grades.shape == found.mask.shape == (len(tasks), n) and found.ideal.shape == (len(tasks),)
    assert found.x.dtype == found.grades.dtype == found.ideal.dtype == torch.float32 and found.mask.dtype == torch.bool
    for q, task in enumerate(tasks):
        there = found.mask[q]
        assert there.tolist() == [True] * len(task.query_y) + [False] * (n - len(task.query_y))
        torch.testing.assert_close(found.grades[q, there], task.query_y, rtol=0, atol=0)
        columns, relevant = of_task(family, task)
        np.testing.assert_allclose(found.x[q, there].numpy(), columns, rtol=1e-5, atol=1e-5)
        assert relevant and not found.x[q, ~there].any() and not found.grades[q, ~there].any()


def test_the_same_scores_have_the_ndcg_that_the_family_measures(family):
    """Also its `ideal`: of all pages that are left, and of those that are no candidates."""
    found, rng = load(family, NAME, 4), np.random.default_rng(0)
    discount = 1 / np.log2(np.arange(2, DEPTH + 2))
    for q, task in enumerate(tasks_of(family, NAME, 4)):
        scores = rng.permutation(len(task.query_y)).astype(float)
        measured = next(s.value for s in family.score(task, torch.tensor(scores)) if s.metric == "ndcg@10")
        grades = found.grades[q, found.mask[q]].numpy().astype(float)
        dcg = ndcg(scores[None], grades, (1,))[0] * discount[0]
        assert dcg / found.ideal[q].item() == pytest.approx(measured, abs=1e-6)
        left = sorted(family.residual(task)[1].values(), reverse=True)[:DEPTH]
        assert found.ideal[q].item() == pytest.approx(
            sum(g * d for g, d in zip(left, discount, strict=False)), rel=1e-6
        )


def test_relevant_pages_that_are_no_candidates_count_in_the_ideal_alone(family, monkeypatch):
    """A pool that ends before some relevant pages do: rows are fewer, the ideal stays."""
    narrow = SearchFeedback(pool=100, shots=(1,))
    name = COLLECTIONS[-1]
    wide, found = (of_arrays(build(f, name, 1)) for f in (family, narrow))
    assert set(family.results(name)) == set(narrow.results(name))
    assert found.x.shape[1] == 100 - family.max_shots < wide.x.shape[1]
    assert torch.equal(found.ideal, wide.ideal) and found.grades.sum() < wide.grades.sum()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_padding_keeps_each_row_at_its_place(counts, seed):
    rng, total = np.random.default_rng(seed), sum(counts)
    x, grades = rng.normal(size=(total, 3)).astype(np.float32), rng.integers(0, 3, total).astype(np.float32)
    best = np.sort(rng.integers(0, 3, (len(counts), DEPTH)), axis=1)[:, ::-1]
    found = of_arrays({"x": x, "grades": grades, "n": np.array(counts), "best": best})
    assert found.x.shape == (len(counts), max(counts), 3) and found.mask.sum(1).tolist() == counts
    start = 0
    for q, n in enumerate(counts):
        for i in range(max(counts)):
            row, grade = (x[start + i], grades[start + i]) if i < n else (np.zeros(3), 0.0)
            assert found.x[q, i].tolist() == row.tolist() and found.grades[q, i].item() == grade
        start += n
    torch.testing.assert_close(found.ideal, ideal_dcg(torch.tensor(best.copy(), dtype=torch.float32)))


def test_rows_hold_the_first_k_judgements_and_no_other(toys, family):
    """Judged pages after the k-th and pages that nobody judged: their grades are in `grades` and `ideal`, if at all."""
    before = build(family, NAME, 2)
    found = toys.found[NAME]
    results = family.results(NAME)
    place = {page: i for i, page in enumerate(found.pages.tolist())}
    number = {query: i for i, query in enumerate(found.queries.tolist())}
    judged = {(number[q], place[page]) for q, r in results.items() for page in r.judged[:2]}
    kept = [row for row in found.judgements.tolist() if (row[0], row[1]) in judged]
    rng = np.random.default_rng(0)
    late = [(number[q], int(r.places[i]), int(rng.integers(1, 4))) for q, r in results.items() for i in (15, 20, 30)]
    late = [row for row in late if (row[0], row[1]) not in judged]
    other = SearchFeedback(shots=(1, 4))
    other.found = {**family.found, NAME: replace(found, judgements=np.array([*kept, *late], dtype=np.int32))}
    assert {q: r.judged[:2] for q, r in other.results(NAME).items()} == {q: r.judged[:2] for q, r in results.items()}
    after = build(other, NAME, 2)
    assert np.array_equal(after["x"], before["x"]) and np.array_equal(after["n"], before["n"])
    assert not np.array_equal(after["grades"], before["grades"])


def test_kept_once_for_each_collection_and_k_and_made_anew_for_other_pools(family, tmp_path, monkeypatch):
    first = load(family, NAME, 1)
    assert [p.name.rpartition("-")[0] for p in tmp_path.iterdir()] == [f"feedback_examples_{NAME}_1"]
    made = []
    monkeypatch.setattr(
        examples, "build", lambda family, name, shots: made.append((name, shots)) or build(family, name, shots)
    )
    again = load(family, NAME, 1)
    assert not made and all(torch.equal(getattr(again, part), getattr(first, part)) for part in vars(first))
    four = load(family, NAME, 4)
    load(SearchFeedback(pool=150, shots=(1,)), NAME, 1)
    load(family, COLLECTIONS[0], 1)
    assert made == [(NAME, 4), (NAME, 1), (COLLECTIONS[0], 1)]
    assert not torch.equal(four.x, first.x) and torch.equal(four.grades, first.grades), "ranked pages are the same"


def test_an_encoder_has_files_of_its_own(family, tmp_path):
    class Named:
        name, dim, fingerprint = "named", 4, "f"

    load(SearchFeedback(shots=(1,), encoder=Named()), NAME, 1)
    assert [p.name.rpartition("-")[0] for p in tmp_path.iterdir()] == [f"feedback_examples_{NAME}_named_1"]


def test_only_the_collection_that_is_asked_for_is_looked_at(toys, family, monkeypatch):
    expected = build(family, NAME, 4)
    asked = []
    monkeypatch.setattr(surroundings, "load", lambda name, encoder=None: asked.append(name) or toys.around[name])
    other = SearchFeedback(shots=(1, 4))
    other.found = {
        name: found if name == NAME else replace(found, judgements=found.judgements[::-3])
        for name, found in family.found.items()
    }
    found = build(other, NAME, 4)
    assert asked == [NAME] and all(np.array_equal(found[k], expected[k]) for k in expected)
