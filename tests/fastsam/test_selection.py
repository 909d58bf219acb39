"""Prompts in all the forms that scripts use, answered as today's ultralytics does or by streamseg's rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamseg.errors import DataError, WeightsError
from streamseg.fastsam import Boxes, Masks, Results
from streamseg.fastsam.reference_masks import stacked
from streamseg.fastsam.selection import as_boxes, as_labels, as_points, prompted
from streamseg.segmentation import instance_masks
from tests.support.compat_results import GOLDEN, rectangles, results_of
from tests.support.shapes import Shape, detect_shapes

WHEEL = np.load(GOLDEN / "prompts_8.4.190.npz")
POINTS = sorted({name.split("/")[1] for name in WHEEL.files if name.startswith("points/")})

WALL = Shape(160, 120, 320, 240, "rectangle")
PERSON = Shape(160, 120, 100, 220, "rectangle")
FACE = Shape(160, 50, 60, 60)
BALL = Shape(270, 180, 60, 60)


def scene(prompting: str) -> Results:
    """Four objects in a picture of 240 x 320: wall, person, face, ball."""
    instances = detect_shapes([WALL, PERSON, FACE, BALL])
    size = instances.image_size
    rows = torch.cat([instances.boxes, instances.scores[:, None], torch.zeros(4, 1)], dim=1)
    masks = torch.from_numpy(stacked(instance_masks(instances), size).astype(np.uint8))
    image = np.zeros((*size, 3), np.uint8)
    return Results(image, "a.png", Boxes(rows, size), Masks(masks, size), instances=instances, prompting=prompting)


def rows_of(answer: Results, whole: Results) -> list[int]:
    """Which rows of the whole an answer has."""
    boxes = whole.boxes.xyxy.tolist()
    return [boxes.index(box) for box in answer.boxes.xyxy.tolist()]


@pytest.mark.parametrize("name", POINTS)
def test_points_are_answered_as_there(name):
    whole = results_of(WHEEL["masks"], boxes=[[n, 0, n + 1, 1] for n in range(len(WHEEL["masks"]))])
    answer = prompted(whole, points=WHEEL[f"points/{name}/points"], labels=WHEEL[f"points/{name}/labels"])
    assert rows_of(answer, whole) == WHEEL[f"points/{name}/rows"].tolist()


@pytest.mark.parametrize("number", range(len(WHEEL["boxes/names"])), ids=WHEEL["boxes/names"].tolist())
def test_boxes_are_answered_as_there(number):
    whole = results_of(WHEEL["masks"], boxes=[[n, 0, n + 1, 1] for n in range(len(WHEEL["masks"]))])
    answer = prompted(whole, bboxes=WHEEL["boxes/boxes"][number])
    assert rows_of(answer, whole) == [WHEEL["boxes/rows"][number]]


@pytest.mark.parametrize(
    ("prompts", "reference", "default"),
    [
        pytest.param({}, [0, 1, 2, 3], [0, 1, 2, 3], id="everything"),
        pytest.param({"bboxes": [110, 10, 210, 230]}, [1], [1], id="one box"),
        pytest.param({"bboxes": [[240, 150, 300, 210], [110, 10, 210, 230]]}, [1, 3], [3, 1], id="order of boxes"),
        pytest.param({"bboxes": [5, 5, 25, 25]}, [0], [], id="a box on nothing"),
        pytest.param({"bboxes": [[130, 20, 190, 80]] * 2}, [2], [2], id="the same box twice"),
        pytest.param({"points": [160, 50]}, [0, 1, 2], [2], id="one point"),
        pytest.param({"points": [[160, 50], [270, 180]]}, [0, 1, 2, 3], [0], id="two points"),
        pytest.param({"points": [[160, 50], [160, 200]], "labels": [0, 1]}, [], [], id="nested background"),
        pytest.param({"points": [[160, 200], [160, 50]], "labels": [1, 1]}, [0, 1, 2], [1], id="points of one"),
        pytest.param({"points": [[270, 180]], "labels": [0]}, [1, 2], [], id="background only"),
        pytest.param({"points": [160, 50], "bboxes": [240, 150, 300, 210]}, [0, 1, 2, 3], [3, 2], id="both kinds"),
    ],
)
def test_two_sets_of_rules(prompts, reference, default):
    assert rows_of(prompted(scene("reference"), **prompts), scene("reference")) == reference
    assert rows_of(prompted(scene("default"), **prompts), scene("default")) == default


def test_boxes_choose_by_the_masks_at_the_pictures_size():
    whole = scene("reference")
    # The network's input of this picture has no padding, and is half its size here.
    half = Masks(whole.masks.data[:, ::2, ::2], whole.orig_shape)
    small = Results(whole.orig_img, "a", whole.boxes, half, instances=whole.instances)
    assert rows_of(prompted(small, bboxes=[240, 150, 300, 210]), whole) == [3]


@pytest.mark.parametrize("prompting", ["reference", "default"])
@pytest.mark.parametrize("prompts", [{"bboxes": [1, 1, 9, 9]}, {"points": [5, 5]}, {"points": [5, 5], "labels": 0}])
def test_without_objects_nothing_answers(prompts, prompting):
    answer = prompted(results_of(rectangles(), prompting=prompting), **prompts)
    assert len(answer) == 0
    assert answer.masks.shape == (0, 60, 80)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([1, 2, 3, 4], id="flat"),
        pytest.param([[1, 2, 3, 4]], id="nested"),
        pytest.param((1.0, 2.0, 3.0, 4.0), id="tuple"),
        pytest.param(np.array([[1, 2, 3, 4]]), id="array"),
        pytest.param(torch.tensor([1, 2, 3, 4]), id="tensor"),
    ],
)
def test_forms_of_boxes(boxes):
    assert as_boxes(boxes) == [[1, 2, 3, 4]]


@pytest.mark.parametrize("boxes", [[], [[]], [1, 2, 3], [[1, 2, 3, 4], [1]], "abcd", [1, 2, 3, float("nan")], [[[1]]]])
def test_what_is_no_box_is_one_line(boxes):
    with pytest.raises(DataError, match=r"boxes are|made of numbers") as error:
        as_boxes(boxes)
    assert "\n" not in str(error.value)


def test_forms_of_points_and_labels():
    assert as_points([3, 4]) == as_points([[3, 4]]) == [[3, 4]]
    assert as_labels(None, 2) == [1, 1]
    assert as_labels(0, 1) == as_labels([0], 1) == as_labels(torch.tensor([0]), 1) == [0]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        pytest.param({"labels": [1]}, "labels belong to points", id="labels alone"),
        pytest.param({"points": [[1, 2]], "labels": [1, 0]}, "1 points and 2 labels", id="more labels"),
        pytest.param({"points": [1, 2, 3]}, "points are", id="three numbers"),
    ],
)
@pytest.mark.parametrize("prompting", ["reference", "default"])
def test_prompts_that_contradict_themselves(prompts, message, prompting):
    with pytest.raises(DataError, match=message):
        prompted(results_of(rectangles((1, 1, 5, 5)), prompting=prompting), **prompts)


def test_streamsegs_rules_take_no_box_without_extent():
    with pytest.raises(DataError, match="must satisfy x0 < x1"):
        prompted(scene("default"), bboxes=[10, 10, 10, 20])


@pytest.mark.parametrize("texts", ["a dog", ["a dog", "a cat"]])
def test_texts_have_no_encoders(texts):
    with pytest.raises(WeightsError, match=r"texts need encoders .*scripts/export_text_encoders .* points or boxes"):
        prompted(scene("reference"), texts=texts)
