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
def test_a_mask_means_the_most_similar_one(row: int):
    (selection,) = select_masks(INSTANCES, [MaskPrompt("p", mask_of(SHAPES[row]))])
    assert selection.rows == (row,)
    assert selection.scores[0] > 0.87


def test_scores_are_the_iou_of_the_masks():
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
        pytest.param(CropMask(np.ones((20, 20), np.bool_), 5, 5), id="on-nothing"),
        pytest.param(CropMask(np.ones((4, 4), np.bool_), 78, 118), id="much-smaller"),
        pytest.param(CropMask(np.ones(IMAGE_SIZE, np.bool_), 0, 0), id="everything"),
        pytest.param(CropMask(np.ones((20, 20), np.bool_), 500, 5), id="outside"),
        pytest.param(CropMask(np.ones((20, 20), np.bool_), -30, -30), id="outside-above"),
    ],
)
def test_what_is_like_nothing_has_no_answer(mask: CropMask):
    assert select_masks(INSTANCES, [MaskPrompt("p", mask)])[0].rows == ()


def test_pixels_outside_the_picture_do_not_count():
    whole = np.zeros((240, 400), np.bool_)
    whole[:, :320] = mask_of(SHAPES[4]).crop
    whole[170:230, 320:] = True
    (selection,) = select_masks(INSTANCES, [MaskPrompt("p", CropMask(whole, 0, 0))])
    assert selection.rows == (4,)
    assert selection.scores[0] > 0.87


def test_corrections_count():
    grown = INSTANCES.corrected(torch.full((len(INSTANCES), 24, 24), 20.0))
    x0, y0, x1, y1 = INSTANCES.boxes[4].tolist()
    width, height = 0.15 * (x1 - x0), 0.15 * (y1 - y0)
    box = np.zeros(IMAGE_SIZE, np.bool_)
    box[round(y0 - height) : round(y1 + height), round(x0 - width) : round(x1 + width)] = True
    (selection,) = select_masks(grown, [MaskPrompt("p", CropMask(box, 0, 0))])
    assert selection.rows == (4,)


def test_prompts_and_instances_may_be_none():
    prompt = MaskPrompt("p", mask_of(SHAPES[0]))
    assert select_masks(Instances.empty(IMAGE_SIZE, (60, 80)), [prompt])[0].rows == ()
    assert select_masks(INSTANCES, []) == []
