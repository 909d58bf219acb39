import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.segmentation.resampling import along_columns, along_rows, axis_of, taps


def taps_of(*axes):
    """Return the taps of axes given as (length, start, step, cells)."""
    lengths, starts, steps, cells = zip(*axes, strict=True)
    return taps(np.array(lengths), np.array(starts, float), np.array(steps, float), np.array(cells))


axes = st.tuples(st.integers(1, 400), st.floats(-5, 60), st.floats(0, 3), st.integers(1, 50))


@pytest.mark.slow
@given(st.lists(axes, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_taps_equal_linear_interpolation(given_axes, seed):
    rng = np.random.default_rng(seed)
    for (length, start, step, cells), of in zip(given_axes, taps_of(*given_axes), strict=True):
        values = rng.standard_normal((cells, 3), dtype=np.float32)
        places = start + step * np.arange(length)
        wanted = np.stack([np.interp(places, np.arange(cells), column) for column in values.T], axis=1)
        np.testing.assert_allclose(along_rows(of, values), wanted, rtol=0, atol=1e-5)
        np.testing.assert_allclose(along_columns(values.T.copy(), of), wanted.T, rtol=0, atol=1e-5)
        assert of.weights.shape == (length, cells)
        np.testing.assert_allclose(of.weights.sum(axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("num_outputs", [64, 65, 1000, 4000], ids=["one band", "one more", "many", "very many"])
def test_bands_equal_a_single_product(num_outputs):
    rng = np.random.default_rng(0)
    (of,) = taps_of((num_outputs, -3.0, 120 / num_outputs, 112))
    values = rng.standard_normal((112, 900), dtype=np.float32)
    assert of.weights.size * 900 > 2**19  # more than in one product
    wanted = np.einsum("nk,km->nm", of.weights, values)
    np.testing.assert_allclose(along_rows(of, values), wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(along_columns(values.T.copy(), of), wanted.T, rtol=0, atol=1e-5)


def test_no_axes():
    none = np.zeros(0, dtype=np.intp)
    assert taps(none, none.astype(float), none.astype(float), none) == []


@given(
    num_image_pixels=st.integers(8, 400),
    num_pixels=st.integers(4, 500),
    cell=st.floats(2, 16),
    low=st.floats(-20, 420),
    extent=st.floats(0, 200),
)
def test_span_contains_the_pixels_whose_centres_lie_between_the_edges(num_image_pixels, num_pixels, cell, low, extent):
    num_cells = int(np.ceil(num_image_pixels / cell))
    axis = axis_of(num_image_pixels, num_pixels, num_cells, cell, 0.0)
    high = low + extent
    ((begin,), (end,)) = axis.spans(np.array([low]), np.array([high]))
    # The outermost half cell has no logits of its own: edges there move to the border.
    low, high = (
        0.0 if low <= cell / 2 else low,
        max(high, num_image_pixels) if high >= num_image_pixels - cell / 2 else high,
    )
    centres = (np.arange(num_pixels) + 0.5) * num_image_pixels / num_pixels
    inside = np.flatnonzero((centres >= low) & (centres < high))
    unsure = np.minimum(np.abs(centres - low), np.abs(centres - high)).min() < 1e-4 * num_image_pixels / num_pixels
    assert unsure or np.arange(begin, end).tolist() == inside.tolist()


@pytest.mark.parametrize(
    ("span", "window"),
    [
        pytest.param((8, 16), (1, 5), id="one neighbour on each side"),
        pytest.param((10, 11), (2, 4), id="one pixel between two centres"),
        pytest.param((0, 2), (0, 1), id="before the first centre"),
        pytest.param((0, 40), (0, 10), id="all"),
    ],
)
def test_window_contains_the_cells_that_pixels_are_interpolated_from(span, window):
    axis = axis_of(40, 40, 12, 4.0, 0.0)  # two cells more than the image has: padding
    (found,) = axis.windowed(np.array([span[0]]), np.array([span[1]]))
    assert (found.begin, found.end) == span
    assert (found.first, found.stop) == window


@pytest.mark.parametrize(
    ("num_pixels", "offset", "whole"),
    [
        pytest.param(40, 0.0, (4, 0), id="as large as the image"),
        pytest.param(80, 0.0, (8, 0), id="twice"),
        pytest.param(40, -8.0, (4, -8), id="padded by two cells"),
        pytest.param(50, 0.0, (5, 0), id="a quarter larger"),
        pytest.param(39, 0.0, None, id="a pixel less"),
        pytest.param(40, -0.5, None, id="padded by half a pixel"),
    ],
)
def test_cells_of_whole_pixels(num_pixels, offset, whole):
    assert axis_of(40, num_pixels, 10, 4.0, offset).whole == whole


def test_image_thinner_than_a_cell_has_one_cell():
    axis = axis_of(2, 2, 10, 4.0, -17.0)  # its two pixels lie between the centres of cells 3 and 4
    assert axis.first == axis.last


def test_positions_on_a_raster():
    axis = axis_of(40, 40, 10, 4.0, 0.0)
    start, step = axis.on_raster(np.array([10]), np.array([10.0]), np.array([22.0]), 6)
    # The centre of pixel 10 is a quarter into the first cell, two pixels wide, whose centre is at 0.
    np.testing.assert_allclose((start[0], step[0]), (-0.25, 0.5))
