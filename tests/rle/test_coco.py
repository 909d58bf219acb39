"""COCO's compressed run lengths, compared with pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as reference

from streamseg.errors import DataError
from streamseg.rle import coco_to_crop, crop_to_coco, encode_runs, pack_counts, runs_to_coco, unpack_counts
from streamseg.rle.coco import canvas_pieces
from streamseg.structures.mask import CropMask


@st.composite
def crops_on_canvas(draw: st.DrawFn) -> tuple[CropMask, tuple[int, int]]:
    """Draw a crop at any position on a canvas, including its borders."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    y, x = draw(st.integers(0, height)), draw(st.integers(0, width))
    shape = draw(st.integers(0, height - y)), draw(st.integers(0, width - x))
    return CropMask(draw(hnp.arrays(np.bool_, shape)), x, y), (height, width)


def _reference(mask: np.ndarray) -> dict[str, object]:
    encoded = reference.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}


@given(crops_on_canvas())
def test_equals_pycocotools_on_full_mask(crop):
    mask, size = crop
    assert crop_to_coco(mask, size) == _reference(mask.full(size))


@given(crops_on_canvas())
def test_decoding_gives_tight_crop(crop):
    mask, size = crop
    full = mask.full(size)
    decoded = coco_to_crop(crop_to_coco(mask, size))
    np.testing.assert_array_equal(decoded.full(size), full)
    if full.any():
        rows, columns = np.nonzero(full)
        assert (decoded.y, decoded.x) == (rows.min(), columns.min())
        assert decoded.crop.shape == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    else:
        assert decoded.crop.shape == (0, 0)


@pytest.mark.parametrize(
    ("box", "fill"),
    [
        pytest.param((0, 0, 640, 480), "all", id="whole canvas"),
        pytest.param((0, 0, 640, 480), "none", id="empty whole canvas"),
        pytest.param((100, 0, 50, 480), "noise", id="full height"),
        pytest.param((0, 200, 640, 30), "noise", id="full width"),
        pytest.param((639, 479, 1, 1), "all", id="last pixel"),
        pytest.param((0, 0, 1, 1), "all", id="first pixel"),
        pytest.param((17, 31, 200, 190), "noise", id="inside"),
        pytest.param((17, 31, 200, 190), "all", id="filled box"),
    ],
)
def test_large_canvas_equals_pycocotools(box, fill):
    x, y, width, height = box
    crop = {
        "all": np.ones((height, width), dtype=np.bool_),
        "none": np.zeros((height, width), dtype=np.bool_),
        "noise": np.random.default_rng(0).random((height, width)) < 0.5,
    }[fill]
    mask = CropMask(crop, x, y)
    assert runs_to_coco(encode_runs(crop), box, (480, 640)) == _reference(mask.full((480, 640)))


@given(st.lists(st.integers(0, 2**32 - 1), max_size=12))
def test_counts_round_trip(counts):
    array = np.array(counts, dtype=np.int64)
    np.testing.assert_array_equal(unpack_counts(pack_counts(array)), array)


@pytest.mark.parametrize(
    ("rle", "error"),
    [
        pytest.param({"size": [4, 4], "counts": "@"}, "add up to", id="sum 16 expected"),
        pytest.param({"size": [4], "counts": ""}, "size", id="one side"),
        pytest.param({"size": [4, -4], "counts": ""}, "size", id="negative side"),
        pytest.param({"size": [4, 4], "counts": "P"}, "compressed", id="unterminated number"),
        pytest.param({"size": [4, 4], "counts": "o" * 8 + "0"}, "digits", id="too long number"),
        pytest.param({"size": [4, 4], "counts": "ü"}, "compressed", id="not ASCII"),
        pytest.param({"size": [4, 4], "counts": "\ud800"}, "compressed", id="unpaired surrogate"),
        pytest.param({"size": [4, 4], "counts": "!!"}, "compressed", id="characters below the digits"),
        pytest.param({"size": [4, 4], "counts": ""}, "add up to", id="empty"),
    ],
)
def test_invalid_masks_are_rejected(rle, error):
    with pytest.raises(DataError, match=error):
        coco_to_crop(rle)


@pytest.mark.parametrize("box", [(5, 0, 2, 2), (0, 5, 2, 2), (-1, 0, 2, 2), (0, 0, 7, 1)])
def test_crop_outside_canvas_is_rejected(box):
    with pytest.raises(DataError, match="lies outside"):
        runs_to_coco(np.array([box[2] * box[3]], dtype=np.uint32), box, (6, 6))


def test_runs_that_do_not_fill_crop_are_rejected():
    with pytest.raises(DataError, match="add up to"):
        runs_to_coco(np.array([3], dtype=np.uint32), (0, 0, 2, 2), (6, 6))


def test_negative_count_is_rejected():
    counts = pack_counts(np.array([5, -1])).decode("ascii")
    with pytest.raises(DataError, match="add up to"):
        coco_to_crop({"size": [2, 2], "counts": counts})


def test_counts_whose_sum_overflows_are_rejected():
    counts = np.array([2**62, 2**62, 2**62, 2**62 + 6])
    assert int(counts.sum()) == 6
    with pytest.raises(DataError, match="add up to"):
        canvas_pieces(counts, (2, 3))
