"""Labels saved: the crossing of two curves, found on the same tasks, against the better learner."""

from __future__ import annotations

import dataclasses
import math

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from at_hand import needs
from helpers import ToyFamily
from metastudy.abtest import t_interval
from metastudy.adapt.adam import train_on_support
from metastudy.classic import labels
from metastudy.classic.labels import (
    BETTER,
    CURVES,
    LEVELS,
    LongDigits,
    LongOmniglot,
    LongScratch,
    LongSinusoid,
    Question,
    crossing,
    curves,
    levels,
)
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import Fold
from metastudy.families.digits import Digits
from metastudy.families.sinusoid import Sinusoid
from metastudy.losses import loss, predict
from metastudy.methods import Fitted, Scratch, validation_tasks
from metastudy.model import BaseModel
from metastudy.tables import SCORES
from metastudy.tasks import Task, collate
from metastudy.train import TrainConfig, rng_for, torch_generator

N = np.array([1, 2, 4, 8])


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "RESAMPLES", 300)


@dataclasses.dataclass(frozen=True)
class Toy(ToyFamily):
    shots: tuple[int, ...] = (1, 2, 4)
    n_test: int = 5


def noted(curve: dict[str, list[float]], g: dict[int, float], spread: float = 0.0, n_tasks: int = 20) -> pd.DataFrame:
    """Scores whose means are these: learners at n = 1, 2, 4, 8, g at k. Tasks differ by what all have in common."""
    own = spread * np.linspace(-1, 1, n_tasks)
    cells = [(name, n, mean) for name, means in curve.items() for n, mean in zip(N, means, strict=True)]
    cells += [("g", k, mean) for k, mean in g.items()]
    rows = [
        ("toy", "f", f"t{t}", name, int(n), 0, "accuracy", mean + own[t])
        for name, n, mean in cells
        for t in range(n_tasks)
    ]
    return pd.DataFrame(rows, columns=list(SCORES))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.1, 1.0),  # there already
        (0.2, 1.0),
        (0.4, 2.0),
        (0.5, 2 * 2**0.5),  # half-way in log n
        (0.45, 2 * 2**0.25),
        (0.8, 8.0),
        (0.81, math.inf),
    ],
)
def test_a_curve_reaches_a_level_between_points_in_log_n(level: float, expected: float) -> None:
    assert crossing(N, np.array([0.2, 0.4, 0.6, 0.8]), level) == pytest.approx(expected)


def test_noise_does_not_reach_a_level_earlier() -> None:
    bump = np.array([0.2, 0.6, 0.4, 0.8])  # by chance good at 2: with 4 it is 0.5 in the mean
    assert crossing(N, bump, 0.5) == pytest.approx(2.0)
    assert crossing(N, bump, 0.55) == pytest.approx(4 * 2 ** (0.05 / 0.3))
    assert crossing(N, np.array([0.9, 0.5, 0.3, 0.1]), 0.45) == 1.0, "never rising is flat, at the mean"
    assert crossing(N, np.array([0.9, 0.5, 0.3, 0.1]), 0.46) == math.inf


def test_levels_are_counted_against_each_learner_and_the_better_of_them() -> None:
    scores = noted({"slow": [0.1, 0.2, 0.3, 0.7], "quick": [0.2, 0.4, 0.5, 0.55]}, {1: 0.45, 2: 0.6, 4: 0.9})
    found = levels(scores, higher_is_better=True)
    assert list(found.columns) == list(LEVELS) and set(found["largest"]) == {8}
    assert list(zip(found["k"], found["against"], strict=True)) == [
        (k, against) for k in (1, 2, 4) for against in ("slow", "quick", BETTER)
    ]
    needed = found.pivot(index="k", columns="against", values="needed")
    assert needed.loc[1].to_dict() == pytest.approx({"slow": 4 * 2**0.375, "quick": 2 * 2**0.5, BETTER: 2 * 2**0.5})
    assert needed.loc[2, "slow"] == pytest.approx(4 * 2**0.75) and math.isnan(needed.loc[2, "quick"])
    assert needed.loc[2, BETTER] == pytest.approx(4 * 2**0.5)  # from 0.5 of the one to 0.7 of the other
    assert needed.loc[4].isna().all()
    np.testing.assert_allclose(found["times"], found["needed"] / found["k"])
    answers = found.set_index(["k", "against"])["answer"]
    assert answers[4, BETTER] == "more than 8" and answers[1, "quick"] == "2.83"
    assert found.set_index("k")["g"].loc[1].tolist() == pytest.approx([0.45] * 3)


def test_the_better_is_never_reached_later_than_any_learner() -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        scores = noted({"a": rng.random(4).tolist(), "b": rng.random(4).tolist()}, {1: 0.5})
        needed = levels(scores, True).set_index("against")["needed"].fillna(math.inf)
        assert needed[BETTER] <= max(needed["a"], needed["b"])


