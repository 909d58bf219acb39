"""Images of all kinds of sources: order, colours and names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.errors import DataError, SourceError
from streamseg.fastsam.sources import is_endless, source_images
from tests.support.videos import write_video

BGR = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ("a10.png", "a2.png"):
        cv2.imwrite(str(tmp_path / name), BGR)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(
    ("pick", "names"),
    [
        pytest.param(lambda folder: str(folder / "a2.png"), ["a2.png"], id="path"),
        pytest.param(lambda folder: folder / "a2.png", ["a2.png"], id="Path"),
        pytest.param(lambda folder: str(folder), ["a2.png", "a10.png"], id="folder"),
        pytest.param(lambda folder: f"{folder}/a1*.png", ["a10.png"], id="pattern"),
        pytest.param(lambda folder: [folder / "a10.png", str(folder / "a2.png")], ["a10.png", "a2.png"], id="list"),
        pytest.param(lambda folder: BGR, ["image0.jpg"], id="array"),
        pytest.param(lambda folder: (BGR, BGR), ["image0.jpg", "image1.jpg"], id="tuple of arrays"),
        pytest.param(lambda folder: Image.fromarray(BGR[:, :, ::-1]), ["image0.jpg"], id="PIL"),
        pytest.param(lambda folder: Image.open(folder / "a2.png"), ["a2.png"], id="PIL from a file"),
        pytest.param(lambda folder: [BGR, str(folder / "a2.png")], ["image0.jpg", "a2.png"], id="mixed"),
    ],
)
def test_images_and_names(folder, pick, names):
    images = list(source_images(pick(folder)))
    assert [Path(one.path).name for one in images] == names
    for one in images:
        assert one.image.dtype == np.uint8
        np.testing.assert_array_equal(one.image, BGR)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_pil_images_of_other_modes_are_converted(mode):
    pil_image = Image.fromarray(BGR[:, :, ::-1]).convert(mode)
    (source_image,) = source_images(pil_image)
    np.testing.assert_array_equal(source_image.image[:, :, ::-1], np.asarray(pil_image.convert("RGB")))


def exif_turn():
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


RAMP = Image.fromarray(np.linspace(13_000, 55_000, 12 * 16).astype(np.uint16).reshape(12, 16))


@pytest.mark.parametrize(
    ("name", "pil_image", "options", "size"),
    [
        pytest.param("a.jpg", Image.fromarray(BGR), {"exif": exif_turn()}, (16, 12), id="EXIF turn"),
        pytest.param("a.png", Image.fromarray(BGR), {"exif": exif_turn()}, (16, 12), id="EXIF turn of a PNG"),
        pytest.param("a.png", RAMP, {}, (12, 16), id="16 bit"),
        pytest.param("a.png", Image.fromarray(BGR).convert("P"), {"transparency": 0}, (12, 16), id="alpha"),
        pytest.param("a.jpg", Image.fromarray(BGR).convert("CMYK"), {}, (12, 16), id="CMYK"),
    ],
)
def test_files_and_pil_images_agree(tmp_path, name, pil_image, options, size):
    pil_image.save(tmp_path / name, **options)
    (from_file,) = source_images(str(tmp_path / name))
    with Image.open(tmp_path / name) as opened:
        (from_pil,) = source_images(opened)
    assert from_file.image.shape[:2] == size
    assert np.ptp(from_file.image) > 100
    np.testing.assert_array_equal(from_pil.image, from_file.image)


def test_unreadable_image_of_a_folder_is_skipped(folder, caplog):
    (folder / "a5.png").write_bytes((folder / "a2.png").read_bytes()[:60])
    assert [Path(one.path).name for one in source_images(folder)] == ["a2.png", "a10.png"]
    assert "a5.png is not a readable image" in caplog.text


def test_animation_gives_its_frames(tmp_path):
    frames = [Image.fromarray(np.roll(BGR, n)) for n in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=40)
    images = list(source_images(tmp_path / "a.webp"))
    assert [one.time_seconds for one in images] == pytest.approx([0, 0.04, 0.08])


@pytest.mark.parametrize(("stride", "count"), [(1, 6), (4, 2)])
def test_video(tmp_path, stride, count):
    path = write_video(tmp_path / "video.mp4", 6)
    images = list(source_images(path, vid_stride=stride))
    assert len(images) == count
    assert {one.path for one in images} == {str(path)}
    assert [one.time_seconds for one in images] == pytest.approx([n * stride / 25 for n in range(count)])


def test_images_are_read_on_demand(folder):
    images = source_images([str(folder / "a2.png"), str(folder / "missing.png")])
    next(images)
    with pytest.raises(SourceError, match=r"missing\.png"):
        next(images)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param([], "empty", id="empty list"),
        pytest.param([None], "NoneType", id="None in a list"),
        pytest.param(None, "NoneType", id="None"),
        pytest.param(np.zeros((4, 5), np.uint8), r"uint8 \(4, 5\)", id="grey array"),
        pytest.param(np.zeros((4, 5, 3), np.float32), "float32", id="float array"),
        pytest.param(np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\)", id="with alpha"),
        pytest.param(np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)", id="no pixels"),
    ],
)
def test_invalid_images(source, message):
    with pytest.raises(DataError, match=message):
        list(source_images(source))


def test_missing_files_are_named():
    with pytest.raises(SourceError, match=r"nowhere\.jpg"):
        list(source_images("nowhere.jpg"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(0, True, id="webcam"),
        pytest.param("0", True, id="webcam as text"),
        pytest.param("rtsp://camera/1", True, id="stream"),
        pytest.param("scene", True, id="scene"),
        pytest.param("video.mp4", False, id="video"),
        pytest.param("image.png", False, id="image"),
        pytest.param(BGR, False, id="array"),
        pytest.param([BGR], False, id="list"),
    ],
)
def test_endless_sources(source, expected):
    assert is_endless(source) == expected


@pytest.mark.slow
def test_endless_source_can_be_closed():
    images = source_images("scene")
    assert next(images).image.shape == (720, 1280, 3)
    images.close()
    assert list(images) == []
