"""Sources that are added, removed and replaced while a run is in progress, and their states in the log."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from streamseg.capture.health import SourceHealth
from streamseg.config import BatchingConfig
from streamseg.errors import DataError, SourceError
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.runtime.batching import Batcher
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.sources import SourceGroup
from tests.support.frames import make_frame
from tests.support.runs import BackgroundRun, indices_of
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter
from tests.support.waiting import WAIT_SECONDS

pytestmark = pytest.mark.usefixtures("no_thread_left")
SECOND = 1_000_000_000


def camera(source_id: str) -> ScriptedSource:
    return ScriptedSource(source_id, is_live=True, paced_seconds=0.005)


class FollowingSink(ListSink):
    """A sink that records the notifications about its sources."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []

    def add_source(self, source_id: str, *, is_live: bool) -> None:
        self.changes.append(f"+{source_id}")

    def remove_source(self, source_id: str) -> None:
        with self.written:
            self.changes.append(f"-{source_id}")
            self.written.notify_all()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self.written:
            assert self.written.wait_for(condition, WAIT_SECONDS), "it did not happen"

    def num_of(self, source_id: str) -> int:
        return len(indices_of(self, source_id))


class Site:
    """A run in progress with a camera `a`."""

    def __init__(self) -> None:
        self.sink = FollowingSink()
        self.first = camera("a")
        self.runtime = Runtime([self.first], Pipeline(SquareSegmenter()), [self.sink])
        self.run = BackgroundRun(self.runtime)
        self.sink.wait_for(1)

    def states(self) -> dict[str, str]:
        return {source.source_id: source.state for source in self.runtime.stats().sources}


@contextmanager
def running_site() -> Iterator[Site]:
    site = Site()
    try:
        yield site
    finally:
        site.runtime.stop()
        site.run.join()
    assert site.run.error is None


def test_added_source_delivers_and_the_others_go_on():
    with running_site() as site:
        site.runtime.add_source(camera("b"))
        site.sink.wait_until(lambda: site.sink.num_of("b") >= 3)
        before = site.sink.num_of("a")
        site.sink.wait_until(lambda: site.sink.num_of("a") > before)
        site.sink.wait_until(lambda: site.states() == {"a": "live", "b": "live"})
        assert site.sink.changes == ["+b"]
    assert site.runtime.source_ids == ("a", "b")


def test_removed_source_ends_and_is_forgotten_after_its_last_result():
    with running_site() as site:
        extra = camera("b")
        site.runtime.add_source(extra)
        site.sink.wait_until(lambda: site.sink.num_of("b") >= 1)
        site.runtime.remove_source("b")
        site.sink.wait_until(lambda: site.states() == {"a": "live"})
        site.sink.wait_until(lambda: site.sink.changes == ["+b", "-b"])
        before = site.sink.num_of("a")
        site.sink.wait_until(lambda: site.sink.num_of("a") > before + 3)  # what waited in the slot is written
        num_results = site.sink.num_of("b")
        before = site.sink.num_of("a")
        site.sink.wait_until(lambda: site.sink.num_of("a") > before + 3)
        assert site.sink.num_of("b") == num_results, "nothing follows its end"
        assert site.runtime.stats().num_frames >= num_results + before
    assert extra.is_closed


def starts_afresh(indices: list[int]) -> bool:
    return any(second < first for first, second in pairwise(indices))


def test_replaced_source_starts_afresh_even_if_it_is_the_only_one():
    with running_site() as site:
        site.sink.wait_until(lambda: site.sink.num_of("a") >= 5)
        site.runtime.replace_source(camera("a"))
        site.sink.wait_until(lambda: starts_afresh(indices_of(site.sink, "a")))
        site.sink.wait_until(lambda: site.states() == {"a": "live"})
    assert site.first.is_closed
    assert site.sink.changes == []


def test_failed_source_can_be_replaced():
    with running_site() as site:
        site.runtime.add_source(ScriptedSource("b", 1, is_live=True, error=SourceError("gone")))
        while site.states()["b"] != "failed":
            threading.Event().wait(0.01)
        site.runtime.replace_source(camera("b"))
        site.sink.wait_until(lambda: site.sink.num_of("b") >= 3)
        site.sink.wait_until(lambda: site.states() == {"a": "live", "b": "live"})


