"""β from the support is the mean of mixtures by their quality, counted in plain loops, with every group left out."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from helpers import DIM, ToyFamily, make_task, small_mlp
from metastudy import evidence, methods
from metastudy.adapt import FromScratch, InputScore, Prototypes, RidgeHead, Unadapted
from metastudy.errors import TaskError
from metastudy.evaluate import cross_validate
from metastudy.evidence import N_MIXTURES, PRIOR, EvidenceMixture, mixtures, on_query, on_support, turned, weights
from metastudy.families.base import Score
from metastudy.methods import validation_tasks
from metastudy.mixture import MetaLearner
from metastudy.standard_scores import StandardScores
from metastudy.tasks import Task, collate
from metastudy.train import TrainConfig
from toy_summaries import TinyFamily

MODEL = small_mlp()
MEMBERS = (InputScore(0, "first"), InputScore(1, "second"), Unadapted(), FromScratch(n_steps=3), RidgeHead())
TOOLS = tuple(InputScore(i, f"tool{i}") for i in range(DIM))
LEARNER = StandardScores(MODEL, MEMBERS)
PARAMS = LEARNER.init(torch.Generator().manual_seed(0))
PARAMS = {k: v + 0.3 * torch.randn(v.shape, generator=torch.Generator().manual_seed(1)) for k, v in PARAMS.items()}
CONFIG = TrainConfig(steps=2, tasks_per_step=2, validate_every=1)


def task_of(n_groups: int, seed: int = 0, rows: int = 3) -> Task:
    """Rows of a group do not stand together, and groups have names that are not their numbers."""
    task = make_task("ranking", seed, n_support=rows * n_groups, n_query=7, n_groups=n_groups)
    names = {
        part: tuple(f"{part}{g}" for g in getattr(task, f"{part}_group").tolist()) for part in ("support", "query")
    }
    return dataclasses.replace(task, support_ids=names["support"], query_ids=names["query"])


def gain_of_the_first(task: Task, scores: torch.Tensor) -> list[float]:
    """0 to 100: what the row with the highest score is worth, by group."""
    found: dict[str, tuple[float, float]] = {}
    for name, score, gain in zip(task.query_ids, scores.tolist(), task.query_y.tolist(), strict=True):
        if name not in found or score > found[name][0]:
            found[name] = score, 100 * gain / 3
    return [gain for _, gain in found.values()]


def standard(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [(v - mean) / math.sqrt(sum((u - mean) ** 2 for u in values) / len(values) + 1e-8) for v in values]


def slow_members(task: Task) -> list[list[float]]:
    """Of every member, the standard scores of the support's rows: each fifth group by a task without these."""
    group = task.support_group.tolist()
    names = sorted(set(group))
    found = [[math.nan] * len(group) for _ in MEMBERS]
    for part in range(5):
        out = [i for i, g in enumerate(group) if names.index(g) % 5 == part]
        rest = [i for i in range(len(group)) if i not in out]
        if not out:
            continue
        x, y, g = task.support_x, task.support_y, task.support_group
        left = Task("t", "f", "ranking", x[rest], y[rest], x[out], y[out], support_group=g[rest], query_group=g[out])
        for j, member in enumerate(MEMBERS):
            scores = MetaLearner(MODEL, (member,)).predict(PARAMS, collate([left]))[0, :, 0].tolist()
            for name in {group[i] for i in out}:
                places = [place for place, i in enumerate(out) if group[i] == name]
                for place, value in zip(places, standard([scores[p] for p in places]), strict=True):
                    found[j][out[place]] = value
    return found


def slow_weights(task: Task, rate: float) -> list[float]:
    members, group = slow_members(task), task.support_group.tolist()
    numerator, denominator = [0.0] * len(MEMBERS), 0.0
    for w in mixtures(len(MEMBERS)).tolist():
        total = 0.0
        for name in set(group):
            rows = [i for i, g in enumerate(group) if g == name]
            best = max(rows, key=lambda i: sum(w[j] * members[j][i] for j in range(len(MEMBERS))))
            total += 100 * float(task.support_y[best]) / 3
        share = math.exp(rate * (total - 50 * len(set(group))))
        numerator = [n + share * own for n, own in zip(numerator, w, strict=True)]
        denominator += share
    return [n / denominator for n in numerator]


