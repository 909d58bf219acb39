"""Faults of the outputs of a run: publishing never stops for them, and nothing but the last second is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest

from streamseg.capture import open_source
from streamseg.capture.recording_folder import find_segments
from streamseg.cli.recording import OverlayVideos
from streamseg.config import RecordingSource
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.runtime import Runtime, SinkFactory, SinkPolicy, SinkStats
from streamseg.runtime.recorder import Recorder
from streamseg.runtime.sinks import MessageFile
from streamseg.runtime.workers import Sink
from tests.support.runs import BackgroundRun
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter, small_scene, small_settings

PERIOD_SECONDS = 0.02
STOP_SECONDS = 1.0
"""Promise: a run ends within this time in every state."""
MARGIN_SECONDS = 10.0
"""For a machine that is shared with the rest of the suite: a stop that waits for a hung output never ends."""
WAIT_SECONDS = 60.0
Record = Callable[[str, object], None]
"""Type of pytest's `record_property`: the property `value` goes to docs/faults.md."""


class Published(ListSink):
    """Stands for the publisher: without a thread of its own, written first."""

    def __init__(self) -> None:
        super().__init__(policy=SinkPolicy("publish", has_thread=False))
        self.times: list[float] = []

    def write(self, result: FrameResult) -> None:
        self.times.append(time.monotonic())
        super().write(result)

    def longest_gap(self) -> float:
        """Return the longest time in seconds between two results."""
        return max(after - before for before, after in pairwise(self.times))


class StuckSink(ListSink):
    """Hangs in its first write until released."""

    def __init__(self) -> None:
        super().__init__(policy=SinkPolicy("stuck"))
        self.release = threading.Event()

    def write(self, result: FrameResult) -> None:
        self.release.wait()
        super().write(result)


class Camera(BackgroundRun):
    """A run with one live source, a publisher, and the sinks under test."""

    def __init__(self, *sinks: Sink | SinkFactory) -> None:
        self.published = Published()
        source = ScriptedSource("cam", is_live=True, paced_seconds=PERIOD_SECONDS)
        super().__init__(Runtime([source], Pipeline(SquareSegmenter()), [*sinks, self.published]))

    def sink(self, name: str) -> SinkStats | None:
        """Return the state of a sink; None before its first frame."""
        return next((stats for stats in self.runtime.stats().sinks if stats.name == name), None)

    def state(self, name: str) -> str:
        stats = self.sink(name)
        return "" if stats is None else stats.state

    def num_written(self, name: str) -> int:
        stats = self.sink(name)
        return 0 if stats is None else stats.num_written

    def error_text(self, name: str) -> str:
        stats = self.sink(name)
        return "" if stats is None else stats.error or ""

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Wait, while frames are published."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_true():
            assert time.monotonic() < deadline
            self.published.wait_for(len(self.published.results) + 1)

    def stop(self) -> float:
        """Stop the run; return the time that it took."""
        started = time.monotonic()
        self.runtime.stop()
        self.join()
        return time.monotonic() - started


def join_thread(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(WAIT_SECONDS)


# ---- a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs needs root: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk, and return the file that does."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return path


def stored_frames(disk: Path, kind: str) -> Iterator[object]:
    """Yield what was stored, decoded."""
    if kind == "messages":
        yield from map(json.loads, (disk / "messages.jsonl").read_text().splitlines())
    elif kind == "video":
        for path in disk.glob("video*.mp4"):
            with av.open(str(path)) as container:
                yield from container.decode(video=0)
    else:
        (folder,) = disk.glob("recordings/*/cam")
        yield from open_source(RecordingSource(id="cam", path=str(folder), mode="every_frame")).frames()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["recording", "video", "messages"])
def test_full_disk_stops_that_output_only_and_it_resumes(small_disk: Path, record_property: Record, kind: str):
    sink: Sink | SinkFactory
    match kind:
        case "recording":
            sink, name = Recorder(small_disk / "recordings", segment_seconds=1.0), "recording cam"
        case "video":
            sink, name = OverlayVideos(small_disk / "video.mp4", ["cam"]), "video cam"
        case _:
            sink, name = MessageFile(small_disk / "messages.jsonl"), "messages"
    run = Camera(sink)
    run.wait_until(lambda: run.num_written(name) > 100)
    filler = fill(small_disk)
    run.wait_until(lambda: run.state(name) == "degraded")
    assert "No space left on device" in run.error_text(name)
    num_published, num_written = len(run.published.results), run.num_written(name)
    run.published.wait_for(num_published + 50)
    filler.unlink()
    run.wait_until(lambda: run.state(name) == "ok" and run.num_written(name) > num_written + 20)
    assert run.stop() < STOP_SECONDS + MARGIN_SECONDS
    assert run.error is None
    record_property("value", run.published.longest_gap())
    stats = run.sink(name)
    assert stats is not None
    assert stats.drops["cam"]["unavailable"] > 0
    # The failed write ends a segment or video, and costs the fragment that was not complete.
    num_stored = sum(1 for _ in stored_frames(small_disk, kind))
    most_lost = 0 if kind == "messages" else 1.0 / PERIOD_SECONDS
    assert stats.num_written - most_lost <= num_stored <= stats.num_written


@pytest.mark.slow
def test_run_that_ends_while_its_disk_is_full_reports_it(small_disk: Path):
    fill(small_disk)
    sink = MessageFile(small_disk / "messages.jsonl")
    runtime = Runtime([ScriptedSource("file", 20)], Pipeline(SquareSegmenter()), [sink, published := Published()])
    with pytest.raises(DataError, match=r"cannot write the messages to .*: No space left on device"):
        runtime.run()
    assert len(published.results) == 20


