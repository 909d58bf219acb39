"""Outlines of masks: exact without simplification, close with it; holes and parts are kept."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from streamseg.datasets.polygons import TOLERANCE_PX, joined, mask_polygons
from streamseg.rle import CocoRle, coco_to_crop
from streamseg.structures.mask import CropMask
from tests.support.images import disc, rectangle

SIZE = (40, 60)


def filled(polygons, size):
    """Return the pixels inside polygons, by COCO's own program."""
    if not polygons:
        return np.zeros(size, dtype=np.bool_)
    runs = coco_mask.merge(coco_mask.frPyObjects([ring.ravel().tolist() for ring in polygons], *size))
    return coco_to_crop(CocoRle(size=list(size), counts=runs["counts"].decode("ascii"))).full(size)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_outlines_without_simplification_are_exact(mask):
    """Any mask, also with touching corners, specks and holes in holes."""
    polygons = mask_polygons(CropMask.of(mask), tolerance=0)
    assert np.array_equal(filled(polygons, mask.shape), mask)
    if polygons:
        assert np.array_equal(filled([joined(polygons)], mask.shape), mask)


RING = disc(SIZE, 30, 20, 18) & ~disc(SIZE, 30, 20, 8)


@pytest.mark.parametrize(
    ("mask", "num_parts"),
    [
        pytest.param(disc(SIZE, 30, 20, 18), 1, id="disc"),
        pytest.param(disc(SIZE, 30, 20, 2.5), 1, id="small-disc"),
        pytest.param(RING, 1, id="hole"),
        pytest.param(RING | disc(SIZE, 30, 20, 4), 2, id="part-in-a-hole"),
        pytest.param(disc(SIZE, 15, 20, 9) | disc(SIZE, 45, 20, 12), 2, id="two-parts"),
        pytest.param(RING & ~disc(SIZE, 18, 20, 2), 1, id="two-holes"),
        pytest.param(np.ones(SIZE, dtype=np.bool_), 1, id="whole-image"),
    ],
)
def test_simplified_outlines_are_close(mask, num_parts):
    polygons = mask_polygons(CropMask.of(mask))
    exact = mask_polygons(CropMask.of(mask), tolerance=0)
    assert len(polygons) == len(exact) == num_parts
    assert sum(map(len, polygons)) <= sum(map(len, exact))
    for found in (polygons, [joined(polygons)]):
        assert iou(filled(found, SIZE), mask) > 0.96
    # No corner of the pixels' outline is farther from the polygon than the tolerance.
    for ring, corners in zip(polygons, exact, strict=True):
        outline = ring.reshape(-1, 1, 2).astype(np.float32)
        farthest = max(abs(cv2.pointPolygonTest(outline, (float(x), float(y)), True)) for x, y in corners)
        assert farthest <= TOLERANCE_PX + 1e-3


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        pytest.param(rectangle(SIZE, 5, 6, 25, 20), [[5, 6], [5, 20], [25, 20], [25, 6]], id="rectangle"),
        pytest.param(rectangle(SIZE, 59, 39, 60, 40), [[59, 39], [59, 40], [60, 40], [60, 39]], id="corner-pixel"),
        pytest.param(rectangle(SIZE, 3, 0, 4, 40), [[3, 0], [3, 40], [4, 40], [4, 0]], id="line"),
    ],
)
def test_rectangles_are_their_own_outline(mask, expected):
    (ring,) = mask_polygons(CropMask.of(mask))
    assert ring.tolist() == expected


def test_larger_parts_come_first():
    mask = disc(SIZE, 10, 20, 5) | disc(SIZE, 40, 20, 15)
    assert [ring[:, 0].mean() > 25 for ring in mask_polygons(CropMask.of(mask))] == [True, False]


def test_empty_mask_has_no_outline():
    assert mask_polygons(CropMask.of(np.zeros(SIZE, dtype=np.bool_))) == []
    assert mask_polygons(CropMask(np.zeros((3, 4), dtype=np.bool_), 1, 1)) == []
