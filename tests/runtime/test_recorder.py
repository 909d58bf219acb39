"""Recordings of a run, and their replay."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture import open_source
from streamseg.capture.recording_folder import find_segments
from streamseg.config import RecordingSource, parse_source
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.runtime.recorder import Recorder
from streamseg.runtime.recording_limit import GROWING_SECONDS, prune
from tests.support.limits import limited_file_size
from tests.support.stages import make_result
from tests.support.videos import numbered_image, read_number

START_NS = 1_764_433_000_000_000_000


def recorded_result(index: int, *, size: tuple[int, int] = (96, 128), seconds: float | None = None) -> FrameResult:
    """The result of a frame whose image carries its index; 10 frames per second."""
    seconds = index / 10 if seconds is None else seconds
    result = make_result(index)
    captured_ns = START_NS + round(seconds * 1e9)
    frame = replace(
        result.frame,
        image=numbered_image(index, size=size),
        captured_ns=captured_ns,
        clock="camera",
        pts_seconds=seconds,
        received_ns=captured_ns,
    )
    message = replace(
        result.message, captured_ns=captured_ns, clock="camera", pts_seconds=seconds, image_size=size, frame_id="mast"
    )
    return replace(result, frame=frame, message=message)


def record(folder: Path, results: list[FrameResult], *, segment_seconds: float = 60.0) -> Path:
    """Record the results of one source, and return the recording's folder."""
    recorder = Recorder(folder, segment_seconds=segment_seconds)
    sink = recorder.open_sink("cam")
    for result in results:
        sink.write(result)
    sink.close()
    sink.close()
    recorder.close()
    return recorder.run_folder() / "cam"


def replay(folder: Path):
    source = open_source(RecordingSource(id="cam", path=str(folder), mode="every_frame"))
    return source, list(source.frames())


# ---- what is recorded is what is replayed


