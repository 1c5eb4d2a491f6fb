"""Weights are chosen on other collections, by the nDCG that the family measures, and they help on topics."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers import NoTestFold
from metastudy import cache, evaluate
from metastudy.errors import ParameterError
from metastudy.evaluate import cross_validate
from metastudy.families import candidates
from metastudy.families.candidates import of_arrays, to_search
from metastudy.families.search_base import measured
from metastudy.families.search_feedback import NAMES as COLLECTIONS
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import grid, rocchio, tuned
from metastudy.feedback import index as page_index
from metastudy.feedback.components import NAMES
from metastudy.feedback.grid import Feedback, feedback_tasks, first_results, mean_ndcg, ndcg, table
from metastudy.feedback.learned_columns import COLUMNS, GROUPS
from metastudy.feedback.tuned import TunedFeedback
from metastudy.lineups.feedback import CLASSICAL, SAME_COLUMNS, feedback_methods, without_one_group
from metastudy.train import TrainConfig
from toy_collections import toy

SOURCES = {name: toy(name, seed) for seed, name in enumerate(COLLECTIONS)}
CONFIG = TrainConfig(steps=1)
FEW = {"none": rocchio.GRIDS["none"], "D": lambda: rocchio.grid_d()[::7], "F": lambda: rocchio.grid_f()[::41]}


@pytest.fixture(scope="module")
def arrays():
    return {name: of_arrays(name, candidates.build(found)) for name, found in SOURCES.items()}


@pytest.fixture(scope="module")
def indexes():
    return {name: page_index.of_arrays(name, page_index.build(to_search(found))) for name, found in SOURCES.items()}


@pytest.fixture
def family(arrays, indexes, monkeypatch, tmp_path):
    monkeypatch.setattr(candidates, "load", lambda name, encoder=None: arrays[name])
    monkeypatch.setattr(page_index, "load", lambda name, encoder=None: indexes[name])
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(tuned, "GRIDS", FEW)
    monkeypatch.setattr(evaluate, "_IN_THIS_PROCESS", {})  # families that look alike, of other tests
    return SearchFeedback(max_queries=4, shots=(1, 4))


def test_first_results_of_equal_scores_are_the_first():
    scores = np.array([[1.0, 3, 3, 2], [0, 0, 0, 0]])
    assert first_results(scores, 3).tolist() == [[1, 2, 3], [0, 1, 2]] and scores[0, 1] == 3
    assert first_results(scores, 9).shape == (2, 4)


def test_ndcg_is_the_one_of_ir_measures():
    """With graded judgements, ties, relevant pages that are no candidates, and fewer candidates than ten."""
    rng = np.random.default_rng(0)
    for n in (4, 30):
        for _ in range(20):
            grades = rng.integers(0, 4, n) * (rng.random(n) < 0.4)
            elsewhere = rng.integers(1, 4, 3)
            qrels = {f"p{i}": int(g) for i, g in enumerate(grades) if g} | {
                f"e{i}": int(g) for i, g in enumerate(elsewhere)
            }
            scores = rng.integers(0, 6, (5, n)).astype(float)
            found = ndcg(scores, grades.astype(float), sorted(qrels.values(), reverse=True))
            for row, value in zip(scores, found, strict=True):
                ranking = [f"p{i}" for i in np.argsort(-row, kind="stable")]
                assert value == pytest.approx(measured({"q": qrels}, {"q": ranking})["q"]["ndcg@10"], abs=1e-9)


@pytest.mark.parametrize("name", ["none", "D", "F"])
def test_what_is_tuned_is_what_is_scored(family, name):
    """The fast measure of all settings at once, against tasks that the family builds, ranks and scores."""
    method, fold = TunedFeedback(name), family.folds()[0]
    collection = fold.validation[0]
    specs = [
        replace(s, fold=fold.name)
        for s in SearchFeedback(max_queries=99).freeze(np.random.default_rng(0))
        if s.family == collection
    ]
    found = mean_ndcg(feedback_tasks(family, collection, 4), method.settings)
    for i in (0, len(found) // 2, len(found) - 1):
        one = TunedFeedback(name)
        object.__setattr__(one, "choose", lambda *_, i=i: method.settings[i])
        tasks = [family.build(s, 4, fold) for s in specs]
        scored = [
            s.value
            for t, p in zip(tasks, one.fit(family, fold, CONFIG, 0).predict(tasks, 4), strict=True)
            for s in family.score(t, p)
            if s.metric == "ndcg@10"
        ]
        assert len(scored) == len(family.results(collection)) and np.mean(scored) == pytest.approx(found[i], abs=1e-9)


def test_weights_are_the_best_on_average_over_the_other_collections(family, monkeypatch):
    fold, method = family.folds()[2], TunedFeedback("D")
    good = {name: np.linspace(0, 1, len(method.settings)) for name in fold.train} | {
        fold.validation[0]: np.zeros(len(method.settings))
    }
    good[fold.train[0]] = np.eye(len(method.settings))[3] * 9
    monkeypatch.setattr(tuned, "table", lambda family, name, *_: good[name])
    assert method.choose(family, NoTestFold(fold), 1) == method.settings[3]
    monkeypatch.setattr(tuned, "table", lambda *_: np.ones(len(method.settings)))
    assert method.choose(family, NoTestFold(fold), 1) == method.settings[0], "of equally good ones the first"


def test_the_tested_collection_is_never_asked_for(family):
    fold = family.folds()[3]
    asked = TunedFeedback("F").choose(family, NoTestFold(fold), 1)
    assert asked == TunedFeedback("F").choose(family, fold, 1), "deterministic"


def test_tables_are_kept_and_depend_on_k_and_settings(family, tmp_path, monkeypatch):
    settings = TunedFeedback("D").settings
    found = table(family, "cisi", 1, "D", settings)
    kept = list(tmp_path.iterdir())
    assert [p.name.startswith("feedback_D_cisi_1-") for p in kept] == [True]
    measure = grid.mean_ndcg
    monkeypatch.setattr(grid, "mean_ndcg", lambda *_: np.zeros(1))
    assert np.array_equal(table(family, "cisi", 1, "D", settings), found)
    assert not table(family, "cisi", 4, "D", settings).any() and not table(family, "cisi", 1, "D", settings[:3]).any()
    monkeypatch.setattr(grid, "mean_ndcg", measure)


def test_without_a_relevant_judged_page_settings_do_not_matter():
    rng = np.random.default_rng(0)
    task = Feedback(rng.normal(size=(20, len(NAMES))), (rng.random(20) < 0.3).astype(float), (1, 1, 1), False)
    found = mean_ndcg([task], rocchio.grid_f()[:50])
    assert len(set(found)) == 1 and found[0] == mean_ndcg([task], [rocchio.NONE])[0]
    assert len(set(mean_ndcg([replace(task, positives=True)], rocchio.grid_f()[:50]))) > 1


def test_in_an_evaluation_feedback_helps_and_more_helps_more(family):
    specs = family.freeze(np.random.default_rng(0))
    methods = [TunedFeedback(name) for name in FEW]
    assert all(m.deterministic for m in methods)
    scores = cross_validate(family, specs, methods, CONFIG, seeds=[0, 1]).scores
    assert set(scores["seed"]) == {0} and len(scores) == len(specs) * len(methods) * 2 * 3
    mean = scores[scores["metric"] == "ndcg@10"].groupby(["method", "shots"])["value"].mean()
    assert mean["none", 1] == mean["none", 4], "all that is judged is taken out, whatever k is"
    assert mean["D", 1] > mean["none", 1] + 0.02 and mean["F", 4] > mean["D", 1]


def test_predictions_are_one_number_a_candidate(family):
    fold = family.folds()[0]
    tasks = family.sample(fold, "validation", 1, 3, np.random.default_rng(0))
    found = TunedFeedback("F").fit(family, fold, CONFIG, 0).predict(iter(tasks), 1)
    assert [len(p) for p in found] == [len(t.query_y) for t in tasks] and all(torch.isfinite(p).all() for p in found)


def test_unknown_formulas_are_refused_and_methods_travel(family):
    with pytest.raises(ParameterError, match="formula 'X' is unknown; expected one of none, D, F"):
        TunedFeedback("X")
    assert pickle.loads(pickle.dumps(TunedFeedback("F"))) == TunedFeedback("F")


def test_the_line_up(family, monkeypatch):
    monkeypatch.setattr(tuned, "GRIDS", rocchio.GRIDS)
    methods = feedback_methods(family)
    names = [m.name for m in methods]
    assert len(set(names)) == len(names) and tuple(names[:5]) == CLASSICAL == tuple(rocchio.GRIDS)
    assert names[-2:] == [SAME_COLUMNS, "g"]
    assert {"bm25", "pooled", "fine-tuned", "from scratch", "ridge", "prototypes", "maml"} <= set(names)
    groups = without_one_group()
    assert [len(m.columns) for m in groups] == [len(COLUMNS) - len(own) for own in GROUPS.values()]
