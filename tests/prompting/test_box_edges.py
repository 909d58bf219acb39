"""Drawn boxes and the network's boxes of the same objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.prompting.box_edges import FADE, MAX_SHIFT, TRUST, BoxEdges

SIZE = (240, 320)
FOUND = np.array([100, 50, 200, 130], np.float32)


def edges(drawn, found=FOUND):
    return BoxEdges.of(drawn, np.asarray(found, np.float32), SIZE)


@pytest.mark.parametrize(
    ("drawn", "shifts"),
    [
        pytest.param((110, 54, 190, 122), [0.1, 0.05, -0.1, -0.1], id="inside: the network's box includes a shadow"),
        pytest.param((90, 50, 200, 138), [-0.1, 0, 0, 0.1], id="outside: the network's box omits feet"),
        pytest.param((100, 50, 170, 130), [0, 0, -MAX_SHIFT, 0], id="at most a quarter"),
    ],
)
def test_shifts(drawn, shifts):
    np.testing.assert_allclose(edges(drawn).shifts, np.multiply(TRUST, shifts), atol=1e-9)


@pytest.mark.parametrize("top", [pytest.param(0, id="at the border"), pytest.param(-60, id="beyond it")])
def test_edges_at_the_border_of_the_image_say_nothing(top):
    found = edges((100, top, 190, 130), found=(100, 20, 200, 130))
    np.testing.assert_allclose(found.shifts, [0, 0, -0.1 * TRUST, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("drawn", "found"),
    [
        pytest.param((100, 50, 150, 130), FOUND, id="half of it"),
        pytest.param((10, 10, 60, 60), FOUND, id="apart"),
        pytest.param((100, 50, 200, 130), [0, 0, 0, 0], id="no box of the network"),
        pytest.param((400, 300, 500, 400), FOUND, id="outside of the image"),
        pytest.param((100, 50, 200, 130), FOUND, id="equal: the network's box is right"),
        pytest.param((104, 51, 197, 133), FOUND, id="no farther than people draw"),
    ],
)
def test_boxes_that_say_nothing(drawn, found):
    assert edges(drawn, found) is None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((100, 50, 200, 130), (107, 52.8, 193, 124.4), id="the same box"),
        pytest.param((10, 20, 60, 60), (13.5, 21.4, 56.5, 57.2), id="half the size, elsewhere"),
        pytest.param((0, 50, 100, 130), (0, 52.8, 93, 124.4), id="cut off at the left"),
        pytest.param((0, 0, 320, 240), (0, 0, 320, 240), id="the image"),
    ],
)
def test_corrected_boxes(box, expected):
    corrected = edges((110, 54, 190, 122)).corrected(np.array(box, np.float32), SIZE)
    assert corrected == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "share"),
    [
        pytest.param(0.0, 1.0, id="none"),
        pytest.param(FADE / 2, 0.5, id="half"),
        pytest.param(-FADE / 2, 0.5, id="the other way"),
        pytest.param(1.01 * FADE, None, id="too far"),
    ],
)
def test_shifts_fade_with_the_shape_of_the_box(change, share):
    width = 100 * np.exp(change)
    corrected = edges((110, 50, 200, 130)).corrected(np.array([60, 50, 60 + width, 130], np.float32), SIZE)
    if share is None:
        assert corrected is None
    else:
        assert corrected == pytest.approx((60 + TRUST * share * 0.1 * width, 50, 60 + width, 130), abs=1e-3)


def test_empty_box_in_a_later_frame():
    assert edges((110, 54, 190, 122)).corrected(np.array([10, 10, 10, 40], np.float32), SIZE) is None


@given(
    st.lists(st.floats(-0.12, 0.12), min_size=4, max_size=4),
    st.tuples(st.floats(1.5, 200), st.floats(1.5, 150), st.floats(4, 100), st.floats(4, 80)),
)
def test_corrected_boxes_have_an_extent_inside_the_image(shifts, place):
    x, y, width, height = place
    drawn = FOUND + np.array(shifts) * np.tile(FOUND[2:] - FOUND[:2], 2)
    found = edges(tuple(drawn))
    corrected = found and found.corrected(np.array([x, y, x + width, y + height], np.float32), SIZE)
    if corrected is None:
        return
    x0, y0, x1, y1 = corrected
    assert 0 <= x0 < x1 <= SIZE[1]
    assert 0 <= y0 < y1 <= SIZE[0]