@pytest.mark.slow
def test_hundred_sources_come_and_go():
    with running_site() as site:
        num_threads = threading.active_count()
        for number in range(100):
            site.runtime.add_source(camera(f"cam{number}"))
            if number >= 3:
                site.runtime.remove_source(f"cam{number - 3}")
        assert set(site.states()) == {"a", "cam97", "cam98", "cam99"}
        for number in (97, 98, 99):
            site.sink.wait_until(lambda name=f"cam{number}": site.sink.num_of(name) >= 1)  # type: ignore[misc]
            site.runtime.remove_source(f"cam{number}")
        site.sink.wait_until(lambda: len(site.sink.changes) == 200)
        deadline = time.monotonic() + WAIT_SECONDS
        while threading.active_count() > num_threads and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert threading.active_count() <= num_threads


def test_a_source_stuck_in_its_driver_can_be_replaced():
    release = threading.Event()

    class Stuck(ScriptedSource):
        def frames(self):
            yield from super().frames()
            release.wait()
            yield make_frame(77, source_id=self.source_id)

    with running_site() as site:
        site.runtime.add_source(Stuck("b", 1, is_live=True))
        site.sink.wait_until(lambda: site.sink.num_of("b") == 1)
        site.runtime.replace_source(camera("b"))
        site.sink.wait_until(lambda: site.sink.num_of("b") >= 4)
        release.set()
    assert 77 not in indices_of(site.sink, "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda run: run.add_source(camera("a")), "there is a source 'a'", id="same-id"),
        pytest.param(lambda run: run.remove_source("x"), "no source 'x'; sources are a", id="unknown"),
        pytest.param(lambda run: run.remove_source("a"), "'a' is the only source", id="last"),
        pytest.param(lambda run: run.replace_source(camera("x")), "no source 'x'", id="replacing-an-unknown-one"),
    ],
)
def test_impossible_change(change: Callable[[Runtime], None], message: str):
    with running_site() as site:
        with pytest.raises(DataError, match=message):
            change(site.runtime)
        site.sink.wait_until(lambda: site.states() == {"a": "live"})


@pytest.mark.parametrize("change", ["add", "remove", "replace"])
def test_change_after_the_end(change: str):
    with running_site() as site:
        site.runtime.add_source(camera("b"))
    changes: dict[str, Callable[[], None]] = {
        "add": lambda: site.runtime.add_source(camera("c")),
        "remove": lambda: site.runtime.remove_source("b"),
        "replace": lambda: site.runtime.replace_source(camera("b")),
    }
    with pytest.raises(DataError, match="the run has ended"):
        changes[change]()


class Watched(ScriptedSource):
    """A source that reports its own health."""

    def __init__(self) -> None:
        super().__init__("cam", is_live=True)
        self.health = SourceHealth(frozen_seconds=5)


def test_states_are_logged_when_they_begin(caplog: pytest.LogCaptureFixture):
    source = Watched()
    queue = FrameQueue({"cam": True}, Batcher(BatchingConfig()))
    group = SourceGroup([source], queue)
    health = source.health
    health.connecting(SECOND)
    health.received(make_frame(value=0).image, 2 * SECOND)
    group.log_changes(2 * SECOND)
    assert caplog.records == [], "the regular start is not logged"
    group.log_changes(6 * SECOND)
    group.log_changes(7 * SECOND)
    for seconds in range(8, 14):  # the stall counts as no time of the same image
        health.received(make_frame(value=0).image, seconds * SECOND)
        group.log_changes(seconds * SECOND)
    health.received(make_frame(value=99).image, 14 * SECOND)
    group.log_changes(14 * SECOND)
    health.disconnected("why", 15 * SECOND)
    group.log_changes(15 * SECOND)
    health.received(make_frame(value=9).image, 16 * SECOND)
    group.log_changes(16 * SECOND)
    assert [record.getMessage() for record in caplog.records] == [
        "cam: stalled, no frame for 4.0 s",
        "cam: live again",
        "cam: frozen, the same image for 5 s",
        "cam: live again",
        "cam: live again",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.source for record in caplog.records} == {"cam"}  # type: ignore[attr-defined]


def test_duration_without_an_image_is_an_error():
    silent = ScriptedSource("cam", is_live=True, permits=threading.Semaphore(0))
    runtime = Runtime([silent], Pipeline(SquareSegmenter()), [ListSink()])
    with pytest.raises(SourceError, match=r"no image within 0\.1 s; cam: connecting"):
        runtime.run(duration_seconds=0.1)


def test_duration_with_an_image_is_none():
    runtime = Runtime([camera("cam")], Pipeline(SquareSegmenter()), [ListSink()])
    assert runtime.run(duration_seconds=0.2).num_frames > 0
