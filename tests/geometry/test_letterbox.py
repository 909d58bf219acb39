import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.geometry import letterbox, letterbox_into


@pytest.mark.parametrize(
    ("image_size", "imgsz", "scaled_size", "input_size", "top", "left"),
    [
        pytest.param((720, 1280), 640, (360, 640), (384, 640), 12, 0, id="720p"),
        pytest.param((1080, 1920), 1024, (576, 1024), (576, 1024), 0, 0, id="1080p at 1024: no padding"),
        pytest.param((1280, 720), 640, (640, 360), (640, 384), 0, 12, id="portrait"),
        pytest.param((480, 640), 640, (480, 640), (480, 640), 0, 0, id="unscaled"),
        pytest.param((427, 640), 640, (427, 640), (448, 640), 10, 0, id="odd pixel goes below"),
        pytest.param((100, 100), 640, (640, 640), (640, 640), 0, 0, id="enlarged"),
        pytest.param((100, 200), 100, (64, 128), (64, 128), 0, 0, id="imgsz is rounded up"),
        pytest.param((1, 1000), 64, (1, 64), (32, 64), 15, 0, id="at least one pixel remains"),
    ],
)
def test_letterbox(image_size, imgsz, scaled_size, input_size, top, left):
    assert letterbox(image_size, imgsz) == (image_size, scaled_size, input_size, top, left)


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.integers(32, 1300))
@settings(deadline=None)
def test_letterbox_fits_and_transform_inverts_it(image_size, imgsz):
    box = letterbox(image_size, imgsz)
    height, width = box.input_size
    assert height % 32 == width % 32 == 0
    assert max(height, width) == math.ceil(imgsz / 32) * 32
    assert 0 <= height - box.scaled_size[0] < 32
    assert 0 <= width - box.scaled_size[1] < 32
    # The corners of the scaled image map to the corners of the image.
    scale_x, scale_y, offset_x, offset_y = box.to_image()
    assert scale_x * box.left + offset_x == pytest.approx(0, abs=1e-6)
    assert scale_y * box.top + offset_y == pytest.approx(0, abs=1e-6)
    assert scale_x * (box.left + box.scaled_size[1]) + offset_x == pytest.approx(image_size[1])
    assert scale_y * (box.top + box.scaled_size[0]) + offset_y == pytest.approx(image_size[0])
    cell = box.to_image(4)
    assert cell == (4 * scale_x, 4 * scale_y, offset_x, offset_y)


@pytest.mark.parametrize(
    ("image_size", "input_size", "scaled_size", "top", "left"),
    [
        pytest.param((720, 1280), (640, 640), (360, 640), 140, 0, id="720p into a square"),
        pytest.param((1280, 720), (384, 640), (384, 216), 0, 212, id="portrait into landscape"),
        pytest.param((427, 640), (640, 640), (427, 640), 106, 0, id="odd pixel goes below"),
        pytest.param((640, 427), (640, 640), (640, 427), 0, 106, id="odd pixel goes to the right"),
        pytest.param((36, 64), (64, 128), (64, 114), 0, 7, id="enlarged"),
        pytest.param((64, 96), (64, 96), (64, 96), 0, 0, id="unchanged"),
        pytest.param((1, 1000), (64, 64), (1, 64), 31, 0, id="at least one pixel remains"),
    ],
)
def test_letterbox_into(image_size, input_size, scaled_size, top, left):
    assert letterbox_into(image_size, input_size) == (image_size, scaled_size, input_size, top, left)


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.tuples(st.integers(1, 1300), st.integers(1, 1300)))
@settings(deadline=None)
def test_letterbox_into_fits_and_transform_inverts_it(image_size, input_size):
    box = letterbox_into(image_size, input_size)
    (height, width), (top, left) = box.scaled_size, (box.top, box.left)
    assert height == input_size[0] or width == input_size[1]
    assert 0 <= input_size[0] - height - 2 * top <= 1
    assert 0 <= input_size[1] - width - 2 * left <= 1
    scale_x, scale_y, offset_x, offset_y = box.to_image()
    assert scale_x * left + offset_x == pytest.approx(0, abs=1e-6)
    assert scale_y * (top + height) + offset_y == pytest.approx(image_size[0])
