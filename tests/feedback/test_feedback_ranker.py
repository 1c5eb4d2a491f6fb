"""g learns weights on other collections: what it minimises, what it never reads, that it repeats, and that it helps."""

from __future__ import annotations

import pickle
import weakref
from dataclasses import replace
from math import log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from helpers import NoTestFold
from metastudy import cache, evaluate
from metastudy.errors import ParameterError
from metastudy.evaluate import cross_validate
from metastudy.families.search_feedback import NAMES as COLLECTIONS
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import examples, ranker, surroundings
from metastudy.feedback.components import components
from metastudy.feedback.examples import Examples
from metastudy.feedback.grid import ndcg
from metastudy.feedback.learned_columns import COLUMNS, SAME_AS_F_L
from metastudy.feedback.ranker import LOOKED_AT, FeedbackRanker, Weights, share
from metastudy.feedback.rocchio import NONE, feedback_scores
from metastudy.feedback.tuned import TunedFeedback
from metastudy.train import TrainConfig, rng_for
from toy_collections import toy
from toy_feedback import ToyCollections

SOURCES = {name: toy(name, seed, 12, 100, 6) for seed, name in enumerate(COLLECTIONS)}
CONFIG = TrainConfig(steps=1)
QUICK = FeedbackRanker("g", trainings=2, steps=4, queries=6)
THREE = ("bm25", "dense", "late")
SMALL = FeedbackRanker("small", THREE, trainings=2, steps=6, queries=4)