@pytest.mark.parametrize("n_groups", [2, 3, 7, 11])
def test_members_and_weights_are_those_of_plain_loops(n_groups) -> None:
    task = task_of(n_groups, seed=n_groups)
    found = on_support(LEARNER, PARAMS, task)
    torch.testing.assert_close(found, torch.tensor(slow_members(task)), rtol=0, atol=1e-4)
    for rate in (0.0, 0.01, 0.2):
        beta = weights(LEARNER, PARAMS, task, gain_of_the_first, rate)
        assert beta.tolist() == pytest.approx(slow_weights(task, rate), abs=1e-5)
    assert float(beta.max()) > 0.3, "not all alike"


@pytest.mark.parametrize("m", [1, 2, 5])
def test_mixtures_are_of_the_simplex_and_always_the_same(m) -> None:
    found = mixtures(m)
    assert found.shape == (1 + m + N_MIXTURES, m) and found.min() >= 0
    assert found.sum(1) == pytest.approx(1) and found[0].tolist() == [1 / m] * m
    assert np.array_equal(found[1 : m + 1], np.eye(m)) and found.mean(0) == pytest.approx(1 / m, abs=0.06)
    mixtures.cache_clear()
    assert np.array_equal(mixtures(m), found)


def test_without_a_rate_beta_is_the_mean_of_the_mixtures() -> None:
    beta = weights(LEARNER, PARAMS, task_of(4), gain_of_the_first, 0.0)
    assert beta.tolist() == pytest.approx(mixtures(len(MEMBERS)).mean(0).tolist(), abs=1e-6)


def test_one_group_or_one_member_leaves_nothing_to_weigh() -> None:
    def never(*_: object) -> list[float]:
        raise AssertionError("nothing can be left out")

    assert weights(LEARNER, PARAMS, task_of(1), never).tolist() == pytest.approx([1 / 5] * 5)
    alone = StandardScores(MODEL, MEMBERS[:1])
    assert weights(alone, PARAMS, task_of(4), never).tolist() == [1.0]


@pytest.mark.parametrize("n_groups", [2, 5, 8])
@pytest.mark.parametrize("right", range(DIM))
def test_a_member_that_is_right_gets_the_most_and_the_more_the_larger_the_rate(right, n_groups) -> None:
    task = task_of(n_groups, seed=right, rows=6)
    learner = StandardScores(MODEL, TOOLS)
    params = learner.init(torch.Generator().manual_seed(0))
    wanted = on_support(learner, params, task)[right]

    def nearness(asked: Task, scores: torch.Tensor) -> list[float]:
        """100 for a group with the standard scores of the member that is right, the less the further from them."""
        torch.testing.assert_close(asked.query_x, task.support_x)
        far = (scores - wanted) ** 2
        return [100 - 10 * float(far[asked.query_group == g].mean()) for g in range(n_groups)]

    beta = [weights(learner, params, task, nearness, rate) for rate in (0.0, 0.02, 0.1, 1.0, 10.0)]
    own = [float(b[right]) for b in beta]
    assert own == sorted(own) and own[1] > own[0] + 1e-4 and own[-1] > 0.9
    for b in beta[1:]:
        assert int(b.argmax()) == right and float(b.sum()) == pytest.approx(1) and float(b.min()) >= 0


def test_query_rows_never_matter() -> None:
    task = task_of(6)
    other = dataclasses.replace(
        task, query_x=5 - task.query_x[:3], query_y=3 - task.query_y[:3], query_group=task.query_group[:3],
        query_ids=("x", "y", "z"),
    )  # fmt: skip
    assert not torch.equal(on_query(LEARNER, PARAMS, task)[:, :3], on_query(LEARNER, PARAMS, other))
    found, expected = (weights(LEARNER, PARAMS, t, gain_of_the_first) for t in (other, task))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("n_groups", [2, 4, 7])
def test_members_see_no_label_of_what_they_rank(n_groups) -> None:
    task, learning = task_of(n_groups), [3, 4]
    before = on_support(LEARNER, PARAMS, task)
    for left_out in range(min(5, n_groups)):
        together = task.support_group % 5 == left_out
        poisoned = dataclasses.replace(task, support_y=torch.where(together, 1000 - task.support_y**3, task.support_y))
        after = on_support(LEARNER, PARAMS, poisoned)
        assert torch.equal(after[:, together], before[:, together])
        assert not torch.allclose(after[learning][:, ~together], before[learning][:, ~together], atol=1e-3)


