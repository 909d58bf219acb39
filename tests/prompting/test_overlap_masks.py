import numpy as np
import pytest
import torch

from streamseg.prompting.overlap import select_masks
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import MaskPrompt
from tests.support.shapes import IMAGE_SIZE, Shape, detect_shapes

SHAPES = [
    Shape(80, 120, 100, 140),
    Shape(80, 120, 70, 100, score=0.8),
    Shape(220, 80, 90, 90, "ring", score=0.7),
    Shape(220, 80, 90, 90, "rectangle", score=0.65),
    Shape(300, 200, 60, 60, "triangle", score=0.6),
]
INSTANCES = detect_shapes(SHAPES)


def mask_of(shape: Shape) -> CropMask:
    y, x = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]] + 0.5
    return CropMask(shape.covers(x, y), 0, 0)


@pytest.mark.parametrize("row", range(len(SHAPES)))
def test_most_similar_mask_is_selected(row: int):
    (selection,) = select_masks(INSTANCES, [MaskPrompt("p", mask_of(SHAPES[row]))])
    assert selection.rows == (row,)
    assert selection.scores[0] > 0.87


def test_score_is_the_mask_iou():
    masks = [mask.full(IMAGE_SIZE) for mask in instance_masks(INSTANCES)]
    given = mask_of(Shape(90, 130, 90, 110))
    (selection,) = select_masks(INSTANCES, [MaskPrompt("p", given)], nested=True)
    ious = [(given.crop & mask).sum() / (given.crop | mask).sum() for mask in masks]
    expected = sorted((row for row, iou in enumerate(ious) if iou >= 0.3), key=lambda row: -ious[row])
    assert selection.rows == tuple(expected)
    assert len(expected) == 2
    assert selection.scores == pytest.approx([ious[row] for row in expected], abs=0.03)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(CropMask(np.ones((20, 20), np.bool_), 5, 5), id="on-no-object"),
        pytest.param(CropMask(np.ones((4, 4), np.bool_), 78, 118), id="much-smaller"),
        pytest.param(CropMask(np.ones(IMAGE_SIZE, np.bool_), 0, 0), id="everything"),
        pytest.param(CropMask(np.ones((20, 20), np.bool_), 500, 5), id="outside"),
        pytest.param(CropMask(np.ones((20, 20), np.bool_), -30, -30), id="outside-above"),
    ],
)
def test_dissimilar_mask_selects_nothing(mask: CropMask):
    assert select_masks(INSTANCES, [MaskPrompt("p", mask)])[0].rows == ()


def test_pixels_outside_the_image_are_ignored():
    whole = np.zeros((240, 400), np.bool_)
    whole[:, :320] = mask_of(SHAPES[4]).crop
    whole[170:230, 320:] = True
    (selection,) = select_masks(INSTANCES, [MaskPrompt("p", CropMask(whole, 0, 0))])
    assert selection.rows == (4,)
    assert selection.scores[0] > 0.87


def test_corrected_masks_are_compared():
    grown = INSTANCES.corrected(torch.full((len(INSTANCES), 24, 24), 20.0))
    x0, y0, x1, y1 = INSTANCES.boxes[4].tolist()
    width, height = 0.15 * (x1 - x0), 0.15 * (y1 - y0)
    box = np.zeros(IMAGE_SIZE, np.bool_)
    box[round(y0 - height) : round(y1 + height), round(x0 - width) : round(x1 + width)] = True
    (selection,) = select_masks(grown, [MaskPrompt("p", CropMask(box, 0, 0))])
    assert selection.rows == (4,)


def test_no_instances_or_prompts():
    prompt = MaskPrompt("p", mask_of(SHAPES[0]))
    assert select_masks(Instances.empty(IMAGE_SIZE, (60, 80)), [prompt])[0].rows == ()
    assert select_masks(INSTANCES, []) == []
