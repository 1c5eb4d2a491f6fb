"""Warps: none is the picture itself, symmetries are those of a square, and what is shared is the same for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metastudy.families.warps import DIHEDRAL, Redraw, Warp, warped

SIDE = 12
ALL = Warp(rotation=0.2, shear=0.2, log_scale=0.2, shift=0.1, elastic=0.1)


def large(n_classes: int = 2, per_class: int = 3, seed: int = 0) -> np.ndarray:
    """(C, n, 2s, 2s) uint8 of grey noise."""
    return np.random.default_rng(seed).integers(0, 256, (n_classes, per_class, 2 * SIDE, 2 * SIDE), dtype=np.uint8)


def halved(pictures: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels: (..., 2s, 2s) to (..., s, s)."""
    shape = (*pictures.shape[:-2], SIDE, 2, SIDE, 2)
    return np.rint(pictures.reshape(shape).mean((-3, -1))).astype(np.uint8)


def copies(n_classes: int = 3, per_class: int = 4) -> np.ndarray:
    """One and the same picture everywhere, so that whatever differs afterwards was warped differently."""
    return np.broadcast_to(large(1, 1), (n_classes, per_class, 2 * SIDE, 2 * SIDE))


def redrawn(redraw: Redraw, pictures: np.ndarray, seed: int = 1) -> np.ndarray:
    return redraw(pictures, np.random.default_rng(seed), np.zeros(len(pictures), dtype=int))


def test_no_warp_gives_the_picture_in_half_its_size() -> None:
    pictures = large()
    found = redrawn(Redraw(), pictures)
    assert found.dtype == np.uint8 and found.shape == (2, 3, SIDE, SIDE)
    np.testing.assert_allclose(found.astype(int), halved(pictures), atol=1)  # a mean that ends in a half


def test_symmetries_are_the_eight_of_a_square() -> None:
    picture = large(1, 1)
    found = Redraw()(np.repeat(picture, 8, 0), np.random.default_rng(0), np.arange(8))[:, 0]
    upright = halved(picture)[0, 0]
    expected = [np.rot90(upright, turns) for turns in range(4)]
    expected += [np.rot90(np.fliplr(upright), turns) for turns in range(4)]
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own.astype(int), other, atol=1)
    distinct = {tuple(matrix.flatten().tolist()) for matrix in DIHEDRAL}
    assert len(distinct) == 8 and all(abs(float(torch.linalg.det(m))) == 1 for m in DIHEDRAL)


def test_turns_are_those_of_the_family_that_turns_without_warping() -> None:
    """Quarter turns are counterclockwise, as in `image_tasks.turned`."""
    picture = np.zeros((1, 1, 2 * SIDE, 2 * SIDE), dtype=np.uint8)
    picture[..., :4, -4:] = 255  # top right
    found = Redraw()(picture, np.random.default_rng(0), np.array([1]))[0, 0]
    assert found[:2, :2].min() == 255 and found.sum() == 4 * 255  # top left