def test_errors_fall_and_are_interpolated_by_their_logarithm() -> None:
    found = levels(noted({"scratch": [8.0, 0.8, 0.08, 0.008]}, {1: 0.08 * 10**0.5, 2: 1e-3}), higher_is_better=False)
    assert found["needed"].tolist()[0] == pytest.approx(2 * 2**0.5) and math.isnan(found["needed"].tolist()[1])
    assert found["answer"].tolist() == ["2.83", "more than 8"] and found["g"].tolist()[1] == pytest.approx(1e-3)


def test_what_all_share_on_a_task_does_not_widen_the_interval() -> None:
    scores = noted({"scratch": [0.2, 0.4, 0.6, 0.8]}, {1: 0.5}, spread=0.3)
    found = levels(scores, True).iloc[0]
    assert found["needed"] == pytest.approx(2 * 2**0.5)
    assert found["low"] == pytest.approx(found["needed"]) and found["high"] == pytest.approx(found["needed"])
    of_g = scores["method"] == "g"
    scores.loc[of_g, "value"] = scores.loc[of_g, "value"].to_numpy()[::-1]
    apart = levels(scores, True).iloc[0]
    assert apart["high"] - apart["low"] > 0.5, "of other tasks it would"


def test_the_interval_covers_how_tasks_vary() -> None:
    """About 95 of 100 intervals hold the true number."""
    rng, covered, repeats = np.random.default_rng(1), 0, 60
    base = noted({"scratch": [0.2, 0.4, 0.6, 0.8]}, {1: 0.5}, n_tasks=40)
    for _ in range(repeats):
        found = levels(base.assign(value=base["value"] + 0.2 * rng.normal(size=len(base))), True).iloc[0]
        assert found["low"] <= found["needed"] <= found["high"]
        covered += found["low"] <= 2 * 2**0.5 <= found["high"]
    assert covered >= 0.85 * repeats
    assert levels(base, True).equals(levels(base, True))


def test_an_interval_that_is_open_above_has_no_upper_end() -> None:
    rng = np.random.default_rng(2)
    base = noted({"scratch": [0.2, 0.4, 0.6, 0.8]}, {1: 0.79}, n_tasks=30)
    found = levels(base.assign(value=base["value"] + 0.2 * rng.normal(size=len(base))), True).iloc[0]
    assert 4 < found["low"] < 8 and math.isnan(found["high"])


def test_scores_that_do_not_belong_together_are_refused() -> None:
    scores = noted({"scratch": [0.2, 0.4, 0.6, 0.8], "other": [0.2, 0.4, 0.6, 0.8]}, {1: 0.5})
    for missing in ("g", ["scratch", "other"]):
        rest = scores[~scores["method"].isin(np.atleast_1d(missing))]
        with pytest.raises(DataError, match=r"scores are of \[.*\]; expected those of g and of other learners"):
            levels(rest, True)
    for kept in (
        ~((scores["method"] == "g") & (scores["task"] == "t3")),
        ~((scores["method"] == "other") & (scores["shots"] == 4)),
    ):
        with pytest.raises(DataError, match="were not all scored on the same tasks"):
            levels(scores[kept], True)


def test_curves_are_means_with_t_intervals() -> None:
    scores = noted({"scratch": [0.2, 0.4, 0.6, 0.8]}, {1: 0.5, 5: 0.7}, spread=0.1)
    found = curves(scores)
    assert list(found.columns) == list(CURVES)
    assert list(zip(found["learner"], found["n"], strict=True)) == [("g", 1), ("g", 5), *(("scratch", n) for n in N)]
    one = found[(found["learner"] == "scratch") & (found["n"] == 4)].iloc[0]
    values = scores[(scores["method"] == "scratch") & (scores["shots"] == 4)]["value"]
    assert (one["mean"], one["low"], one["high"]) == pytest.approx((0.6, *t_interval(values.to_numpy())))
    assert (one["study"], one["metric"]) == ("toy", "accuracy")