def test_what_is_left_out_becomes_the_query() -> None:
    task = task_of(3)
    out = task.support_group == 1
    found = turned(task, out)
    assert found.query_ids == ("support1",) * 3 and found.query_group.tolist() == [1] * 3
    assert torch.equal(found.query_x, task.support_x[out]) and torch.equal(found.query_y, task.support_y[out])
    assert torch.equal(found.support_x, task.support_x[~out]) and 1 not in found.support_group
    assert torch.equal(found.support_y, task.support_y[~out])


def test_a_family_that_cannot_name_rows_of_the_support_is_told_so() -> None:
    task = dataclasses.replace(task_of(4), support_ids=("one",) * 12)
    with pytest.raises(TaskError, match=r"1 qualities for 4 labelled groups; expected one for each: .*support_ids"):
        weights(LEARNER, PARAMS, task, gain_of_the_first)
    with pytest.raises(TaskError, match="0 qualities for 4"):
        weights(LEARNER, PARAMS, dataclasses.replace(task, support_ids=()), lambda *_: [])


class Rated(ToyFamily):
    """Rankings whose rows have names; the metric that counts is the first."""

    metrics: ClassVar[tuple[str, ...]] = ("gain", "minus")

    def _task(self, name: str, source: str, shots: int, seed: int) -> Task:
        task = super()._task(name, source, shots, seed)
        ids = {f"{part}_ids": tuple(map(str, getattr(task, f"{part}_group").tolist())) for part in ("support", "query")}
        return dataclasses.replace(task, **ids)

    def score(self, task: Task, prediction: torch.Tensor) -> list[Score]:
        found = gain_of_the_first(task, prediction)
        return [Score(f"{task.id}:{i}", m, s * v) for i, v in enumerate(found) for m, s in (("minus", -1), ("gain", 1))]


FAMILY = Rated("ranking", shots=(2, 4))
FOLD = FAMILY.folds()[0]
G = EvidenceMixture("g", (*TOOLS, Prototypes()))


def test_quality_is_the_first_metric_of_each_group() -> None:
    task = FAMILY._task("t", "d", 4, 0)
    prediction = torch.randn(8, generator=torch.Generator().manual_seed(0))
    assert FAMILY.quality(task, prediction) == gain_of_the_first(task, prediction)
    assert [s.value for s in FAMILY.score(task, prediction) if s.metric == "minus"] != FAMILY.quality(task, prediction)


class OneSentence(TinyFamily):
    one_sentence = True


@pytest.mark.parametrize("family", [TinyFamily(), OneSentence()], ids=["of a length", "one sentence"])
def test_quality_of_summaries_is_their_rouge_1(family) -> None:
    fold = family.folds()[0]
    task = family.build(family.freeze(np.random.default_rng(0))[0], 3, fold)
    seen = set()
    for seed in (0, 1, 2, 0):
        prediction = torch.randn(len(task.query_y), generator=torch.Generator().manual_seed(seed))
        expected = [s.value for s in family.score(task, prediction) if s.metric == "rouge1"]
        assert family.quality(task, prediction) == pytest.approx(expected)
        seen |= set(expected)
    assert len(seen) > 1


@pytest.mark.parametrize("family", [TinyFamily(), OneSentence()], ids=["of a length", "one sentence"])
def test_rows_of_a_support_are_named_as_those_of_a_query(family) -> None:
    fold, spec = family.folds()[0], family.freeze(np.random.default_rng(0))[0]
    task = family.build(spec, 3, fold)
    suffix = "" if family.one_sentence else f"|{family.n_words(spec.support[0][:3])}"
    assert task.support_ids == tuple(f"{i}{suffix}" for i in spec.support[0][:3] for _ in range(5))
    assert task.query_ids == tuple(f"{i}{suffix}" for i in spec.query for _ in range(5))
    asked = dataclasses.replace(
        task, query_x=task.support_x, query_y=task.support_y, query_group=task.support_group, query_ids=task.support_ids
    )
    assert list(family.chosen(asked, task.support_y)) == list(spec.support[0][:3])


