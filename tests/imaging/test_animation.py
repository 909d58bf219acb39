"""Animated images: composed frames and their times."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging import animation_frames, load_image, num_animation_frames

LEVELS = (0, 60, 120, 180, 240)


def write_animation(path, durations=(100, 200, 100, 300, 100)):
    first, *others = [Image.fromarray(np.full((24, 32, 3), level, np.uint8)) for level in LEVELS]
    first.save(path, save_all=True, append_images=others, duration=list(durations))
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif"])
def test_frames_and_times(tmp_path, name):
    path = write_animation(tmp_path / name)
    frames = list(animation_frames(path))
    assert num_animation_frames(path) == 5
    assert [frame.image.shape for frame in frames] == [(24, 32, 3)] * 5
    assert [int(frame.image.mean()) for frame in frames] == pytest.approx(LEVELS, abs=3)
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.4, 0.7])
    assert frames[-1].duration_seconds == pytest.approx(0.1)


def test_frames_without_a_duration_take_a_tenth_of_a_second(tmp_path):
    frames = list(animation_frames(write_animation(tmp_path / "a.gif", (0,) * 5)))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_reader_of_images_takes_the_first_frame_and_says_so(tmp_path, caplog):
    assert load_image(write_animation(tmp_path / "a.webp")).max() <= 3
    assert "a.webp is an animation" in caplog.text


def test_cut_animation_delivers_its_intact_frames(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    first, *others = [Image.fromarray(one) for one in noise]
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    data = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(data[: len(data) * 5 // 10])
    frames = animation_frames(tmp_path / "a.gif")
    next(frames)
    with pytest.raises(SourceError, match=r"a\.gif is truncated or damaged at frame"):
        list(frames)


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        pytest.param("a.png", None, 1, id="still image"),
        pytest.param("a.tif", None, 1, id="TIFF"),
        pytest.param("a.gif", b"GIF89a", 0, id="damaged"),
        pytest.param("a.txt", b"no image", 0, id="text"),
    ],
)
def test_number_of_frames_of_other_files(tmp_path, name, content, count):
    if content is None:
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    assert num_animation_frames(tmp_path / name) == count
