"""Recorded masks as instances."""

import numpy as np
import pytest

from streamseg.capture.recorded_objects import RecordedObject, instances_from
from streamseg.segmentation import instance_masks
from streamseg.structures.mask import CropMask
from tests.support.messages import disc


def recorded(crop: np.ndarray, x: int, y: int, score: float = 0.5) -> RecordedObject:
    box = (float(x), float(y), float(x + crop.shape[1]), float(y + crop.shape[0]))
    return RecordedObject(CropMask(crop, x, y), box, score)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return np.count_nonzero(first & second) / max(np.count_nonzero(first | second), 1)


@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (33, 18), (50, 30)])
def test_masks_are_those_that_were_recorded(size, x, y):
    found = instances_from([recorded(disc(61), x, y)], size)
    (mask,) = instance_masks(found, [0], size=size)
    assert iou(mask.full(size), CropMask(disc(61), x, y).full(size)) > 0.95


def test_objects_are_sorted_by_score_and_empty_ones_are_skipped():
    objects = [recorded(disc(9), 3, 3, 0.2), recorded(np.zeros((4, 4), bool), 0, 0, 0.9), recorded(disc(9), 40, 3, 0.7)]
    found = instances_from(objects, (48, 64))
    assert found.scores.tolist() == pytest.approx([0.7, 0.2])
    assert found.boxes[0].tolist() == [40, 3, 49, 12]


def test_no_objects():
    found = instances_from([], (48, 64))
    assert (len(found), found.mask_logits.shape) == (0, (0, 12, 16))
