"""The instances of one image: masks, overlays, and the formats of other programs."""

import json
import sys
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from streamseg.drawing import colour_of
from streamseg.errors import DataError
from streamseg.segmentation import ImageInstances, Segmenter
from streamseg.segmentation.extents import detection_boxes
from streamseg.structures.grid import STRIDE_4
from streamseg.structures.mask_samples import WIDENED_CELLS
from tests.support.scripted_engine import ScriptedEngine

SIZE = (48, 64)
IMAGE = np.full((*SIZE, 3), 100, np.uint8)


def make(boxes, *, image=IMAGE, empty=()):
    """Return instances whose masks fill their boxes, except the rows `empty`."""
    logits = torch.ones(len(boxes), 12, 16)
    logits[list(empty)] = -1
    return ImageInstances(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        mask_logits=logits,
        grid_to_image=STRIDE_4,
        image_size=SIZE,
        image=image,
    )


TWO = make([[4, 8, 20, 40], [30, 10, 60, 20]])
NONE = make([])


def test_masks_are_computed_once():
    found = make([[4, 8, 20, 40], [30, 10, 60, 20]], empty=[1])
    assert "masks" not in vars(found)
    assert found.masks is found.masks
    assert [mask.area for mask in found.masks] == [16 * 32, 0]
    assert found.masks[0].centroid == (12, 24)
    assert found.masks[0]().shape == SIZE
    assert NONE.masks == ()


def test_rows_have_the_same_methods():
    assert [one.masks[0].area for one in TWO] == [16 * 32, 30 * 10]
    for rows in (TWO[1], TWO[1:], TWO[[False, True]], TWO[TWO.scores < 0.6]):
        assert isinstance(rows, ImageInstances)
        assert rows.to_coco()[0]["bbox"] == [30, 10, 30, 10]
        assert rows.image is IMAGE


def test_plot_draws_every_object_in_its_colour():
    drawn = TWO.plot()
    assert (drawn.dtype, drawn.shape) == (np.uint8, IMAGE.shape)
    assert (IMAGE == 100).all()
    changed = (drawn != IMAGE).any(axis=2)
    assert changed[10:38, 6:18].all()
    assert changed[12:18, 32:58].all()
    assert not changed[42:].any()
    for rank, (x, y) in enumerate([(12, 24), (45, 15)]):
        assert drawn[y, x].tolist() == pytest.approx([55 + 0.45 * value for value in colour_of(rank)], abs=1)
    assert np.array_equal(NONE.plot(), IMAGE)


@pytest.mark.parametrize(
    "source",
    [np.zeros_like(IMAGE), torch.zeros(3, *SIZE), Image.new("RGB", SIZE[::-1])],
    ids=["array", "tensor", "PIL"],
)
def test_plot_on_another_image(source):
    drawn = make([[4, 8, 20, 40]], image=None).plot(source)
    assert drawn[45, 60].tolist() == [0, 0, 0]
    assert drawn[24, 12].any()


def test_plot_needs_an_image_of_the_same_size(tmp_path):
    without = replace(TWO, image=None)
    with pytest.raises(DataError, match=r"do not include their image; pass it: plot\(image\)"):
        without.plot()
    with pytest.raises(DataError, match=r"do not include their image"):
        without.save(tmp_path / "a.png")
    with pytest.raises(DataError, match="size of the segmented one, 64x48, got 10x48"):
        TWO.plot(IMAGE[:, :10])


@pytest.mark.parametrize("convert", [str, lambda path: path], ids=["text", "Path"])
def test_save(tmp_path, convert):
    path = tmp_path / "new" / "overlay.png"
    assert TWO.save(convert(path)) == path
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), TWO.plot())


@pytest.mark.parametrize("name", ["overlay", "overlay.txt", "overlay.mp4"])
def test_save_needs_an_image_format(tmp_path, name):
    with pytest.raises(DataError, match=r"the suffix must be an image format, such as \.png or \.jpg"):
        TWO.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_coco_results_load_in_pycocotools():
    results = json.loads(json.dumps(TWO.to_coco(image_id=7, category_id=3)))
    truth = COCO()
    truth.dataset = {"images": [{"id": 7, "height": 48, "width": 64}], "annotations": [], "categories": [{"id": 3}]}
    truth.createIndex()
    loaded = truth.loadRes(results)
    assert loaded.getAnnIds(imgIds=[7], catIds=[3]) == [1, 2]
    for row, result in enumerate(results):
        expected = coco_masks.encode(np.asfortranarray(TWO.masks[row]().astype(np.uint8)))
        assert result["segmentation"] == {"size": [*SIZE], "counts": expected["counts"].decode()}
        assert result["area"] == TWO.masks[row].area
        assert result["score"] == pytest.approx(float(TWO.scores[row]), abs=1e-4)
    assert results[0]["bbox"] == [4, 8, 16, 32]
    assert NONE.to_coco() == []


