"""A hundred sources that come and go leave nothing behind: no thread, file, socket or memory."""

import gc
import os
import socket
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamseg.capture import open_source
from streamseg.capture.recording_folder import find_segments
from streamseg.config import StreamSource
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.runtime.recorder import Recorder
from tests.support.runs import BackgroundRun
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.skipif(sys.platform != "linux", reason="open files are read from /proc"),
]


class CountingSink(ListSink):
    """Counts results and keeps none."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def write(self, result) -> None:
        with self.written:
            self.counts[result.frame.source_id] = self.counts.get(result.frame.source_id, 0) + 1
            self.written.notify_all()

    def wait_for_source(self, source_id: str) -> None:
        with self.written:
            assert self.written.wait_for(lambda: self.counts.get(source_id, 0) > 0, 30), source_id


def open_files() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


def open_sockets() -> int:
    """Number of open sockets; the files of the camera that stays may be opened later."""
    return sum(name.startswith("socket:") for name in open_files())


class Site:
    """A run that records, with one camera that stays."""

    def __init__(self, folder: Path) -> None:
        self.sink = CountingSink()
        self.recorder = Recorder(folder, segment_seconds=60)
        stays = ScriptedSource("stays", is_live=True, paced_seconds=0.05)
        self.runtime = Runtime([stays], Pipeline(SquareSegmenter()), [self.sink, self.recorder])

    def __enter__(self) -> "Site":
        self.run = BackgroundRun(self.runtime)
        self.sink.wait_for_source("stays")
        return self

    def __exit__(self, *exception: object) -> None:
        self.runtime.stop()
        self.run.join()
        assert self.run.error is None

    def come_and_go(self, *source_ids: str) -> None:
        """Add sources, and remove them after their first result; all are closed then."""
        for source_id in source_ids:
            self.runtime.add_source(ScriptedSource(source_id, is_live=True, paced_seconds=0.05))
        for source_id in source_ids:
            self.sink.wait_for_source(source_id)
            self.runtime.remove_source(source_id)
        wait_until(lambda: len(self.runtime.stats().sinks) == 2)


def test_recording_of_a_removed_source_is_complete_at_once(tmp_path: Path):
    """Bug: it stayed open until the end of the run."""
    with Site(tmp_path) as site:
        site.come_and_go("door")
        (segment,) = find_segments(site.recorder.run_folder() / "door")
        assert not segment.is_partial
        assert not any("/door/" in path for path in open_files())
        assert [sink.name for sink in site.runtime.stats().sinks if "stays" in sink.name], "the other one goes on"


def test_source_that_returns_continues_its_recording(tmp_path: Path):
    with Site(tmp_path) as site:
        site.come_and_go("door")
        site.sink.counts.pop("door")
        site.come_and_go("door")
        assert [one.number for one in find_segments(site.recorder.run_folder() / "door")] == [1, 2]


@pytest.fixture
def traced_memory() -> Iterator[None]:
    """Ends tracing after the run: CPython crashes if it ends while other threads allocate (python/cpython#128679)."""
    yield
    tracemalloc.stop()


@pytest.mark.slow
def test_hundred_recorded_sources_leave_nothing(tmp_path: Path, traced_memory: None):
    with Site(tmp_path) as site:
        threads, files = threading.active_count(), open_files()
        used = []
        for first in range(0, 100, 20):
            site.come_and_go(*(f"cam{number}" for number in range(first, first + 20)))
            if first == 20:
                tracemalloc.start()  # what is allocated once has been
            if first in (40, 80):
                gc.collect()
                used.append(tracemalloc.get_traced_memory()[0])
        wait_until(lambda: threading.active_count() <= threads)
        assert not any("/cam" in path for path in open_files() - files)
        per_source = (used[1] - used[0]) / 40
        print(f"{per_source:.0f} bytes per source")
        assert per_source < 8192, "its counts of drops remain, but no frame, no stage and no thread"
        assert len(list(site.recorder.run_folder().iterdir())) == 101


@pytest.mark.slow
def test_hundred_cameras_that_never_answer_leave_no_socket(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0), backlog=256) as silent, Site(tmp_path) as site:
        port = silent.getsockname()[1]
        threads, num_sockets = threading.active_count(), open_sockets()
        for number in range(100):
            section = StreamSource(id=f"cam{number}", url=f"rtsp://127.0.0.1:{port}/{number}")
            site.runtime.add_source(open_source(section, gives_up=False))
            if number >= 10:
                site.runtime.remove_source(f"cam{number - 10}")
        for number in range(90, 100):
            site.runtime.remove_source(f"cam{number}")
        wait_until(lambda: threading.active_count() <= threads)
        wait_until(lambda: open_sockets() <= num_sockets)
