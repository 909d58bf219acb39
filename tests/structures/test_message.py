"""Masks, centroids and prompts of a message, with NumPy only."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import POSSIBLY_LOST_CONFIDENCE, UNCERTAIN_MASK_QUALITY, PromptStatus
from streamseg.wire import decode, encode
from tests.support.messages import disc, make_message, make_object

PLAIN = (1.0, 1.0, 0.0, 0.0)


def make_mask(crop, x, y, size, image_size=None, to_image=None):
    """Return a mask in a space of `size`, which covers its image evenly unless `to_image` is given."""
    image_size = size if image_size is None else image_size
    if to_image is None:
        to_image = (image_size[1] / size[1], image_size[0] / size[0], 0.0, 0.0)
    return CropMask(np.asarray(crop, dtype=np.bool_), x, y, MaskSpace(size, image_size, to_image))


# ---- masks at any size


@st.composite
def crops(draw):
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    y, x = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    shape = draw(st.integers(0, size[0] - y)), draw(st.integers(0, size[1] - x))
    return draw(hnp.arrays(np.bool_, shape)), x, y, size


@given(crops(), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_mask_at_own_size_is_unchanged(crop, image_size):
    mask = make_mask(*crop, image_size=image_size)
    assert np.array_equal(mask(mask.space.size), mask.full(mask.space.size))


@given(crops(), st.tuples(st.integers(0, 25), st.integers(0, 25)))
def test_pixel_is_inside_if_mask_contains_its_centre(crop, size):
    mask = make_mask(*crop)
    whole = mask.full(mask.space.size)
    expected = np.zeros(size, np.bool_)
    for row in range(size[0]):
        for column in range(size[1]):
            y = floor(Fraction(2 * row + 1, 2 * size[0]) * whole.shape[0])
            x = floor(Fraction(2 * column + 1, 2 * size[1]) * whole.shape[1])
            expected[row, column] = whole[y, x]
    assert np.array_equal(mask(size), expected)


def test_mask_space_larger_than_image_is_cropped():
    # A letterbox of 8 x 8 cells around an image of 16 x 8 pixels (H, W): two cells of padding on the left and right.
    mask = make_mask(np.ones((8, 8)), 0, 0, (8, 8), (16, 8), (2.0, 2.0, -4.0, 0.0))
    assert mask((16, 8)).all()
    mask = make_mask(np.ones((8, 3)), 0, 0, (8, 8), (16, 8), (2.0, 2.0, -4.0, 0.0))
    assert np.array_equal(np.flatnonzero(mask((16, 8))[0]), [0, 1])


def test_mask_can_be_stretched():
    mask = make_mask([[True, False]], 1, 1, (3, 4))
    assert np.argwhere(mask((6, 4))).tolist() == [[2, 1], [3, 1]]


@pytest.mark.parametrize(
    ("mask", "size", "message"),
    [
        pytest.param(CropMask(disc(3), 0, 0), (8, 8), "has no mask space", id="no-space"),
        pytest.param(make_mask(disc(3), 0, 0, (8, 8)), (-1, 8), "at least 0 pixels", id="negative-size"),
        pytest.param(
            make_mask(disc(3), 0, 0, (8, 8), (8, 8), (0.0, 1.0, 0.0, 0.0)), (8, 8), "must be above 0", id="flat"
        ),
        pytest.param(
            make_mask(disc(3), 0, 0, (8, 8), (8, 8), (1.0, -1.0, 0.0, 0.0)), (8, 8), "must be above 0", id="mirrored"
        ),
    ],
)
def test_rendering_without_valid_space_or_size_is_rejected(mask, size, message):
    with pytest.raises(ValueError, match=message):
        mask(size)


@pytest.mark.parametrize(
    "to_image",
    [
        pytest.param((1e-300, 1.0, 1e300, 0.0), id="far-left"),
        pytest.param((1e300, 1e300, 0.0, 0.0), id="one-huge-cell"),
        pytest.param((1.0, 5e-324, 0.0, -1e308), id="far-below"),
    ],
)
def test_extreme_transforms_give_empty_masks(to_image):
    mask = make_mask(np.ones((2, 2)), 4, 4, (8, 8), (8, 8), to_image)
    assert not mask((8, 8)).any()


# ---- centroids


@given(crops(), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.floats(-50, 50), st.floats(-50, 50))
def test_centroid_is_mean_of_pixels(crop, image_size, offset_x, offset_y):
    scale_x, scale_y = image_size[1] / crop[3][1], image_size[0] / crop[3][0]
    mask = make_mask(*crop, image_size=image_size, to_image=(scale_x, scale_y, offset_x, offset_y))
    rows, columns = np.nonzero(mask.full(mask.space.size))
    if not len(rows):
        assert mask.centroid is None
        return
    expected = (columns.mean() + 0.5) * scale_x + offset_x, (rows.mean() + 0.5) * scale_y + offset_y
    assert mask.centroid == pytest.approx(expected)


def test_centroid_without_pixels_is_box_centre():
    crop = np.zeros((0, 0), np.bool_)
    found = make_object(crop, 0, 0, box=(10.0, 20.0, 30.0, 60.0))
    assert found.centroid == (20.0, 40.0)
    assert replace(found, mask=make_mask(crop, 0, 0, (48, 64))).centroid == (20.0, 40.0)


def test_received_object_has_mask_space():
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


def test_objects_of_prompt():
    cup = make_object(disc(5), 0, 0, track_id=1, prompt_ids=("everything", "cup"), score=0.9)
    hand = make_object(disc(5), 9, 0, track_id=2, prompt_ids=("everything",), score=0.8)
    message = make_message(cup, hand)
    assert message.of("everything") == (cup, hand)
    assert message.of("cup") == (cup,)
    assert message.of("cu") == ()
    assert make_message().of("cup") == ()


def test_status_of_prompt():
    lost, bound = PromptStatus("cup", "lost", 0.0, 1), PromptStatus("hand", "bound", 0.8, 2)
    message = make_message(prompts=(lost, bound))
    assert message.prompt("hand") is bound
    assert message.prompt("cup") is lost
    assert message.prompt("door") is None
    assert make_message().prompt("cup") is None


# ---- states of prompts in words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(PromptStatus("p", "none"), "nothing found", id="none"),
        pytest.param(PromptStatus("p", "lost", 0.0, 3), "lost", id="lost"),
        pytest.param(PromptStatus("p", "bound", 1.0, 3), "followed", id="quality-unknown"),
        pytest.param(PromptStatus("p", "bound", 1.0, 3, UNCERTAIN_MASK_QUALITY), "followed", id="mask-on-the-border"),
        pytest.param(PromptStatus("p", "bound", 1.0, 3, 0.49), "followed, mask uncertain", id="stain"),
        pytest.param(PromptStatus("p", "bound", 1.0, -1, 0.8), "found", id="without-a-track-id"),
        pytest.param(PromptStatus("p", "bound", 0.1, -1, 0.3), "found, mask uncertain", id="tentative-stain"),
        pytest.param(PromptStatus("p", "bound", POSSIBLY_LOST_CONFIDENCE, 3, 0.8), "followed", id="on-the-border"),
        pytest.param(PromptStatus("p", "bound", 0.24, 3, 0.8), "possibly lost", id="probably-another-object"),
        pytest.param(PromptStatus("p", "reacquired", 0.7, 3, 0.8), "found again", id="found-again"),
        pytest.param(PromptStatus("p", "reacquired", 0.7, 3, 0.2), "found again, mask uncertain", id="again-a-stain"),
        pytest.param(PromptStatus("p", "reacquired", 0.2, 3, 0.8), "possibly lost", id="found-again-doubtfully"),
    ],
)
def test_words(status, words):
    assert status.words == words
