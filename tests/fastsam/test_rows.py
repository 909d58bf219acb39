"""`Boxes` and `Masks` in all units, as tensors and as arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamseg.fastsam import Boxes, Masks
from streamseg.geometry import letterbox
from tests.support.fastsam_results import rectangles

SIZE = (60, 80)
PLAIN = torch.tensor([[10.0, 20, 30, 50, 0.9, 0], [0, 0, 80, 60, 0.5, 0]])
TRACKED = torch.tensor([[10.0, 20, 30, 50, 7, 0.9, 0]])


@pytest.mark.parametrize("as_array", [pytest.param(False, id="tensor"), pytest.param(True, id="array")])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("xyxy", [[10, 20, 30, 50], [0, 0, 80, 60]], id="xyxy"),
        pytest.param("xywh", [[20, 35, 20, 30], [40, 30, 80, 60]], id="xywh has the centre"),
        pytest.param("xyxyn", [[0.125, 1 / 3, 0.375, 5 / 6], [0, 0, 1, 1]], id="xyxyn"),
        pytest.param("xywhn", [[0.25, 35 / 60, 0.25, 0.5], [0.5, 0.5, 1, 1]], id="xywhn"),
        pytest.param("conf", [0.9, 0.5], id="conf"),
        pytest.param("cls", [0, 0], id="cls"),
    ],
)
def test_units_of_boxes(name, expected, as_array):
    boxes = Boxes(PLAIN, SIZE).numpy() if as_array else Boxes(PLAIN, SIZE)
    values = getattr(boxes, name)
    assert isinstance(values, np.ndarray if as_array else torch.Tensor)
    np.testing.assert_allclose(np.asarray(values), expected, rtol=1e-6)
    assert len(getattr(boxes[:0], name)) == 0


def test_identities_precede_the_scores():
    boxes = Boxes(TRACKED, SIZE)
    assert boxes.is_track
    assert boxes.id.tolist() == [7]
    assert boxes.conf.tolist() == pytest.approx([0.9])
    assert Boxes(PLAIN, SIZE).id is None


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        pytest.param(0, 1, id="number"),
        pytest.param(-1, 1, id="number from the end"),
        pytest.param(slice(0, 0), 0, id="empty slice"),
        pytest.param([1, 0], 2, id="list"),
        pytest.param(torch.tensor([True, False]), 1, id="bool mask"),
    ],
)
def test_row_selection_keeps_dimensions(rows, count):
    selected = Boxes(PLAIN, SIZE)[rows]
    assert selected.shape == (count, 6)
    assert len(selected) == count
    assert Masks(torch.zeros(2, 6, 8, dtype=torch.uint8), SIZE)[rows].shape == (count, 6, 8)


def test_devices_and_types():
    boxes = Boxes(PLAIN, SIZE)
    assert boxes.to(torch.float64).data.dtype == torch.float64
    assert isinstance(boxes.numpy().cpu().data, np.ndarray)
    assert isinstance(boxes.numpy().to("cpu").data, torch.Tensor)
    assert [len(one) for one in boxes] == [1, 1]


def test_outline_of_the_largest_piece():
    mask = rectangles((2, 3, 5, 6), (20, 10, 40, 30)).any(axis=0, keepdims=True)
    (outline,) = Masks(torch.from_numpy(mask.astype(np.uint8)), SIZE).xy
    assert outline.dtype == np.float32
    assert {tuple(corner) for corner in outline.tolist()} == {(20, 10), (20, 29), (39, 29), (39, 10)}


def test_outline_of_an_empty_mask():
    masks = Masks(torch.zeros(1, *SIZE, dtype=torch.uint8), SIZE)
    assert masks.xy[0].shape == (0, 2)
    assert masks.xyn[0].shape == (0, 2)
    assert Masks(torch.zeros(0, *SIZE, dtype=torch.uint8), SIZE).xy == []


@pytest.mark.parametrize(
    ("size", "imgsz"),
    [
        pytest.param((60, 80), 64, id="padding above and below"),
        pytest.param((80, 61), 64, id="odd padding at the sides"),
        pytest.param((100, 333), 160, id="an odd row of padding"),
        pytest.param((64, 64), 64, id="no padding"),
    ],
)
def test_masks_of_the_input_map_to_the_image(size, imgsz):
    place = letterbox(size, imgsz)
    height, width = place.scaled_size
    masks = np.zeros((1, *place.input_size), np.uint8)
    masks[0, place.top : place.top + height, place.left : place.left + width] = 1
    found = Masks(torch.from_numpy(masks), size)
    assert found.in_image().shape[1:] == place.scaled_size
    assert found.in_image().all()
    assert found.at_image_size().shape == (1, *size)
    assert found.at_image_size().all()
    low, high = found.xy[0].min(axis=0), found.xy[0].max(axis=0)
    pixel = size[1] / width
    assert low == pytest.approx([0, 0], abs=pixel)
    assert high == pytest.approx([size[1], size[0]], abs=2 * pixel)


def test_small_masks_are_scaled_to_the_image():
    masks = Masks(torch.from_numpy(rectangles((5, 5, 20, 20), size=(30, 40)).astype(np.uint8)), SIZE)
    scaled = masks.at_image_size()[0]
    assert scaled[12:38, 12:38].all()
    assert scaled.sum() == pytest.approx(30 * 30, abs=10)
