"""Videos are delivered as they are displayed; each is written by the test."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamseg.capture import open_source
from streamseg.capture.decoder import RgbConverter, open_video
from streamseg.capture.display import sample_aspect_ratio, upright
from streamseg.config import StreamSource
from tests.support.videos import write_video

ONE = 1 << 16
W = 1 << 30


def corner_image(height=96, width=128):
    """Return an image that is bright in its upper left quarter."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 200
    return image


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "expected"),
    [
        pytest.param(1, 0, 0, 1, [[1, 2, 3], [4, 5, 6]], id="unchanged"),
        pytest.param(-1, 0, 0, 1, [[3, 2, 1], [6, 5, 4]], id="mirrored left to right: selfies"),
        pytest.param(1, 0, 0, -1, [[4, 5, 6], [1, 2, 3]], id="upside down, mirrored"),
        pytest.param(-1, 0, 0, -1, [[6, 5, 4], [3, 2, 1]], id="half a turn"),
        pytest.param(0, 1, -1, 0, [[4, 1], [5, 2], [6, 3]], id="a quarter clockwise"),
        pytest.param(0, -1, 1, 0, [[3, 6], [2, 5], [1, 4]], id="a quarter anticlockwise"),
        pytest.param(0, 1, 1, 0, [[1, 4], [2, 5], [3, 6]], id="transposed"),
        pytest.param(0, -1, -1, 0, [[6, 3], [5, 2], [4, 1]], id="transposed along the other diagonal"),
        pytest.param(0.99, 0.1, -0.1, 0.99, [[1, 2, 3], [4, 5, 6]], id="almost unchanged"),
        pytest.param(2, 0, 0, -2, [[4, 5, 6], [1, 2, 3]], id="scaled: only mirrored"),
        pytest.param(0, 0, 0, 0, [[1, 2, 3], [4, 5, 6]], id="zeros"),
    ],
)
def test_orientations(a, b, c, d, expected):
    image = np.repeat(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., None], 3, axis=2)
    matrix = [round(a * ONE), round(b * ONE), 0, round(c * ONE), round(d * ONE), 0, 0, 0, W]
    displayed = upright(image, matrix)
    assert displayed[..., 0].tolist() == expected
    assert displayed.flags.c_contiguous


def write_display(path: Path, *, matrix=None, aspect_ratio=None) -> Path:
    """Write three frames of `corner_image` with display metadata."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        if matrix is not None:
            stream.set_display_matrix([value * (W if place == 8 else ONE) for place, value in enumerate(matrix)])
        if aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = Fraction(aspect_ratio)
        frame = av.VideoFrame.from_ndarray(corner_image(), format="rgb24")
        for number in range(3):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def first_image(path: Path):
    return next(open_source(StreamSource(id="video", url=str(path))).frames()).image


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_mirrored_video(tmp_path, suffix):
    path = write_display(tmp_path / f"a{suffix}", matrix=[-1, 0, 0, 0, 1, 0, 0, 0, 1])
    image = first_image(path)
    assert image.shape == (96, 128, 3)
    assert image[:40, 72:].mean() > 180
    assert image.mean() == pytest.approx(50, abs=6)


@pytest.mark.parametrize(
    ("aspect_ratio", "matrix", "size"),
    [
        pytest.param("2", None, (96, 256), id="wide pixels"),
        pytest.param("16/11", None, (96, 186), id="PAL widescreen"),
        pytest.param("1/2", None, (192, 128), id="tall pixels"),
        pytest.param("1", None, (96, 128), id="square"),
        pytest.param("1001/1000", None, (96, 128), id="rounding error"),
        pytest.param("100", None, (96, 128), id="implausible"),
        pytest.param("2", [0, 1, 0, -1, 0, 0, 0, 0, 1], (256, 96), id="wide pixels, then a quarter turn"),
    ],
)
def test_images_have_square_pixels(tmp_path, aspect_ratio, matrix, size):
    image = first_image(write_display(tmp_path / "a.mp4", aspect_ratio=aspect_ratio, matrix=matrix))
    assert image.shape == (*size, 3)
    assert image.mean() == pytest.approx(50, abs=6)


def test_undeclared_aspect_ratio_is_square(tmp_path):
    container, stream = open_video(str(write_video(tmp_path / "a.avi", 2, codec="mpeg4")), name="a", options={})
    with closing(container):
        assert sample_aspect_ratio(stream) == 1.0


def rotated_video(path, degrees):
    """Write a video with a rotated display matrix, by replacing the nine numbers in its track header."""
    image = np.zeros((96, 128, 3), np.uint8)
    image[:48, :64] = 200  # the encoded image is bright at its upper left
    write_video(path, images=[image] * 3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    one = 0x00010000
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    values = (a, b, 0, -b, a, 0, 0, 0, 0x40000000)
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, signed=True) for value in values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("degrees", "size", "bright"),
    [
        pytest.param(90, (128, 96), (slice(0, 50), slice(60, 96)), id="clockwise: bright at the upper right"),
        pytest.param(180, (96, 128), (slice(60, 96), slice(80, 128)), id="upside down: lower right"),
        pytest.param(270, (128, 96), (slice(80, 128), slice(0, 40)), id="anticlockwise: lower left"),
    ],
)
def test_rotated_video_is_converted_upright(tmp_path, degrees, size, bright):
    container, stream = open_video(str(rotated_video(tmp_path / "phone.mp4", degrees)), name="video", options={})
    with closing(container):
        rgb = RgbConverter().convert(next(container.decode(stream)))
    assert rgb.shape == (*size, 3)
    assert rgb[bright].mean() > 180
    assert rgb.mean() == pytest.approx(50, abs=6)
