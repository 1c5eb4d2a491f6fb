"""Omniglot: classes are split, turned characters only train, and a frozen task draws what it drew before."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from at_hand import needs
from helpers import NoTestFold
from metastudy import loaders, task_lists
from metastudy.errors import DataError, ParameterError
from metastudy.families import omniglot_split
from metastudy.families.base import TaskSpec
from metastudy.families.omniglot import Omniglot
from metastudy.families.warps import Redraw, Warp
from metastudy.loaders import pictures
from metastudy.loaders.omniglot import Character, Characters
from metastudy.tasks import Task

SIDE = 16
PARTS = {"train": [0, 1, 2, 3, 4, 5], "validation": [6, 7, 8, 9], "test": [10, 11, 12, 13]}
CHARACTERS = tuple(Character("background", "Alpha", n) for n in range(1, 11)) + tuple(
    Character("evaluation", "Zeta", n) for n in range(1, 5)
)
REPEATED = 20 * 3 + 18  # a row of a training character


def tiny_bits() -> np.ndarray:
    ink = np.random.default_rng(0).random((20 * len(CHARACTERS), 105, 105)) < 0.2
    ink[REPEATED] = ink[20 * 3 + 2]
    return np.packbits(ink, axis=2)


TINY = Characters("tiny", CHARACTERS, tiny_bits())
PICTURES = pictures.resize(TINY.bits, SIDE)
ROWS = {picture.tobytes(): row for row, picture in reversed(list(enumerate(PICTURES)))}


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Omniglot:
    """14 characters in place of 1,623."""
    monkeypatch.setattr(loaders, "load", lambda name: {"omniglot": TINY}[name])
    monkeypatch.setattr(omniglot_split, "standard", lambda characters: PARTS)
    return Omniglot(ways=(2, 3), train_ways=4, n_test=4, side=SIDE, channels=4)


def rows_of(images: torch.Tensor, quarter_turns: int = 0) -> list[int]:
    """Rows of (N, 1, s, s) inputs that were turned so often."""
    grey = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    return [ROWS[np.ascontiguousarray(np.rot90(picture, -quarter_turns)).tobytes()] for picture in grey]


def by_class(task: Task, x: torch.Tensor, y: torch.Tensor) -> list[list[int]]:
    """Rows of each class, turned back by what its name says; checks that all are of the character it names."""
    found = []
    for c, name in enumerate(task.class_names):
        character, _, turns = name.rpartition("/rot")
        rows = rows_of(x[y == c], int(turns) // 90)
        assert {CHARACTERS[row // 20].name for row in rows} == {character}
        found.append(rows)
    return found


@pytest.mark.parametrize("part", ["train", "validation"])
def test_sampled_tasks_hold_characters_of_their_part_only(family: Omniglot, part: str) -> None:
    fold = family.folds()[0]
    tasks = family.sample(NoTestFold(fold), part, 2, 60, np.random.default_rng(0))
    turns, characters = set(), set()
    for task in tasks:
        support, query = by_class(task, task.support_x, task.support_y), by_class(task, task.query_x, task.query_y)
        assert [len(rows) for rows in support] == [2] * 4 and [len(rows) for rows in query] == [5] * 4
        every = [row for rows in support + query for row in rows]
        assert len(set(every)) == len(every), "the same drawing in support and query"
        assert [int(i) for i in task.query_ids] == [row for rows in query for row in rows]
        named = [name.rpartition("/rot") for name in task.class_names]
        assert len({character for character, _, _ in named}) == 4, "a character is one class, however it is turned"
        turns |= {turn for _, _, turn in named}
        characters |= {row // 20 for row in every}
    assert characters == set(PARTS[part])
    assert turns == ({"000", "090", "180", "270"} if part == "train" else {"000"})


def test_a_quarter_turn_is_counterclockwise_and_the_class_is_named_for_it(family: Omniglot) -> None:
    task = family.sample(family.folds()[0], "train", 1, 1, np.random.default_rng(5))[0]
    c = next(c for c, name in enumerate(task.class_names) if name.endswith("rot090"))
    turned = (task.support_x[c, 0] * 255).round().to(torch.uint8).numpy()
    assert any(np.array_equal(turned, picture[:, ::-1].T) for picture in PICTURES)


def test_training_classes_are_all_that_training_may_show(family: Omniglot) -> None:
    fold = family.folds()[0]
    names = family.training_classes(fold)
    assert len(set(names)) == len(names) == 4 * 6
    drawn = {n for t in family.sample(fold, "train", 1, 200, np.random.default_rng(0)) for n in t.class_names}
    assert drawn == set(names)


def test_a_repeated_picture_is_never_drawn(family: Omniglot) -> None:
    drawn = [
        int(i)
        for task in family.sample(family.folds()[0], "train", 1, 200, np.random.default_rng(0))
        for i in task.query_ids
    ]
    assert REPEATED not in drawn and REPEATED - 16 in drawn


def test_frozen_tasks_use_every_drawing_once_and_are_nested_in_shots(family: Omniglot) -> None:
    fold, specs = family.folds()[0], family.freeze(np.random.default_rng(1))
    assert [spec.family for spec in specs] == ["2-way"] * 4 + ["3-way"] * 4
    assert {spec.family for spec in specs} == set(fold.test) and len({spec.id for spec in specs}) == 8
    for spec in specs:
        one, five = family.build(spec, 1, fold), family.build(spec, 5, fold)
        assert one.n_classes == int(spec.family[0])
        shown = by_class(five, five.support_x, five.support_y)
        asked = by_class(five, five.query_x, five.query_y)
        for c, character in enumerate(spec.support[0]):
            assert character in PARTS["test"]
            assert sorted(shown[c] + asked[c]) == list(range(20 * character, 20 * character + 20))
        assert by_class(one, one.support_x, one.support_y) == [rows[:1] for rows in shown]
        assert torch.equal(one.query_x, five.query_x) and torch.equal(one.query_y, five.query_y)
        assert {name[-6:] for name in five.class_names} == {"rot000"} and len(one.query_y) == 15 * one.n_classes


def test_freezing_repeats_and_depends_on_the_stream(family: Omniglot) -> None:
    first, again, other = (family.freeze(np.random.default_rng(s)) for s in (1, 1, 2))
    assert first == again != other


def test_the_list_comes_back_as_written(family: Omniglot, tmp_path: Path) -> None:
    task_lists.write(family, tmp_path)
    assert task_lists.read(family, tmp_path) == family.freeze(task_lists.rng())


@pytest.mark.parametrize("character", [5, 14, -1, "Zeta/character01"])
def test_a_list_with_other_characters_is_refused(family: Omniglot, character: int | str) -> None:
    spec = family.freeze(np.random.default_rng(1))[0]
    edited = dataclasses.replace(spec, support=((character, spec.support[0][1]),))
    with pytest.raises(DataError, match=r"task 2-way/0000: .* is no test character of this data; the task list was"):
        family.build(edited, 1, family.folds()[0])


def test_a_list_that_would_draw_other_drawings_is_refused(family: Omniglot) -> None:
    spec = family.freeze(np.random.default_rng(1))[0]
    swapped = dataclasses.replace(spec, support=(spec.support[0][::-1],))
    other_seed = dataclasses.replace(spec, query=(spec.query[0] + 1,))
    for edited, reader in ((swapped, family), (other_seed, family), (spec, dataclasses.replace(family, n_query=10))):
        with pytest.raises(DataError, match=f"draws drawings with hash .*, expected {spec.columns[0]}; the task list"):
            reader.build(edited, 1, family.folds()[0])


def test_scores_by_hand() -> None:
    x, y = torch.zeros(2, 1, 4, 4), torch.tensor([0, 1])
    task = Task("t", "f", "classification", x, y, torch.zeros(4, 1, 4, 4), torch.tensor([0, 0, 1, 1]), n_classes=2)
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.0, 1.0]])
    accuracy, log_loss = Omniglot().score(task, p)
    assert (accuracy.task, accuracy.metric, accuracy.value) == ("t", "accuracy", 0.75)
    assert log_loss.metric == "log_loss"
    assert log_loss.value == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.8)) / 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": (6,)}, "expected numbers from 1 to 5"),
        ({"ways": ()}, "expected 2 to 172 classes"),
        ({"ways": (5, 173)}, "expected 2 to 172 classes"),
        ({"train_ways": 1}, "expected 2 to 172 classes"),
        ({"n_query": 16}, "n_query is 16; expected 1 to 15"),
        ({"n_train_query": 15}, "n_train_query is 15; expected 1 to 14"),
    ],
)
def test_what_cannot_be_served_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Omniglot(**settings)


def test_the_model_takes_its_tasks(family: Omniglot) -> None:
    task = family.sample(family.folds()[0], "validation", 1, 1, np.random.default_rng(0))[0]
    model = family.model()
    assert (model.side, model.channels) == (SIDE, 4)
    phi = model.features(model.init(torch.Generator().manual_seed(0)), task.query_x[None])
    assert phi.shape == (1, 20, model.feature_dim) and task.query_x.max() <= 1


def test_the_hash_is_of_drawings_names_and_split(family: Omniglot, monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_now() -> str:
        return dataclasses.replace(family, side=28).content_hash()

    found = {family.content_hash(), hash_now()}
    assert len(found) == 1, "of the drawings, whatever their size"
    moved = {"train": PARTS["train"][1:], "validation": [0, *PARTS["validation"]], "test": PARTS["test"]}
    monkeypatch.setattr(omniglot_split, "standard", lambda characters: moved)
    found.add(hash_now())
    bits = TINY.bits.copy()
    bits[0, 0, 0] ^= 128
    monkeypatch.setattr(loaders, "load", lambda name: Characters("tiny", CHARACTERS, bits))
    assert len(found | {hash_now()}) == 3


def test_it_is_pickled_without_its_data(family: Omniglot) -> None:
    fold = family.folds()[0]
    before = family.sample(fold, "train", 1, 2, np.random.default_rng(0))
    stored = pickle.dumps(family)
    assert len(stored) < 1000
    again = pickle.loads(stored)
    assert again == family
    after = again.sample(fold, "train", 1, 2, np.random.default_rng(0))
    assert all(torch.equal(a.query_x, b.query_x) for a, b in zip(before, after, strict=True))


SPLIT = """sha256: {sha256}
validation:
  Alpha: [1, 2]