def test_coco_results_for_ranking_reduce_the_scores_of_duplicates():
    twice = make([[4, 8, 20, 40], [4, 8, 20, 38]])
    assert [one["score"] for one in twice.to_coco()] == pytest.approx(twice.scores.tolist(), abs=1e-4)
    ranked = [one["score"] for one in twice.to_coco(ranked=True)]
    assert ranked == pytest.approx(twice.ranking_scores().tolist(), abs=1e-4)
    assert ranked[1] < 0.7 * float(twice.scores[1])
    assert NONE.to_coco(ranked=True) == []


def test_coco_results_for_ranking_have_boxes_corrected_by_masks():
    corrections = torch.full((1, WIDENED_CELLS, WIDENED_CELLS), -20.0)
    corrections[:, 8:12, 8:12] = 0
    sharp = make([[10, 8, 50, 40]]).corrected(corrections)
    assert sharp.to_coco()[0]["bbox"] == [10, 8, 40, 32]
    ((x0, y0, x1, y1),) = detection_boxes(sharp, sharp.masks).tolist()
    assert x1 - x0 < 40
    assert sharp.to_coco(ranked=True)[0]["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.01)


def test_dataframe():
    frame = make([[4, 8, 20, 40], [30, 10, 60, 20]], empty=[1]).to_dataframe()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["x0", "y0", "x1", "y1", "score", "area", "centroid_x", "centroid_y"]
    assert frame.loc[0].tolist() == pytest.approx([4, 8, 20, 40, 0.9, 512, 12, 24])
    assert frame["area"].tolist() == [512, 0]
    assert frame.loc[1].isna().sum() == 2
    empty = NONE.to_dataframe()
    assert (len(empty), list(empty.columns)) == (0, list(frame.columns))


@dataclass
class Detections:
    """The arguments of `supervision.Detections`."""

    xyxy: Any
    mask: Any
    confidence: Any
    class_id: Any


class Supervision:
    """As much of the package supervision as is used."""

    Detections = Detections


@pytest.mark.parametrize("found", [TWO, NONE], ids=["two", "none"])
def test_supervision(monkeypatch, found):
    monkeypatch.setitem(sys.modules, "supervision", Supervision)
    detections = found.to_supervision()
    assert np.array_equal(detections.xyxy, found.boxes.numpy())
    assert (detections.mask.shape, detections.mask.dtype) == ((len(found), *SIZE), np.bool_)
    assert detections.mask.sum(axis=(1, 2)).tolist() == [mask.area for mask in found.masks]
    assert np.array_equal(detections.confidence, found.scores.numpy())
    assert detections.class_id.tolist() == [0] * len(found)


@pytest.mark.parametrize(
    ("package", "method"), [("pandas", ImageInstances.to_dataframe), ("supervision", ImageInstances.to_supervision)]
)
def test_missing_package(monkeypatch, package, method):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"\(\) needs the package {package}, .*; run: pip install {package}$"):
        method(TWO)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        pytest.param((48, 64), (48, 64), id="small"),
        pytest.param((600, 2048), (300, 1024), id="large"),
        pytest.param((2, 4096), (1, 1024), id="narrow"),
    ],
)
def test_notebook_shows_the_overlay(size, shown):
    engine = ScriptedEngine({7: [([4, 4, 40, 40], 0.9)]})
    found = Segmenter(engine=engine, imgsz=64)(np.full((*size, 3), 7, np.uint8))
    png = np.frombuffer(found._repr_png_(), np.uint8)
    overlay = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)
    assert overlay.shape == (*shown, 3)
    if size == shown:
        assert np.array_equal(overlay, found.plot())


def test_notebook_shows_text_without_an_image():
    assert replace(TWO, image=None)._repr_png_() is None
    assert repr(TWO) == "Instances(2 objects in 64x48, scores 0.90..0.50)"
