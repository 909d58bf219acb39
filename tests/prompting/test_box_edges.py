"""Drawn boxes and the network's boxes of the same objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.prompting.box_edges import MAX_SHIFT, BoxEdges

SIZE = (240, 320)
FOUND = np.array([100, 50, 200, 130], np.float32)


def edges(drawn, found=FOUND):
    return BoxEdges.of(drawn, np.asarray(found, np.float32), SIZE)


@pytest.mark.parametrize(
    ("drawn", "shifts"),
    [
        pytest.param((100, 50, 200, 130), [0, 0, 0, 0], id="equal"),
        pytest.param((110, 54, 190, 122), [0.1, 0.05, -0.1, -0.1], id="inside: the network's box includes a shadow"),
        pytest.param((90, 50, 200, 138), [-0.1, 0, 0, 0.1], id="outside: the network's box omits feet"),
        pytest.param((100, 50, 170, 130), [0, 0, -MAX_SHIFT, 0], id="at most a quarter"),
        pytest.param((100, 0, 200, 130), [0, 0, 0, 0], id="an edge at the border says nothing"),
        pytest.param((100, -60, 200, 130), [0, 0, 0, 0], id="nor does one beyond it"),
    ],
)
def test_shifts(drawn, shifts):
    np.testing.assert_allclose(edges(drawn).shifts, shifts, atol=1e-9)


@pytest.mark.parametrize(
    ("drawn", "found"),
    [
        pytest.param((100, 50, 150, 130), FOUND, id="half of it"),
        pytest.param((10, 10, 60, 60), FOUND, id="apart"),
        pytest.param((100, 50, 200, 130), [0, 0, 0, 0], id="no box of the network"),
        pytest.param((400, 300, 500, 400), FOUND, id="outside of the image"),
    ],
)
def test_other_objects_say_nothing(drawn, found):
    assert edges(drawn, found) is None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((100, 50, 200, 130), (110, 54, 190, 122), id="the same box"),
        pytest.param((10, 20, 60, 60), (15, 22, 55, 56), id="half the size, elsewhere"),
        pytest.param((0, 50, 100, 130), (0, 54, 90, 122), id="cut off at the left"),
        pytest.param((0, 0, 320, 240), (0, 0, 320, 240), id="the image"),
    ],
)
def test_corrected_boxes(box, expected):
    corrected = edges((110, 54, 190, 122)).corrected(np.array(box, np.float32), SIZE)
    assert corrected == pytest.approx(expected)


@given(
    st.lists(st.floats(-0.12, 0.12), min_size=4, max_size=4),
    st.tuples(st.floats(1.5, 200), st.floats(1.5, 150), st.floats(4, 100), st.floats(4, 80)),
)
def test_corrected_boxes_have_an_extent_inside_the_image(shifts, place):
    x, y, width, height = place
    drawn = FOUND + np.array(shifts) * np.tile(FOUND[2:] - FOUND[:2], 2)
    found = edges(tuple(drawn))
    x0, y0, x1, y1 = found.corrected(np.array([x, y, x + width, y + height], np.float32), SIZE)
    assert 0 <= x0 < x1 <= SIZE[1]
    assert 0 <= y0 < y1 <= SIZE[0]
