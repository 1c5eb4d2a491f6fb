"""Feedback on one's own collection: the tasks and sums of the study, in whichever process."""

from __future__ import annotations

import cloudpickle
import numpy as np
import pytest
import torch
from toy_own_search import in_place_of_libraries

import toy_ranker
from metastudy.adapt import Prototypes
from metastudy.errors import DataError
from metastudy.families.base import Fold
from metastudy.families.candidates import to_search
from metastudy.families.search_feedback import N_MATCH
from metastudy.feedback import examples
from metastudy.feedback import index as page_index
from metastudy.feedback.learned_columns import COLUMNS, SAME_AS_F_L
from metastudy.feedback.ranker import FeedbackRanker, Weights
from metastudy.feedback.rocchio import GRIDS
from metastudy.feedback.tuned import TunedFeedback
from metastudy.methods import Fitted, Method, alone
from metastudy.own_data import own_collection, searched, stored_ranker
from metastudy.own_data.own_collection import OwnCollection
from metastudy.own_data.stored_ranker import ByOwnCount, Formula, LibraryRanker, StoredRanker, nearest_shots
from metastudy.train import TrainConfig
from toy_collections import toy

SHOTS = (1, 4)
CONFIG = TrainConfig(steps=2, tasks_per_step=2)
WEIGHTS = Weights(torch.randn(2, 2, len(COLUMNS), generator=torch.Generator().manual_seed(0)), COLUMNS)
FOLD = Fold("one", ("cranfield",), (), ("cisi",))


@pytest.fixture(autouse=True)
def _libraries(monkeypatch):
    in_place_of_libraries(monkeypatch)


@pytest.fixture
def study(monkeypatch):
    """The study's own family of two collections, of which the second one is also somebody's own."""
    family = toy_ranker.in_place_of_public_collections(monkeypatch)
    monkeypatch.setattr(page_index, "load", lambda name, encoder=None: toy_ranker._around()[name].index)
    family.max_shots = max(SHOTS)
    return family


def own(**settings) -> OwnCollection:
    return OwnCollection("cisi", searched.build(to_search(toy_ranker.SOURCES["cisi"])), shots=SHOTS, **settings)


def frozen(family, shots, fold=None):
    """Tasks of cisi, which are scaled by the training collections of a fold."""
    specs = family.freeze(np.random.default_rng(0))
    return [family.build(s, shots, fold or family.folds()[0]) for s in specs if s.family == "cisi"]


