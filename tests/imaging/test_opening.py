"""Bounds of pixels and memory, and sizes from headers alone."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging import animation_frames, image_sizes, load_image, load_mask, opening
from streamseg.imaging.memory import available_bytes

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 320, 3), dtype=np.uint8))


def encoded(kind, **options):
    data = io.BytesIO()
    NOISE.save(data, kind, **options)
    return data.getvalue()


def riff(name, data):
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def animated_webp(width, height):
    """Return an animated WebP of one small frame on a large canvas."""
    frame, canvas = encoded("WEBP")[12:], [(size - 1).to_bytes(3, "little") for size in (width, height)]
    position = bytes(6) + b"".join((size - 1).to_bytes(3, "little") for size in (320, 256)) + b"\x64\0\0\0"
    parts = riff(b"VP8X", b"\x02\0\0\0" + b"".join(canvas)) + riff(b"ANIM", bytes(6)) + riff(b"ANMF", position + frame)
    return riff(b"RIFF", b"WEBP" + parts)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "PPM", "JPEG2000"])
def test_sizes_need_the_header_only(tmp_path, kind):
    (tmp_path / "a").write_bytes(encoded(kind)[:2000])
    assert image_sizes(tmp_path / "a") == ((256, 320), (256, 320))


def test_orientation_behind_the_pixels_of_a_png(tmp_path):
    content = encoded("PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])
    assert image_sizes(tmp_path / "a.png") == ((320, 256), (256, 320))
    assert load_image(tmp_path / "a.png").shape == (320, 256, 3)


@pytest.mark.parametrize("name", ["a.hdr", "a.pfm", "float.tif"])
def test_sizes_of_formats_without_pillow(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), np.full((2, 3, 3), 0.5, np.float32))
    assert image_sizes(tmp_path / name) == ((2, 3), (2, 3))


def read_all(path):
    return list(animation_frames(path))


@pytest.mark.parametrize("read", [load_image, load_mask, read_all])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded("PNG"), id="PNG"),
        pytest.param(encoded("TIFF"), id="TIFF"),
        pytest.param(encoded("WEBP"), id="WebP"),
        pytest.param(animated_webp(2_000, 1_000), id="animated WebP"),
    ],
)
def test_more_pixels_than_fit_into_memory_are_one_line(tmp_path, monkeypatch, read, content):
    monkeypatch.setattr(opening, "available_bytes", lambda: 1_000_000)
    monkeypatch.setattr(opening, "SMALL_PIXELS", 1_000)
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SourceError, match=r"need about .* GB of memory; 0\.0 GB are available") as error:
        read(tmp_path / "a")
    assert "\n" not in str(error.value)
    assert image_sizes(tmp_path / "a")


@pytest.mark.parametrize(
    ("size", "match"),
    [
        pytest.param((16_384, 16_384), "too large a WebP", id="more than Pillow's plugin accepts"),
        pytest.param((0x1000000, 300), "at most 2^30|not a readable image|too large", id="damaged size"),
    ],
)
def test_huge_webp_is_one_line(tmp_path, size, match):
    (tmp_path / "a.webp").write_bytes(animated_webp(*size))
    with pytest.raises(SourceError, match=match):
        load_image(tmp_path / "a.webp")


@pytest.mark.parametrize(
    ("meminfo", "limits", "expected"),
    [
        pytest.param("MemTotal: 9 kB\nMemAvailable:    5 kB\n", {}, 5 * 1024, id="no container"),
        pytest.param(
            "MemAvailable: 5 kB\n", {"memory.max": "3000\n", "memory.current": "1000\n"}, 2000, id="container"
        ),
        pytest.param("MemAvailable: 5 kB\n", {"memory.max": "max\n", "memory.current": "1000\n"}, 5120, id="no limit"),
        pytest.param("", {"memory.max": "3000\n", "memory.current": "9000\n"}, 0, id="over the limit"),
        pytest.param("", {}, None, id="another system"),
    ],
)
def test_available_memory(tmp_path, meminfo, limits, expected):
    (tmp_path / "meminfo").write_text(meminfo)
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    assert available_bytes(tmp_path / "meminfo", tmp_path) == expected


def test_available_memory_without_files(tmp_path):
    assert available_bytes(tmp_path / "gone", tmp_path) is None