def made_up(seed: int, direction, queries: int = 20, n: int = 30) -> Examples:
    """Columns of noise; the pages that are best in one direction are relevant."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(queries, n, len(direction))).astype(np.float32)
    mask = np.arange(n) < rng.integers(n // 2, n + 1, (queries, 1))
    x[~mask] = 0
    hidden = np.where(mask, x @ np.asarray(direction) + 0.3 * rng.normal(size=mask.shape), -np.inf)
    grades = 1.0 * (hidden.argsort(1).argsort(1) >= n - 3) + (hidden.argsort(1).argsort(1) >= n - 1)
    ideal = (2 + 1 / log2(3) + 1 / log2(4)) * (1 + rng.random(queries))  # relevant pages elsewhere
    return Examples(torch.tensor(x), torch.tensor(grades).float(), torch.tensor(mask), torch.tensor(ideal).float())


def mean_ndcg(found: Examples, beta) -> float:
    """Exact nDCG@10 of a direction, as if relevant pages were nowhere else."""
    scores = (found.x.double() @ torch.as_tensor(beta).double()).numpy()
    rows = zip(scores, found.grades.double().numpy(), found.mask.numpy(), strict=True)
    return float(np.mean([ndcg(s[None, m], g[m], (2, 1, 1))[0] for s, g, m in rows]))


DATA = {("one", 1): made_up(0, [1, 0.5, 0]), ("two", 1): made_up(1, [1, 0.7, 0.2]), ("one", 8): made_up(2, [0.4, 1, 0])}


def listwise_objective(flat, data, penalty: float) -> float:
    """The plain definition, in double precision."""
    beta, losses = np.reshape(flat, (2, -1)), []
    for (_, k), e in data.items():
        values = []
        for x, g, m in zip(e.x.double().numpy(), e.grades.double().numpy(), e.mask.numpy(), strict=True):
            s = x[m] @ (beta[0] + log2(k) / 3 * beta[1])
            log_p = s - s.max() - np.log(np.exp(s - s.max()).sum())
            values.append(-(g[m] / g[m].sum()) @ log_p)
        losses.append(np.mean(values))
    return np.mean(losses) + penalty * np.square(beta).sum()


def smooth_objective(flat, start, some, temperature: float, penalty: float) -> float:
    """Minus smooth nDCG@10 of drawn queries by (collection, k), page by page, and the penalty."""
    beta, found = np.reshape(flat, (2, -1)), []
    for (_, k), (x, grades, mask, ideal) in some.items():
        values = []
        for q in range(len(x)):
            s, total = x[q][mask[q]] @ (beta[0] + log2(k) / 3 * beta[1]), 0.0
            for i, g in enumerate(grades[q][mask[q]]):
                rank = 1 + (1 / (1 + np.exp((s[i] - np.delete(s, i)) / temperature))).sum()
                total += g / (1 + np.exp(rank - 10.5)) / np.log2(1 + rank)
            values.append(total / ideal[q])
        found.append(np.mean(values))
    return penalty * np.square(beta - start).sum() - np.mean(found)


def test_shares_of_k():
    assert [share(k) for k in (1, 2, 4, 8)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert share(0) == share(1) and share(9) == share(100) == share(8)


def test_the_first_loss_is_at_its_optimum_found_another_way():
    found = SMALL._listwise(DATA).double().numpy()
    assert np.abs(found[0]).max() == pytest.approx(1, abs=1e-6)
    other = minimize(listwise_objective, np.zeros(6), (DATA, SMALL.penalty), method="BFGS").x.reshape(2, 3)
    assert np.allclose(found, other / np.abs(other[0]).max(), rtol=0, atol=2e-3)


def test_a_larger_penalty_and_repeated_queries_of_one_collection():
    """The penalty is on weights, so it lowers them before they are scaled; and each (collection, k) counts the same."""
    twice = DATA | {("one", 1): Examples(*(torch.cat([v, v]) for v in vars(DATA["one", 1]).values()))}
    assert torch.allclose(SMALL._listwise(twice), SMALL._listwise(DATA), atol=2e-3)
    strong = replace(SMALL, penalty=10.0)._listwise(DATA).double().numpy()
    slope = np.array(
        [listwise_objective(1e-4 * v, DATA, 0) - listwise_objective(-1e-4 * v, DATA, 0) for v in np.eye(6)]
    )
    slope = -slope.reshape(2, 3)
    assert np.allclose(strong, slope / np.abs(slope[0]).max(), atol=0.05), "near zero it follows the first slope"


def test_the_second_loss_starts_there_and_follows_the_slope():
    """Three steps of Adam (Kingma and Ba 2015, algorithm 1) on differences of the plain definition."""
    start = SMALL._listwise(DATA)
    assert torch.equal(replace(SMALL, steps=0)._ranked(DATA, start, rng_for(0)), start)
    origin, rng = start.double().numpy(), rng_for(0)
    beta, first, second = origin.copy(), np.zeros((2, 3)), np.zeros((2, 3))
    for step in (1, 2, 3):
        some = {}
        for key, e in DATA.items():
            rows = rng.permutation(len(e.x))[: SMALL.queries]
            drawn = [v.numpy()[rows] for v in (e.x, e.grades, e.mask, e.ideal)]
            some[key] = [v if v.dtype == bool else v.astype(float) for v in drawn]

        def value(shift, some=some, beta=beta):
            return smooth_objective(beta.ravel() + shift, origin, some, SMALL.temperature, SMALL.penalty)

        slope = np.array([value(1e-5 * v) - value(-1e-5 * v) for v in np.eye(6)]).reshape(2, 3) / 2e-5
        assert (np.abs(slope) > 1e-4).all(), "a step of rounding would prove nothing"
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        scaled = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        beta = beta - SMALL.learning_rate * scaled
        found = replace(SMALL, steps=step)._ranked(DATA, start, rng_for(0)).double().numpy()
        assert np.allclose(found, beta, rtol=0, atol=1e-5)


def test_the_second_loss_looks_at_the_first_candidates_alone():
    long = {("one", 1): made_up(4, [1, 0.5, 0], queries=6, n=LOOKED_AT + 30)}
    e = long["one", 1]
    x = e.x.clone()
    x[:, LOOKED_AT:] = torch.randn(x[:, LOOKED_AT:].shape, generator=torch.Generator().manual_seed(0))
    other = {("one", 1): replace(e, x=x)}
    start = SMALL._listwise(long)
    assert torch.equal(SMALL._ranked(long, start, rng_for(0)), SMALL._ranked(other, start, rng_for(0)))
    assert not torch.equal(SMALL._listwise(other), start), "the first looks at all of them"
    e.x[:, LOOKED_AT - 1] += 1
    assert not torch.equal(SMALL._ranked(long, start, rng_for(0)), SMALL._ranked(other, start, rng_for(0)))


def test_training_beats_untrained_weights_on_queries_that_it_never_saw():
    trained = replace(SMALL, steps=40, queries=20).train_on(DATA, 0)
    for (_, k), direction in (((0, 1), [1, 0.6, 0.1]), ((0, 8), [0.4, 1, 0])):
        new = made_up(99 + k, direction, queries=60)
        learned, equal, truth = (mean_ndcg(new, b) for b in (trained.at(k), np.ones(3), np.array(direction)))
        assert learned > equal + 0.02 and learned > truth - 0.03
    assert trained.at(1)[0] > trained.at(1)[1] and trained.at(8)[0] < trained.at(8)[1], "weights depend on k"


def test_the_second_loss_raises_what_it_is_meant_to_raise():
    start = SMALL._listwise(DATA)
    off = start + torch.tensor([[0.0, -0.6, 0.9], [0, 0, 0]])  # somewhere else, to have something to learn
    found = replace(SMALL, steps=60, queries=20, penalty=0.0)._ranked(DATA, off, rng_for(0))
    for (_, k), e in DATA.items():
        before, after = (mean_ndcg(e, b[0] + share(k) * b[1]) for b in (off, found))
        assert after > before + 0.03
    held = replace(SMALL, steps=60, queries=20, penalty=1e3)._ranked(DATA, off, rng_for(0))
    assert (held - off).norm() < 0.1 * (found - off).norm(), "a penalty holds it where it starts"


def test_the_same_seed_gives_the_same_bits_and_trainings_differ(monkeypatch):
    first, again, other = (SMALL.train_on(DATA, seed).beta for seed in (0, 0, 1))
    assert first.shape == (2, 2, 3) and torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1]) and not first.requires_grad
    before, seen = torch.get_num_threads(), set()
    for name in ("listwise_loss", "smooth_ndcg"):
        loss = getattr(ranker, name)
        monkeypatch.setattr(ranker, name, lambda *a, loss=loss: seen.add(torch.get_num_threads()) or loss(*a))
    torch.set_num_threads(2)
    try:
        assert torch.equal(SMALL.train_on(DATA, 0).beta, first), "whatever the number of threads"
        assert seen == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4, 8, 20]))
def test_weights_at_k_are_a_mean_of_directions(seed, k):
    beta = torch.tensor(np.random.default_rng(seed).normal(size=(3, 2, 3)))
    expected = np.zeros(3)
    for a, b in beta.numpy():
        direction = a + log2(min(k, 8)) / 3 * b
        expected += direction / np.sqrt(sum(v * v for v in direction)) / 3
    found = Weights(beta, THREE).at(k)
    assert found.numpy() == pytest.approx(expected) and found.norm() <= 1 + 1e-9
    assert torch.allclose(Weights(beta * torch.tensor([1.0, 5, 0.1])[:, None, None], THREE).at(k), found), (
        "scale is none"
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 8]))
def test_scores_are_weighted_sums_of_a_pages_own_columns(seed, k):
    rng = np.random.default_rng(seed)
    x, order = rng.normal(size=(15, len(COLUMNS))), rng.permutation(15)
    x[7] = x[3] + 1e-13
    weights = Weights(torch.tensor(rng.normal(size=(1, 2, 3)), dtype=torch.float32), THREE)
    beta = dict(zip(THREE, weights.at(k).tolist(), strict=True))
    found = weights.scores(x, k, True)
    expected = [sum(v * row[COLUMNS.index(name)] for name, v in beta.items()) for row in x]
    assert found.tolist() == pytest.approx(expected, abs=1e-8) and found[7] == found[3]
    assert np.allclose(weights.scores(x[order], k, True), found[order], rtol=0, atol=2e-9)
    assert np.allclose(weights.scores(x[:5], k, True), found[:5], rtol=0, atol=2e-9)
    plain = weights.scores(x, k, False)
    assert plain.tolist() == pytest.approx([sum(v * r[COLUMNS.index(n)] for n, v in NONE.items()) for r in x], abs=1e-8)


def test_where_there_is_nothing_to_learn_scores_are_finite():
    """No column differs, or no candidate is relevant: then all pages are alike."""
    nothing = Examples(torch.zeros(5, 8, 3), torch.ones(5, 8), torch.ones(5, 8, dtype=torch.bool), torch.ones(5))
    irrelevant = replace(made_up(0, [1, 0, 0]), grades=torch.zeros(20, 30))
    for e in (nothing, irrelevant):
        found = SMALL.train_on({("one", 1): e, ("one", 8): e}, 0)
        assert torch.isfinite(found.beta).all()
        assert np.isfinite(found.scores(np.random.default_rng(0).normal(size=(4, len(COLUMNS))), 8, True)).all()


@pytest.fixture(scope="module")
def toys():
    return ToyCollections.of(SOURCES)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Examples are made once for all tests, as in a project."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def family(toys, kept, monkeypatch):
    toys.in_place(monkeypatch, kept)
    monkeypatch.setattr(evaluate, "_IN_THIS_PROCESS", {})  # families that look alike, of other tests
    return SearchFeedback(max_queries=4, shots=(1, 4))


def frozen_tasks(family: SearchFeedback, fold, shots: int):
    return [family.build(s, shots, fold) for s in family.freeze(np.random.default_rng(0)) if s.fold == fold.name]


class Guarded(SearchFeedback):
    """Fails where fitting asks for anything of the evaluation."""

    def build(self, *_):
        raise AssertionError("a frozen task was built before evaluation")

    score = freeze = build


def test_fit_never_sees_the_test_and_predicts_each_task_by_itself(family):
    guarded, fold = Guarded(max_queries=4, shots=(1, 4)), family.folds()[0]
    fitted = QUICK.fit(guarded, NoTestFold(fold), CONFIG, seed=0)
    for shots in family.shots:
        tasks = frozen_tasks(family, fold, shots)
        found = fitted.predict(tasks, shots)
        assert len(found) == len(tasks) == 4
        for task, p in zip(tasks, found, strict=True):
            assert p.shape == task.query_y.shape and p.is_floating_point()
            assert not p.requires_grad and torch.isfinite(p).all()
        assert torch.equal(fitted.predict([tasks[2]], shots)[0], found[2])
        blind = replace(tasks[2], query_y=tasks[2].query_y.roll(3))
        assert torch.equal(fitted.predict([blind], shots)[0], found[2]), "grades of what is ranked are not read"
    assert not torch.equal(fitted.predict(tasks, 1)[0], fitted.predict(tasks, 4)[0]), "k counts"


def test_fitting_repeats_and_does_not_ignore_the_seed(family):
    fold = family.folds()[1]
    tasks = frozen_tasks(family, fold, 4)
    first, again, other = (torch.cat(QUICK.fit(family, fold, CONFIG, seed).predict(tasks, 4)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other) and not QUICK.deterministic


def test_judgements_of_the_tested_collection_have_no_influence_on_fitting(family, monkeypatch, tmp_path):
    """Poisoned: every judgement of the tested collection is about another page. Nothing of it is asked for either."""
    fold = family.folds()[2]
    expected = QUICK.train(family, (*fold.train, *fold.validation), 0)
    poisoned = SearchFeedback(max_queries=4, shots=(1, 4))
    found = family.found[fold.test[0]]
    wrong = found.judgements.copy()
    wrong[:, 1] = (wrong[:, 1] + 37) % len(found.pages)
    poisoned.found = {**family.found, fold.test[0]: replace(found, judgements=wrong, content_hash="poisoned")}
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)  # nothing that is kept may hide it
    asked, learned = [], []
    load, around, train = examples.load, surroundings.load, FeedbackRanker.train
    monkeypatch.setattr(examples, "load", lambda f, name, k: asked.append(name) or load(f, name, k))
    monkeypatch.setattr(surroundings, "load", lambda name, encoder=None: asked.append(name) or around(name))
    monkeypatch.setattr(FeedbackRanker, "train", lambda *a: learned.append(train(*a)))
    QUICK.fit(poisoned, NoTestFold(fold), CONFIG, 0)
    assert set(asked) == {*fold.train, *fold.validation} == set(COLLECTIONS) - set(fold.test)
    assert len(learned) == 1 and torch.equal(learned[0].beta, expected.beta)
    names = (*fold.train[1:], *fold.validation, *fold.test)
    assert not torch.equal(train(QUICK, poisoned, names, 0).beta, train(QUICK, family, names, 0).beta), "it would show"


def test_without_a_relevant_judged_page_it_is_the_first_stage(family, toys):
    fold = family.folds()[0]
    task = frozen_tasks(family, fold, 4)[0]
    nothing = replace(task, support_y=torch.zeros_like(task.support_y))
    query, index = task.query_ids[0].split("|")[0], toys.around[task.family].index
    judged = [index.place[page] for page in family.results(task.family)[query].judged[:4]]
    rows = [index.place[row.split("|")[1]] for row in task.query_ids]
    expected = feedback_scores(components(index, index.query(query), [], judged)[rows], NONE, positives=False)
    found = QUICK.fit(family, fold, CONFIG, 0).predict([nothing, task], 4)
    assert np.allclose(found[0].numpy(), expected, rtol=0, atol=2e-9) and not torch.allclose(found[0], found[1])


def test_pages_with_the_same_text_have_the_same_score(monkeypatch, tmp_path):
    """The last pages of the tested collection are copies of its first, which some queries rank both."""
    sources = dict(SOURCES)
    name = COLLECTIONS[0]
    copied = {f"copy{i}": SOURCES[name].documents[str(i)] for i in range(40)}
    sources[name] = replace(SOURCES[name], documents=SOURCES[name].documents | copied)
    ToyCollections.of(sources).in_place(monkeypatch, tmp_path)
    family = SearchFeedback(max_queries=4, shots=(1, 4))
    fold = next(f for f in family.folds() if f.test == (name,))
    weights = Weights(torch.tensor(np.random.default_rng(0).normal(size=(2, 2, len(COLUMNS)))), COLUMNS)
    monkeypatch.setattr(FeedbackRanker, "train", lambda *_: weights)
    pairs = 0
    for shots in (1, 4):
        tasks = frozen_tasks(family, fold, shots)
        for task, found in zip(tasks, QUICK.fit(family, fold, CONFIG, 0).predict(tasks, shots), strict=True):
            score = dict(zip([row.split("|")[1] for row in task.query_ids], found.tolist(), strict=True))
            for page in copied:
                if page in score and page.removeprefix("copy") in score:
                    pairs += 1
                    assert score[page] == score[page.removeprefix("copy")]
    assert pairs > 50


def test_in_an_evaluation_it_beats_equal_weights_and_no_feedback(family, monkeypatch):
    specs = family.freeze(np.random.default_rng(0))
    equal = FeedbackRanker("equal weights")
    learned = FeedbackRanker("g", trainings=1, steps=8, queries=6)
    flat = Weights(torch.ones(1, 2, len(COLUMNS)), COLUMNS)
    train = FeedbackRanker.train
    monkeypatch.setattr(
        FeedbackRanker, "train", lambda self, *a: flat if self.name == "equal weights" else train(self, *a)
    )
    scores = cross_validate(family, specs, [TunedFeedback("none"), equal, learned], CONFIG, seeds=[0]).scores
    mean = scores[scores["metric"] == "ndcg@10"].groupby(["method", "shots"])["value"].mean()
    for k in family.shots:
        assert mean["g", k] > mean["none", k] + 0.02 and mean["g", k] > mean["equal weights", k] + 0.02
    assert mean["g", 4] > mean["g", 1]


def test_tasks_stream_and_are_not_held(family):
    fold = family.folds()[0]
    fitted = QUICK.fit(family, fold, CONFIG, 0)
    tasks, alive, most = frozen_tasks(family, fold, 1), weakref.WeakSet(), []

    def stream():
        for _ in range(3):
            for task in tasks:
                alive.add(copy := replace(task))
                most.append(len(alive))
                yield copy
                del copy

    found = fitted.predict(stream(), 1)
    assert len(found) == 12 and max(most) <= 2
    assert all(torch.equal(p, q) for p, q in zip(found[:4], fitted.predict(tasks, 1), strict=True))
    assert fitted.predict([], 1) == []


def test_fewer_columns_have_no_other_in_their_scores(family):
    fold = family.folds()[0]
    tasks = frozen_tasks(family, fold, 4)
    own = replace(QUICK, name="g, columns of F+L", columns=SAME_AS_F_L)
    weights = own.train(family, (*fold.train, *fold.validation), 0)
    assert weights.columns == SAME_AS_F_L and weights.beta.shape == (2, 2, len(SAME_AS_F_L))
    x = np.random.default_rng(0).normal(size=(9, len(COLUMNS)))
    other = x.copy()
    other[:, [i for i, name in enumerate(COLUMNS) if name not in SAME_AS_F_L]] = 5
    assert np.array_equal(weights.scores(x, 4, True), weights.scores(other, 4, True))
    assert not torch.equal(
        own.fit(family, fold, CONFIG, 0).predict(tasks, 4)[0], QUICK.fit(family, fold, CONFIG, 0).predict(tasks, 4)[0]
    )


def test_methods_travel_and_what_cannot_be_learned_is_refused_when_it_is_made():
    assert pickle.loads(pickle.dumps(QUICK)) == QUICK
    for columns in (("bm25", "bm52"), (), ("bm25", "bm25")):
        with pytest.raises(ParameterError, match=r"columns .* of 'g'; expected some of bm25, dense"):
            FeedbackRanker("g", columns)
    for setting in ({"trainings": 0}, {"queries": 0}, {"steps": -1}, {"temperature": 0.0}):
        with pytest.raises(ParameterError, match=next(iter(setting))):
            FeedbackRanker("g", **setting)
