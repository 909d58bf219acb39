"""Images of ROS 2 messages as arrays."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.ros.incoming import Camera, camera_of, depth_of, image_of, stamp_ns

RGB = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
GREY = np.repeat(RGB[:, :, :1], 3, axis=2)


def image(pixels: np.ndarray, encoding: str, *, padding: int = 0, **changes) -> SimpleNamespace:
    """A sensor_msgs/Image, as rosbags decodes it."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    values = {
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": rows.shape[1],
        "data": rows.reshape(-1),
    }
    return SimpleNamespace(**{**values, **changes})


@pytest.mark.parametrize(
    ("pixels", "encoding", "expected"),
    [
        (RGB, "rgb8", RGB),
        (RGB[:, :, ::-1], "bgr8", RGB),
        (RGB[:, :, ::-1], "8UC3", RGB),
        (np.dstack([RGB, RGB[:, :, 0]]), "rgba8", RGB),
        (np.dstack([RGB[:, :, ::-1], RGB[:, :, 0]]), "bgra8", RGB),
        (RGB[:, :, 0], "mono8", GREY),
    ],
)
@pytest.mark.parametrize("padding", [0, 5])
def test_encodings(pixels, encoding, expected, padding):
    np.testing.assert_array_equal(image_of(image(pixels, encoding, padding=padding)), expected)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (image(RGB, "yuv422"), "'yuv422' is not supported"),
        (image(RGB, "rgb8", data=np.zeros(35, np.uint8)), "cannot have 35 bytes"),
        (image(RGB, "rgb8", step=11), "rows of 11 bytes"),
        (image(RGB, "rgb8", height=0), "4x0"),
        (SimpleNamespace(format="jpeg", data=np.zeros(0, np.uint8)), "cannot be decoded"),
        (SimpleNamespace(format="jpeg", data=np.frombuffer(b"no JPEG", np.uint8)), "cannot be decoded"),
    ],
)
def test_what_is_no_image_is_one_line(message, words):
    with pytest.raises(DataError, match=words):
        image_of(message)


def test_compressed_images_are_rgb():
    _, data = cv2.imencode(".png", RGB[:, :, ::-1])
    np.testing.assert_array_equal(image_of(SimpleNamespace(format="rgb8; png compressed", data=data)), RGB)


@pytest.mark.parametrize(
    ("pixels", "encoding", "big"),
    [
        (np.array([[0, 1500]], "<u2"), "16UC1", 0),
        (np.array([[0, 1500]], ">u2"), "16UC1", 1),
        (np.array([[0, 1.5]], "<f4"), "32FC1", 0),
    ],
)
def test_depth_is_in_metres(pixels, encoding, big):
    depth = depth_of(image(pixels, encoding, is_bigendian=big))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, [[0, 1.5]])


def test_depth_of_another_encoding():
    with pytest.raises(DataError, match="depth encoding 'rgb8'"):
        depth_of(image(RGB, "rgb8"))


K = [500.0, 0, 320, 0, 510, 240, 0, 0, 1]
P = [400.0, 0, 321, 0, 0, 410, 241, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("k", "p", "size", "expected"),
    [
        (K, P, (480, 640), Camera(400, 410, 321, 241, (480, 640))),
        (K, [0.0] * 12, (480, 640), Camera(500, 510, 320, 240, (480, 640))),
        ([0.0] * 9, [0.0] * 12, (480, 640), None),
        (K, P, (0, 0), None),
    ],
    ids=["rectified", "no projection", "uncalibrated", "no size"],
)
def test_cameras(k, p, size, expected):
    assert camera_of(SimpleNamespace(k=k, p=p, height=size[0], width=size[1])) == expected


def test_stamps():
    header = SimpleNamespace(stamp=SimpleNamespace(sec=3, nanosec=7))
    assert stamp_ns(SimpleNamespace(header=header)) == 3_000_000_007
