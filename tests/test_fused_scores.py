"""Scores of fusions against slow ones from raw numbers of pages, and their nDCG@10 against ir_measures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metastudy.fused_scores import FORMS, Scaling, fused, table
from toy_fusion import COLLECTIONS, FOLD, Made, slow_ndcg, slow_scores


@pytest.fixture(scope="module")
def family() -> Made:
    return Made()


@pytest.mark.parametrize("form", FORMS)
def test_all_weights_by_their_definition(family, form):
    judged = family.judged(FOLD)["b"]["b3"]
    results = Scaling.of(family, FOLD).results(judged.x, judged.y)
    tried = [(form, w) for w in np.linspace(0, 1, 21)]
    pages = [p for p in family.pages["b"]["b3"].values() if p.found]
    assert results.grades.tolist() == [p.grade for p in pages]
    assert np.allclose(fused(results, tried), [slow_scores(pages, *s) for s in tried], atol=1e-4)
    mixed = [("min-max", 0.3), ("rrf", 1.0), ("min-max", 0.0)]
    assert np.allclose(fused(results, mixed), [slow_scores(pages, *s) for s in mixed], atol=1e-4)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_rows_of_a_support_are_the_candidates_and_the_grades_of_all_relevant_pages(family, name):
    """Also where nothing but ranks tells which rows are candidates."""
    scaling = Scaling.of(family, FOLD)
    for query, judged in family.judged(FOLD)[name].items():
        pages = family.pages[name][query].values()
        for n_candidates in (None, judged.n_candidates):
            found = scaling.results(judged.x, judged.y, n_candidates)
            assert found.ranks.tolist() == [[p.bm25_rank, p.dense_rank] for p in pages if p.found]
            assert np.allclose(found.scores, [[7 * p.bm25 + 10, p.dense] for p in pages if p.found], atol=1e-4)
            assert list(found.ideal) == sorted((p.grade for p in pages if p.grade), reverse=True)


def test_a_table_is_what_ir_measures_says(family):
    tried = [(form, w) for form in FORMS for w in (0.0, 0.35, 0.5, 1.0)]
    scaling = Scaling.of(family, FOLD)
    judged = list(family.judged(FOLD)["a"].values())[:5]
    found = table([scaling.results(j.x, j.y) for j in judged], tried)
    slow = np.transpose([slow_ndcg(family, "a", family.ids("a")[:5], *s) for s in tried])
    assert np.allclose(found, slow, atol=1e-9) and len(np.unique(found)) > 20


def test_candidates_that_all_score_the_same_are_finite(family):
    judged = family.judged(FOLD)["a"]["a0"]
    flat = judged.x[:1].expand(4, -1)
    results = Scaling.of(family, FOLD).results(flat, torch.zeros(4), 4)
    assert np.isfinite(fused(results, [(form, 0.5) for form in FORMS])).all()
