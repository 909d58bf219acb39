"""`Results` of one image, with and without objects."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from streamseg.errors import DataError
from streamseg.fastsam import Boxes, Results
from tests.support.fastsam_results import rectangles, results_of

MASKS = rectangles((5, 5, 25, 30), (40, 10, 70, 50), (0, 0, 80, 60))


def empty() -> Results:
    return results_of(MASKS[:0])


def test_attributes():
    result = results_of(MASKS)
    assert result.orig_shape == (60, 80)
    assert result.orig_img.shape == (60, 80, 3)
    assert result.path == "folder/image.png"
    assert result.names == {0: "object"}
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    assert len(result) == len(result.boxes) == len(result.masks) == 3
    assert result.probs is result.keypoints is result.obb is None


def test_no_objects_give_zero_rows_instead_of_none():
    result = empty()
    assert len(result) == 0
    assert result.masks.shape == (0, 60, 80)
    assert result.boxes.shape == (0, 6)
    assert result.summary() == list(result) == []
    assert result.to_json() == "[]"
    np.testing.assert_array_equal(result.plot(), result.orig_img)


@pytest.mark.parametrize(
    ("rows", "scores"),
    [
        pytest.param(1, [0.7], id="number"),
        pytest.param(-1, [0.5], id="from the end"),
        pytest.param(slice(1, None), [0.7, 0.5], id="slice"),
        pytest.param([2, 0], [0.5, 0.9], id="list"),
        pytest.param(torch.tensor([True, False, True]), [0.9, 0.5], id="bool tensor"),
        pytest.param(np.array([False, True, False]), [0.7], id="bool array"),
        pytest.param(np.array([2, 1]), [0.5, 0.7], id="index array"),
        pytest.param([], [], id="none"),
    ],
)
@pytest.mark.parametrize("as_array", [pytest.param(False, id="tensor"), pytest.param(True, id="array")])
def test_row_selection(rows, scores, as_array):
    result = results_of(MASKS)
    selected = (result.numpy() if as_array else result)[rows]
    assert selected.boxes.conf.tolist() == pytest.approx(scores)
    assert len(selected.masks) == len(selected.instances) == len(scores)
    assert selected.instances.scores.tolist() == pytest.approx(scores)


def test_iteration_yields_results_of_one_row():
    assert [one.boxes.conf.item() for one in results_of(MASKS)] == pytest.approx([0.9, 0.7, 0.5])
    with pytest.raises(IndexError):
        results_of(MASKS)[3]


def test_tensors_and_arrays():
    result = results_of(MASKS)
    assert isinstance(result.numpy().masks.data, np.ndarray)
    assert isinstance(result.cpu().masks.data, torch.Tensor)
    assert result.to(torch.float32).masks.data.dtype == torch.float32
    assert result.masks.data.dtype == torch.uint8


def test_parts_must_have_the_same_number_of_rows():
    result = results_of(MASKS)
    with pytest.raises(ValueError, match="differ: 2, 3, 3"):
        Results(result.orig_img, "a", result.boxes[:2], result.masks, instances=result.instances)


def test_summary():
    first = results_of(MASKS).summary()[0]
    assert {key: first[key] for key in ("name", "class", "confidence", "box")} == {
        "name": "object",
        "class": 0,
        "confidence": 0.9,
        "box": {"x1": 5.0, "y1": 5.0, "x2": 25.0, "y2": 30.0},
    }
    assert sorted(zip(first["segments"]["x"], first["segments"]["y"], strict=True)) == [
        (5, 5),
        (5, 29),
        (24, 5),
        (24, 29),
    ]
    normalised = results_of(MASKS).summary(normalize=True, decimals=3)[0]
    assert normalised["box"] == {"x1": 0.062, "y1": 0.083, "x2": 0.312, "y2": 0.5}
    assert json.loads(results_of(MASKS).tojson()) == results_of(MASKS).summary()


def test_summary_includes_identities():
    result = results_of(MASKS[:1])
    boxes = Boxes(torch.tensor([[5.0, 5, 25, 30, 4, 0.9, 0]]), result.orig_shape)
    tracked = Results(result.orig_img, result.path, boxes, result.masks, instances=result.instances)
    assert tracked.summary()[0]["track_id"] == 4
    assert (tracked.plot() != result.orig_img).any()


@pytest.mark.parametrize(
    ("num", "words"), [pytest.param(0, "0 objects, "), pytest.param(1, "1 object, "), pytest.param(3, "3 objects, ")]
)
def test_verbose(num, words):
    assert results_of(MASKS[:num]).verbose() == words


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        pytest.param({}, True, id="all"),
        pytest.param({"masks": False, "boxes": False, "labels": False, "conf": False}, False, id="nothing"),
        pytest.param({"masks": False, "boxes": True, "labels": False, "conf": False}, True, id="boxes"),
        pytest.param({"masks": True, "boxes": False, "labels": False, "conf": False}, True, id="masks"),
        pytest.param({"masks": False, "boxes": False, "labels": False, "conf": True}, True, id="scores"),
    ],
)
def test_plot_options(options, changed):
    result = results_of(MASKS)
    drawn = result.plot(**options)
    assert drawn.shape == (60, 80, 3)
    assert drawn.dtype == np.uint8
    assert (drawn != result.orig_img).any() == changed
    assert (result.orig_img == 100).all()


def test_plot_keeps_bgr():
    image = np.zeros((60, 80, 3), np.uint8)
    image[..., 0] = 200
    drawn = results_of(MASKS[:1], image=image).plot(boxes=False, labels=False, conf=False)
    assert drawn[55, 75].tolist() == [200, 0, 0]
    assert drawn[20, 15, 2] > drawn[20, 15, 1] > 0  # the first colour is an orange


def test_plot_on_another_image():
    result = results_of(MASKS[:0])
    other = np.full((60, 80, 3), 7, np.uint8)
    assert (result.plot(img=other) == 7).all()
    with pytest.raises(DataError, match="must have the shape of the image"):
        result.plot(img=other[:10])


def test_save(tmp_path):
    result = results_of(MASKS)
    path = result.save(tmp_path / "made" / "drawn.png", boxes=False)
    np.testing.assert_array_equal(cv2.imread(path), result.plot(boxes=False))


def test_save_under_the_name_of_the_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert results_of(MASKS).save() == "results_image.png"
    assert (tmp_path / "results_image.png").is_file()
