import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from streamseg.rle import RunMask, Runs, crop_to_coco, encode_runs, mask_runs, runs_of_columns
from streamseg.structures.mask import CropMask, MaskSpace

SPACE = MaskSpace.of((40, 50))

crops = npst.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def run_mask(crop, x=3, y=4):
    return RunMask(Runs(encode_runs(crop), crop.shape, int(crop.sum())), x, y, SPACE)


@given(crops)
def test_a_run_mask_equals_the_mask_of_its_pixels(crop):
    mask, expected = run_mask(crop), CropMask(crop, 3, 4, SPACE)
    # In this order: nothing but `crop` and what uses pixels decodes them.
    assert (mask.area, mask.crop_size, mask.crop_box) == (expected.area, expected.crop_size, expected.crop_box)
    assert repr(mask) == repr(expected)
    assert crop_to_coco(mask, (40, 50)) == crop_to_coco(expected, (40, 50))
    assert "crop" not in vars(mask)
    np.testing.assert_array_equal(mask.crop, crop)
    assert mask.crop.flags.c_contiguous
    assert mask.crop is mask.crop
    np.testing.assert_array_equal(mask(), expected())


def test_replacing_a_field_keeps_the_pixels():
    crop = np.array([[True, False], [True, True]])
    moved = replace(run_mask(crop), x=9)
    assert (moved.x, moved.y, moved.area, moved.crop_size, moved.space) == (9, 4, 3, (2, 2), SPACE)
    assert moved.runs is None
    np.testing.assert_array_equal(moved.crop, crop)
    np.testing.assert_array_equal(mask_runs(moved), encode_runs(crop))


def test_it_can_be_sent_to_another_process():
    mask = pickle.loads(pickle.dumps(run_mask(np.eye(3, dtype=bool))))
    assert (mask.x, mask.area, mask.space) == (3, 3, SPACE)
    np.testing.assert_array_equal(mask.crop, np.eye(3))


def test_it_is_as_constant_as_any_mask():
    with pytest.raises(AttributeError):
        run_mask(np.ones((1, 1), bool)).x = 4


@given(st.lists(crops, max_size=5), st.sampled_from([1, 255]))
def test_runs_of_columns(crops, value):
    pixels = np.concatenate([np.zeros(0, np.uint8), *(crop.T.ravel().astype(np.uint8) * value for crop in crops)])
    found = runs_of_columns(pixels, [crop.shape for crop in crops])
    for runs, crop in zip(found, crops, strict=True):
        assert (runs.size, runs.area) == (crop.shape, crop.sum())
        np.testing.assert_array_equal(runs.lengths, encode_runs(crop))
        assert runs.lengths.dtype == np.uint32
