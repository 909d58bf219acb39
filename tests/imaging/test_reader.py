"""Every kind of image file becomes upright RGB; damaged, foreign and huge ones are named in one line."""

from __future__ import annotations

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging import ALPHA_BACKGROUND, MAX_PIXELS, image_sizes, load_image, rgb_from_pillow
from streamseg.imaging import pixels as pixels_module

QUADRANTS = np.zeros((32, 48, 3), np.uint8)
"""A different colour in each quarter, so that every turn and mirroring differs."""
QUADRANTS[:16, :24] = (200, 30, 30)
QUADRANTS[:16, 24:] = (30, 200, 30)
QUADRANTS[16:, :24] = (30, 30, 200)
QUADRANTS[16:, 24:] = (220, 220, 220)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def png_header(width, height, depth=8, colour=2):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0\x04IDAT"


def encoded(kind, image=QUADRANTS, **options):
    data = io.BytesIO()
    Image.fromarray(image).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        pytest.param("rgb.png", np.uint8([10, 20, 200]), (200, 20, 10), id="OpenCV stores BGR"),
        pytest.param("grey.png", np.uint8(77), (77, 77, 77), id="grey"),
        pytest.param("grey16.png", np.uint16(77 * 257), (77, 77, 77), id="grey 16 bit"),
        pytest.param("rgb16.png", np.uint16([10 * 257, 20 * 257, 200 * 257]), (200, 20, 10), id="16 bit"),
        pytest.param("rgb16.tif", np.uint16([10 * 257, 20 * 257, 200 * 257]), (200, 20, 10), id="16 bit TIFF"),
        pytest.param("rgb12.png", np.uint16([160, 320, 3200]), (200, 20, 10), id="12 bit in 16"),
        pytest.param("float.tif", np.float32([0.1, 0.2, 0.8]), (255, 63, 31), id="float TIFF"),
        pytest.param("clear.png", np.uint8([10, 20, 200, 0]), ALPHA_BACKGROUND, id="transparent"),
        pytest.param("half.png", np.uint8([10, 20, 200, 51]), (244, 208, 206), id="alpha of 20 percent"),
        pytest.param("opaque.png", np.uint8([10, 20, 200, 255]), (200, 20, 10), id="opaque"),
        pytest.param("alpha16.png", np.uint16([2570, 5140, 51400, 65535]), (200, 20, 10), id="opaque, 16 bit"),
        pytest.param("clear16.png", np.uint16([2570, 5140, 51400, 0]), ALPHA_BACKGROUND, id="transparent, 16 bit"),
        pytest.param("a.bmp", np.uint8([10, 20, 200]), (200, 20, 10), id="bmp"),
        pytest.param("a.webp", np.uint8([128, 128, 128]), (128, 128, 128), id="webp"),
        pytest.param("a.avif", np.uint8([128, 128, 128]), (128, 128, 128), id="avif"),
        pytest.param("a.ppm", np.uint8([10, 20, 200]), (200, 20, 10), id="PPM"),
        pytest.param("a.pfm", np.float32([0.1, 0.2, 0.8]), (255, 63, 31), id="PFM"),
        pytest.param("a.hdr", np.float32([0.5, 0.5, 0.5]), (128, 128, 128), id="Radiance HDR"),
    ],
)
def test_every_format_becomes_rgb(tmp_path, name, stored, expected):
    path = tmp_path / name
    cv2.imwrite(str(path), np.full((16, 24, *stored.shape), stored, stored.dtype))
    image = load_image(path)
    assert image.shape == (16, 24, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[8, 8], expected, atol=2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_every_mode_of_pillow_becomes_rgb(mode):
    source = Image.fromarray(QUADRANTS)
    image = rgb_from_pillow(source.convert("L").convert(mode) if mode in ("I", "F") else source.convert(mode))
    assert image.shape == (32, 48, 3)
    if mode not in ("1", "L", "LA", "PA", "I", "F"):
        np.testing.assert_allclose(image.astype(int), QUADRANTS, atol=30)


def test_jpeg_2000(tmp_path):
    Image.fromarray(QUADRANTS).save(tmp_path / "a.jp2")
    np.testing.assert_allclose(load_image(tmp_path / "a.jp2").astype(int), QUADRANTS, atol=4)


def test_transparent_colour_of_a_palette_is_composited(tmp_path):
    palette = Image.fromarray(QUADRANTS).quantize(4)
    index = palette.getpixel((0, 0))
    palette.save(tmp_path / "a.png", transparency=index)
    image = load_image(tmp_path / "a.png")
    assert tuple(image[0, 0]) == ALPHA_BACKGROUND
    np.testing.assert_allclose(image[-1, -1], QUADRANTS[-1, -1], atol=4)


def test_cmyk_photograph(tmp_path):
    Image.fromarray(QUADRANTS).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(load_image(tmp_path / "a.jpg")[4:12, 4:20].mean((0, 1)), QUADRANTS[0, 0], atol=6)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        pytest.param(1, QUADRANTS, id="upright"),
        pytest.param(2, QUADRANTS[:, ::-1], id="mirrored"),
        pytest.param(3, QUADRANTS[::-1, ::-1], id="upside down"),
        pytest.param(4, QUADRANTS[::-1], id="upside down, mirrored"),
        pytest.param(5, QUADRANTS.transpose(1, 0, 2), id="transposed"),
        pytest.param(6, np.rot90(QUADRANTS, -1), id="clockwise"),
        pytest.param(7, QUADRANTS[::-1, ::-1].transpose(1, 0, 2), id="transversed"),
        pytest.param(8, np.rot90(QUADRANTS), id="anticlockwise"),
    ],
)
def test_exif_orientation(tmp_path, suffix, orientation, expected):
    path = tmp_path / f"phone.{suffix}"
    Image.fromarray(QUADRANTS).save(path, exif=exif(orientation), quality=95)
    image = load_image(path)
    assert image.shape == expected.shape
    assert image_sizes(path)[0] == expected.shape[:2]
    corners = np.s_[4::23, 4::39] if expected.shape[0] == 32 else np.s_[4::39, 4::23]
    np.testing.assert_allclose(image[corners].astype(int), expected[corners], atol=30)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(rgb_from_pillow(opened), image)