@pytest.mark.parametrize("level", ["task", "classes", "drawing"])
def test_a_seed_draws_the_same_and_another_one_does_not(level: str) -> None:
    redraw, pictures = Redraw(**{level: ALL}), large()
    first, again, other = (redrawn(redraw, pictures, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(2, 3)).all(), "every picture is another"
    assert (first != redrawn(Redraw(), pictures)).any(axis=(2, 3)).all()


def test_a_warp_of_the_task_is_the_same_for_all_its_drawings() -> None:
    found = redrawn(Redraw(task=Warp(rotation=0.3, shear=0.3, log_scale=0.3)), copies())
    assert (found == found[:1, :1]).all() and (found[0, 0] != halved(copies())[0, 0]).any()


@pytest.mark.parametrize("warp", [Warp(rotation=0.3, shear=0.3, log_scale=0.3), Warp(shift=0.1), Warp(elastic=0.1)])
def test_a_warp_of_a_class_is_the_same_for_its_drawings_and_no_others(warp: Warp) -> None:
    found = redrawn(Redraw(classes=warp), copies())
    assert (found == found[:, :1]).all()
    assert all((found[a, 0] != found[b, 0]).any() for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("warp", [Warp(rotation=0.3, shear=0.3, log_scale=0.3), Warp(shift=0.1), Warp(elastic=0.1)])
def test_a_warp_of_a_drawing_is_its_own(warp: Warp) -> None:
    found = redrawn(Redraw(drawing=warp), copies()).reshape(12, -1)
    assert len(np.unique(found, axis=0)) == 12


def test_a_shift_moves_and_what_lies_outside_is_paper() -> None:
    pictures = np.full((1, 2 * SIDE, 2 * SIDE), 255, dtype=np.uint8)
    half = torch.zeros(1, SIDE, SIDE, 2)
    half[..., 0] = 1.0  # half a side along x
    found = warped(pictures, torch.eye(2)[None], half)[0]
    assert (found[:, : SIDE // 2] == 255).all() and (found[:, SIDE // 2 :] == 0).all()


def test_displacements_come_before_the_map() -> None:
    """The pixel at u shows A (u + d): a shift along x, seen through a quarter turn, moves along y."""
    pictures = np.full((1, 2 * SIDE, 2 * SIDE), 255, dtype=np.uint8)
    along_x = torch.zeros(1, SIDE, SIDE, 2)
    along_x[..., 0] = 1.0
    turned = warped(pictures, DIHEDRAL[1:2], along_x)[0]
    plain = warped(pictures, DIHEDRAL[:1], along_x)[0]
    np.testing.assert_array_equal(turned, plain)  # of a full page: only what is left of the page shows
    ramp = np.tile(np.arange(2 * SIDE, dtype=np.uint8)[:, None], (1, 1, 2 * SIDE))  # darker downwards
    found = warped(ramp, DIHEDRAL[1:2], along_x)[0].astype(int)
    expected = np.rot90(halved(ramp)[0].astype(int))[:, SIDE // 2 :]
    np.testing.assert_allclose(found[:, : SIDE // 2], expected, atol=1)


@pytest.mark.parametrize(
    ("warp", "expected"),
    [
        (Warp(rotation=0.5), lambda a: np.allclose(a @ a.T, np.eye(2), atol=1e-6)),
        (Warp(shear=0.5), lambda a: np.isclose(np.linalg.det(a), 1) and a[1, 0] == 0 and a[0, 0] == a[1, 1] == 1),
        (Warp(log_scale=0.5), lambda a: a[0, 1] == a[1, 0] == 0 and a[0, 0] > 0 and a[1, 1] > 0),
        (Warp(shift=0.5, elastic=0.5), lambda a: (a == np.eye(2)).all()),
    ],
)
def test_matrices_are_what_their_parameter_says(warp: Warp, expected) -> None:
    found = warp.matrices(20, torch.Generator().manual_seed(0)).numpy()
    assert all(expected(a) for a in found)
    moved = (abs(found - np.eye(2)).max((1, 2)) > 1e-3).any()
    assert moved == bool(warp.rotation or warp.shear or warp.log_scale)


def test_spreads_are_standard_deviations() -> None:
    generator = torch.Generator().manual_seed(0)
    angles = Warp(rotation=0.1).matrices(4000, generator)
    assert float(torch.atan2(angles[:, 1, 0], angles[:, 0, 0]).std()) == pytest.approx(0.1, rel=0.05)
    assert float(Warp(shift=0.2).fields(4000, SIDE, generator)[:, 0, 0].std()) == pytest.approx(0.2, rel=0.05)
    corners = Warp(elastic=0.3).fields(4000, SIDE, generator)[:, 0, 0]
    assert float(corners.std()) == pytest.approx(0.3, rel=0.05)


def test_elastic_fields_are_smooth() -> None:
    field = Warp(elastic=1.0).fields(50, SIDE, torch.Generator().manual_seed(0))
    step = (field[:, 1:] - field[:, :-1]).std()
    noise = (field[torch.randperm(50)] - field).std()
    assert float(step) < 0.5 * float(noise)


def test_symmetries_are_mirrored_only_where_asked() -> None:
    rng = np.random.default_rng(0)
    assert set(Redraw().symmetries(400, rng)) == set(range(8))
    assert set(Redraw(mirrored=False).symmetries(400, rng)) == set(range(4))
