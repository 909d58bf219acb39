"""Video files whose time stamps are wrong, each written by the test."""

import logging
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamseg.capture import open_source
from streamseg.capture.timeline import describe_mended
from streamseg.capture.video_file import VideoFile
from streamseg.config import StreamSource
from tests.support.videos import numbered_image, read_number


def write_frames(path: Path, stamps, *, options=None, fps=10) -> Path:
    """Write one numbered image per stamp, in units of a frame; only B-frames need `options`."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, fps)
        stream.options = {"crf": "12", **(options or {"preset": "ultrafast", "tune": "zerolatency"})}
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(numbered_image(number), format="rgb24")
            frame.pts = stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def avi_with_b_frames(path: Path) -> Path:
    return write_frames(
        path, range(20), options={"preset": "veryfast", "bf": "3", "x264-params": "b-adapt=0:scenecut=0"}
    )


def joined(path: Path, *parts) -> Path:
    contents = [write_frames(path.with_stem(f"part{n}"), stamps).read_bytes() for n, stamps in enumerate(parts)]
    path.write_bytes(b"".join(contents))
    return path


def joined_with_b_frames(path: Path) -> Path:
    parts = [avi_with_b_frames(path.with_stem(f"part{n}")).read_bytes() for n in range(2)]
    path.write_bytes(b"".join(parts))
    return path


def read(path: Path, **values):
    source = open_source(StreamSource(id="video", url=str(path), **values))
    assert isinstance(source, VideoFile)
    return source, list(source.frames())


HOURS = 324_000  # 9 h in frames at 10 fps


@pytest.mark.parametrize(
    ("name", "write", "expected", "mended"),
    [
        pytest.param("a.avi", avi_with_b_frames, range(20), {"reordered": 1}, id="AVI with B-frames"),
        pytest.param("a.ts", lambda path: joined(path, range(20)), range(20), {}, id="one recording"),
        pytest.param(
            "a.ts",
            lambda path: joined(path, range(20), range(20), range(20)),
            range(60),
            {"restart": 2},
            id="three joined recordings",
        ),
        pytest.param("a.ts", joined_with_b_frames, range(40), {"restart": 1}, id="joined recordings with B-frames"),
        pytest.param(
            "a.ts",
            lambda path: joined(path, range(10), range(HOURS, HOURS + 10)),
            range(20),
            {"restart": 1},
            id="joined recordings, the second clock hours ahead",
        ),
        pytest.param(
            "a.mkv",
            lambda path: write_frames(path, [*range(10), *range(HOURS, HOURS + 10)]),
            [*range(10), *range(HOURS, HOURS + 10)],
            {},
            id="a recording that paused for 9 hours",
        ),
        pytest.param("a.h264", lambda path: write_frames(path, range(20)), np.arange(20) * 0.4, {}, id="raw: 25 fps"),
        pytest.param(
            "a.mp4",
            lambda path: write_frames(path, [0, 1, 2, 5, 9, 10, 30]),
            [0, 1, 2, 5, 9, 10, 30],
            {},
            id="variable frame rate",
        ),
    ],
)
def test_time_line(tmp_path, caplog, name, write, expected, mended):
    with caplog.at_level(logging.WARNING):
        source, frames = read(write(tmp_path / name))
    assert source.drops.snapshot() == {}, "not even where two recordings are joined"
    times = [frame.pts_seconds for frame in frames]
    assert times == pytest.approx([number / 10 for number in expected], abs=1e-3)
    assert all(b - a > 0.03 for a, b in pairwise(times))
    assert [read_number(frame.image) for frame in frames[:7]] == list(range(7))
    assert source.mended == mended
    logged = [record.message for record in caplog.records if "mended" in record.message]
    assert logged == ([f"video: {describe_mended(source.mended)}"] if mended else [])


def far_stamp(path: Path) -> Path:
    """Write a video in which one frame is 9,800 s ahead, by remuxing it with another stamp."""
    write_frames(path.with_stem("intact"), range(20))
    with av.open(str(path.with_stem("intact"))) as intact, av.open(str(path), "w") as container:
        stream = intact.streams.video[0]
        out = container.add_stream_from_template(stream)
        for packet in intact.demux(stream):
            if packet.dts is None:
                continue
            if packet.pts == 700:
                packet.pts += 9_800_000
            packet.stream = out
            container.mux(packet)
    return path


def test_one_frame_far_ahead(tmp_path):
    source, frames = read(far_stamp(tmp_path / "a.mkv"))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([number / 10 for number in range(20)], abs=1e-3)
    assert source.mended.total() == 1


@pytest.mark.slow
def test_raw_video_is_played_at_its_nominal_rate(tmp_path):
    source, frames = read(write_frames(tmp_path / "a.h264", range(10)), mode="live")
    late = source.drops.snapshot().get("capture", {}).get("late", 0)
    assert len(frames) + late == 10
    spans = [(frame.received_ns - frames[0].received_ns) / 1e9 for frame in frames]
    assert all(span >= frame.index / 25 - 1e-3 for frame, span in zip(frames, spans, strict=True))


def test_loop_of_a_mended_recording_logs_each_pass(tmp_path, caplog):
    path = joined(tmp_path / "a.ts", range(5), range(5))
    source = open_source(StreamSource(id="video", url=str(path), loop=True))
    frames = source.frames()
    times = [next(frames).pts_seconds for _ in range(25)]
    frames.close()
    assert all(0.05 < b - a < 0.25 for a, b in pairwise(times))
    assert [record.message for record in caplog.records].count(
        "video: 1 discontinuity of the time stamps mended (restart 1)"
    ) == 2
