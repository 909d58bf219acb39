"""Masks with soft edges."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.drawing.soft_mask import OPAQUE, SoftMask, blend, soft_mask
from streamseg.structures.mask import CropMask, MaskSpace

SIZE = (72, 96)
SPACE = MaskSpace.of(SIZE)


def box_mask(x0: int, y0: int, x1: int, y1: int) -> CropMask:
    return CropMask(np.ones((y1 - y0, x1 - x0), dtype=np.bool_), x0, y0, SPACE)


def full(mask: SoftMask, size: tuple[int, int] = SIZE) -> np.ndarray:
    canvas = np.zeros(size, dtype=np.uint8)
    height, width = mask.alpha.shape
    canvas[mask.y : mask.y + height, mask.x : mask.x + width] = mask.alpha
    return canvas


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 60), st.integers(1, 30), st.integers(1, 30)), max_size=4))
def test_no_pixel_outside_the_masks_is_visible(boxes):
    masks = [box_mask(x, y, min(x + w, SIZE[1]), min(y + h, SIZE[0])) for x, y, w, h in boxes]
    inside = np.zeros(SIZE, dtype=np.bool_)
    for mask in masks:
        inside |= mask()
    assert not full(soft_mask(masks, SPACE))[~inside].any()


def test_edges_are_soft_and_the_inside_is_opaque():
    big = MaskSpace.of((720, 1280))
    alpha = full(soft_mask([CropMask(np.ones((300, 300), dtype=np.bool_), 200, 200, big)], big), big.image_size)
    row = alpha[350]
    assert 0 < row[200] < row[201] < row[202] == OPAQUE
    assert row[199] == 0
    assert (row[203:497] == OPAQUE).all()
    assert row[499] == row[200]


def test_an_object_cut_by_the_image_has_no_soft_edge_there():
    alpha = full(soft_mask([box_mask(0, 40, 96, 72)], SPACE))
    assert (alpha[-1] == OPAQUE).all()
    assert (alpha[60:, 0] == OPAQUE).all()


def test_no_mask_and_empty_masks_show_nothing():
    assert soft_mask([], SPACE).alpha.shape == (0, 0)
    assert soft_mask([CropMask.of(np.zeros(SIZE, dtype=np.bool_))], SPACE).alpha.shape == (0, 0)
    canvas = np.zeros((*SIZE, 3), dtype=np.uint8)
    blend(canvas, np.full_like(canvas, 9), soft_mask([], SPACE))
    assert not canvas.any()


def test_masks_of_another_space_are_scaled():
    half = MaskSpace.of(SIZE, (36, 48))
    small = CropMask(np.ones((10, 10), dtype=np.bool_), 5, 5, half)
    alpha = full(soft_mask([replace(small, space=None)], half))
    rows, columns = np.nonzero(alpha)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 29, 10, 29)


@pytest.mark.parametrize(("alpha", "expected"), [(0, 100), (51, 120), (255, 200)])
def test_blend(alpha, expected):
    canvas = np.full((4, 4, 3), 100, dtype=np.uint8)
    image = np.full((4, 4, 3), 200, dtype=np.uint8)
    blend(canvas, image, SoftMask(np.full((2, 2), alpha, dtype=np.uint8), 1, 1))
    assert (canvas[1:3, 1:3] == expected).all()
    assert (canvas[0] == 100).all()
