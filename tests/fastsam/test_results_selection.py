"""Prompts in all forms that scripts use, matched as by the current ultralytics or by streamseg's rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamseg.errors import DataError, WeightsError
from streamseg.fastsam import Boxes, FastSAMPrompt, Masks, Results
from streamseg.fastsam.reference_masks import stacked
from streamseg.fastsam.results_selection import apply_prompts, as_boxes, as_labels, as_points, rows_for_texts
from streamseg.paths import cache_folder
from streamseg.segmentation import instance_masks
from tests.support.fastsam_results import GOLDEN, rectangles, results_of
from tests.support.shapes import Shape, detect_shapes
from tests.support.text_encoders import make_encoders

WHEEL = np.load(GOLDEN / "prompts_8.4.190.npz")
POINTS = sorted({name.split("/")[1] for name in WHEEL.files if name.startswith("points/")})

WALL = Shape(160, 120, 320, 240, "rectangle")
PERSON = Shape(160, 120, 100, 220, "rectangle")
FACE = Shape(160, 50, 60, 60)
BALL = Shape(270, 180, 60, 60)


def scene(prompting: str) -> Results:
    """Return four objects in an image of 240 x 320: wall, person, face, ball."""
    instances = detect_shapes([WALL, PERSON, FACE, BALL])
    size = instances.image_size
    rows = torch.cat([instances.boxes, instances.scores[:, None], torch.zeros(4, 1)], dim=1)
    masks = torch.from_numpy(stacked(instance_masks(instances), size).astype(np.uint8))
    image = np.zeros((*size, 3), np.uint8)
    return Results(image, "a.png", Boxes(rows, size), Masks(masks, size), instances=instances, prompting=prompting)


def rows_of(selected: Results, everything: Results) -> list[int]:
    """Return the rows of `everything` that were selected."""
    boxes = everything.boxes.xyxy.tolist()
    return [boxes.index(box) for box in selected.boxes.xyxy.tolist()]


@pytest.mark.parametrize("name", POINTS)
def test_points_match_the_recorded_rows(name):
    everything = results_of(WHEEL["masks"], boxes=[[n, 0, n + 1, 1] for n in range(len(WHEEL["masks"]))])
    selected = apply_prompts(everything, points=WHEEL[f"points/{name}/points"], labels=WHEEL[f"points/{name}/labels"])
    assert rows_of(selected, everything) == WHEEL[f"points/{name}/rows"].tolist()


@pytest.mark.parametrize("number", range(len(WHEEL["boxes/names"])), ids=WHEEL["boxes/names"].tolist())
def test_boxes_match_the_recorded_rows(number):
    everything = results_of(WHEEL["masks"], boxes=[[n, 0, n + 1, 1] for n in range(len(WHEEL["masks"]))])
    selected = apply_prompts(everything, bboxes=WHEEL["boxes/boxes"][number])
    assert rows_of(selected, everything) == [WHEEL["boxes/rows"][number]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompts", "reference", "default"),
    [
        pytest.param({}, [0, 1, 2, 3], [0, 1, 2, 3], id="everything"),
        pytest.param({"bboxes": [110, 10, 210, 230]}, [1], [1], id="one box"),
        pytest.param({"bboxes": [[240, 150, 300, 210], [110, 10, 210, 230]]}, [1, 3], [3, 1], id="order of boxes"),
        pytest.param({"bboxes": [5, 5, 25, 25]}, [0], [], id="a box on nothing"),
        pytest.param({"bboxes": [[130, 20, 190, 80]] * 2}, [2], [2], id="the same box twice"),
        pytest.param({"points": [160, 50]}, [0, 1, 2], [2], id="one point"),
        pytest.param({"points": [[160, 50], [270, 180]]}, [0, 1, 2, 3], [2], id="two points"),
        pytest.param({"points": [[160, 50], [160, 200]], "labels": [0, 1]}, [], [], id="nested background"),
        pytest.param({"points": [[160, 200], [160, 50]], "labels": [1, 1]}, [0, 1, 2], [1], id="points of one"),
        pytest.param({"points": [[270, 180]], "labels": [0]}, [1, 2], [], id="background only"),
        pytest.param({"points": [160, 50], "bboxes": [240, 150, 300, 210]}, [0, 1, 2, 3], [3, 2], id="both kinds"),
    ],
)
def test_two_sets_of_rules(prompts, reference, default):
    assert rows_of(apply_prompts(scene("reference"), **prompts), scene("reference")) == reference
    assert rows_of(apply_prompts(scene("default"), **prompts), scene("default")) == default


def test_boxes_are_compared_with_masks_at_the_size_of_the_image():
    everything = scene("reference")
    # The network's input of this image has no padding; here it has half the size of the image.
    half = Masks(everything.masks.data[:, ::2, ::2], everything.orig_shape)
    small = Results(everything.orig_img, "a", everything.boxes, half, instances=everything.instances)
    assert rows_of(apply_prompts(small, bboxes=[240, 150, 300, 210]), everything) == [3]


@pytest.mark.parametrize("prompting", ["reference", "default"])
@pytest.mark.parametrize("prompts", [{"bboxes": [1, 1, 9, 9]}, {"points": [5, 5]}, {"points": [5, 5], "labels": 0}])
def test_without_objects_there_are_no_rows(prompts, prompting):
    selected = apply_prompts(results_of(rectangles(), prompting=prompting), **prompts)
    assert len(selected) == 0
    assert selected.masks.shape == (0, 60, 80)


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
def test_invalid_boxes(boxes):
    with pytest.raises(DataError, match=r"boxes must be|made of numbers") as error:
        as_boxes(boxes)
    assert "\n" not in str(error.value)


def test_forms_of_points_and_labels():
    assert as_points([3, 4]) == as_points([[3, 4]]) == [[3, 4]]
    assert as_labels(None, 2) == [1, 1]
    assert as_labels(0, 1) == as_labels([0], 1) == as_labels(torch.tensor([0]), 1) == [0]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        pytest.param({"labels": [1]}, "labels are given without points", id="labels alone"),
        pytest.param({"points": [[1, 2]], "labels": [1, 0]}, "1 point and 2 labels", id="more labels"),
        pytest.param({"points": [1, 2, 3]}, "points must be", id="three numbers"),
    ],
)
@pytest.mark.parametrize("prompting", ["reference", "default"])
def test_invalid_prompts(prompts, message, prompting):
    with pytest.raises(DataError, match=message):
        apply_prompts(results_of(rectangles((1, 1, 5, 5)), prompting=prompting), **prompts)


def test_streamsegs_rules_reject_boxes_without_extent():
    with pytest.raises(DataError, match="must satisfy x0 < x1"):
        apply_prompts(scene("default"), bboxes=[10, 10, 10, 20])


@pytest.mark.parametrize("texts", ["a dog", ["a dog", "a cat"]])
def test_texts_without_encoders(texts):
    with pytest.raises(WeightsError, match=r"texts need encoders .*streamseg text export .* points or boxes"):
        apply_prompts(scene("reference"), texts=texts)


# ---- texts

COLOURED = rectangles((5, 5, 25, 25), (40, 5, 60, 30), (10, 40, 40, 55))
"""Masks of a red, a green and a nearly black object."""


@pytest.fixture
def encoders_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    return make_encoders(cache_folder() / "text" / "default")


def coloured(prompting):
    image = np.zeros((60, 80, 3), np.uint8)
    for mask, rgb in zip(COLOURED, ((220, 0, 0), (0, 220, 0), (10, 10, 10)), strict=True):
        image[mask] = rgb
    return results_of(COLOURED, prompting=prompting, image=np.ascontiguousarray(image[:, :, ::-1]))


@pytest.mark.parametrize(
    ("prompting", "texts", "rows"),
    [
        pytest.param("reference", ["green cup"], [1], id="reference"),
        pytest.param("reference", ["green cup", "red cup"], [1, 0], id="reference, two"),
        pytest.param("reference", ["blue cup"], [2], id="reference: always one"),
        pytest.param("default", ["green cup"], [1], id="default"),
        pytest.param("default", ["green cup", "red cup"], [1, 0], id="default, two"),
        pytest.param("default", ["blue cup"], [], id="default: none of these"),
    ],
)
def test_rows_for_texts(encoders_folder, prompting, texts, rows):
    assert rows_for_texts(coloured(prompting), texts) == rows
    assert len(apply_prompts(coloured(prompting), texts=texts)) == len(rows)


def test_mask_of_a_text(encoders_folder):
    given = coloured("reference")
    np.testing.assert_array_equal(FastSAMPrompt(given.orig_img, [given]).text_prompt("red cup"), COLOURED[:1])


def test_texts_without_objects(encoders_folder):
    for prompting in ("reference", "default"):
        assert rows_for_texts(results_of(COLOURED[:0], prompting=prompting), ["red"]) == []


def test_encoders_are_reloaded_after_an_export(encoders_folder):
    assert rows_for_texts(coloured("default"), ["red cup"]) == [0]
    make_encoders(encoders_folder, logit_scale=0.01)  # all texts equal: nothing exceeds the threshold
    assert rows_for_texts(coloured("default"), ["red cup"]) == []


def test_text_errors(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="streamseg text export"):
        rows_for_texts(coloured("default"), ["red"])
    with pytest.raises(DataError, match="empty text"):
        rows_for_texts(coloured("default"), [" "])
    with pytest.raises(DataError, match="10000 characters"):
        rows_for_texts(coloured("default"), ["x" * 10_000])