def same(a: list[torch.Tensor], b: list[torch.Tensor], atol: float = 0.0) -> bool:
    return all(torch.allclose(x, y, rtol=0, atol=atol) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_long_scratch_is_scratch(kind) -> None:
    family = Toy(kind)
    fold = family.folds()[0]
    tasks = [family.build(s, 4, fold) for s in family.freeze(rng_for(0)) if s.fold == fold.name]
    plain = Scratch(n_steps=(3, 30)).fit(family, fold, TrainConfig(), 1)
    for at_once in (1, 3, 40):
        own = LongScratch(n_steps=(3, 30), at_once=at_once).fit(family, fold, TrainConfig(), 1)
        assert same(own.predict(iter(tasks), 4), plain.predict(tasks, 4), atol=1e-4)
    other = LongScratch(n_steps=(3, 30)).fit(family, fold, TrainConfig(), 2)
    assert not same(other.predict(tasks, 4), plain.predict(tasks, 4), atol=1e-4)


def test_its_length_is_chosen_on_validation_tasks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Toy()
    fold, grid = family.folds()[0], (1, 5, 60)
    few = validation_tasks(family, fold)[2][:6]
    model = family.model()
    theta = model.init(torch_generator(rng_for(0, 1)))
    batch, losses = collate(few), []
    for n_steps in grid:
        found = predict(batch.kind, model(train_on_support(model, theta, batch, 0.01, n_steps), batch.query_x), None)
        losses.append(float(loss(batch.kind, found, batch.query_y, batch.query_mask, batch.query_group).mean()))
    assert len(set(losses)) == 3
    best = grid[int(np.argmin(losses))]
    monkeypatch.setattr(family.__class__, "build", None)  # test tasks are not there
    own = LongScratch(n_steps=grid, n_validation=6).fit(family, fold, TrainConfig(), 0)
    only = LongScratch(n_steps=(best,), n_validation=6).fit(family, fold, TrainConfig(), 0)
    assert same(own.predict(few, 2), only.predict(few, 2))


def test_lengths_that_diverge_are_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(model, theta, batch, rate, n_steps):
        found = train_on_support(model, theta, batch, rate, n_steps)
        return {k: v * math.nan for k, v in found.items()} if n_steps == 80 else found

    monkeypatch.setattr(labels, "train_on_support", diverging)
    family = Toy()
    fold = family.folds()[0]
    fitted = LongScratch(n_steps=(80, 1)).fit(family, fold, TrainConfig(), 0)
    assert torch.isfinite(torch.cat(fitted.predict(validation_tasks(family, fold)[2], 2))).all()


def answering(value: float) -> Fitted:
    return Fitted(lambda tasks, shots: [torch.full((len(task.query_y),), value) for task in tasks])


def toy_question(**settings: object) -> Question:
    learners = LongScratch(n_steps=(1,)), LongScratch("patient", n_steps=(20,))
    return Question("toy question", Toy(**settings), learners, "error", higher_is_better=False)


def test_all_are_scored_on_the_same_tasks_and_g_by_fold_and_number() -> None:
    asked: list[tuple[str, int]] = []

    def g(fold: Fold, k: int) -> Fitted:
        asked.append((fold.name, k))
        return answering(float(k))

    question = toy_question()
    found = labels.scores(question, g, labels=(1, 4))
    assert asked == [("one", 1), ("one", 4), ("two", 1), ("two", 4)]
    assert list(found.columns) == list(SCORES) and set(found["study"]) == {"toy question"}
    units = found.groupby(["method", "shots"])["task"].agg(list)
    assert {k: set(v) for k, v in units.index.groupby(units.index.get_level_values(0)).items()} == {
        "from scratch": {("from scratch", n) for n in (1, 2, 4)},
        "patient": {("patient", n) for n in (1, 2, 4)},
        "g": {("g", 1), ("g", 4)},
    }
    assert all(sorted(tasks) == sorted(units.iloc[0]) and len(tasks) == 10 for tasks in units)
    family = question.family
    (fold, *_), (spec, *_) = family.folds(), family.freeze(rng_for(0, 6))
    for k in (1, 4):
        truth = family.build(spec, k, fold).query_y
        own = found[(found["method"] == "g") & (found["shots"] == k) & (found["task"] == spec.id)]["value"].item()
        assert own == pytest.approx(float(((k - truth) ** 2).mean()), rel=1e-5)
    table = levels(found, question.higher_is_better)
    assert len(table) == 2 * 3 and set(table["against"]) == {"from scratch", "patient", BETTER}
    assert len(curves(found)) == 3 + 3 + 2


def test_scores_repeat_for_any_number_of_jobs_and_depend_on_the_seed() -> None:
    question = toy_question(n_test=2)
    with joblib.parallel_config(backend="threading"):  # processes take long to start
        first, again, other = (
            labels.scores(question, lambda *_: answering(0.0), (1,), seed, jobs)
            for seed, jobs in ((0, 1), (0, 2), (1, 1))
        )
    pd.testing.assert_frame_equal(first, again)
    assert not np.isin(other["value"], first["value"]).any()


@pytest.mark.parametrize("wrong", [(), (0,), (1, 5)])
def test_labels_that_no_task_holds_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match=r"labels for g are \[.*\]; expected numbers from 1 to 4"):
        labels.scores(toy_question(), lambda *_: answering(0.0), wrong)


