"""The device's letterbox gives the pixels of OpenCV's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.geometry import letterbox, letterbox_into
from streamseg.modeling.preprocess import letterbox_images
from streamseg.segmentation.device.letterbox import DeviceLetterbox


def both(image, place):
    """Return the input made by the host and the one made by the device, for a batch of the image and its mirror."""
    images = np.stack([image, image[:, ::-1]])
    ours = DeviceLetterbox(place, torch.device("cpu"))(torch.from_numpy(images.copy()))
    return letterbox_images(list(images), [place, place]), ours.numpy()


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "imgsz"),
    [
        pytest.param((720, 1280), 640, id="half, which OpenCV averages"),
        pytest.param((720, 1280), 1024, id="fraction"),
        pytest.param((1080, 1920), 640, id="a third"),
        pytest.param((480, 640), 640, id="same size"),
        pytest.param((90, 160), 640, id="enlarged"),
        pytest.param((1, 1), 64, id="one pixel"),
        pytest.param((1, 700), 640, id="one row"),
        pytest.param((333, 517), 320, id="odd"),
    ],
)
def test_pixels_equal_those_of_the_host(size, imgsz):
    expected, found = both(noise(size), letterbox(size, imgsz))
    np.testing.assert_array_equal(found, expected)


def test_padding_on_all_sides():
    expected, found = both(noise((100, 75)), letterbox_into((100, 75), (160, 192)))
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), imgsz=st.sampled_from([32, 64, 96]), seed=st.integers(0, 99)
)
def test_any_size(height, width, imgsz, seed):
    expected, found = both(noise((height, width), seed), letterbox((height, width), imgsz))
    np.testing.assert_array_equal(found, expected)
