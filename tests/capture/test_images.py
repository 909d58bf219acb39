import os
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
from streamseg.capture.images import ImageFiles, find_image_files, natural_key
from streamseg.config import ImagesSource
from streamseg.errors import SourceError
from tests.support.frames import take
from tests.support.waiting import WAIT_SECONDS


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


@pytest.mark.slow
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
        pytest.param("*.png", "no images found", id="pattern without a match"),
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
    (tmp_path / "2.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"2\.png is not a readable image") as error:
        next(source_of(tmp_path / "2.png").frames())
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == "", "no library prints warnings of its own"


def test_unreadable_image_of_a_folder_is_skipped_named_and_counted(tmp_path, caplog):
    for number in (1, 3):
        write_image(tmp_path / f"{number}.png", value=number)
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:50])
    source = source_of(tmp_path)
    frames = list(source.frames())
    assert [(frame.index, int(frame.image[0, 0, 0])) for frame in frames] == [(0, 1), (2, 3)]
    assert source.drops.snapshot() == {"capture": {"unreadable": 1}}
    assert len(source.skipped) == 1
    (record,) = caplog.records
    assert "2.png is not a readable image: the file is truncated" in record.getMessage()


def test_folder_without_a_readable_image_is_an_error(tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_text("no image")
    with pytest.raises(SourceError, match=r"none of 2 images can be read; .*1\.png is not a readable image"):
        list(source_of(tmp_path).frames())


def test_images_of_a_folder_are_found_by_content_too(tmp_path):
    whole = write_image(tmp_path / "a.png").read_bytes()
    for name in ("b.jfif", "c.PNG.bak", "d"):
        (tmp_path / name).write_bytes(whole)
    (tmp_path / "e.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "video.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp42")
    assert [path.name for path in find_image_files(str(tmp_path))] == ["a.png", "b.jfif", "c.PNG.bak", "d", "e.heic"]


def test_name_with_the_characters_of_patterns_is_a_file_name(tmp_path):
    path = write_image(tmp_path / "photo[1].png")
    assert find_image_files(str(path)) == (path,)


def test_deleted_image(tmp_path):
    path = write_image(tmp_path / "1.png")
    source = source_of(tmp_path)
    path.unlink()
    with pytest.raises(SourceError, match=r"1\.png cannot be read: No such file"):
        list(source.frames())


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
    assert time.monotonic() - started < WAIT_SECONDS, "the next frame is due after 100 s"
    timer.join()


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
def test_file_name_that_is_not_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    Path(path).write_bytes(zlib.compress(b""))  # no image: the message must still be printable
    with pytest.raises(SourceError, match="is not a readable image") as error:
        list(source_of(tmp_path).frames())
    assert repr(str(error.value))