def test_a_long_sinusoid_begins_with_the_points_of_a_short_one() -> None:
    short, long = Sinusoid(n_test=2), LongSinusoid(n_test=2)
    fold = long.folds()[0]
    for spec in long.freeze(rng_for(0)):
        one, most = short.build(spec, 20, fold), long.build(spec, 200, fold)
        assert torch.equal(one.support_x, most.support_x[:20]) and torch.equal(one.support_y, most.support_y[:20])
        assert torch.equal(one.query_x, most.query_x) and len(most.support_x) == 200


def rows(x: torch.Tensor) -> list[bytes]:
    return [row.numpy().tobytes() for row in x]


def nested(few: Task, many: Task, n: int) -> None:
    """The first rows of every class of the larger task are those of the smaller one; queries are equal and apart."""
    for c in range(many.n_classes):
        assert rows(few.support_x[few.support_y == c]) == rows(many.support_x[many.support_y == c])[:n]
    assert torch.equal(few.query_x, many.query_x) and torch.equal(few.query_y, many.query_y)
    assert not set(rows(many.support_x)) & set(rows(many.query_x))


def test_long_digits_hold_most_images_of_a_class() -> None:
    family = LongDigits(n_test=2)
    folds = {fold.name: fold for fold in family.folds()}
    assert [f.test for f in folds.values()] == [f.test for f in Digits().folds()]
    for spec in family.freeze(rng_for(0)):
        few, many = (family.build(spec, n, folds[spec.fold]) for n in (5, 150))
        assert len(many.support_x) == 3 * 150 and len(many.query_x) == 3 * 20
        nested(few, many, 5)
    for part in ("train", "validation"):
        assert family.sample(folds["0-1-2"], part, 150, 3, rng_for(1))


@needs("omniglot")
@pytest.mark.parametrize("ways", [5, 20])
def test_long_omniglot_learns_from_fifteen_drawings_of_test_characters(ways: int) -> None:
    family = labels.omniglot(ways, n_tasks=3).family
    fold, specs = family.folds()[0], family.freeze(rng_for(0))
    assert isinstance(family, LongOmniglot) and len(specs) == 3 and fold.test == (f"{ways}-way",)
    for spec in specs:
        few, many = (family.build(spec, n, fold) for n in (1, 15))
        assert set(spec.support[0]) <= set(family.classes["test"])
        assert many.n_classes == ways and len(many.support_x) == 15 * ways and len(many.query_x) == 5 * ways
        nested(few, many, 1)
    (validation,) = family.sample(fold, "validation", 15, 1, rng_for(0))
    assert validation.n_classes == ways and len(validation.query_x) == 4 * ways


def test_questions_ask_what_the_study_promises() -> None:
    asked = [labels.sinusoid(10), labels.digits(10), labels.omniglot(5, 10), labels.omniglot(20, 10)]
    assert [q.study for q in asked] == ["sinusoid", "digits", "omniglot 5-way", "omniglot 20-way"]
    assert [q.higher_is_better for q in asked] == [False, True, True, True]
    for question in asked:
        assert question.family.shots[0] == 1 and question.family.shots[-1] == question.family.max_shots
        assert question.metric in question.family.metrics
        assert isinstance(question.learners[0], Scratch) and set(labels.LABELS) <= set(range(1, 16))
        assert isinstance(question.family.model(), BaseModel)


def test_the_penalties_to_choose_from_reach_far_enough() -> None:
    """On validation tasks a much weaker penalty than those to choose from gains little."""
    question = labels.digits()
    family = dataclasses.replace(question.family, shots=(20,))
    fold = family.folds()[0]
    tasks = validation_tasks(family, fold)[20][:20]
    _, logistic = question.learners

    def log_loss(grid: tuple[dict[str, object], ...]) -> float:
        found = dataclasses.replace(logistic, grid=grid).fit(family, fold, TrainConfig(), 0).predict(tasks, 20)
        likelihoods = [p.gather(1, t.query_y.long()[:, None]) for p, t in zip(found, tasks, strict=True)]
        return float(-torch.cat(likelihoods).clamp(min=1e-6).log().mean())

    assert log_loss(logistic.grid) < 1.1 * log_loss(({"C": 1000.0},))


def test_a_real_question_from_end_to_end() -> None:
    """With more points training from scratch gets better, and never reaches one who knows the truth."""
    question = labels.sinusoid(4)
    scratch = dataclasses.replace(question.learners[0], n_steps=(10, 100), n_validation=4)
    question = dataclasses.replace(
        question, family=dataclasses.replace(question.family, shots=(2, 40)), learners=(scratch,)
    )
    truth = Fitted(lambda tasks, shots: [task.query_y for task in tasks])
    found = labels.scores(question, lambda *_: truth)
    means = curves(found).set_index(["learner", "n"])["mean"]
    assert means["from scratch", 40] < means["from scratch", 2] and means["g", 1] == 0
    table = levels(found, question.higher_is_better)
    assert table["answer"].tolist() == ["more than 40"] * 3 and table["needed"].isna().all()
