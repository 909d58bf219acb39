"""Second looks at objects whose places are known."""

import numpy as np
import pytest
import torch

from streamseg.engines import Raw
from streamseg.geometry import letterbox
from streamseg.modeling.refiner import Refiner
from streamseg.segmentation.second_look import Looker

IMAGE = np.zeros((64, 96, 3), np.uint8)
PLACE = letterbox((64, 96), 96)
LEFT, RIGHT = (8.0, 8.0, 40.0, 56.0), (56.0, 8.0, 88.0, 56.0)
"""The boxes of two candidates, whose masks are the left and the right half of the image."""


def looker(scores=(0.01, 0.9)):
    prototypes = np.full((1, 32, 16, 24), -4.0, np.float32)
    prototypes[0, 0, :, :12], prototypes[0, 1, :, 12:] = 4, 4
    coefficients = np.zeros((1, 2, 32), np.float32)
    coefficients[0, 0, 0], coefficients[0, 1, 1] = 1, 1
    raw = Raw(np.array([[LEFT, RIGHT]], np.float32), np.array([scores], np.float32), coefficients, prototypes)
    return Looker(Refiner().eval(), raw, 0, IMAGE, PLACE, IMAGE)


def logits(box):
    """A mask of the pixels in a box, on cells of 4 pixels."""
    x0, y0, x1, y1 = (round(side / 4) for side in box)
    mask = np.full((16, 24), -4.0, np.float32)
    mask[y0:y1, x0:x1] = 4
    return mask


IOU = 0.6
"""Minimum IoU of the network's mask with the given one."""


@pytest.mark.parametrize("box", [pytest.param(LEFT, id="low-score"), pytest.param(RIGHT, id="high-score")])
def test_the_candidate_in_the_box_is_found_whatever_its_score(box):
    (look,) = looker()(np.array([box], np.float32), logits(box)[None], IOU)
    assert look.is_found
    assert look.mask.crop_box == pytest.approx(box, abs=8)
    assert 0 <= look.quality <= 1


def test_without_agreement_the_given_mask_is_corrected():
    # An untrained refiner corrects nothing: the mask stays as it is.
    part = (16.0, 16.0, 32.0, 40.0)
    (look,) = looker()(np.array([LEFT], np.float32), logits(part)[None], IOU)
    assert not look.is_found
    assert look.mask.crop_box == pytest.approx(part)


@pytest.mark.parametrize(
    ("min_iou", "is_found"), [pytest.param(0.2, True, id="low"), pytest.param(0.3, False, id="high")]
)
def test_agreement_is_the_iou_of_the_masks_in_the_box(min_iou, is_found):
    # A quarter of the left box, the only place in which the candidate's mask counts.
    part = (8.0, 8.0, 24.0, 32.0)
    (look,) = looker()(np.array([LEFT], np.float32), logits(part)[None], min_iou)
    assert look.is_found == is_found


def test_looks_are_in_order():
    boxes = np.array([RIGHT, LEFT], np.float32)
    first, second = looker()(boxes, np.stack([logits(RIGHT), logits((8.0, 8.0, 12.0, 12.0))]), IOU)
    assert (first.is_found, second.is_found) == (True, False)
    assert first.mask.x > second.mask.x


def test_nothing_to_look_at():
    assert looker()(np.zeros((0, 4), np.float32), np.zeros((0, 16, 24), np.float32), IOU) == []


def test_boxes_are_clipped_to_the_image():
    (look,) = looker()(np.array([[-50.0, -50.0, 40.0, 56.0]], np.float32), logits(LEFT)[None], IOU)
    assert look.mask().shape == (64, 96)
    assert torch.isfinite(torch.tensor(look.quality))
