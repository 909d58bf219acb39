"""What a subscriber can ask of a message, with numpy alone."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamseg.structures.message import CropMask, MaskSpace, PromptStatus
from streamseg.wire import decode, encode
from tests.support.messages import disc, make_message, make_object

PLAIN = (1.0, 1.0, 0.0, 0.0)


def placed(crop, x, y, size, image_size=None, to_image=None):
    """A mask in a space of `size` that covers its picture evenly, unless told otherwise."""
    image_size = size if image_size is None else image_size
    if to_image is None:
        to_image = (image_size[1] / size[1], image_size[0] / size[0], 0.0, 0.0)
    return CropMask(np.asarray(crop, dtype=np.bool_), x, y, MaskSpace(size, image_size, to_image))


# ---- a mask at any size


@st.composite
def crops(draw):
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    y, x = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    shape = draw(st.integers(0, size[0] - y)), draw(st.integers(0, size[1] - x))
    return draw(hnp.arrays(np.bool_, shape)), x, y, size


@given(crops(), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_at_its_own_size_a_mask_is_itself_whatever_the_pictures_size(crop, image_size):
    mask = placed(*crop, image_size=image_size)
    assert np.array_equal(mask(mask.space.size), mask.full(mask.space.size))


@given(crops(), st.tuples(st.integers(0, 25), st.integers(0, 25)))
def test_a_pixel_is_inside_where_the_mask_holds_its_centre(crop, size):
    mask = placed(*crop)
    whole = mask.full(mask.space.size)
    expected = np.zeros(size, np.bool_)
    for row in range(size[0]):
        for column in range(size[1]):
            y = floor(Fraction(2 * row + 1, 2 * size[0]) * whole.shape[0])
            x = floor(Fraction(2 * column + 1, 2 * size[1]) * whole.shape[1])
            expected[row, column] = whole[y, x]
    assert np.array_equal(mask(size), expected)


def test_a_mask_space_that_is_larger_than_the_picture_is_cut_to_it():
    # A letterbox of 8 x 8 cells around a picture of 16 x 8 pixels (H, W): two cells of padding left and right.
    mask = placed(np.ones((8, 8)), 0, 0, (8, 8), (16, 8), (2.0, 2.0, -4.0, 0.0))
    assert mask((16, 8)).all()
    mask = placed(np.ones((8, 3)), 0, 0, (8, 8), (16, 8), (2.0, 2.0, -4.0, 0.0))
    assert np.array_equal(np.flatnonzero(mask((16, 8))[0]), [0, 1])


def test_a_mask_can_be_stretched():
    mask = placed([[True, False]], 1, 1, (3, 4))
    assert np.argwhere(mask((6, 4))).tolist() == [[2, 1], [3, 1]]


@pytest.mark.parametrize(
    ("mask", "size", "message"),
    [
        pytest.param(CropMask(disc(3), 0, 0), (8, 8), "does not know its place", id="no-space"),
        pytest.param(placed(disc(3), 0, 0, (8, 8)), (-1, 8), "at least 0 pixels", id="negative-size"),
        pytest.param(placed(disc(3), 0, 0, (8, 8), (8, 8), (0.0, 1.0, 0.0, 0.0)), (8, 8), "scale above 0", id="flat"),
        pytest.param(
            placed(disc(3), 0, 0, (8, 8), (8, 8), (1.0, -1.0, 0.0, 0.0)), (8, 8), "scale above 0", id="mirrored"
        ),
    ],
)
def test_what_cannot_be_told_is_refused(mask, size, message):
    with pytest.raises(ValueError, match=message):
        mask(size)


@pytest.mark.parametrize(
    "to_image",
    [
        pytest.param((1e-300, 1.0, 1e300, 0.0), id="far-left"),
        pytest.param((1e300, 1e300, 0.0, 0.0), id="one-cell-holds-the-world"),
        pytest.param((1.0, 5e-324, 0.0, -1e308), id="far-below"),
    ],
)
def test_absurd_places_are_just_places(to_image):
    mask = placed(np.ones((2, 2)), 4, 4, (8, 8), (8, 8), to_image)
    assert not mask((8, 8)).any()


# ---- where it is


@given(crops(), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.floats(-50, 50), st.floats(-50, 50))
def test_the_centroid_is_the_mean_of_the_pixels(crop, image_size, offset_x, offset_y):
    scale_x, scale_y = image_size[1] / crop[3][1], image_size[0] / crop[3][0]
    mask = placed(*crop, image_size=image_size, to_image=(scale_x, scale_y, offset_x, offset_y))
    rows, columns = np.nonzero(mask.full(mask.space.size))
    if not len(rows):
        assert mask.centroid is None
        return
    expected = (columns.mean() + 0.5) * scale_x + offset_x, (rows.mean() + 0.5) * scale_y + offset_y
    assert mask.centroid == pytest.approx(expected)


def test_an_object_without_pixels_is_where_its_box_is():
    crop = np.zeros((0, 0), np.bool_)
    found = make_object(crop, 0, 0, box=(10.0, 20.0, 30.0, 60.0))
    assert found.centroid == (20.0, 40.0)
    assert replace(found, mask=placed(crop, 0, 0, (48, 64))).centroid == (20.0, 40.0)


def test_a_received_object_knows_its_place():
    crop = np.zeros((4, 6), np.bool_)
    crop[:, :2] = True
    sent = make_message(make_object(crop, 10, 20), size=(96, 128), mask_size=(48, 64), mask_to_image=(2.0, 2.0, 0, 0))
    received = decode(encode(replace(sent, epoch="e", seq=0)))
    found = received.objects[0]
    assert found.centroid == (22.0, 44.0)
    mask = found.mask(received.image_size)
    assert (mask.shape, mask.dtype, mask.sum()) == ((96, 128), np.bool_, 4 * crop.sum())
    assert np.array_equal(found.mask(received.mask_size), found.mask.full(received.mask_size))
    assert received.mask_space == MaskSpace((48, 64), (96, 128), (2.0, 2.0, 0.0, 0.0))


# ---- prompts


def test_the_objects_of_a_prompt():
    cup = make_object(disc(5), 0, 0, track_id=1, prompt_ids=("everything", "cup"), score=0.9)
    hand = make_object(disc(5), 9, 0, track_id=2, prompt_ids=("everything",), score=0.8)
    message = make_message(cup, hand)
    assert message.of("everything") == (cup, hand)
    assert message.of("cup") == (cup,)
    assert message.of("cu") == ()
    assert make_message().of("cup") == ()


def test_the_status_of_a_prompt():
    lost, bound = PromptStatus("cup", "lost", 0.0, 1), PromptStatus("hand", "bound", 0.8, 2)
    message = make_message(prompts=(lost, bound))
    assert message.prompt("hand") is bound
    assert message.prompt("cup") is lost
    assert message.prompt("door") is None
    assert make_message().prompt("cup") is None
