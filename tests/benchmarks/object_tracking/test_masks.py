"""Masks on the grid of a network, as used by the tracking benchmarks."""

import numpy as np
import pytest

from benchmarks.object_tracking.masks import instances_of, mask_iou
from benchmarks.object_tracking.scenes import SIZE
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask


def squares(*corners: tuple[float, float], side: float = 160.0) -> Instances:
    boxes = np.array([(x, y, x + side, y + side) for x, y in corners], np.float64).reshape(-1, 4)
    crops = [CropMask(np.ones((8, 8), np.bool_), 0, 0) for _ in boxes]
    return instances_of(boxes, np.ones(len(boxes)), crops)


def test_masks_are_inside_their_boxes():
    instances = squares((320, 160))
    inside = (instances.mask_logits[0] > 0).nonzero()
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    first, last = inside.min(dim=0).values, inside.max(dim=0).values + 1
    assert float(first[1] * scale_x + offset_x) == pytest.approx(320, abs=scale_x)
    assert float(last[0] * scale_y + offset_y) == pytest.approx(320, abs=scale_y)
    assert instances.image_size == SIZE


def test_iou_of_all_pairs():
    iou = mask_iou(squares((0, 0), (80, 0)), squares((0, 0), (0, 480), (80, 0)))
    assert iou == pytest.approx(np.array([[1, 0, 1 / 3], [1 / 3, 0, 1]]), abs=0.03)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (1, 0)])
def test_iou_of_empty_sets(first, second):
    assert mask_iou(squares(*[(0, 0)] * first), squares(*[(0, 0)] * second)).shape == (first, second)
