"""Everything that people pass as an image becomes the same uint8 RGB."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from streamseg.errors import DataError, SourceError
from streamseg.segmentation.inputs import is_image, many_images, read_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
GREY = RGB[:, :, 0]
OPAQUE = np.dstack([RGB, np.full((6, 8), 255, np.uint8)])
FLOATS = RGB.astype(np.float64) / 255
CHW = torch.from_numpy(RGB).permute(2, 0, 1)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(RGB, id="array"),
        pytest.param(RGB.astype(np.int64), id="integers"),
        pytest.param(FLOATS, id="floats"),
        pytest.param(FLOATS.astype(np.float32), id="float32"),
        pytest.param(OPAQUE, id="opaque"),
        pytest.param(OPAQUE / 255, id="opaque floats"),
        pytest.param(RGB.transpose(2, 0, 1), id="array with channels first"),
        pytest.param(CHW, id="tensor"),
        pytest.param(CHW / 255, id="tensor of floats"),
        pytest.param((CHW / 255).requires_grad_(), id="tensor with gradient"),
        pytest.param(torch.from_numpy(RGB), id="tensor with channels last"),
        pytest.param(torch.from_numpy(OPAQUE).permute(2, 0, 1), id="opaque tensor"),
        pytest.param(Image.fromarray(RGB), id="PIL"),
        pytest.param(Image.fromarray(OPAQUE), id="PIL with alpha"),
    ],
)
def test_colours(source):
    image = read_image(source)
    assert image.dtype == np.uint8
    assert np.array_equal(image, RGB)


def test_half_precision_is_as_exact_as_its_bits():
    for kind, distance in ((torch.float16, 0), (torch.bfloat16, 1)):
        image = read_image((CHW / 255).to(kind))
        assert np.abs(image.astype(int) - RGB).max() <= distance


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(GREY, id="array"),
        pytest.param(GREY[:, :, None], id="one channel"),
        pytest.param(GREY[None], id="one channel first"),
        pytest.param(torch.from_numpy(GREY.copy()), id="tensor"),
        pytest.param(torch.from_numpy(GREY.copy())[None] / 255, id="tensor with channel"),
        pytest.param(Image.fromarray(GREY), id="PIL"),
    ],
)
def test_grey(source):
    assert np.array_equal(read_image(source), np.repeat(GREY[:, :, None], 3, axis=2))


def test_bools_are_black_and_white():
    assert np.array_equal(read_image(GREY > 99)[:, :, 1], np.where(GREY > 99, 255, 0))


def test_array_is_not_copied():
    assert read_image(RGB) is RGB


@pytest.mark.parametrize(
    ("source", "is_reversed"),
    [
        pytest.param(RGB, True, id="array"),
        pytest.param(CHW, True, id="tensor"),
        pytest.param(FLOATS, True, id="floats"),
        pytest.param(Image.fromarray(RGB), False, id="PIL"),
    ],
)
def test_bgr_reverses_arrays_and_tensors(source, is_reversed):
    image = read_image(source, bgr=True)
    assert np.array_equal(image, RGB[:, :, ::-1] if is_reversed else RGB)


def test_ambiguous_axes():
    # (3, 5, 3): the channels of an array are last, those of a tensor first.
    values = np.arange(45, dtype=np.uint8).reshape(3, 5, 3)
    assert np.array_equal(read_image(values), values)
    assert np.array_equal(read_image(torch.from_numpy(values)), values.transpose(1, 2, 0))


def test_transparent_pixels_are_white_as_in_files(tmp_path):
    rgba = np.dstack([RGB, np.random.default_rng(1).integers(0, 256, (6, 8)).astype(np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert np.array_equal(read_image(rgba), read_image(tmp_path / "a.png"))


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3)], ids=["grey", "colours"])
def test_16_bits_are_scaled_as_in_files(tmp_path, shape):
    values = np.random.default_rng(0).integers(1000, 3000, shape).astype(np.uint16)
    assert cv2.imwrite(str(tmp_path / "a.png"), values if len(shape) == 2 else values[:, :, ::-1])
    image = read_image(values)
    assert np.array_equal(image, read_image(tmp_path / "a.png"))
    assert image.max() > 120


def test_16_bits_with_alpha():
    values = np.full((4, 4, 4), 65535, np.uint16)
    values[0, :, :3], values[1, :, 3] = 0, 0
    assert read_image(values)[:3, 0].tolist() == [[0, 0, 0], [255, 255, 255], [255, 255, 255]]


@pytest.mark.parametrize("convert", [Path, str], ids=["Path", "text"])
def test_file(tmp_path, convert):
    Image.fromarray(RGB).save(tmp_path / "a[1].png")
    assert np.array_equal(read_image(convert(tmp_path / "a[1].png")), RGB)


def test_content_and_open_files(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert np.array_equal(read_image(content), RGB)
    assert np.array_equal(read_image(io.BytesIO(content)), RGB)
    with (tmp_path / "a.png").open("rb") as file:
        assert np.array_equal(read_image(file), RGB)


def test_content_that_is_no_image(tmp_path):
    with pytest.raises(SourceError, match="the image is not a readable image"):
        read_image(b"a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"text")
    with (tmp_path / "a.jpg").open("rb") as file, pytest.raises(SourceError, match=r"a\.jpg is not a readable image"):
        read_image(file)
    with (tmp_path / "a.jpg").open() as file, pytest.raises(DataError, match="which is no file open in binary mode"):
        read_image(file)


def test_cut_file_of_a_pil_image(tmp_path):
    Image.fromarray(np.tile(RGB, (30, 30, 1))).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2000])
    with (
        Image.open(tmp_path / "a.jpg") as image,
        pytest.raises(SourceError, match=r"a\.jpg cannot be decoded: .*trunc"),
    ):
        read_image(image)


def test_file_and_pil_image_are_turned_alike(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert np.array_equal(image, RGB.transpose(1, 0, 2)[:, ::-1])
    assert np.array_equal(image, read_image(Image.open(tmp_path / "a.png")))


def test_slight_overshoot_of_floats_is_clipped():
    assert read_image(np.full((2, 2, 3), 1.0005)).tolist() == [[[255] * 3] * 2] * 2
    assert read_image(np.full((2, 2, 3), -0.0005)).max() == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(RGB * 2.0, r"floats of an image must be 0\.\.1, got .*; divide by 255", id="floats of 0..255"),
        pytest.param(FLOATS - 0.5, r"floats of an image must be 0\.\.1", id="normalised"),
        pytest.param(np.full((4, 4, 3), np.nan), r"got nan\.\.nan", id="NaN"),
        pytest.param(np.full((4, 4, 3), np.inf), r"got inf\.\.inf", id="infinite"),
        pytest.param(RGB.astype(np.int32) - 300, r"integers of an image must be 0\.\.255", id="negative"),
        pytest.param(RGB.astype(np.int32) + 300, r"integers of an image must be 0\.\.255", id="large"),
        pytest.param(RGB + 1j, "got complex128", id="complex"),
        pytest.param(np.zeros((4, 4, 5), np.uint8), r"got uint8 \(4, 4, 5\)", id="five channels"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\)", id="no pixels"),
        pytest.param(np.zeros((0, 4), np.uint8), r"got uint8 \(0, 4\)", id="no grey pixels"),
        pytest.param(np.zeros(4, np.uint8), r"got uint8 \(4,\)", id="one axis"),
        pytest.param(np.array("a.jpg"), "got <U5", id="text in an array"),
        pytest.param(torch.zeros(2, 4, 5), r"got float32 \(2, 4, 5\)", id="tensor of two channels"),
        pytest.param(7, "got int", id="number"),
        pytest.param(None, "got NoneType", id="None"),
        pytest.param("https://example.org/a.jpg", "only files are read here; download it first", id="address"),
    ],
)
def test_what_is_not_an_image(source, message):
    with pytest.raises(DataError, match=message) as caught:
        read_image(source)
    assert "\n" not in str(caught.value)


def test_folder_is_not_an_image(tmp_path):
    with pytest.raises(DataError, match=r"is a folder; pass its files: sorted\(Path\("):
        read_image(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(SourceError, match=r"a\.jpg cannot be read: No such file"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("a.jpg", True, id="text"),
        pytest.param(Path("a.jpg"), True, id="path"),
        pytest.param(RGB, True, id="array"),
        pytest.param(GREY, True, id="grey array"),
        pytest.param(CHW, True, id="tensor"),
        pytest.param(Image.fromarray(RGB), True, id="PIL"),
        pytest.param(b"content", True, id="content"),
        pytest.param(io.BytesIO(), True, id="open file"),
        pytest.param([RGB], False, id="list"),
        pytest.param(RGB[None], False, id="batch of arrays"),
        pytest.param(CHW[None], False, id="batch of tensors"),
        pytest.param(np.array([RGB, None], dtype=object)[:1], False, id="array of arrays"),
        pytest.param(iter([RGB]), False, id="iterator"),
    ],
)
def test_one_or_many(source, expected):
    assert is_image(source) == expected


@pytest.mark.parametrize("source", [7, None, bytearray(), {"a": RGB}], ids=["number", "None", "bytearray", "dict"])
def test_neither_one_nor_many(source):
    with pytest.raises(DataError, match=f"or several of these; got {type(source).__name__}"):
        many_images(source)
