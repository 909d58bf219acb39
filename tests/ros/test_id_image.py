"""Track ids as an image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.ros.id_image import IdPainter, pixel_id
from tests.support.messages import in_image_space, make_message, make_object, messages

BLOCK = np.ones((10, 20), np.bool_)
PART = np.ones((4, 5), np.bool_)


@pytest.mark.parametrize(
    ("track_id", "value"),
    [(-1, 0), (0, 0), (1, 1), (7, 7), (65535, 65535), (65536, 1), (65537, 2), (2 * 65535 + 1, 1)],
)
def test_pixel_values_are_track_ids_and_never_background(track_id, value):
    assert pixel_id(track_id) == value


def test_instances_have_the_smallest_object_on_top_and_no_tentative_one():
    whole = make_object(BLOCK, 3, 2, track_id=5)
    part = make_object(PART, 4, 3, track_id=9)
    tentative = make_object(PART, 40, 30, track_id=-1)
    for objects in ((whole, part, tentative), (part, tentative, whole)):
        image = IdPainter()(make_message(*objects))
        assert image.dtype == np.uint16
        assert image.shape == (48, 64)
        assert image[5, 10] == 5
        assert image[4, 5] == 9
        assert np.unique(image).tolist() == [0, 5, 9]
        assert np.count_nonzero(image == 5) == BLOCK.size - PART.size


def test_instances_have_the_size_of_the_image_if_the_mask_space_is_smaller():
    found = make_object(BLOCK, 3, 2, track_id=5)
    message = make_message(found, image_size=(96, 128), mask_to_image=(2.0, 2.0, 0.0, 0.0))
    found = make_object(BLOCK, 3, 2, track_id=5, mask=type(found.mask)(BLOCK, 3, 2, message.mask_space))
    image = IdPainter()(make_message(found, image_size=(96, 128), mask_to_image=(2.0, 2.0, 0.0, 0.0)))
    assert image.shape == (96, 128)
    assert np.count_nonzero(image) == 4 * BLOCK.size
    assert image[4:24, 6:46].all()


def painted_one_by_one(message):
    """The definition, object by object."""
    labels = np.zeros(message.image_size, np.uint16)
    for found in sorted(message.objects, key=lambda one: -one.area):
        if found.track_id > 0:
            labels[type(found.mask)(found.mask.crop, found.mask.x, found.mask.y, message.mask_space)()] = pixel_id(
                found.track_id
            )
    return labels


@given(frames=st.lists(messages().map(in_image_space), min_size=1, max_size=3))
def test_any_messages_in_turn_do_not_disturb_each_other(frames):
    paint = IdPainter()
    for message in frames:
        np.testing.assert_array_equal(paint(message), painted_one_by_one(message))


@pytest.mark.parametrize("num_objects", [0, 1, 255, 256, 300])
def test_more_objects_than_a_byte_can_count(num_objects):
    rng = np.random.default_rng(num_objects)
    objects = [
        make_object(rng.random((5, 6)) < 0.7, int(x), int(y), track_id=1000 + index)
        for index, (x, y) in enumerate(
            zip(rng.integers(0, 58, num_objects), rng.integers(0, 43, num_objects), strict=True)
        )
    ]
    message = make_message(*objects)
    paint = IdPainter()
    paint(make_message(make_object(BLOCK, 3, 2, track_id=7)))
    np.testing.assert_array_equal(paint(message), painted_one_by_one(message))
