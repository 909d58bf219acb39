"""Windows around new prompts and followed targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.geometry import letterbox
from streamseg.segmentation.windows import MAX_FOLLOWED_SIDE, followed_windows, windows_of
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions

SIZE = (240, 320)


def boxes(*rows):
    return SearchRegions(prompted=np.array(rows, np.float64).reshape(-1, 4))


def points(*rows):
    return SearchRegions(points=np.array(rows, np.float64).reshape(-1, 2))


# ---- new prompts


@pytest.mark.parametrize(
    ("regions", "limit", "expected"),
    [
        pytest.param(NO_REGIONS, 8, [], id="no prompts"),
        pytest.param(
            boxes([100, 100, 140, 130]), 8, [(60, 70, 120, 90)], id="three times the box, as wide as the image"
        ),
        pytest.param(boxes([0, 0, 40, 30]), 8, [(0, 0, 120, 90)], id="moved into the image"),
        pytest.param(boxes([0, 0, 4, 3]), 8, [(0, 0, 20, 15)], id="enlarged 16 times at most"),
        pytest.param(boxes([300, 230, 900, 900]), 8, [(260, 195, 60, 45)], id="a box beyond the image is clipped"),
        pytest.param(boxes([10, 10, 200, 200]), 8, [], id="most of the image"),
        pytest.param(boxes([400, 300, 500, 400], [9, 9, 9, 20]), 8, [], id="outside, without extent"),
        pytest.param(points([160, 120]), 8, [(80, 60, 160, 120), (120, 90, 80, 60)], id="a point in the middle"),
        pytest.param(points([319.9, 0]), 8, [(160, 0, 160, 120), (240, 0, 80, 60)], id="a point in a corner"),
        pytest.param(points([320, 10], [-1, 10]), 8, [], id="points outside"),
        pytest.param(points([160, 120]), 1, [], id="all windows of a point, or none"),
        pytest.param(boxes([0, 0, 40, 30], [0, 0, 4, 3]), 1, [(0, 0, 120, 90)], id="no more than the limit"),
        pytest.param(boxes([0, 0, 40, 30]), 0, [], id="a limit of 0"),
    ],
)
def test_windows(regions, limit, expected):
    found = windows_of(regions, SIZE, limit)
    assert [(one.left, one.top, one.width, one.height) for one in found] == expected


@given(
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    st.lists(st.tuples(*[st.floats(-100, 2100)] * 2), max_size=4),
    st.lists(st.tuples(*[st.floats(-100, 2100)] * 4), max_size=4),
)
def test_windows_lie_in_the_image_and_contain_their_prompts(size, places, rectangles):
    regions = SearchRegions(np.array(rectangles).reshape(-1, 4), points=np.array(places).reshape(-1, 2))
    image = np.zeros((*size, 3), np.uint8)
    for window in windows_of(regions, size, 1000):
        assert window.of(image).shape == (window.height, window.width, 3)
        for x, y in window.regions.points:
            assert 0 <= x <= window.width
            assert 0 <= y <= window.height
        for x0, y0, x1, y1 in window.regions.prompted:
            assert 0 <= x0 < x1 <= window.width
            assert 0 <= y0 < y1 <= window.height


# ---- followed targets

PLACE = letterbox((960, 1280), 320)
"""The network sees a quarter of the size."""
SMALL, OTHER = [600, 400, 640, 440], [100, 100, 140, 120]
NEAR = [610, 445, 650, 460]
WINDOW = (540, 360, 160, 120)


@pytest.mark.parametrize(
    ("followed", "limit", "expected", "num_targets"),
    [
        pytest.param([], 1, [], [], id="nothing is followed"),
        pytest.param([SMALL], 0, [], [], id="a limit of 0"),
        pytest.param([SMALL], 1, [WINDOW], [1], id="three times the box"),
        pytest.param([SMALL, OTHER], 1, [WINDOW], [1], id="the first one's turn"),
        pytest.param([SMALL, OTHER], 8, [WINDOW, (60, 65, 120, 90)], [1, 1], id="one each"),
        pytest.param([SMALL, OTHER, NEAR], 2, [WINDOW, (60, 65, 120, 90)], [2, 1], id="one for both"),
        pytest.param([[0, 0, 129, 40], SMALL], 1, [WINDOW], [1], id="a large one has none"),
        pytest.param([[0, 0, 128, 40]], 1, [(0, 0, 384, 288)], [1], id="the largest one"),
        pytest.param([[600, 400, 601, 401]], 1, [(560, 370, 80, 60)], [1], id="enlarged 16 times at most"),
        pytest.param([[-50, 0, -10, 40], [9, 9, 9, 20]], 1, [], [], id="outside, without extent"),
        pytest.param([[-20, 0, 20, 30]], 1, [(0, 0, 120, 90)], [1], id="clipped, moved into the image"),
    ],
)
def test_windows_of_followed_targets(followed, limit, expected, num_targets):
    found = followed_windows(np.array(followed, np.float64).reshape(-1, 4), PLACE, limit)
    assert [(one.left, one.top, one.width, one.height) for one in found] == expected
    assert [len(one.regions.expected) for one in found] == num_targets


def test_followed_targets_as_high_as_a_panorama_have_no_window():
    """A window of three times the box would be higher than the image."""
    followed = np.array([[600, 0, 640, 100], [1000, 40, 1010, 50]], np.float64)
    (window,) = followed_windows(followed, letterbox((100, 4000), 512), 8)
    assert window.of(np.zeros((100, 4000, 3), np.uint8)).shape == (window.height, window.width, 3)
    assert window.corner.tolist() == [405, 30, 405, 30]


@pytest.mark.parametrize(
    ("imgsz", "num_windows"), [pytest.param(640, 1, id="half the size"), pytest.param(672, 0, id="more than half")]
)
def test_images_that_the_network_sees_well_have_no_windows(imgsz, num_windows):
    assert len(followed_windows(np.array([SMALL], np.float64), letterbox((960, 1280), imgsz), 1)) == num_windows


@given(st.lists(st.tuples(*[st.floats(-100, 1400)] * 4), max_size=6), st.integers(0, 6))
def test_windows_of_followed_targets_contain_them(rows, limit):
    found = followed_windows(np.array(rows, np.float64).reshape(-1, 4), PLACE, limit)
    assert len(found) <= limit
    for window in found:
        assert len(window.regions.expected)
        assert window.of(np.zeros((960, 1280, 3), np.uint8)).shape == (window.height, window.width, 3)
        for x0, y0, x1, y1 in window.regions.expected:
            assert 0 <= x0 < x1 <= window.width
            assert 0 <= y0 < y1 <= window.height
            assert max(x1 - x0, y1 - y0) <= 4 * MAX_FOLLOWED_SIDE
