"""An animated image as a source: order, times, loop, stride."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from streamseg.capture import open_source
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from tests.support.frames import take


@pytest.fixture
def path(tmp_path):
    first, *others = [Image.fromarray(np.full((16, 24, 3), 60 * n, np.uint8)) for n in range(4)]
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=[40, 20, 40, 100])
    return tmp_path / "a.webp"


def source_of(path, **values):
    return open_source(StreamSource(id="a", url=str(path), **values))


def test_every_frame_with_its_time(path):
    source = source_of(path)
    frames = list(source.frames())
    assert source.num_frames == 4
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.04, 0.06, 0.1])
    assert [int(frame.image.mean()) for frame in frames] == pytest.approx([0, 60, 120, 180], abs=3)


def test_stride(path):
    assert [frame.pts_seconds for frame in source_of(path, vid_stride=2).frames()] == pytest.approx([0, 0.06])


def test_loop_continues_the_time_line_until_stopped(path):
    source = source_of(path, loop=True)
    frames = source.frames()
    assert [frame.pts_seconds for frame in take(frames, 6)] == pytest.approx([0, 0.04, 0.06, 0.1, 0.2, 0.24])
    source.stop()
    assert list(frames) == []


def test_live_mode_plays_in_real_time(path):
    source = source_of(path, mode="live")
    frames = list(source.frames())
    assert source.is_live
    assert frames[-1].received_ns - frames[0].received_ns >= 0.08e9


def test_damaged_file_is_an_error(path):
    source = source_of(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"a\.webp"):
        list(source.frames())