# ---- an output that hangs


@pytest.mark.slow
def test_pipe_without_a_reader_disturbs_nothing_and_is_read_later(tmp_path: Path, record_property: Record):
    os.mkfifo(pipe := tmp_path / "messages")
    run = Camera(MessageFile(pipe))
    run.wait_until(lambda: run.state("messages") == "degraded")
    assert "a write has not ended for " in run.error_text("messages")
    with pipe.open() as reader:
        first = json.loads(reader.readline())
        run.wait_until(lambda: run.state("messages") == "ok")
    assert first["index"] == 0
    assert run.stop() < STOP_SECONDS + MARGIN_SECONDS
    record_property("value", run.published.longest_gap())


@pytest.mark.slow
def test_pipe_whose_reader_sleeps_leaves_and_returns(tmp_path: Path, record_property: Record):
    os.mkfifo(pipe := tmp_path / "messages")
    run = Camera(MessageFile(pipe))
    with pipe.open() as reader:
        reader.readline()
        run.wait_until(lambda: run.state("messages") == "degraded")  # the pipe is full
        lines = [json.loads(reader.readline()) for _ in range(100)]
        indices = [line["index"] for line in lines]
        assert indices == sorted(set(indices)), "whole lines, in order"
    num_published = len(run.published.results)
    run.published.wait_for(num_published + 20)
    with pipe.open() as reader:
        assert json.loads(reader.readline().rpartition("}{")[2])["index"] > indices[-1]
        run.wait_until(lambda: run.state("messages") == "ok")
        assert run.stop() < STOP_SECONDS + MARGIN_SECONDS
    record_property("value", run.published.longest_gap())


@pytest.mark.slow
def test_hung_sink_at_the_stop(caplog: pytest.LogCaptureFixture, record_property: Record):
    stuck = StuckSink()
    run = Camera(stuck)
    run.published.wait_for(10)
    seconds = run.stop()
    record_property("value", seconds)
    assert seconds < STOP_SECONDS + MARGIN_SECONDS
    assert "stuck: did not close in time and was abandoned" in caplog.text
    stuck.release.set()
    join_thread("stuck")
    assert run.runtime.stats().num_frames == len(run.published.results)


# ---- a sink with a fault of its own


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyError("a bug"), MemoryError(), DataError("broken"), OSError(5, "I/O error")])
def test_sink_that_raises_ends_no_run(error: BaseException, record_property: Record):
    failing, healthy = ListSink(fail_at=3, error=error), ListSink()
    run = Camera(failing, healthy)
    run.published.wait_for(30)
    assert run.state("sink") == ("degraded" if isinstance(error, DataError | OSError) else "failed")
    run.stop()
    record_property("value", run.published.longest_gap())
    assert run.error is error, "raised at the end"
    assert len(failing.results) == 3
    assert len(healthy.results) >= 29
    assert (failing.num_closed, healthy.num_closed) == (1, 1)


# ---- a process that is killed


@pytest.mark.slow
def test_kill_loses_the_last_second_only(tmp_path: Path, record_property: Record):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"sources": [small_scene(fps=25)]}))
    settings = [word for setting in small_settings() for word in ("--set", setting)]
    outputs = ["--record", str(tmp_path / "recordings"), "--out", str(tmp_path / "video.mp4")]
    outputs += ["--set", f"output.messages={tmp_path / 'messages.jsonl'}", "--set", "output.segment_seconds=2"]
    command = [sys.executable, "-m", "streamseg", "run", str(config), *settings, *outputs]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 3 * WAIT_SECONDS
            pause = threading.Event()
            while not list(tmp_path.glob("recordings/*/scene/000003-*.mp4")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                pause.wait(0.05)
            pause.wait(1.0)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    (folder,) = tmp_path.glob("recordings/*/scene")
    assert [segment.is_partial for segment in find_segments(folder)] == [False, False, True]
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines(keepends=True)]
    recorded = [json.loads(line) for line in lines if line.endswith("\n")]
    assert len(lines) - len(recorded) <= 1, "only the last line may be cut"
    frames = list(open_source(RecordingSource(id="scene", path=str(folder), mode="every_frame")).frames())
    assert [frame.index for frame in frames] == [line["index"] for line in recorded[: len(frames)]]
    lost_seconds = recorded[-1]["pts_seconds"] - (frames[-1].pts_seconds or 0.0)
    record_property("value", lost_seconds)
    assert lost_seconds <= 1.0
    (partial,) = tmp_path.glob("video.partial-*.mp4")
    with av.open(str(partial)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= len(recorded) - 25
    messages = (tmp_path / "messages.jsonl").read_text().splitlines(keepends=True)
    assert all(json.loads(line) for line in messages if line.endswith("\n"))


# ---- two runs with one output


def open_video(folder: Path) -> OverlayVideos:
    return OverlayVideos(folder / "out.mp4", ["cam"])


def open_messages(folder: Path) -> MessageFile:
    return MessageFile(folder / "out.jsonl")


@pytest.mark.parametrize("open_output", [open_video, open_messages])
def test_second_run_is_refused(tmp_path: Path, open_output: Callable[[Path], MessageFile | OverlayVideos]):
    first = open_output(tmp_path)
    with pytest.raises(DataError, match=r"out\.(mp4|jsonl) is being written by another run; choose another") as caught:
        open_output(tmp_path)
    assert "\n" not in str(caught.value)
    first.close()
    open_output(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_killed_run_does_not_remain(tmp_path: Path):
    code = (
        "import os, signal, sys; from pathlib import Path; from streamseg.resources import OutputLock;"
        " lock = OutputLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out.jsonl")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".out.jsonl.lock").exists()
    open_messages(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