def test_the_method_mixes_standard_scores_by_weights_that_it_computes_once(monkeypatch) -> None:
    fitted = dataclasses.replace(G, rate=0.05).fit(FAMILY, FOLD, CONFIG, 0)
    assert isinstance(fitted.learner, StandardScores)
    assert {k for k in fitted.trained.params if k.startswith("beta.")} == {f"{PRIOR}{k}" for k in FAMILY.shots}
    tasks = [FAMILY._task(f"t{i}", "d", 4, i) for i in range(3)]
    params, asked = fitted.trained.params, []
    expected = [weights(fitted.learner, params, t, FAMILY.quality, 0.05) for t in tasks]

    def counted(learner, params, task: Task, quality, *numbers: float) -> torch.Tensor:
        asked.append(task.id)
        return weights(learner, params, task, quality, *numbers)

    monkeypatch.setattr(evidence, "weights", counted)
    found = fitted.predict(iter(tasks), 4)
    for task, beta, scores in zip(tasks, expected, found, strict=True):
        members = on_query(fitted.learner, params, task)
        torch.testing.assert_close(scores, sum(beta[j] * members[j] for j in range(4)), rtol=0, atol=1e-6)
    again = [FAMILY._task(f"t{i}", "d", 4, i) for i in range(3)]  # equal, but other objects
    assert torch.equal(fitted.weights(again), torch.stack(expected)) and asked == ["t0", "t1", "t2"]
    assert torch.equal(torch.stack(fitted.predict(again, 4)), torch.stack(found)) and len(asked) == 3
    namesake = dataclasses.replace(tasks[0], support_y=1 - tasks[0].support_y)
    fitted.weights([namesake, dataclasses.replace(tasks[0], query_x=-tasks[0].query_x)])
    assert asked[3:] == ["t0"], "other labels, but not another query, make another support"


def test_a_file_without_earlier_tasks_is_refused(tmp_path) -> None:
    with pytest.raises(TaskError, match=r"kept with what earlier tasks say of it: use .*Summarizer"):
        G.load(FAMILY, tmp_path / "g.safetensors")


def test_weights_are_in_the_table_of_an_evaluation(monkeypatch) -> None:
    monkeypatch.setattr(methods, "N_VALIDATION", 3)
    specs = FAMILY.freeze(np.random.default_rng(0))
    table = cross_validate(FAMILY, specs, [G], CONFIG, seeds=[0]).weights
    fitted = G.fit(FAMILY, FOLD, CONFIG, 0)
    for shots in (2, 4):
        beta = fitted.weights([FAMILY.build(s, shots, FOLD) for s in specs if s.fold == FOLD.name]).mean(0)
        found = table.query("fold == @FOLD.name and shots == @shots and seed == 0")
        assert found["mapping"].tolist() == [m.name for m in G.mappings]
        assert found["beta"].tolist() == pytest.approx(beta.tolist(), abs=1e-6)
    assert len(table) == 2 * 2 * 4


def test_earlier_tasks_are_worth_so_many_groups_whose_qualities_are_their_mean() -> None:
    """β from a support and a prior is β from the support and, `strength` times, the prior's mean quality."""
    fitted = G.fit(FAMILY, FOLD, CONFIG, 0)
    earlier = {k: tasks[: evidence.N_EARLIER] for k, tasks in validation_tasks(FAMILY, FOLD).items()}
    learner, params, task = fitted.learner, fitted.trained.params, FAMILY._task("t", "d", 4, 0)
    for k, tasks in earlier.items():
        mean = np.zeros(len(mixtures(4)))
        for one in tasks:
            members = on_query(learner, params, one)
            for i, w in enumerate(mixtures(4)):
                scores = sum(float(w[j]) * members[j] for j in range(4))
                mean[i] += np.mean(FAMILY.quality(one, scores)) / len(tasks)
        assert params[f"{PRIOR}{k}"].tolist() == pytest.approx(mean.tolist(), abs=1e-6)
    bare = {name: value for name, value in params.items() if not name.startswith(PRIOR)}
    assert torch.equal(
        weights(learner, bare, task, FAMILY.quality), weights(learner, params, task, FAMILY.quality, strength=0)
    )
    assert not torch.allclose(
        weights(learner, bare, task, FAMILY.quality), weights(learner, params, task, FAMILY.quality)
    )
    assert evidence.prior(bare, 3) == 0.0


@pytest.mark.parametrize(("k", "nearest"), [(1, 1), (2, 1), (3, 5), (7, 5), (8, 10), (400, 10)])
def test_the_prior_is_that_of_the_nearest_number_of_groups(k: int, nearest: int) -> None:
    params = {f"{PRIOR}{n}": torch.full((3,), float(n)) for n in (10, 1, 5)}
    assert evidence.prior(params, k).tolist() == [nearest] * 3
