"""Replay of recordings; their writer and the round trip are tested in tests/runtime/test_recorder.py."""

import json
import threading
import time
from pathlib import Path

import pytest

from streamseg.capture import open_source
from streamseg.capture.recording_folder import INDEX_NAME, find_segments
from streamseg.capture.replay import Replay
from streamseg.config import RecordingSource
from streamseg.errors import SourceError
from tests.support.videos import read_number, write_video

STEM = "000001-20251129T161640Z"


def line(index: int, *, seconds: float | None = None, **changes: object) -> str:
    """A recorded message, without the fields that a replay does not read."""
    captured_ns = 1_764_433_000_000_000_000 + round((index / 25 if seconds is None else seconds) * 1e9)
    values = {
        "index": index,
        "stamp": {"sec": captured_ns // 10**9, "nanosec": captured_ns % 10**9},
        "clock": "driver",
        "pts_seconds": None,
        "image": {"w": 128, "h": 96},
        **changes,
    }
    return json.dumps(values) + "\n"


def make_recording(folder: Path, lines: list[str], *, num_images: int | None = None, name: str = STEM) -> Path:
    """A recording with one segment; its images carry their position."""
    folder.mkdir(exist_ok=True)
    (folder / INDEX_NAME).write_text('{"format": 1, "source": "cam", "frame_id": "mast"}')
    write_video(folder / f"{name}.mp4", len(lines) if num_images is None else num_images)
    (folder / f"{name.partition('.')[0]}.jsonl").write_text("".join(lines))
    return folder


def open_replay(folder: Path, **settings: object) -> Replay:
    section = RecordingSource.model_validate({"id": "cam", "path": str(folder), "mode": "every_frame", **settings})
    source = open_source(section)
    assert isinstance(source, Replay)
    return source


@pytest.mark.parametrize(
    ("lines", "num_images", "indices"),
    [
        pytest.param([line(n) for n in range(5)], 5, [0, 1, 2, 3, 4], id="complete"),
        pytest.param([line(n) for n in range(5)], 3, [0, 1, 2], id="killed: images are missing"),
        pytest.param([line(0), line(1)[:20]], 3, [0], id="killed: last line is cut"),
        pytest.param([line(4), line(9)], 2, [4, 9], id="frames were dropped"),
    ],
)
def test_frames_are_those_with_line_and_image(tmp_path: Path, lines: list[str], num_images: int, indices: list[int]):
    source = open_replay(make_recording(tmp_path / "cam", lines, num_images=num_images))
    frames = list(source.frames())
    assert [frame.index for frame in frames] == indices
    assert [read_number(frame.image) for frame in frames] == list(range(len(indices)))
    assert {frame.clock for frame in frames} == {"driver"}
    num_missing = indices[-1] - indices[0] + 1 - len(indices)
    assert source.drops.snapshot() == ({"capture": {"not_recorded": num_missing}} if num_missing else {})


def test_partial_segments_are_replayed_in_order(tmp_path: Path):
    folder = make_recording(tmp_path / "cam", [line(0), line(1)])
    make_recording(folder, [line(2)], name="000002-20251129T161740Z.partial-0a1b2c3d")
    (folder / "notes.mp4").write_text("not a segment")
    assert [segment.is_partial for segment in find_segments(folder)] == [False, True]
    assert [frame.index for frame in open_replay(folder).frames()] == [0, 1, 2]


def test_segment_cut_in_the_middle_ends_early(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = make_recording(tmp_path / "cam", [line(n) for n in range(20)])
    video = folder / f"{STEM}.mp4"
    video.write_bytes(video.read_bytes()[:200])
    make_recording(folder, [line(20)], name="000002-20251129T161740Z")
    assert [frame.index for frame in open_replay(folder).frames()] == [20]
    assert f"cam: {STEM}.mp4" in caplog.text


@pytest.mark.slow
def test_live_replay_keeps_the_original_pace(tmp_path: Path):
    seconds = [0.0, 0.1, 0.4]
    lines = [line(n, seconds=at) for n, at in enumerate(seconds)]
    source = open_replay(make_recording(tmp_path / "cam", lines), mode="live", delay_seconds=0.2)
    assert source.is_live
    started = time.monotonic()
    arrivals = {frame.index: time.monotonic() - started for frame in source.frames()}
    assert len(arrivals) + source.drops.snapshot().get("capture", {}).get("late", 0) == len(seconds)
    for index, arrived in arrivals.items():
        assert arrived >= 0.2 + seconds[index] - 1e-3, "never early; a busy machine may be late"


def test_age_excludes_the_time_since_the_recording(tmp_path: Path):
    (frame,) = open_replay(make_recording(tmp_path / "cam", [line(0)])).frames()
    assert 0 <= frame.age_ns(time.monotonic_ns()) < 60e9


def test_stop_ends_a_wait(tmp_path: Path):
    source = open_replay(make_recording(tmp_path / "cam", [line(0), line(1, seconds=9.0)]), mode="live")
    threading.Timer(0.1, source.stop).start()
    started = time.monotonic()
    assert len(list(source.frames())) <= 2
    assert time.monotonic() - started < 8


@pytest.mark.parametrize(
    ("index", "message"),
    [
        pytest.param(None, "is not a recording: recording.json: No such file", id="missing"),
        pytest.param("{", "recording.json is damaged: ", id="not-json"),
        pytest.param("[]", "is no recording of format 1", id="a-list"),
        pytest.param('{"format": 2, "source": "cam"}', "is no recording of format 1", id="later-version"),
        pytest.param('{"format": 1, "source": "../x"}', '"source" is not the id of a source', id="hostile-id"),
        pytest.param('{"format": 1, "source": "cam", "frame_id": 3}', '"frame_id" is not a text', id="frame-id"),
        pytest.param('{"format": 1, "source": "cam"}', "holds no recorded segment", id="empty"),
    ],
)
def test_folder_that_is_no_recording_is_a_one_line_error(tmp_path: Path, index: str | None, message: str):
    if index is not None:
        (tmp_path / INDEX_NAME).write_text(index)
    with pytest.raises(SourceError, match=message) as caught:
        open_replay(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{}\n", id="no-keys"),
        pytest.param("[1]\n", id="a-list"),
        pytest.param("\n", id="empty-line"),
        pytest.param(line(0, clock="sundial"), id="clock"),
        pytest.param(line(0, image={"w": "x", "h": 3}), id="size"),
        pytest.param(line(0, stamp=3), id="stamp"),
        pytest.param(line(0).replace('"index": 0', '"index": -1'), id="negative-index"),
        pytest.param("[" * 100_000 + "\n", id="nested"),
    ],
)
def test_damaged_line_is_a_one_line_error(tmp_path: Path, text: str):
    source = open_replay(make_recording(tmp_path / "cam", [text]))
    with pytest.raises(SourceError, match=rf"{STEM}\.jsonl is damaged: ") as caught:
        list(source.frames())
    assert "\n" not in str(caught.value)


def test_recording_without_a_readable_frame_is_an_error(tmp_path: Path):
    folder = make_recording(tmp_path / "cam", [], num_images=1)
    with pytest.raises(SourceError, match="no frame can be read"):
        list(open_replay(folder, mode="every_frame").frames())