@pytest.mark.parametrize(
    "size",
    [
        pytest.param((96, 128), id="even"),
        pytest.param((97, 131), id="odd"),
        pytest.param((720, 1280), id="hd", marks=pytest.mark.slow),
    ],
)
def test_replay_has_the_original_frames(tmp_path: Path, size: tuple[int, int]):
    results = [recorded_result(index, size=size) for index in (3, 4, 6)]
    source, frames = replay(record(tmp_path / "new" / "folder", results))
    assert source.frame_id == "mast"
    assert source.drops.snapshot() == {"capture": {"not_recorded": 1}}
    for frame, result in zip(frames, results, strict=True):
        original = result.frame
        for name in ("source_id", "index", "pts_seconds", "captured_ns", "clock", "size"):
            assert getattr(frame, name) == getattr(original, name), name
        assert read_number(frame.image) == original.index
        upper = slice(0, size[0] // 3)
        assert np.abs(frame.image[upper].astype(int) - original.image[upper]).mean() < 4


@pytest.mark.parametrize(
    ("results", "lengths"),
    [
        pytest.param([recorded_result(index) for index in range(25)], [10, 10, 5], id="by-length"),
        pytest.param(
            [recorded_result(0), recorded_result(1, size=(48, 64)), recorded_result(2, size=(48, 64))],
            [1, 2],
            id="by-image-size",
        ),
        pytest.param([recorded_result(0), recorded_result(1, seconds=7200.0)], [1, 1], id="by-a-gap"),
    ],
)
def test_segments_end(tmp_path: Path, results: list[FrameResult], lengths: list[int]):
    folder = record(tmp_path, results, segment_seconds=1.0)
    segments = find_segments(folder)
    assert [len(segment.lines.read_text().splitlines()) for segment in segments] == lengths
    assert [segment.number for segment in segments] == list(range(1, len(lengths) + 1))
    assert not any(segment.is_partial for segment in segments)
    _, frames = replay(folder)
    assert [frame.size for frame in frames] == [result.frame.size for result in results]


def test_lines_are_messages(tmp_path: Path):
    folder = record(tmp_path, [recorded_result(5)])
    (segment,) = find_segments(folder)
    assert segment.video.name == "000001-20251129T161640Z.mp4"
    line = json.loads(segment.lines.read_text())
    assert (line["source"], line["index"], line["clock"]) == ("cam", 5, "camera")
    assert line["objects"][0]["segmentation"]["size"] == [48, 64]


def test_recording_is_a_source_by_its_folder(tmp_path: Path):
    folder = record(tmp_path, [recorded_result(0)])
    assert parse_source(str(folder)) == RecordingSource(id="cam", path=str(folder))


def test_runs_in_one_folder_are_separate(tmp_path: Path):
    folders = {record(tmp_path, [recorded_result(0)]) for _ in range(3)}
    assert len(folders) == 3


def test_source_without_frames_leaves_nothing(tmp_path: Path):
    recorder = Recorder(tmp_path / "recordings", segment_seconds=60)
    recorder.open_sink("cam").close()
    assert list((tmp_path / "recordings").iterdir()) == []


def test_folder_that_cannot_be_written_is_a_one_line_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot record to .*below: .* is a file, not a folder"):
        Recorder(tmp_path / "file" / "below", segment_seconds=60)


# ---- errors


def break_folder(folder: Path) -> None:
    """Let the next segment fail: a file has the place of its folder."""
    (folder / "cam").rename(folder / "moved")
    (folder / "cam").write_text("")


def test_error_keeps_the_segment_and_the_next_frame_begins_another(tmp_path: Path):
    recorder = Recorder(tmp_path, segment_seconds=1.0)
    sink = recorder.open_sink("cam")
    for index in range(10):
        sink.write(recorded_result(index))
    break_folder(recorder.run_folder())
    with pytest.raises(DataError, match=r"cannot (record to|write the video) .* is a file, not a folder") as caught:
        sink.write(recorded_result(10))
    assert "\n" not in str(caught.value)
    (recorder.run_folder() / "cam").unlink()
    (recorder.run_folder() / "moved").rename(recorder.run_folder() / "cam")
    sink.write(recorded_result(11))
    sink.close()
    _, frames = replay(recorder.run_folder() / "cam")
    assert [frame.index for frame in frames] == [*range(10), 11]


def test_failed_attempts_leave_no_files(tmp_path: Path):
    recorder = Recorder(tmp_path, segment_seconds=60)
    sink = recorder.open_sink("cam")
    for index in range(3):
        with limited_file_size(100), pytest.raises(DataError, match=r"cannot record to .*: File too large"):
            sink.write(recorded_result(index))
    assert [path.name for path in (recorder.run_folder() / "cam").iterdir()] == ["recording.json"]


# ---- the limit


def make_segments(folder: Path, ages: list[float], *, num_bytes: int = 1000) -> None:
    """Write segments of 1000 bytes that were changed so many seconds before the time 10_000."""
    for number, age in enumerate(ages, start=1):
        recording = folder / f"run{number % 3}" / "cam"
        recording.mkdir(parents=True, exist_ok=True)
        (recording / "recording.json").write_text('{"format": 1, "source": "cam", "frame_id": ""}')
        stem = f"{number:06d}-20251129T161640Z"
        for name, size in ((f"{stem}.mp4", num_bytes - 100), (f"{stem}.jsonl", 100)):
            (recording / name).write_bytes(b"x" * size)
            os.utime(recording / name, (10_000 - age, 10_000 - age))


@given(st.lists(st.integers(0, 3600), max_size=12), st.integers(0, 12))
def test_oldest_segments_go_first_and_growing_ones_never(tmp_path_factory, ages: list[int], num_kept: int):
    folder = tmp_path_factory.mktemp("recordings")
    make_segments(folder, [float(age) for age in ages])
    num_deleted = prune(folder, num_kept * 1000, now_seconds=10_000)
    left = sorted(10_000 - path.stat().st_mtime for path in folder.glob("*/*/*.mp4"))
    assert left == sorted(ages)[: len(left)], "the newest ones"
    assert num_deleted == len(ages) - len(left)
    old = [age for age in ages if age >= GROWING_SECONDS]
    assert num_deleted == min(max(len(ages) - num_kept, 0), len(old))
    assert {path.stem for path in folder.glob("*/*/*.mp4")} == {path.stem for path in folder.glob("*/*/*.jsonl")}
    assert all(any(run.glob("*/*.mp4")) for run in folder.iterdir()), "no empty folder is left"


def test_other_files_are_never_deleted(tmp_path: Path):
    make_segments(tmp_path, [1000.0, 2000.0])
    for other in (tmp_path / "notes.txt", tmp_path / "run1" / "cam" / "notes.txt", tmp_path / "film.mp4"):
        other.write_text("mine")
        os.utime(other, (0, 0))
    prune(tmp_path, 0, now_seconds=10_000)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["film.mp4", "notes.txt", "notes.txt"]


def test_recorder_deletes_old_segments_of_earlier_runs(tmp_path: Path):
    make_segments(tmp_path, [8000.0, 7000.0], num_bytes=10_000)
    recorder = Recorder(tmp_path, segment_seconds=60, keep_bytes=10_000)
    sink = recorder.open_sink("cam")
    sink.write(recorded_result(0))
    sink.close()
    assert sorted(path.parts[-3] for path in tmp_path.glob("*/*/*.mp4"))[-1] == "run2"
    assert len(list(tmp_path.glob("*/*/*.mp4"))) == 2
