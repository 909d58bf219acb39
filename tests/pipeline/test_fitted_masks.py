"""Masks of one frame, of which some are fitted to known boxes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamseg.pipeline.fitted_masks import fitted_masks
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Tracked
from streamseg.structures.mask_samples import WIDENED_CELLS
from streamseg.structures.prompt import Selection
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

SHAPES = [Shape(60, 60, 60, 60, "rectangle"), Shape(160, 60, 60, 60, "rectangle"), Shape(250, 160, 60, 60, "rectangle")]
PLAIN = detect_shapes(SHAPES)
FOUND = replace(PLAIN, corrections=torch.zeros(3, WIDENED_CELLS, WIDENED_CELLS))
TRACKED = Tracked(FOUND, torch.tensor([1, 2, 3]))
SMALLER = (140.0, 34.0, 186.0, 90.0)


def selection(row, box=None):
    return Selection(f"p{row}", (row,), (1.0,), fit_box=box)


def pixels(masks):
    return [mask.full(IMAGE_SIZE) for mask in masks]


def test_only_rows_with_a_box_are_fitted():
    shown, masks_of = fitted_masks(TRACKED, [selection(0), selection(1, SMALLER), selection(2)], IMAGE_SIZE)
    first, fitted, last = pixels(masks_of([0, 1, 2]))
    before = pixels(instance_masks(FOUND))
    assert (first == before[0]).all()
    assert (last == before[2]).all()
    inside = np.zeros(IMAGE_SIZE, np.bool_)
    inside[33:91, 139:187] = True
    assert not (fitted & ~inside).any()
    assert (fitted & inside).sum() > 0.9 * (before[1] & inside).sum()
    assert shown.instances.boxes[1].tolist() == list(SMALLER)
    assert (shown.instances.boxes[[0, 2]] == FOUND.boxes[[0, 2]]).all()


def test_rows_in_any_order_and_the_first_box_of_a_row():
    other = (150.0, 40.0, 170.0, 80.0)
    selections = [selection(2, (225.0, 135.0, 270.0, 185.0)), selection(1, SMALLER), selection(1, other)]
    shown, masks_of = fitted_masks(TRACKED, selections, IMAGE_SIZE)
    assert shown.instances.boxes[1].tolist() == list(SMALLER)
    together = pixels(masks_of([1, 2]))
    alone = [pixels(masks_of([row]))[0] for row in (1, 2)]
    assert all((one == other).all() for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    ("tracked", "selections"),
    [
        pytest.param(TRACKED, [selection(0), selection(1)], id="no box"),
        pytest.param(Tracked(PLAIN, TRACKED.track_ids), [selection(1, SMALLER)], id="no corrections"),
        pytest.param(TRACKED, [Selection("p", (), ())], id="nothing selected"),
    ],
)
def test_nothing_is_fitted(tracked, selections):
    shown, masks_of = fitted_masks(tracked, selections, IMAGE_SIZE)
    assert shown is tracked
    before = pixels(instance_masks(tracked.instances, [0, 1]))
    assert all((one == other).all() for one, other in zip(pixels(masks_of([0, 1])), before, strict=True))
