"""COCO's compressed run lengths, against pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as reference

from streamseg.errors import DataError
from streamseg.rle import coco_to_crop, crop_to_coco, encode_runs, pack_counts, runs_to_coco, unpack_counts
from streamseg.rle.coco import canvas_pieces
from streamseg.structures.message import CropMask


@st.composite
def placed_crops(draw: st.DrawFn) -> tuple[CropMask, tuple[int, int]]:
    """A crop somewhere on a canvas, borders included."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    y, x = draw(st.integers(0, height)), draw(st.integers(0, width))
    shape = draw(st.integers(0, height - y)), draw(st.integers(0, width - x))
    return CropMask(draw(hnp.arrays(np.bool_, shape)), x, y), (height, width)


def _reference(mask: np.ndarray) -> dict[str, object]:
    encoded = reference.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}


@given(placed_crops())
def test_equals_pycocotools_on_the_full_mask(placed):
    mask, size = placed
    assert crop_to_coco(mask, size) == _reference(mask.full(size))


@given(placed_crops())
def test_reading_back_gives_the_tight_crop(placed):
    mask, size = placed
    full = mask.full(size)
    back = coco_to_crop(crop_to_coco(mask, size))
    np.testing.assert_array_equal(back.full(size), full)
    if full.any():
        rows, columns = np.nonzero(full)
        assert (back.y, back.x) == (rows.min(), columns.min())
        assert back.crop.shape == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    else:
        assert back.crop.shape == (0, 0)


@pytest.mark.parametrize(
    ("box", "fill"),
    [
        pytest.param((0, 0, 640, 480), "all", id="the whole canvas"),
        pytest.param((0, 0, 640, 480), "none", id="nothing on the whole canvas"),
        pytest.param((100, 0, 50, 480), "noise", id="full height"),
        pytest.param((0, 200, 640, 30), "noise", id="full width"),
        pytest.param((639, 479, 1, 1), "all", id="last pixel"),
        pytest.param((0, 0, 1, 1), "all", id="first pixel"),
        pytest.param((17, 31, 200, 190), "noise", id="inside"),
        pytest.param((17, 31, 200, 190), "all", id="a filled box"),
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
def test_strings_of_any_counts_are_read_back(counts):
    array = np.array(counts, dtype=np.int64)
    np.testing.assert_array_equal(unpack_counts(pack_counts(array)), array)


@pytest.mark.parametrize(
    ("rle", "complaint"),
    [
        pytest.param({"size": [4, 4], "counts": "@"}, "add up to", id="sum 16 expected"),
        pytest.param({"size": [4], "counts": ""}, "size", id="one side"),
        pytest.param({"size": [4, -4], "counts": ""}, "size", id="a negative side"),
        pytest.param({"size": [4, 4], "counts": "P"}, "compressed", id="a number that does not end"),
        pytest.param({"size": [4, 4], "counts": "o" * 8 + "0"}, "digits", id="a number that is too long"),
        pytest.param({"size": [4, 4], "counts": "ü"}, "compressed", id="not ASCII"),
        pytest.param({"size": [4, 4], "counts": "\ud800"}, "compressed", id="a lone surrogate"),
        pytest.param({"size": [4, 4], "counts": "!!"}, "compressed", id="characters below the digits"),
        pytest.param({"size": [4, 4], "counts": ""}, "add up to", id="nothing"),
    ],
)
def test_broken_masks_are_refused(rle, complaint):
    with pytest.raises(DataError, match=complaint):
        coco_to_crop(rle)


@pytest.mark.parametrize("box", [(5, 0, 2, 2), (0, 5, 2, 2), (-1, 0, 2, 2), (0, 0, 7, 1)])
def test_a_crop_outside_the_canvas_is_refused(box):
    with pytest.raises(DataError, match="lies outside"):
        runs_to_coco(np.array([box[2] * box[3]], dtype=np.uint32), box, (6, 6))


def test_runs_that_do_not_fill_the_crop_are_refused():
    with pytest.raises(DataError, match="add up to"):
        runs_to_coco(np.array([3], dtype=np.uint32), (0, 0, 2, 2), (6, 6))


def test_a_negative_count_is_refused():
    counts = pack_counts(np.array([5, -1])).decode("ascii")
    with pytest.raises(DataError, match="add up to"):
        coco_to_crop({"size": [2, 2], "counts": counts})


def test_counts_whose_sum_wraps_to_the_right_one_are_refused():
    counts = np.array([2**62, 2**62, 2**62, 2**62 + 6])
    assert int(counts.sum()) == 6
    with pytest.raises(DataError, match="add up to"):
        canvas_pieces(counts, (2, 3))
