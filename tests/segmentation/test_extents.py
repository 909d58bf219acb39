"""Boxes for evaluation: between the network's box and the extent of the mask."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.segmentation.extents import MASK_SHARE, detection_boxes
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.mask_samples import WIDENED_CELLS

SIZE = (64, 96)
BOX = (10.0, 20.0, 50.0, 40.0)


def make(boxes, *, is_sharp=True):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    corrections = torch.zeros(len(boxes), WIDENED_CELLS, WIDENED_CELLS) if is_sharp else None
    logits = torch.zeros(len(boxes), 16, 24)
    return Instances(boxes, torch.ones(len(boxes)), logits, GridTransform(4, 4, 0, 0), SIZE, corrections=corrections)


def mask_of(*rectangles):
    """A mask of rectangles xyxy, in a crop that has background around them, as `instance_masks` returns it."""
    mask = np.zeros(SIZE, dtype=np.bool_)
    for x0, y0, x1, y1 in rectangles:
        mask[y0:y1, x0:x1] = True
    return CropMask(mask[2:, 3:], 3, 2)


@pytest.mark.parametrize(
    ("rectangles", "extent"),
    [
        pytest.param([(10, 20, 50, 40)], BOX, id="fills its box"),
        pytest.param([(6, 12, 60, 44)], (6, 12, 60, 44), id="beyond its box"),
        pytest.param([(20, 24, 30, 36)], (20, 24, 30, 36), id="smaller"),
        pytest.param([(12, 22, 20, 30), (40, 30, 52, 38)], (12, 22, 52, 38), id="two pieces"),
        pytest.param([(95, 63, 96, 64)], (95, 63, 96, 64), id="one pixel, far away"),
        pytest.param([], BOX, id="empty"),
    ],
)
def test_edges_move_towards_the_mask(rectangles, extent):
    expected = (1 - MASK_SHARE) * np.array(BOX) + MASK_SHARE * np.array(extent)
    assert detection_boxes(make([BOX]), [mask_of(*rectangles)]) == pytest.approx(expected[None])


def test_masks_that_end_at_their_boxes_leave_them():
    assert detection_boxes(make([BOX], is_sharp=False), [mask_of((20, 24, 30, 36))]).tolist() == [list(BOX)]


def test_no_instances():
    assert detection_boxes(make([]), []).shape == (0, 4)


def test_instances_keep_their_boxes():
    instances = make([BOX, BOX])
    moved = detection_boxes(instances, [mask_of((0, 2, 30, 36)), mask_of((20, 24, 30, 36))])
    assert instances.boxes.tolist() == [list(BOX)] * 2
    assert not np.array_equal(moved[0], moved[1])


coordinates = st.tuples(st.integers(3, 94), st.integers(2, 62), st.integers(1, 40), st.integers(1, 40))


@given(coordinates)
def test_edges_lie_between_both(place):
    x, y, width, height = place
    extent = np.array([x, y, min(x + width, SIZE[1]), min(y + height, SIZE[0])], dtype=float)
    (moved,) = detection_boxes(make([BOX]), [mask_of(extent.astype(int))])
    low, high = np.minimum(extent, BOX), np.maximum(extent, BOX)
    assert ((low - 1e-9 <= moved) & (moved <= high + 1e-9)).all()
