import os
import struct
import threading
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture import open_source
from streamseg.capture.images import ImageFiles, find_image_files, load_image, natural_key
from streamseg.config import ImagesSource
from streamseg.errors import SourceError
from tests.support.frames import take


def write_image(path, *, value=100, size=(24, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))
    return path


def source_of(path, **values):
    return open_source(ImagesSource(id="images", path=str(path), **values))


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(["frame2.png", "frame10.png", "frame100.png"], id="numbers by value"),
        pytest.param(["a/9.png", "b/1.png"], id="folder by folder"),
        pytest.param(["A1.png", "a2.png", "B1.png"], id="case is ignored"),
        pytest.param(["2_1.png", "2_a.png", "10_1.png"], id="numbers before words"),
        pytest.param(["a.png", "a1.png"], id="without a number first"),
    ],
)
def test_natural_order(ordered):
    shuffled = [Path(name) for name in ordered[::-1]]
    assert [path.as_posix() for path in sorted(shuffled, key=natural_key)] == ordered


@given(st.lists(st.text(st.sampled_from("ab0129_."), min_size=1, max_size=8), min_size=2, max_size=6))
def test_natural_keys_are_comparable(names):
    sorted((Path(name) for name in names), key=natural_key)  # must not raise


def test_folder_in_natural_order(tmp_path):
    for number in (10, 9, 100, 1):
        write_image(tmp_path / f"frame{number}.png", value=number)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    source = source_of(tmp_path)
    frames = list(source.frames())
    assert isinstance(source, ImageFiles)
    assert [path.name for path in source.paths] == ["frame1.png", "frame9.png", "frame10.png", "frame100.png"]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 9, 10, 100]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert {frame.pts_seconds for frame in frames} == {None}
    assert {frame.clock for frame in frames} == {"arrival"}
    assert not source.is_live


def test_glob_patterns(tmp_path):
    for name in ("a1.jpg", "b1.jpg", "deep/a2.JPG", "a3.txt"):
        write_image(tmp_path / name if not name.endswith("txt") else tmp_path / "t.png")
    assert [path.name for path in find_image_files(str(tmp_path / "a*"))] == ["a1.jpg"]
    assert [path.name for path in find_image_files(str(tmp_path / "**" / "a*"))] == ["a1.jpg", "a2.JPG"]
    assert [path.name for path in find_image_files(str(tmp_path / "[ab]1.jpg"))] == ["a1.jpg", "b1.jpg"]


def test_single_file_may_have_any_suffix(tmp_path):
    path = write_image(tmp_path / "a.png")
    renamed = path.rename(tmp_path / "image [1].data")
    assert next(source_of(renamed).frames()).size == (24, 32)


def test_images_of_different_sizes(tmp_path):
    write_image(tmp_path / "1.png", size=(10, 20))
    write_image(tmp_path / "2.png", size=(30, 15))
    assert [frame.size for frame in source_of(tmp_path).frames()] == [(10, 20), (30, 15)]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        pytest.param("gone.png", "no such file or folder", id="missing file"),
        pytest.param("empty", "no images found", id="empty folder"),
        pytest.param("*.png", "no images found; the suffix must be one of .bmp", id="pattern without a match"),
    ],
)
def test_missing_images_are_reported_at_once(tmp_path, name, match):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=match):
        source_of(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no image", id="text"),
        pytest.param(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()[:60], id="png truncated"),
        pytest.param(
            cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()[:900],
            id="jpeg truncated",
        ),
    ],
)
def test_unreadable_image_is_named(tmp_path, content, capfd):
    write_image(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(content)
    frames = source_of(tmp_path).frames()
    take(frames, 1)
    with pytest.raises(SourceError, match=r"2\.png is not a readable image") as error:
        next(frames)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == "", "OpenCV prints no warnings of its own"


def test_deleted_image(tmp_path):
    path = write_image(tmp_path / "1.png")
    source = source_of(tmp_path)
    path.unlink()
    with pytest.raises(SourceError, match=r"1\.png cannot be read: No such file"):
        list(source.frames())


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        pytest.param("rgb.png", np.uint8([10, 20, 200]), (200, 20, 10), id="OpenCV stores BGR"),
        pytest.param("grey.png", np.uint8(77), (77, 77, 77), id="grey"),
        pytest.param("grey16.png", np.uint16(77 * 257), (77, 77, 77), id="grey 16 bit"),
        pytest.param("rgb16.png", np.uint16([10 * 257, 20 * 257, 200 * 257]), (200, 20, 10), id="16 bit"),
        pytest.param("rgb16.tif", np.uint16([10 * 257, 20 * 257, 200 * 257]), (200, 20, 10), id="16 bit TIFF"),
        pytest.param("alpha.png", np.uint8([10, 20, 200, 0]), (200, 20, 10), id="alpha is discarded"),
        pytest.param("alpha16.png", np.uint16([2570, 5140, 51400, 0]), (200, 20, 10), id="alpha, 16 bit"),
        pytest.param("a.bmp", np.uint8([10, 20, 200]), (200, 20, 10), id="bmp"),
        pytest.param("a.webp", np.uint8([128, 128, 128]), (128, 128, 128), id="webp"),
    ],
)
def test_every_format_becomes_rgb(tmp_path, name, stored, expected):
    path = tmp_path / name
    cv2.imwrite(str(path), np.full((16, 24, *stored.shape), stored, stored.dtype))
    image = load_image(path)
    assert image.shape == (16, 24, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[8, 8], expected, atol=2)


def exif_orientation(value):
    """Return an APP1 segment with the tag 0x0112 only."""
    tiff = b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, value, 0, 0)
    body = b"Exif\x00\x00" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    ("value", "size", "bright"),
    [
        pytest.param(1, (32, 48), (4, 4), id="upright"),
        pytest.param(3, (32, 48), (28, 44), id="upside down"),
        pytest.param(6, (48, 32), (4, 28), id="clockwise"),
        pytest.param(8, (48, 32), (44, 4), id="anticlockwise"),
    ],
)
def test_exif_orientation(tmp_path, value, size, bright):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24] = 255
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    path = tmp_path / "phone.jpg"
    path.write_bytes(jpeg[:2] + exif_orientation(value) + jpeg[2:])
    image = load_image(path)
    assert image.shape[:2] == size
    assert image[bright].min() > 240
    assert image.mean() == pytest.approx(255 / 4, abs=5)


def test_fps_sets_the_pace(tmp_path):
    for number in range(4):
        write_image(tmp_path / f"{number}.png")
    frames = list(source_of(tmp_path, fps=40.0).frames())
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.025, 0.05, 0.075])
    assert frames[-1].received_ns - frames[0].received_ns >= 0.06e9


def test_stop_ends_a_wait(tmp_path):
    for number in range(2):
        write_image(tmp_path / f"{number}.png")
    source = source_of(tmp_path, fps=0.01)
    frames = source.frames()
    take(frames, 1)
    timer = threading.Timer(0.05, source.stop)
    timer.start()
    started = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - started < 1.0
    timer.join()


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
def test_file_name_that_is_not_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    Path(path).write_bytes(zlib.compress(b""))  # no image: the message must still be printable
    with pytest.raises(SourceError, match="is not a readable image") as error:
        list(source_of(tmp_path).frames())
    assert repr(str(error.value))
