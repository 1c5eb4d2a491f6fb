"""Omniglot's files: what is accepted, what is refused, and the facts about the real data that families rely on."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from at_hand import needs
from metastudy import loaders
from metastudy.errors import DataError, ParameterError
from metastudy.loaders import Files, omniglot, pictures
from metastudy.loaders.omniglot import Character, Characters
from metastudy.loaders.omniglot_runs import Challenge

FULL = "omniglot/omniglot_full_png.tar.xz"
Tree = dict[str, bytes]


def png(ink: np.ndarray) -> bytes:
    """A 1-bit picture, black where ink is."""
    stream = io.BytesIO()
    Image.fromarray(~ink.astype(bool)).convert("1").save(stream, "png")
    return stream.getvalue()


def stroke(number: int) -> np.ndarray:
    """(105, 105), a picture of its own for every number below 2**16: two bytes of ink in the first line."""
    ink = np.zeros((105, 105), bool)
    ink[0, :16] = np.unpackbits(np.array([number >> 8, number & 255], np.uint8))
    ink[50, 20:80] = True
    return ink


def drawings(characters: dict[str, int], first: int = 0) -> Tree:
    """20 pictures of each "images_PART/ALPHABET/characterNN", with the id that the character has; all different."""
    return {
        f"{folder}/{i:04d}_{d:02d}.png": png(stroke(first + 20 * n + d))
        for n, (folder, i) in enumerate(characters.items())
        for d in range(1, 21)
    }


def archive(path: Path, tree: Tree) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as z:
        for name, content in tree.items():
            z.writestr(name, content)


TINY = drawings(
    {
        "images_evaluation/Zeta/character01": 9,
        "images_background/Beta/character02": 3,
        "images_background/Beta/character01": 2,
        "images_background/Alpha/character01": 1,
    }
)


def load(tmp_path: Path, tree: Tree) -> Characters:
    archive(tmp_path / FULL, tree)  # archives are told apart by what they hold, so a zip will do
    return omniglot.load(Files.in_folder(tmp_path))


def test_drawings_come_in_order_with_ink_as_one(tmp_path: Path) -> None:
    found = load(tmp_path, {f"some/where/{name}": content for name, content in TINY.items()})
    assert found.characters == (
        Character("background", "Alpha", 1),
        Character("background", "Beta", 1),
        Character("background", "Beta", 2),
        Character("evaluation", "Zeta", 1),
    )
    assert found.characters[2].name == "Beta/character02"
    order = [3, 2, 1, 0]  # where each character stands in TINY
    expected = np.stack([stroke(20 * n + d) for n in order for d in range(1, 21)])
    np.testing.assert_array_equal(pictures.unpacked(found.bits), expected)
    assert found.counts == {
        "images": 80,
        "alphabets": 3,
        "characters": 4,
        "background_images": 60,
        "evaluation_images": 20,
    }
    assert found.repeats == frozenset() and found.distinct(1).tolist() == list(range(20, 40))


def test_minimal_sets_are_parts(tmp_path: Path) -> None:
    for part, first in (("small1", 0), ("small2", 0)):
        tree = drawings({f"images_background_{part}/Greek/character01": 394}, first)
        archive(tmp_path / f"omniglot/images_background_{part}.zip", tree)
    found = omniglot.load_minimal(Files.in_folder(tmp_path))
    assert found.counts == {"images": 40, "alphabets": 2, "characters": 2, "small1_images": 20, "small2_images": 20}
    assert found.repeats == frozenset(range(20, 40))  # the same character is in both
    assert found.part("small2").repeats == frozenset()


def test_a_part_holds_nothing_of_the_others(tmp_path: Path) -> None:
    found = load(tmp_path, TINY)
    part = found.part("background")
    assert part.characters == found.characters[:3]
    np.testing.assert_array_equal(part.bits, found.bits[:60])
    assert part.bits.base is None, "a view would keep the other part's pictures"
    with pytest.raises(DataError, match="no part 'small1' in omniglot; it has"):
        found.part("small1")


def test_repeated_pictures_are_known(tmp_path: Path) -> None:
    tree = TINY | {
        "images_background/Beta/character01/0002_19.png": TINY["images_background/Beta/character01/0002_03.png"]
    }
    found = load(tmp_path, tree)
    assert found.repeats == {20 + 18}
    assert found.distinct(1).tolist() == [row for row in range(20, 40) if row != 38]
    assert found.counts["images"] == 80, "counts are of the file"


FIRST = "images_background/Beta/character01/0002_01.png"
BROKEN: dict[str, tuple[Callable[[Tree], Tree], str]] = {
    "drawing missing": (
        lambda t: {n: c for n, c in t.items() if n != FIRST},
        r"background Beta/character01 has 19 drawings, by \[2, .*; expected 1 to 20\. The archive is incomplete",
    ),
    "other file": (
        lambda t: t | {"images_background/.DS_Store": b""},
        r"holds 'images_background/.DS_Store'; expected",
    ),
    "two ids": (
        lambda t: {n.replace("0002_01", "0007_01"): c for n, c in t.items()},
        r"Beta/character01 holds drawings of characters \['0002', '0007'\]; expected one id",
    ),
    "same drawer twice": (
        lambda t: t | {FIRST.replace("0002_01", "0007_01"): t[FIRST]},
        "holds both .*0002_01.png' and .*0007_01.png'; expected one drawing of each drawer",
    ),
    "gap": (
        lambda t: {n: c for n, c in t.items() if "Beta/character01" not in n},
        r"background Beta has characters \[2\]; expected 1 to 1 without a gap",
    ),
    "empty": (lambda t: {}, "no picture at all"),
    "size": (lambda t: t | {FIRST: png(stroke(1)[:, :104])}, "0002_01.png has 104 x 105 pixels; expected 105 x 105"),
    "negative": (lambda t: t | {FIRST: png(~stroke(1))}, "0002_01.png is 99% black; expected thin black strokes"),
    "blank": (lambda t: t | {FIRST: png(np.zeros((105, 105)))}, "0002_01.png is 0% black; expected thin black strokes"),
    "no picture": (lambda t: t | {FIRST: b"not a png"}, "0002_01.png is no readable picture"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    change, message = BROKEN[case]
    with pytest.raises(DataError, match=message):
        load(tmp_path, change(TINY))


@pytest.mark.parametrize("side", [105, 42, 35, 28, 1])
def test_a_new_pixel_is_the_mean_ink_of_its_area(side: int) -> None:
    ink = np.random.default_rng(side).random((3, 105, 105)) < 0.3
    times = np.lcm(105, side) // 105  # so fine that every old and every new pixel is whole
    fine = ink.repeat(times, 1).repeat(times, 2)
    block = fine.shape[1] // side
    mean = fine.reshape(3, side, block, side, block).mean((2, 4))
    found = pictures.resize(np.packbits(ink, axis=2), side)
    assert found.shape == (3, side, side) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.floor(255 * mean + 0.5))


def test_sides_that_cannot_be_had_are_refused() -> None:
    for side in (0, 106):
        with pytest.raises(ParameterError, match=f"side is {side}; expected 1 to 105"):
            pictures.resize(np.zeros((1, 105, 14), np.uint8), side)


def run(name: str, answers: list[int]) -> Tree:
    """A run whose test picture i shows what training picture answers[i] shows, counted from 0."""
    first = 40 * int(name[3:])
    tree = {f"{name}/training/class{i + 1:02d}.png": png(stroke(first + i)) for i in range(20)}
    tree |= {f"{name}/test/item{i + 1:02d}.png": png(stroke(first + 20 + i)) for i in range(20)}
    lines = [f"{name}/test/item{i + 1:02d}.png {name}/training/class{a + 1:02d}.png\n" for i, a in enumerate(answers)]
    return tree | {f"{name}/class_labels.txt": "".join(lines).encode()}


TURNED = [*range(7, 20), *range(7)]
RUNS = run("run02", list(range(20))) | run("run01", TURNED)


def load_runs(tmp_path: Path, tree: Tree) -> Challenge:
    archive(tmp_path / "omniglot/all_runs.zip", tree)
    return omniglot.load_challenge(Files.in_folder(tmp_path))


def test_runs_come_in_order_with_their_answers(tmp_path: Path) -> None:
    found = load_runs(tmp_path, RUNS)
    assert found.runs == ("run01", "run02")
    assert found.answers.tolist() == [TURNED, list(range(20))]
    assert found.counts == {"runs": 2, "images": 80, "trials": 40}
    for r, first in enumerate((40, 80)):
        for bits, start in ((found.training[r], first), (found.test[r], first + 20)):
            np.testing.assert_array_equal(pictures.unpacked(bits), [stroke(start + i) for i in range(20)])
    training, test = found.resized(105)
    np.testing.assert_array_equal(training[1], 255 * pictures.unpacked(found.training[1]))
    np.testing.assert_array_equal(test[0], 255 * pictures.unpacked(found.test[0]))


LABELS = "run01/class_labels.txt"
BROKEN_RUNS: dict[str, tuple[Callable[[Tree], Tree], str]] = {
    "picture missing": (
        lambda t: {n: c for n, c in t.items() if n != "run02/test/item07.png"},
        "run02/test/item07.png is missing; fetch all_runs.zip again",
    ),
    "picture too many": (
        lambda t: t | {"run02/test/item21.png": t["run02/test/item20.png"]},
        "run02/test/item21.png is one file too many",
    ),
    "labels missing": (lambda t: {n: c for n, c in t.items() if n != LABELS}, f"{LABELS} is missing"),
    "outside a run": (lambda t: t | {"notes.txt": b""}, "holds 'notes.txt'; expected folders run01"),
    "no run": (lambda t: {}, "holds no run"),
    "other run's answer": (
        lambda t: t | {LABELS: t[LABELS].replace(b"run01/training/class08", b"run02/training/class08")},
        "run01/class_labels.txt line 1 is .*; expected a test picture of this run that has no answer yet",
    ),
    "two answers": (
        lambda t: t | {LABELS: t[LABELS] + b"run01/test/item01.png run01/training/class01.png\n"},
        "run01/class_labels.txt line 21 is",
    ),
    "no answer": (
        lambda t: t | {LABELS: b"".join(t[LABELS].splitlines(keepends=True)[:-1])},
        "answers 19 test pictures with 19 characters; expected 20 pictures of 20 different ones",
    ),
    "one character twice": (
        lambda t: t | {LABELS: t[LABELS].replace(b"training/class08", b"training/class09")},
        "answers 20 test pictures with 19 characters",
    ),
    "half a line": (lambda t: t | {LABELS: t[LABELS] + b"run01/test/item01.png"}, "line 21 is 'run01/test/item01.png'"),
    "not text": (lambda t: t | {LABELS: b"\xff"}, r"byte 0 \(0xff\) is not utf-8"),
}


@pytest.mark.parametrize("case", BROKEN_RUNS)
def test_runs_that_do_not_fit_are_refused(case: str, tmp_path: Path) -> None:
    change, message = BROKEN_RUNS[case]
    with pytest.raises(DataError, match=message):
        load_runs(tmp_path, change(RUNS))


def test_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    found = load_runs(tmp_path, RUNS | {LABELS: RUNS[LABELS].replace(b"\n", b"\r\n")})
    assert found.answers[0].tolist() == TURNED


def test_hashes_are_of_names_answers_and_pixels(tmp_path: Path) -> None:
    first, again = load(tmp_path / "a", TINY), load(tmp_path / "b", TINY)
    renamed = load(tmp_path / "c", {n.replace("Zeta", "Theta"): c for n, c in TINY.items()})
    redrawn = load(tmp_path / "d", TINY | {FIRST: png(stroke(999))})
    assert first.content_hash() == again.content_hash()
    assert len({c.content_hash() for c in (first, renamed, redrawn)}) == 3
    other = [load_runs(tmp_path / str(i), RUNS | run("run01", a)) for i, a in enumerate((TURNED, list(range(20))))]
    assert other[0].content_hash() != other[1].content_hash()


@pytest.fixture(scope="module")
def full() -> Characters:
    return loaders.load("omniglot")


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return loaders.load("omniglot_challenge")


def rows_by_picture(bits: np.ndarray) -> dict[bytes, int]:
    return {picture.tobytes(): row for row, picture in enumerate(bits)}


@needs("omniglot")
def test_the_real_drawings(full: Characters) -> None:
    parts = {part: {c.alphabet for c in full.characters if c.part == part} for part in ("background", "evaluation")}
    assert {part: len(found) for part, found in parts.items()} == {"background": 30, "evaluation": 20}
    assert not parts["background"] & parts["evaluation"]
    (repeated,) = full.repeats
    braille = full.characters.index(Character("background", "Braille", 1))
    assert repeated == 20 * braille + 18  # 0192_19 shows what 0192_03 shows
    np.testing.assert_array_equal(full.bits[repeated], full.bits[20 * braille + 2])
    ink = pictures.unpacked(full.bits[:: len(full.bits) // 200]).mean()
    assert 0.03 < ink < 0.1, "ink is 1"


@needs("omniglot", "omniglot_minimal")
def test_minimal_sets_are_part_of_the_background(full: Characters) -> None:
    minimal = loaders.load("omniglot_minimal")
    place = {c.name: i for i, c in enumerate(full.characters) if c.part == "background"}
    own = np.concatenate([np.arange(20) + 20 * place[c.name] for c in minimal.characters])
    np.testing.assert_array_equal(minimal.bits, full.bits[own])
    alphabets = {part: {c.alphabet for c in minimal.characters if c.part == part} for part in ("small1", "small2")}
    assert [len(found) for found in alphabets.values()] == [5, 5]
    assert alphabets["small1"] & alphabets["small2"] == {"Greek", "Latin"}
    small = minimal.part("small1")
    np.testing.assert_array_equal(small.resized(28), pictures.resize(small.bits, 28))  # kept or not
    np.testing.assert_array_equal(small.resized(28), pictures.resize(small.bits, 28))


@needs("omniglot", "omniglot_challenge")
def test_every_challenge_picture_is_in_the_evaluation_alphabets(full: Characters, challenge: Challenge) -> None:
    row_of, alphabets = rows_by_picture(full.bits), []
    for r, run_name in enumerate(challenge.runs):
        shown, asked = ([row_of[p.tobytes()] for p in bits[r]] for bits in (challenge.training, challenge.test))
        characters = [full.characters[row // 20] for row in shown]
        assert {c.part for c in characters} == {"evaluation"}, run_name
        assert len(set(characters)) == 20 and len({c.alphabet for c in characters}) == 1
        assert [row // 20 for row in asked] == [shown[a] // 20 for a in challenge.answers[r]]  # the labels are right
        drawers = [{row % 20 for row in rows} for rows in (shown, asked)]
        assert len(drawers[0]) == len(drawers[1]) == 1 and drawers[0] != drawers[1]
        alphabets.append(characters[0].alphabet)
    assert len(set(alphabets)) == 10 and alphabets[::2] == alphabets[1::2]  # neighbours share an alphabet