def test_tasks_are_those_of_the_study(study):
    family = own()
    assert family.left_out["cisi"] == study.left_out["cisi"]
    assert list(family.results("cisi")) == list(study.results("cisi"))
    for one, other in zip(family.results("cisi").values(), study.results("cisi").values(), strict=True):
        assert one.pages == other.pages and one.judged == other.judged
        for name in ("places", "x", "y"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for shots in SHOTS:
        for one, other in zip(frozen(family, shots), frozen(study, shots, FOLD), strict=True):
            assert one.id == other.id and one.query_ids == other.query_ids
            assert torch.equal(one.support_y, other.support_y) and torch.equal(one.query_y, other.query_y)
            vectors = slice(N_MATCH, None)
            assert torch.equal(one.query_x[:, vectors], other.query_x[:, vectors]), "the rest is scaled by others"


def test_a_stored_g_scores_as_the_studys_ranker_with_its_weights(study, monkeypatch):
    monkeypatch.setattr(FeedbackRanker, "train", lambda *_: WEIGHTS)
    expected = FeedbackRanker("g").fit(study, FOLD, CONFIG, 0)
    family = own()
    found = StoredRanker("g", WEIGHTS).fit(family, family.folds()[0], CONFIG, 0)
    none = Formula("none").fit(family, family.folds()[0], CONFIG, 0)
    plain = TunedFeedback("none").fit(study, FOLD, CONFIG, 0)
    for shots in SHOTS:
        tasks, same = frozen(family, shots), frozen(study, shots, FOLD)
        for a, b in ((found, expected), (none, plain)):
            for one, other, task, its in zip(a.predict(tasks, shots), b.predict(same, shots), tasks, same, strict=True):
                assert torch.equal(one, other)
                assert family.score(task, one) == study.score(its, other)


def test_what_libraries_teach_is_what_collections_of_the_study_teach(study, monkeypatch):
    """The same collections once registered, once as libraries."""
    found = {n: searched.of_arrays(n, searched.build(to_search(s))) for n, s in toy_ranker.SOURCES.items()}
    monkeypatch.setattr(searched, "load_library", lambda name, encoder=None: found[name])
    arrays = searched.build(to_search(toy("mine", 2)))
    study.shots = (4,)
    family = OwnCollection("mine", arrays, shots=(4,), libraries=toy_ranker.NAMES)
    fold = family.folds()[0]
    assert sorted((*fold.train, *fold.validation)) == sorted(toy_ranker.NAMES) and fold.test == ("mine",)
    few = {name: make()[::40] for name, make in GRIDS.items()}
    for name, settings in few.items():
        monkeypatch.setitem(GRIDS, name, lambda settings=settings: settings)
    for name in ("D", "F"):
        assert Formula(name).choose(family, fold, 4) == TunedFeedback(name).choose(study, fold, 4)
    one, other = stored_ranker._examples(family, "cisi", 4), examples.load(study, "cisi", 4)
    for part in ("x", "grades", "mask", "ideal"):
        assert torch.equal(getattr(one, part), getattr(other, part))
    data = []
    monkeypatch.setattr(FeedbackRanker, "train_on", lambda self, found, seed: data.append(found) or WEIGHTS)
    for ranker, source in ((FeedbackRanker, study), (LibraryRanker, family)):
        ranker("g", SAME_AS_F_L).train(source, (*fold.train, *fold.validation), 3)
    assert data[0].keys() == data[1].keys() and all(torch.equal(data[0][k].x, data[1][k].x) for k in data[0])


def test_a_family_survives_pickling_and_is_told_by_its_data():
    family = own()
    again = cloudpickle.loads(cloudpickle.dumps(family))
    assert repr(again) == repr(family) and again.content_hash() == family.content_hash()
    for one, other in zip(frozen(family, 4), frozen(again, 4), strict=True):
        assert torch.equal(one.query_x, other.query_x) and torch.equal(one.support_x, other.support_x)
    told = {repr(own(judged={"0": ("1",)})), repr(own(judged={"0": ("2",)})), repr(own(max_queries=7)), repr(family)}
    source = toy_ranker.SOURCES["cisi"]
    collection = to_search(source)
    collection.bodies[5] += " another"
    told.add(repr(OwnCollection("cisi", searched.build(collection), shots=SHOTS)))
    assert len(told) == 5


def test_a_fitted_method_is_sent_without_the_data():
    family, sent = own(), {}
    fold = family.folds()[0]
    for method in (StoredRanker("g", WEIGHTS), Formula("none"), *alone(Prototypes())):
        fitted = method.fit(family, fold, CONFIG, 0)
        sent[method.name] = fitted, cloudpickle.dumps(fitted)
        assert len(sent[method.name][1]) < 60_000 < len(cloudpickle.dumps(family)) / 5
    tasks = frozen(family, 4)
    for fitted, content in sent.values():
        for one, other in zip(fitted.predict(tasks, 4), cloudpickle.loads(content).predict(tasks, 4), strict=True):
            assert torch.equal(one, other)
    alone_there = cloudpickle.loads(sent["g"][1])
    del family, sent, fitted
    with pytest.raises(DataError, match="is not in this process; build a task of it first"):
        alone_there.predict(tasks, 4)


def test_columns_are_computed_once_for_all_methods(monkeypatch):
    family, calls = own(), []
    real = own_collection.components
    monkeypatch.setattr(own_collection, "components", lambda *a: calls.append(a) or real(*a))
    for _ in range(2):
        Formula("none").fit(family, family.folds()[0], CONFIG, 0).predict(frozen(family, 4), 4)
    assert len(calls) == len(frozen(family, 4)) > 0


class Told(Method):
    """Predicts the k that it is told."""

    name = "told"

    def fit(self, family, fold, config, seed, checkpoint=None):
        return Fitted(lambda tasks, k: [torch.full((len(t.query_y),), float(k)) for t in tasks])


def test_tasks_of_different_k_are_predicted_with_their_own():
    judged = {"0": ("0", "8"), "1": ("9",), "2": ("1", "2", "3", "4", "5")}
    collection = to_search(toy_ranker.SOURCES["cisi"])
    for name in ("queries", "asked"):
        setattr(collection, name, getattr(collection, name)[:3])
    collection.relevant = {q: {p: 1 for p in pages if p != "5"} for q, pages in judged.items()}
    family = OwnCollection("cisi", searched.build(collection, None, judged), shots=SHOTS, judged=judged, hidden=(7,))
    tasks, fold = family.asked(), family.folds()[0]
    assert [len(t.support_y) - 1 for t in tasks] == [2, 1, 5] and tasks[2].support_y.tolist() == [1, 1, 1, 1, 0, 0]
    for task, pages in zip(tasks, judged.values(), strict=True):
        ranked = {row.split("|")[1] for row in task.query_ids}
        assert ranked == {str(i) for i in range(130)} - set(pages) - {"7"}
    assert [p[0].item() for p in ByOwnCount(Told()).fit(family, fold, CONFIG, 0).predict(tasks, 1)] == [1, 1, 4]
    g = StoredRanker("g", WEIGHTS)
    found, plain = (m.fit(family, fold, CONFIG, 0) for m in (ByOwnCount(g), g))
    for task, k, prediction in zip(tasks, (2, 1, 5), found.predict(tasks, 1), strict=True):
        assert torch.equal(prediction, plain.predict([task], k)[0])
    assert not torch.equal(found.predict(tasks, 1)[2], plain.predict(tasks, 1)[2])


def test_the_nearest_number_of_shots_is_the_one_below():
    assert [nearest_shots((2, 4, 8), k) for k in (1, 2, 3, 4, 7, 9)] == [2, 2, 2, 4, 4, 8]
