import numpy as np
import pytest

from streamseg.drawing.overlay import PALETTE, TENTATIVE, colour_of, draw_message, draw_objects
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject


def square(x: int, y: int, side: int, track_id: int = 0, label: str | None = None) -> MessageObject:
    mask = CropMask(np.ones((side, side), dtype=np.bool_), x, y)
    box = (float(x), float(y), float(x + side), float(y + side))
    return MessageObject(track_id, ("everything",), box, 0.9, mask, area=mask.area, label=label)


IMAGE = np.full((90, 120, 3), 100, dtype=np.uint8)


def test_colour_is_fixed_per_identity():
    assert colour_of(5) == colour_of(5)
    assert len({colour_of(track_id) for track_id in range(3 * len(PALETTE))}) == 3 * len(PALETTE)
    assert colour_of(-1) == TENTATIVE


def test_input_image_is_not_modified():
    before = IMAGE.copy()
    drawn = draw_objects(IMAGE, [square(10, 10, 30)])
    assert np.array_equal(IMAGE, before)
    assert not np.array_equal(drawn, before)


def test_no_object_returns_a_plain_copy():
    drawn = draw_objects(IMAGE, [])
    assert np.array_equal(drawn, IMAGE)
    assert drawn is not IMAGE


@pytest.mark.parametrize(
    ("x", "y", "side"),
    [
        pytest.param(40, 30, 20, id="inside"),
        pytest.param(0, 0, 20, id="corner"),
        pytest.param(100, 70, 20, id="far corner"),
        pytest.param(0, 0, 90, id="full height"),
        pytest.param(60, 40, 1, id="one pixel"),
        pytest.param(5, 5, 0, id="empty mask"),
    ],
)
def test_only_pixels_near_the_mask_change(x, y, side):
    drawn = draw_objects(IMAGE, [square(x, y, side, track_id=-1)])
    changed = (drawn != IMAGE).any(axis=2)
    inside = np.zeros((90, 120), dtype=np.bool_)
    inside[y : y + side, x : x + side] = True
    assert changed[inside].all()
    near = np.zeros_like(inside)
    near[max(y - 3, 0) : y + side + 3, max(x - 3, 0) : x + side + 3] = True
    assert not changed[~near].any()


def test_small_objects_are_drawn_on_top_of_large_ones():
    large, small = square(10, 10, 60, track_id=1), square(30, 30, 10, track_id=2)
    centre = (35, 35)
    for order in ([large, small], [small, large]):
        drawn = draw_objects(IMAGE, order)
        alone = draw_objects(IMAGE, [large])
        assert tuple(drawn[centre]) != tuple(alone[centre])


def test_masks_of_another_size_are_scaled_to_the_image():
    half = square(10, 10, 20, track_id=-1)
    drawn = draw_objects(IMAGE, [half], mask_size=(45, 60))
    changed = (drawn != IMAGE).any(axis=2)
    assert changed[22:58, 22:58].all()
    assert not changed[70:, 70:].any()


def test_message_is_drawn_with_labels():
    message = Message(
        source_id="cam",
        frame_index=0,
        captured_ns=0,
        clock="arrival",
        age_ms=1.0,
        image_size=(90, 120),
        mask_size=(90, 120),
        mask_to_image=(1.0, 1.0, 0.0, 0.0),
        objects=(square(20, 40, 30, track_id=3, label="cup"),),
    )
    unlabelled = draw_objects(IMAGE, [square(20, 40, 30, track_id=-1)])
    assert not np.array_equal(draw_message(IMAGE, message), unlabelled)


def test_colours_can_be_given():
    drawn = draw_objects(IMAGE, [square(40, 30, 20, track_id=-1)], colours=[(255, 0, 0)])
    assert drawn[40, 50, 0] > IMAGE[40, 50, 0] > drawn[40, 50, 1]
