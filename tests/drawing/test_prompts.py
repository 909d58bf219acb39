"""Prompted objects and the states of prompts."""

import numpy as np
import pytest

from streamseg.drawing.overlay import colour_of
from streamseg.drawing.prompts import draw_lines, draw_prompted, prompted_objects, status_line
from streamseg.structures.message import PromptStatus
from tests.support.messages import disc, make_message, make_object

CUP = make_object(disc(61), 100, 60, track_id=3, prompt_ids=("everything", "cup"))
HAND = make_object(disc(61), 250, 60, track_id=4, prompt_ids=("everything",))
BOUND = PromptStatus("cup", "bound", 0.934, 3)
GREY = np.full((240, 360, 3), 90, np.uint8)


def test_only_prompted_objects_stand_out():
    message = make_message(CUP, HAND, size=(240, 360), prompts=(BOUND,))
    assert prompted_objects(message) == (CUP,)
    assert prompted_objects(make_message(CUP, HAND)) == ()
    drawn = draw_prompted(GREY, message)
    white = (drawn == 255).all(axis=2)
    assert white[55:125, 95:165].sum() > 100
    assert not white[85:125, 245:315].any()
    coloured = (drawn == colour_of(3)).all(axis=2)
    assert coloured[55:125, 95:165].sum() > 60
    assert (GREY == 90).all(), "the input image is not modified"


def test_masks_of_another_size_are_scaled_to_the_image():
    small = make_object(disc(31), 50, 30, track_id=3, prompt_ids=("cup",), box=(100.0, 60.0, 162.0, 122.0))
    message = make_message(
        small, size=(240, 360), mask_size=(120, 180), mask_to_image=(2.0, 2.0, 0.0, 0.0), prompts=(BOUND,)
    )
    white = (draw_prompted(GREY, message) == 255).all(axis=2)
    rows, columns = np.nonzero(white[:200])
    assert 94 <= columns.min() <= 102
    assert 160 <= columns.max() <= 168
    assert 54 <= rows.min() <= 62


def test_no_prompt_and_no_object_returns_the_plain_image():
    assert (draw_prompted(GREY, make_message(size=(240, 360))) == GREY).all()


def test_object_without_pixels_is_drawn():
    empty = make_object(np.zeros((0, 0), np.bool_), 0, 0, prompt_ids=("cup",), box=(10.0, 10.0, 20.0, 20.0))
    assert draw_prompted(GREY, make_message(empty, size=(240, 360), prompts=(BOUND,))).shape == GREY.shape


def test_many_prompts_leave_room_for_the_image():
    statuses = tuple(PromptStatus(f"p{number}", "none") for number in range(1000))
    drawn = draw_prompted(GREY, make_message(size=(240, 360), prompts=statuses))
    assert (drawn[:40] == GREY[:40]).all()
    assert (drawn[-10:, :40] != 90).any()


@pytest.mark.parametrize(
    ("status", "line"),
    [
        pytest.param(BOUND, "cup: followed 0.93, object 3", id="bound"),
        pytest.param(
            PromptStatus("cup", "bound", 0.93, 3, 0.84), "cup: followed 0.93, mask 0.84, object 3", id="mask-quality"
        ),
        pytest.param(
            PromptStatus("cup", "bound", 0.6, 3, 0.3),
            "cup: followed, mask uncertain 0.60, mask 0.30, object 3",
            id="mask-uncertain",
        ),
        pytest.param(PromptStatus("cup", "lost", 0.0, 3), "cup: lost, object 3", id="lost"),
        pytest.param(PromptStatus("cup", "reacquired", 0.5, 8), "cup: found again 0.50, object 8", id="reacquired"),
        pytest.param(PromptStatus("red cup", "none"), "red cup: nothing found", id="none"),
        pytest.param(PromptStatus("texts", "bound", 0.5), "texts: found 0.50", id="several-objects"),
    ],
)
def test_status_line(status, line):
    assert status_line(status) == line


@pytest.mark.parametrize(
    "corner", [(0, 0), (-50, -50), (900, 900), (180.5, 120.5)], ids=["corner", "above", "below", "middle"]
)
def test_lines_are_moved_to_fit_inside(corner):
    expected, canvas = GREY.copy(), GREY.copy()
    draw_lines(expected, ["one", "two"], (20, 20))
    draw_lines(canvas, ["one", "two"], corner)
    assert (canvas != 90).sum() == (expected != 90).sum() > 1000


def test_no_line_and_an_image_that_is_too_small():
    canvas = GREY.copy()
    draw_lines(canvas, [], (0, 0))
    assert (canvas == GREY).all()
    draw_lines(canvas[:4, :4], ["long words"], (0, 0))
