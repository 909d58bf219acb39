"""Conversion of crops to run lengths and back."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as reference

from streamseg.errors import DataError
from streamseg.rle import decode_runs, encode_all_runs, encode_runs

CROPS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([[0]], [1], id="one background pixel"),
        pytest.param([[1]], [0, 1], id="one foreground pixel"),
        pytest.param([[0, 1], [0, 1]], [2, 2], id="right column"),
        pytest.param([[1, 0], [1, 0]], [0, 2, 2], id="left column"),
        pytest.param([[1, 1], [0, 0]], [0, 1, 1, 1, 1], id="top row"),
        pytest.param([[0, 1], [1, 0]], [1, 2, 1], id="run continues in next column"),
        pytest.param([[1, 1], [1, 1]], [0, 4], id="all foreground"),
        pytest.param([[0, 0, 0]], [3], id="all background"),
    ],
)
def test_runs_are_column_major_and_start_with_background(rows, expected):
    crop = np.array(rows, dtype=np.bool_)
    runs = encode_runs(crop)
    assert runs.dtype == np.uint32
    assert runs.tolist() == expected


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_crop_without_pixels_has_no_runs(size):
    runs = encode_runs(np.zeros(size, dtype=np.bool_))
    assert len(runs) == 0
    assert decode_runs(runs, size).shape == size


@given(CROPS)
def test_decode_inverts_encode(crop):
    decoded = decode_runs(encode_runs(crop), crop.shape)
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, crop)


@given(
    st.lists(CROPS | st.sampled_from([(0, 0), (0, 5), (5, 0)]).map(lambda size: np.zeros(size, np.bool_)), max_size=6)
)
def test_runs_of_many_crops_are_those_of_each(crops):
    runs, offsets = encode_all_runs(crops)
    assert runs.dtype == offsets.dtype == np.uint32
    each = [encode_runs(crop).tolist() for crop in crops]
    assert [runs[begin:end].tolist() for begin, end in pairwise(offsets)] == each
    assert len(runs) == sum(map(len, each))


@given(CROPS)
def test_runs_equal_pycocotools(crop):
    height, width = crop.shape
    packed = reference.frPyObjects({"size": [height, width], "counts": encode_runs(crop).tolist()}, height, width)
    assert packed == reference.encode(np.asfortranarray(crop.view(np.uint8)))


@pytest.mark.slow
@given(CROPS)
def test_memory_order_does_not_matter(crop):
    np.testing.assert_array_equal(encode_runs(np.asfortranarray(crop)), encode_runs(np.ascontiguousarray(crop)))


@given(hnp.arrays(np.uint32, st.integers(0, 6), elements=st.integers(0, 4)))
def test_zero_runs_are_accepted_anywhere(runs):
    expected = np.concatenate([np.full(count, nth % 2 == 1) for nth, count in enumerate(runs)] or [np.zeros(0, bool)])
    np.testing.assert_array_equal(decode_runs(runs, (1, int(runs.sum())))[0], expected)


@pytest.mark.parametrize(
    ("runs", "size"),
    [
        pytest.param([3], (2, 2), id="too few"),
        pytest.param([5], (2, 2), id="too many"),
        pytest.param([], (1, 1), id="none for a pixel"),
        pytest.param([1], (0, 0), id="one for no pixel"),
        pytest.param([2**32 - 1] * 2 + [6], (2, 2), id="overflows 32 bits"),
    ],
)
def test_runs_that_do_not_fill_crop_are_rejected(runs, size):
    with pytest.raises(DataError, match="add up to"):
        decode_runs(np.array(runs, dtype=np.uint32), size)
