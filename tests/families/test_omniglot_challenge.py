"""The one-shot challenge: runs as they are, training made like them, and nothing of the test alphabets in training."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch

from at_hand import needs
from helpers import NoTestFold
from metastudy import loaders
from metastudy.errors import DataError, ParameterError
from metastudy.families import omniglot_challenge
from metastudy.families.omniglot_challenge import OmniglotChallenge, held_out
from metastudy.families.warps import Redraw, Warp
from metastudy.loaders import pictures
from metastudy.loaders.omniglot import Character, Characters
from metastudy.loaders.omniglot_runs import Challenge
from metastudy.tasks import Task

SIDE = 16
SIZES = {("background", "Big"): 24, ("background", "Mid"): 20, ("background", "Odd"): 12, ("background", "Few"): 3}
SIZES |= {("evaluation", "Zeta"): 20}


def drawn(n: int, seed: int) -> np.ndarray:
    ink = np.random.default_rng(seed).random((n, 105, 105)) < 0.2
    return np.packbits(ink, axis=2)


def tiny() -> Characters:
    characters = sorted(Character(*key, n) for key, size in SIZES.items() for n in range(1, size + 1))
    bits = drawn(20 * len(characters), 0)
    c = characters.index(Character("background", "Odd", 1))
    bits[20 * c + 18] = bits[20 * c + 2]  # as in Braille: drawer 19 shows what drawer 3 shows
    return Characters("tiny", tuple(characters), bits)


TINY = tiny()
ANSWERS = np.array([np.roll(np.arange(20), 7), np.arange(20)])
RUNS = Challenge(("run01", "run02"), *(drawn(40, s).reshape(2, 20, 105, 14) for s in (1, 2)), ANSWERS)
BACKGROUND = TINY.part("background")
ROWS = {p.tobytes(): row for row, p in reversed(list(enumerate(pictures.resize(BACKGROUND.bits, SIDE))))}


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> OmniglotChallenge:
    """Four background alphabets in place of 30, two runs in place of 20."""
    monkeypatch.setattr(loaders, "load", lambda name: {"omniglot": TINY, "omniglot_challenge": RUNS}[name])
    return OmniglotChallenge(side=SIDE, channels=4)


def grey(images: torch.Tensor) -> np.ndarray:
    return (images[:, 0] * 255).round().to(torch.uint8).numpy()


def rows_of(images: torch.Tensor) -> list[int]:
    """Rows of the background; fails for any other picture."""
    return [ROWS[picture.tobytes()] for picture in grey(images)]


def test_small_alphabets_of_twenty_validate_one_in_six() -> None:
    assert held_out({"a": 40, "b": 20, "c": 19, "d": 21, "e": 30}) == ("b",)
    assert held_out({"z": 22, "b": 22, "c": 19, "d": 24, "e": 25}) == ("b",), "ties go by name"
    assert held_out({chr(97 + i): 40 - i for i in range(12)}) == ("l", "k")
    assert held_out({"a": 3}) == ()


def test_alphabets_are_split_and_small_ones_left_out(family: OmniglotChallenge) -> None:
    (fold,) = family.folds()
    assert (fold.train, fold.validation) == (("Big", "Odd"), ("Mid",))
    assert len(fold.test) == 20 and fold.test[0] == "run01" and fold.test[-1] == "run20"
    assert dataclasses.replace(family, min_ways=3).folds()[0].train == ("Big", "Few", "Odd")
    assert dataclasses.replace(family, min_ways=13).folds()[0].train == ("Big",)


def test_too_little_background_is_refused(family: OmniglotChallenge, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Characters("few", TINY.characters[-20:], TINY.bits[-400:])
    alone = Characters("alone", tuple(c._replace(part="background") for c in few.characters), few.bits)
    monkeypatch.setattr(loaders, "load", lambda name: alone)
    with pytest.raises(DataError, match="has 0 alphabets for training and 1 for validation; expected at least one"):
        OmniglotChallenge().folds()


@pytest.mark.parametrize("part", ["train", "validation"])
def test_sampled_tasks_are_made_like_runs(family: OmniglotChallenge, part: str) -> None:
    fold = family.folds()[0]
    tasks = family.sample(NoTestFold(fold), part, 1, 40, np.random.default_rng(0))
    assert {task.family for task in tasks} == set(getattr(fold, part))
    for task in tasks:
        shown, asked = np.array(rows_of(task.support_x)), np.array(rows_of(task.query_x)).reshape(-1, 4)
        assert task.n_classes == min(20, SIZES["background", task.family])
        for rows in (shown, *asked.T):
            characters = [BACKGROUND.characters[row // 20] for row in rows]
            assert [c.name for c in characters] == list(task.class_names)
            assert {c.alphabet for c in characters} == {task.family}
            assert len(set(rows % 20)) == 1, "all by one person"
        assert len(set(asked[0] % 20) | set(shown % 20)) == 5, "five different people"
        assert task.query_y.tolist() == np.repeat(np.arange(task.n_classes), 4).tolist()
        assert [int(i) for i in task.query_ids] == asked.ravel().tolist()


def test_a_repeated_picture_is_never_drawn(family: OmniglotChallenge) -> None:
    c = BACKGROUND.characters.index(Character("background", "Odd", 1))
    tasks = family.sample(family.folds()[0], "train", 1, 150, np.random.default_rng(0))
    drawers = {int(i) % 20 for t in tasks if t.family == "Odd" for i in t.query_ids}
    assert drawers == set(range(20)) - {18} and BACKGROUND.repeats == {20 * c + 18}
    assert 18 in {int(i) % 20 for t in tasks if t.family == "Big" for i in t.query_ids}


def test_training_classes_are_all_that_training_may_show(family: OmniglotChallenge) -> None:
    fold = family.folds()[0]
    seen = {n for t in family.sample(fold, "train", 1, 60, np.random.default_rng(0)) for n in t.class_names}
    assert seen == set(family.training_classes(fold)) and len(seen) == 24 + 12


def test_evaluation_alphabets_are_dropped(family: OmniglotChallenge) -> None:
    family.folds()
    family.sample(family.folds()[0], "train", 1, 1, np.random.default_rng(0))
    assert {c.part for c in family._characters.characters} == {"background"}
    assert len(family._pictures) == len(BACKGROUND.bits)


def test_runs_are_built_as_they_are(family: OmniglotChallenge) -> None:
    fold, specs = family.folds()[0], family.freeze(np.random.default_rng(0))
    assert specs == family.freeze(np.random.default_rng(1)), "nothing is drawn"
    assert [(s.id, s.family, s.fold) for s in specs] == [(r, r, "official") for r in RUNS.runs]
    training, test = RUNS.resized(SIDE)
    for r, spec in enumerate(specs):
        task = family.build(spec, 1, fold)
        np.testing.assert_array_equal(grey(task.support_x), training[r])
        np.testing.assert_array_equal(grey(task.query_x), test[r])
        assert task.support_y.tolist() == list(range(20)) and task.query_y.tolist() == ANSWERS[r].tolist()
        assert task.query_ids[0] == f"{spec.family}/item01" and task.class_names[19] == f"{spec.family}/class20"


def test_the_order_of_a_list_is_followed(family: OmniglotChallenge) -> None:
    spec = family.freeze(np.random.default_rng(0))[0]
    reordered = dataclasses.replace(spec, support=spec.support[::-1], query=spec.query[::-1])
    task = family.build(reordered, 1, family.folds()[0])
    assert task.query_y.tolist() == [19 - a for a in reversed(ANSWERS[0])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "run21"}, "task run01: the challenge has no run 'run21'"),
        ({"query": ("item21",)}, "no drawing to recognise 'item21'"),
        ({"query": (3,)}, "no drawing to recognise 3"),
        ({"support": (("class00",),)}, "no drawing to learn from 'class00'"),
        ({"support": (("class01",), ("class02",))}, "asks for class.., which it does not show"),
    ],
)
def test_a_list_with_other_ids_is_refused(family: OmniglotChallenge, change: dict, message: str) -> None:
    spec = dataclasses.replace(family.freeze(np.random.default_rng(0))[0], **change)
    with pytest.raises(DataError, match=message):
        family.build(spec, 1, family.folds()[0])


def test_scores_by_hand() -> None:
    x, y = torch.zeros(2, 1, 4, 4), torch.tensor([0, 1])
    task = Task(
        "run01", "run01", "classification", x, y, torch.zeros(4, 1, 4, 4), torch.tensor([0, 0, 1, 1]), n_classes=2
    )
    error, log_loss = OmniglotChallenge().score(task, torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.0, 1.0]]))
    assert (error.task, error.metric) == ("run01", "error_percent") and error.value == pytest.approx(25.0)
    assert log_loss.value == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.8)) / 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"background": "large"}, "background is 'large'; expected one of full, small1, small2"),
        ({"shots": (2,)}, "expected numbers from 1 to 1"),
        ({"min_ways": 21}, "min_ways is 21; expected 2 to 20"),
        ({"n_train_query": 19}, "n_train_query is 19; expected 1 to 18"),
    ],
)
def test_what_cannot_be_served_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        OmniglotChallenge(**settings)


def test_every_background_has_its_own_list_and_hash(family: OmniglotChallenge, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [OmniglotChallenge(background=b).task_list for b in omniglot_challenge.BACKGROUNDS]
    assert names == ["", "omniglot_challenge_small1", "omniglot_challenge_small2"]
    assert family.content_hash() == dataclasses.replace(family, side=28).content_hash()
    other = dataclasses.replace(RUNS, answers=ANSWERS[::-1])
    fewer = Characters("fewer", TINY.characters[1:], TINY.bits[20:])
    hashes = {family.content_hash()}
    for data in ({"omniglot": TINY, "omniglot_challenge": other}, {"omniglot": fewer, "omniglot_challenge": RUNS}):
        monkeypatch.setattr(loaders, "load", data.__getitem__)
        hashes.add(OmniglotChallenge().content_hash())
    assert len(hashes) == 3


def test_it_is_pickled_without_its_data(family: OmniglotChallenge) -> None:
    family.sample(family.folds()[0], "train", 1, 1, np.random.default_rng(0))
    stored = pickle.dumps(family)
    assert len(stored) < 1000 and pickle.loads(stored) == family


@needs("omniglot", "omniglot_minimal", "omniglot_challenge")
@pytest.mark.parametrize(
    ("background", "n_train", "validation"),
    [
        ("full", 25, ("Alphabet_of_the_Magi", "Early_Aramaic", "Hebrew", "Syriac_(Estrangelo)", "Balinese")),
        ("small1", 4, ("Early_Aramaic",)),
        ("small2", 4, ("Greek",)),
    ],
)
def test_no_real_test_picture_is_in_a_background(background: str, n_train: int, validation: tuple[str, ...]) -> None:
    family, challenge = OmniglotChallenge(background=background), loaders.load("omniglot_challenge")
    fold = family.folds()[0]
    assert (len(fold.train), fold.validation) == (n_train, validation)
    seen = {picture.tobytes() for picture in family._characters.bits}
    tested = {p.tobytes() for bits in (challenge.training, challenge.test) for p in bits.reshape(-1, 105, 14)}
    assert len(tested) == 800 and not tested & seen


@needs("omniglot_minimal", "omniglot_challenge")
def test_real_tasks_of_a_minimal_background() -> None:
    family = OmniglotChallenge(background="small2")
    fold, specs = family.folds()[0], family.freeze(np.random.default_rng(0))
    assert tuple(spec.family for spec in specs) == fold.test
    for spec in specs:
        task = family.build(spec, 1, fold)
        assert task.n_classes == 20 and sorted(task.query_y.tolist()) == list(range(20))
    ways = {t.family: t.n_classes for t in family.sample(fold, "train", 1, 30, np.random.default_rng(0))}
    assert ways == {"Japanese_(katakana)": 20, "Latin": 20, "Sanskrit": 20, "Tagalog": 17}


def redrawing(family: OmniglotChallenge, **settings: object) -> OmniglotChallenge:
    hand = Warp(rotation=0.1, shift=0.05, elastic=0.05)
    return dataclasses.replace(family, redraw=Redraw(Warp(shear=0.2), Warp(log_scale=0.2), hand), **settings)


def equal(a: Task, b: Task) -> bool:
    parts = ("support_x", "support_y", "query_x", "query_y")
    same = all(torch.equal(getattr(a, part), getattr(b, part)) for part in parts)
    return same and (a.family, a.class_names, a.query_ids) == (b.family, b.class_names, b.query_ids)


def test_redrawing_changes_training_tasks_alone(family: OmniglotChallenge) -> None:
    fold, specs = family.folds()[0], family.freeze(np.random.default_rng(0))
    for other in (redrawing(family), redrawing(family, all_train=True)):
        assert other.folds() == family.folds() and other.content_hash() == family.content_hash()
        assert all(equal(family.build(s, 1, fold), other.build(s, 1, fold)) for s in specs)
        drawn = [f.sample(fold, "validation", 1, 5, np.random.default_rng(2)) for f in (family, other)]
        assert all(equal(a, b) for a, b in zip(*drawn, strict=True))
    tasks, again = (redrawing(family).sample(fold, "train", 1, 5, np.random.default_rng(2)) for _ in range(2))
    assert all(equal(a, b) for a, b in zip(tasks, again, strict=True))
    for task in tasks:
        values = torch.cat([task.support_x, task.query_x]) * 255
        assert values.dtype == torch.float32 and torch.allclose(values, values.round(), atol=1e-4)
        assert 0 <= float(values.min()) < float(values.max()) <= 255.001
        assert not {p.tobytes() for p in grey(task.query_x)} & set(ROWS), "no drawing is as it was"


def test_an_alphabet_is_turned_and_mirrored_as_a_whole(family: OmniglotChallenge) -> None:
    other, fold = dataclasses.replace(family, redraw=Redraw()), family.folds()[0]
    large = BACKGROUND.resized(2 * SIDE).astype(float)
    half = large.reshape(-1, SIDE, 2, SIDE, 2).mean((2, 4))
    seen = set()
    for task in other.sample(fold, "train", 1, 40, np.random.default_rng(0)):
        upright = half[[int(row) for row in task.query_ids]]
        shown = (task.query_x[:, 0] * 255).numpy()
        positions = [
            (turns, mirrored)
            for turns in range(4)
            for mirrored in (False, True)
            if np.allclose(np.rot90(upright[..., ::-1] if mirrored else upright, turns, axes=(1, 2)), shown, atol=1)
        ]
        assert len(positions) == 1, "one symmetry for all drawings of the task"
        seen.add(positions[0])
        assert not any("mirrored" in name for name in task.class_names)
    assert len(seen) == 8


@pytest.mark.parametrize("redraw", [None, Redraw()])
def test_alphabets_that_validate_may_train_and_those_of_the_test_never(
    family: OmniglotChallenge, redraw: Redraw | None
) -> None:
    other = dataclasses.replace(family, all_train=True, redraw=redraw)
    fold = NoTestFold(other.folds()[0])
    tasks = other.sample(fold, "train", 1, 60, np.random.default_rng(0))
    assert {task.family for task in tasks} == {"Big", "Odd", "Mid"}
    named = {name for task in tasks for name in task.class_names}
    assert named == set(other.training_classes(fold)) and len(named) == 24 + 12 + 20
    assert not any(name.startswith("Zeta") for name in named)
    shown = {int(row) for task in tasks for row in task.query_ids}
    assert shown <= set(range(len(BACKGROUND.bits)))
    if redraw is None:
        for task in tasks:
            rows_of(task.support_x)  # fails for what is not of the background
    assert {task.family for task in other.sample(fold, "validation", 1, 10, np.random.default_rng(0))} == {"Mid"}
    assert "Mid/character01" not in family.training_classes(fold)