def test_stored_orientation_on_request(tmp_path):
    path = tmp_path / "phone.jpg"
    Image.fromarray(QUADRANTS).save(path, exif=exif(6))
    assert load_image(path, upright=False).shape == (32, 48, 3)
    assert image_sizes(path) == ((48, 32), (32, 48))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_no_reason_to_reject_pixels(tmp_path):
    jpeg = encoded("JPEG")
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1\x00\x10Exif\0\0II*\0\xff\xff\xff\xff" + jpeg[2:])
    assert load_image(tmp_path / "a.jpg").shape == (32, 48, 3)


@pytest.fixture
def unreported(monkeypatch):
    monkeypatch.setattr(pixels_module, "_reported", set())


RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(RAMP * 16, RAMP >> 4, id="full range"),
        pytest.param(RAMP * 8 + 13_000, (RAMP * 8 + 13_000) >> 8, id="half of the range"),
        pytest.param(RAMP, RAMP >> 4, id="12 bit"),
        pytest.param(RAMP // 4, RAMP >> 4, id="10 bit"),
        pytest.param(RAMP // 4 + 29_000, RAMP >> 4, id="thermal"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_16_bit_is_scaled_by_its_own_range_and_this_is_said_once(
    tmp_path, unreported, caplog, values, expected, suffix
):
    for name in ("a", "b"):
        Image.fromarray(values).save(tmp_path / f"{name}.{suffix}")
    image = load_image(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(image[:, :, 0].astype(int), expected.astype(int), atol=1)
    with Image.open(tmp_path / f"b.{suffix}") as opened:
        np.testing.assert_array_equal(rgb_from_pillow(opened), image)
    (record,) = caplog.records
    assert f"a.{suffix} has more than 8 bits per value" in record.getMessage()


def test_a_defective_pixel_does_not_determine_the_range(tmp_path):
    values = RAMP // 4 + 29_000
    values[0, 0] = 65535
    Image.fromarray(values).save(tmp_path / "a.png")
    assert int(load_image(tmp_path / "a.png")[32, 32, 0]) == pytest.approx(128, abs=3)


def test_depth_map_with_holes(tmp_path):
    values = np.linspace(0, 8, 32 * 32, dtype=np.float32).reshape(32, 32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    image = load_image(tmp_path / "a.tif")
    assert image[3, 3, 0] == 0
    assert image[-1, -1, 0] == 255


NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM"])
def test_cut_files_are_refused(tmp_path, kind, part):
    data = encoded(kind, NOISE)
    path = tmp_path / "cut.image"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(SourceError, match=r"cut\.image is not a readable image: the file is") as error:
        load_image(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_missing", [1, 8, 12])
def test_png_without_its_end_is_refused(tmp_path, num_missing):
    (tmp_path / "a.png").write_bytes(encoded("PNG")[:-num_missing])
    with pytest.raises(SourceError, match="the file is truncated"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"no image", "its content is of no known image format", id="text"),
        pytest.param(b"\xff\x0a" + bytes(30), "JPEG XL, which no installed library reads", id="JPEG XL"),
        pytest.param(b"II*\0\x10\0\0\0CR\x02\0" + bytes(30), "CR2 (camera raw)", id="camera raw"),
        pytest.param(b"<!DOCTYPE html><html>", "its content is HTML", id="error page of a download"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer", id="Git LFS"),
        pytest.param(b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "its content is MP4", id="video"),
        pytest.param(png_header(32_769, 32_769), "32769x32769 pixels; at most 2^30", id="gigapixel"),
        pytest.param(png_header(2_000_000_000, 1), "at most 2^30", id="long"),
        pytest.param(png_header(0, 5), "the file is", id="no pixels"),
        pytest.param(b"P6 99999 99999 255\n", "at most 2^30", id="huge PPM"),
        pytest.param(
            b"P7\nWIDTH 99999\nHEIGHT 99999\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
            "PAM, which no installed library reads",
            id="PAM",
        ),
    ],
)
def test_other_content_is_named_in_one_line(tmp_path, data, match):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(SourceError, match=re.escape(match)) as error:
        load_image(tmp_path / "a.jpg")
    assert "\n" not in str(error.value)
    assert "a.jpg" in str(error.value)


def test_limit_of_pixels():
    assert MAX_PIXELS == 2**30


@pytest.mark.slow
def test_pillows_own_limit_is_neither_used_nor_changed(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")
    assert image_sizes(tmp_path / "a.png") == ((20_000, 20_000), (20_000, 20_000))
    assert before == Image.MAX_IMAGE_PIXELS


def test_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"gone\.png cannot be read: No such file"):
        load_image(tmp_path / "gone.png")


def test_pixels_are_those_of_opencv(tmp_path):
    for options, size in (({}, (64, 48)), ({"progressive": True}, (33, 47)), ({"subsampling": 1}, (7, 5))):
        path = tmp_path / "a.jpg"
        Image.fromarray(cv2.resize(NOISE[:9, :9], size)).save(path, **options)
        np.testing.assert_array_equal(load_image(path), cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
