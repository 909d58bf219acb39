"""Mouse events to gestures."""

import pytest

from streamseg.cli.window.pointing import Click, Drag, Mouse, moved_points
from streamseg.cli.window.screen import Pointer

SIZE = (200, 400)


def pointer(kind, x, y, *, is_background=False):
    return Pointer("w", kind, x, y, is_background)


@pytest.mark.parametrize(
    ("events", "gesture"),
    [
        pytest.param([("press", 7, 9), ("release", 7, 9)], Click(7.5, 9.5), id="click"),
        pytest.param([("press", 7, 9), ("move", 8, 9), ("release", 8, 10)], Click(7.5, 9.5), id="trembling-hand"),
        pytest.param([("press", 0, 0), ("release", 0, 0)], Click(0.5, 0.5), id="corner"),
        pytest.param([("press", 10, 20), ("release", 30, 60)], Drag((10, 20, 31, 61)), id="box"),
        pytest.param([("press", 30, 60), ("release", 10, 20)], Drag((10, 20, 31, 61)), id="box-upwards"),
        pytest.param([("press", 10, 20), ("release", 900, -5)], Drag((10, 0, 400, 21)), id="box-beyond-the-image"),
        pytest.param([("press", 10, 20), ("release", 60, 20)], Drag((10, 20, 61, 21)), id="one-row"),
        pytest.param([("press", -1, 5), ("release", 5, 5)], None, id="pressed-left-of-the-image"),
        pytest.param([("press", 5, 200), ("release", 5, 5)], None, id="pressed-below-the-image"),
        pytest.param([("release", 5, 5)], None, id="only-released"),
        pytest.param([("move", 5, 5), ("move", 90, 90)], None, id="only-moved"),
        pytest.param([("press", 5, 5), ("press", 50, 50), ("release", 50, 50)], Click(50.5, 50.5), id="pressed-twice"),
    ],
)
def test_gestures(events, gesture):
    mouse = Mouse()
    gestures = [mouse.handle(pointer(*event), SIZE) for event in events]
    assert gestures[-1] == gesture
    assert gestures[:-1] == [None] * (len(events) - 1)
    assert not mouse.is_pressed


def test_background_click_is_never_a_box():
    mouse = Mouse()
    mouse.handle(pointer("press", 10, 20, is_background=True), SIZE)
    mouse.handle(pointer("move", 90, 90), SIZE)
    assert mouse.box(SIZE) is None
    assert mouse.handle(pointer("release", 90, 90), SIZE) == Click(10.5, 20.5, is_background=True)


def test_box_is_known_while_it_is_dragged():
    mouse = Mouse()
    assert mouse.box(SIZE) is None
    mouse.handle(pointer("press", 10, 20), SIZE)
    assert mouse.box(SIZE) is None
    mouse.handle(pointer("move", 50, 70), SIZE)
    assert mouse.box(SIZE) == (10, 20, 51, 71)
    mouse.handle(pointer("release", 50, 70), SIZE)
    assert mouse.box(SIZE) is None


@pytest.mark.parametrize(
    ("before", "after", "point"),
    [
        pytest.param((0, 0, 10, 10), (100, 50, 110, 60), (105.0, 52.0), id="moved"),
        pytest.param((0, 0, 10, 10), (0, 0, 20, 40), (10.0, 8.0), id="grown"),
        pytest.param(None, (0, 0, 20, 40), (5.0, 2.0), id="unknown-before"),
        pytest.param((0, 0, 20, 40), None, (5.0, 2.0), id="unknown-after"),
    ],
)
def test_points_move_with_their_object(before, after, point):
    assert moved_points(((5.0, 2.0),), before, after) == (pytest.approx(point),)


def test_box_without_extent_moves_points():
    assert moved_points(((5.0, 5.0),), (5, 5, 5, 5), (9, 9, 9, 9)) == ((9.0, 9.0),)
