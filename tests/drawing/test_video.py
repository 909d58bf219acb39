from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamseg.capture.decoder import RgbConverter
from streamseg.drawing.video import VideoWriter
from streamseg.errors import DataError


def uniform_image(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, dtype=np.uint8)


def read(path: Path) -> tuple[list[float], list[int], tuple[int, int]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [float(frame.time) for frame in frames]
    levels = [int(frame.to_ndarray(format="rgb24").mean()) for frame in frames]
    return times, levels, (frames[0].height, frames[0].width)


@pytest.mark.parametrize(
    ("name", "format_name", "codec"),
    [
        pytest.param("a.mp4", "mp4", "h264", id="mp4"),
        pytest.param("a.MOV", "mov", "h264", id="mov"),
        pytest.param("a.mkv", "matroska", "h264", id="mkv"),
        pytest.param("a.webm", "webm", "vp9", id="webm"),
    ],
)
def test_frames_keep_their_order_and_times(tmp_path, name, format_name, codec):
    path = tmp_path / "new folder" / name
    with VideoWriter(path, fps=10) as writer:
        for number, seconds in enumerate((100.0, 100.1, 100.35, 101.0)):
            writer.write(uniform_image(40 * number + 40), seconds=seconds)
    times, levels, size = read(path)
    assert times == pytest.approx([0.0, 0.1, 0.35, 1.0], abs=0.005)
    assert levels == pytest.approx([40, 80, 120, 160], abs=6)
    assert size == (48, 64)
    with av.open(str(path)) as container:
        assert format_name in container.format.name
        assert container.streams.video[0].codec.name == codec


@pytest.mark.parametrize("name", ["a.gif", "a.avi", "a.png", "a"])
def test_other_formats_are_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(DataError, match=r"use one that ends in \.mp4, \.m4v, \.mov, \.mkv, \.webm$"):
        VideoWriter(tmp_path / "folder" / name)
    assert list(tmp_path.iterdir()) == []


def test_without_times_frames_are_evenly_spaced(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", fps=25) as writer:
        for _ in range(5):
            writer.write(uniform_image(90))
    times, _, _ = read(tmp_path / "a.mp4")
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16], abs=0.001)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param((1.0, 1.0, 1.0), id="equal times"),
        pytest.param((5.0, 4.0, 3.0), id="backwards"),
        pytest.param((0.0, None, 0.01), id="some unknown"),
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_irregular_clocks_lose_no_frame(tmp_path, name, seconds):
    with VideoWriter(tmp_path / name) as writer:
        for one in seconds:
            writer.write(uniform_image(90), seconds=one)
    times, _, _ = read(tmp_path / name)
    assert len(times) == len(seconds)
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param((0.0, 0.1, 32401.0, 32401.1), (0.0, 0.1, 32401.0, 32401.1), id="gap of 9 hours"),
        pytest.param((0.0, 1e5, 1e5 + 1), (0.0, 71581.788, 1e5, 1e5 + 1), id="28 hours: repeated"),
    ],
)
def test_gaps_of_hours(tmp_path, seconds, expected):
    with VideoWriter(tmp_path / "a.mp4", fps=10) as writer:
        for level, one in enumerate(seconds):
            writer.write(uniform_image(40 * level + 40), seconds=one)
    assert writer.num_frames == len(seconds)
    times, levels, _ = read(tmp_path / "a.mp4")
    assert times == pytest.approx(expected, abs=0.001)
    assert levels == sorted(levels)


def test_frame_rate_of_television_is_exact(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", fps=30000 / 1001) as writer:
        for number in range(31):
            writer.write(uniform_image(60), seconds=number * 1001 / 30000)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)


def test_other_sizes_are_scaled_and_odd_sizes_become_even(tmp_path):
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(uniform_image(60, 49, 65))
        writer.write(uniform_image(60, 96, 128))
    _, levels, size = read(tmp_path / "a.mp4")
    assert size == (48, 64)
    assert len(levels) == 2


def write_and_fail(path: Path) -> None:
    with VideoWriter(path) as writer:
        writer.write(uniform_image(60))
        raise ZeroDivisionError


def test_exception_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_no_frame_creates_no_file(tmp_path):
    with VideoWriter(tmp_path / "a.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_existing_video_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"existing")
    with VideoWriter(path) as writer:
        writer.write(uniform_image(60))
        assert path.read_bytes() == b"existing"
    assert path.read_bytes() != b"existing"


def test_unwritable_path_raises_a_one_line_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cannot write the video .*file") as caught:
        VideoWriter(tmp_path / "file" / "a.mp4")
    assert "\n" not in str(caught.value)


# ---- recoverable videos


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_recoverable_video_can_be_read_while_it_grows(tmp_path, name):
    writer = VideoWriter(tmp_path / name, is_recoverable=True)
    for number in range(40):
        writer.write(uniform_image(5 * number + 20), seconds=number / 10)
    (partial,) = tmp_path.iterdir()
    times, levels, _ = read(partial)
    assert times[-1] >= 3.9 - 1.0
    assert levels == sorted(levels)
    writer.close()
    assert len(read(tmp_path / name)[0]) == 40
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize(("is_recoverable", "num_written"), [(True, 40), (True, 1), (True, 0), (False, 40)])
def test_salvage_keeps_the_complete_parts(tmp_path, is_recoverable, num_written):
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, is_recoverable=is_recoverable)
    for number in range(num_written):
        writer.write(uniform_image(90), seconds=number / 10)
    is_kept = writer.salvage()
    assert is_kept == (is_recoverable and num_written > 1)
    assert path.exists() == is_kept
    assert len(list(tmp_path.iterdir())) == is_kept
    if is_kept:
        assert len(read(path)[0]) >= num_written - 10


@pytest.mark.parametrize("size", [(48, 64), (720, 1280)])
def test_colours_survive_at_every_size(tmp_path, size):
    image = np.zeros((*size, 3), np.uint8)
    image[:] = (200, 40, 30)
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(image)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == 5, "ITU-R BT.601, declared"
        decoded = RgbConverter().convert(frame)
    assert np.abs(decoded.astype(int) - image).max() <= 4