test:
  Alpha: [3, 3]
  Zeta: [1, 4]
"""


def split_file(folder: Path, text: str) -> Path:
    path = folder / "split.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_split_is_read_and_divides_the_characters(tmp_path: Path) -> None:
    lines = ["test Alpha/character03\n", *(f"test Zeta/character0{n}\n" for n in range(1, 5))]
    lines += [f"validation Alpha/character0{n}\n" for n in (1, 2)]
    sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
    named = omniglot_split.read(split_file(tmp_path, SPLIT.format(sha256=sha256)))
    assert omniglot_split.divide(CHARACTERS, named) == {
        "train": [3, 4, 5, 6, 7, 8, 9],
        "validation": [0, 1],
        "test": [2, 10, 11, 12, 13],
    }
    edited = split_file(tmp_path, SPLIT.format(sha256=sha256).replace("[1, 2]", "[1, 3]"))
    with pytest.raises(DataError, match=f"split.yaml names characters with sha256 .*, expected {sha256}: edited"):
        omniglot_split.read(edited)


@pytest.mark.parametrize("text", ["", "validation: [1]", "sha256: x\nvalidation: {Alpha: 3}\ntest: {}", "a: [", "{}"])
def test_a_damaged_split_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="split.yaml cannot be read .*; restore the file from git"):
        omniglot_split.read(split_file(tmp_path, text))


def test_a_split_of_other_data_is_refused() -> None:
    with pytest.raises(DataError, match="names 1 characters that are not among the 14 of the data, first Beta/chara"):
        omniglot_split.divide(CHARACTERS, {"validation": {"Beta/character01"}, "test": set()})
    both = {"Alpha/character01"}
    with pytest.raises(DataError, match="has Alpha/character01 in validation and in test"):
        omniglot_split.divide(CHARACTERS, {"validation": both, "test": both})


@needs("omniglot")
def test_the_real_split_and_list(tmp_path: Path) -> None:
    family = Omniglot()
    characters, parts = loaders.load("omniglot").characters, family.classes
    assert {part: len(found) for part, found in parts.items()} == {"train": 1028, "validation": 172, "test": 423}
    assert sorted(c for found in parts.values() for c in found) == list(range(1623))
    assert sorted(parts["train"] + parts["validation"]) == list(range(1200)), "the first 1,200 in alphabetical order"
    alphabets = {part: {characters[c].alphabet for c in found} for part, found in parts.items()}
    assert alphabets["train"] & alphabets["test"] == {"Gurmukhi"}
    assert alphabets["validation"] == {"Hebrew", "Mkhedruli_(Georgian)", "Armenian", "Early_Aramaic", "Bengali"}
    assert [characters[c].number for c in parts["test"] if characters[c].alphabet == "Gurmukhi"] == [42, 43, 44, 45]
    path = task_lists.write(family, tmp_path)
    specs = task_lists.read(family, tmp_path)
    assert path.stat().st_size < 400_000 and len(specs) == 2000
    for spec in (specs[0], specs[-1]):
        task = family.build(spec, 5, family.folds()[0])
        assert task.query_x.shape == (15 * task.n_classes, 1, 28, 28) and isinstance(spec, TaskSpec)


@needs("omniglot_minimal")
def test_a_smaller_data_set_has_no_standard_split() -> None:
    with pytest.raises(DataError, match="characters that are not among the 242 of the data"):
        omniglot_split.standard(loaders.load("omniglot_minimal").characters)


def warping(family: Omniglot, **settings: object) -> Omniglot:
    hand = Warp(rotation=0.1, shift=0.05, elastic=0.05)
    return dataclasses.replace(family, redraw=Redraw(Warp(shear=0.2), Warp(log_scale=0.2), hand, **settings))


def equal(a: Task, b: Task) -> bool:
    parts = ("support_x", "support_y", "query_x", "query_y")
    same = all(torch.equal(getattr(a, part), getattr(b, part)) for part in parts)
    return same and (a.id, a.class_names, a.query_ids) == (b.id, b.class_names, b.query_ids)


def test_redrawing_changes_training_tasks_alone(family: Omniglot) -> None:
    other, fold = warping(family), family.folds()[0]
    specs = family.freeze(np.random.default_rng(1))
    assert specs == other.freeze(np.random.default_rng(1)) and family.content_hash() == other.content_hash()
    assert all(equal(family.build(s, k, fold), other.build(s, k, fold)) for s in specs for k in (1, 5))
    drawn = [f.sample(fold, "validation", 1, 5, np.random.default_rng(2)) for f in (family, other)]
    assert all(equal(a, b) for a, b in zip(*drawn, strict=True))
    trained = [f.sample(fold, "train", 1, 5, np.random.default_rng(2)) for f in (family, other)]
    assert not any(torch.equal(a.query_x, b.query_x) for a, b in zip(*trained, strict=True))


def test_redrawn_tasks_are_pictures_and_repeat(family: Omniglot) -> None:
    other, fold = warping(family), family.folds()[0]
    tasks, again = (other.sample(fold, "train", 2, 5, np.random.default_rng(3)) for _ in range(2))
    assert all(equal(a, b) for a, b in zip(tasks, again, strict=True))
    for task in tasks:
        assert task.support_x.shape == (2 * 4, 1, SIDE, SIDE) and task.query_x.shape == (5 * 4, 1, SIDE, SIDE)
        for x in (task.support_x, task.query_x):
            grey = x * 255
            assert x.dtype == torch.float32 and torch.allclose(grey, grey.round(), atol=1e-4)
            assert 0 <= float(grey.min()) < float(grey.max()) <= 255.001
        characters = {int(row) // 20 for row in task.query_ids}
        assert len(characters) == 4 and characters <= set(PARTS["train"])
    assert pickle.loads(pickle.dumps(other)) == other


@pytest.mark.parametrize("mirrored", [True, False])
def test_redrawn_classes_are_turned_and_mirrored_as_their_names_say(family: Omniglot, mirrored: bool) -> None:
    other, fold = dataclasses.replace(family, redraw=Redraw(mirrored=mirrored)), family.folds()[0]
    large = TINY.resized(2 * SIDE).astype(float)
    half = large.reshape(-1, SIDE, 2, SIDE, 2).mean((2, 4))  # nothing is warped: the box-halved picture
    seen = set()
    for task in other.sample(fold, "train", 1, 40, np.random.default_rng(0)):
        rows = np.array([int(row) for row in task.query_ids]).reshape(4, -1)
        shown = (task.query_x[:, 0] * 255).numpy().reshape(4, -1, SIDE, SIDE)
        for name, own, pictures_of_class in zip(task.class_names, rows, shown, strict=True):
            character, _, position = name.partition("/rot")
            assert {CHARACTERS[row // 20].name for row in own} == {character}
            turns, _, word = position.partition("/")
            upright = half[own][..., ::-1] if word == "mirrored" else half[own]
            np.testing.assert_allclose(pictures_of_class, np.rot90(upright, int(turns) // 90, axes=(1, 2)), atol=1)
            seen.add(position)
    four = {"000", "090", "180", "270"}
    assert seen == (four | {f"{turns}/mirrored" for turns in four} if mirrored else four)


@pytest.mark.parametrize(("mirrored", "positions"), [(True, 8), (False, 4)])
def test_training_classes_name_mirrored_characters_where_there_are_any(
    family: Omniglot, mirrored: bool, positions: int
) -> None:
    other, fold = warping(family, mirrored=mirrored), family.folds()[0]
    names = other.training_classes(fold)
    assert len(set(names)) == len(names) == positions * 6
    drawn = {n for t in other.sample(fold, "train", 1, 200, np.random.default_rng(0)) for n in t.class_names}
    assert drawn == set(names)
    assert ("Alpha/character01/rot090/mirrored" in names) == mirrored
