"""Which frames are worth their work, by deadline, age and rate; `test_deadlines` tests the prediction alone."""

from dataclasses import replace

import pytest

from streamseg.config import BatchingConfig
from streamseg.runtime.batching import Batcher
from streamseg.runtime.deadlines import SourceLimits
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.telemetry import Drops
from tests.support.frame_queues import FILE, LIVE, Clock, frame_at, make_queue, take_batch


@pytest.mark.parametrize(
    ("limits", "lag_ms", "expected"),
    [
        pytest.param(SourceLimits(), 0, {}, id="no-deadline"),
        pytest.param(SourceLimits(deadline_ns=100_000_000), 0, {}, id="in-time"),
        pytest.param(SourceLimits(deadline_ns=100_000_000), 80, {"publish": {"deadline": 1}}, id="deadline-missed"),
        pytest.param(SourceLimits(), 2000, {}, id="max-age-is-since-the-arrival"),
    ],
)
def test_late_result_is_counted_and_not_published(limits: SourceLimits, lag_ms: int, expected: Drops):
    clock = Clock()
    queue = FrameQueue({"cam": LIVE}, Batcher(BatchingConfig(deadline_ms=0)), limits={"cam": limits}, now_ns=clock)
    frame = replace(frame_at("cam", 0), lag_ns=lag_ms * 1_000_000)
    clock.now_ns = 50_000_000
    assert queue.is_late(frame, 20_000_000) is bool(expected)
    assert queue.drops("cam") == expected


def test_late_result_of_a_slow_machine_is_dropped_after_the_network():
    """Bug: the age was checked before the network only."""
    clock = Clock()
    queue = make_queue(clock, cam=LIVE, file=FILE)
    clock.now_ns = 1_500_000_000
    assert queue.is_late(frame_at("cam", 0), 1_490_000_000)
    assert not queue.is_late(frame_at("file", 0), 0), "files lose nothing"
    assert queue.drops("cam") == {"publish": {"too_old": 1}}


@pytest.mark.parametrize(("max_fps", "num_taken"), [(10, 10), (7, 7), (30, 30), (100, 30)])
def test_rate_is_limited_and_the_rest_is_counted(max_fps: float, num_taken: int):
    clock = Clock()
    limits = {"cam": SourceLimits(min_period_ns=round(1e9 / max_fps))}
    queue = FrameQueue({"cam": LIVE}, Batcher(BatchingConfig(deadline_ms=0)), limits=limits, now_ns=clock)
    taken = 0
    for nth in range(30):
        clock.now_ns = round(nth * 1e9 / 30) + (nth % 3) * 2_000_000  # a little jitter
        before = queue.drops("cam").get("mailbox", {}).get("max_fps", 0)
        queue.put(frame_at("cam", nth, clock.now_ns))
        if queue.drops("cam").get("mailbox", {}).get("max_fps", 0) == before:
            taken += len(take_batch(queue))
    assert taken == pytest.approx(num_taken, abs=1)
    assert queue.drops("cam").get("mailbox", {}).get("max_fps", 0) == 30 - taken


def test_frames_beyond_the_rate_of_a_source_are_unwanted():
    clock = Clock()
    batcher = Batcher(BatchingConfig(deadline_ms=0))
    queue = FrameQueue({"cam": LIVE}, batcher, limits={"cam": SourceLimits(min_period_ns=100)}, now_ns=clock)
    feed = queue.feed("cam")
    answers = []
    for clock.now_ns in range(1000, 1400, 25):
        answers.append(feed.unwanted())
        if answers[-1] is None:
            feed.put(frame_at("cam", 0, clock.now_ns))
    assert answers[-8:].count(None) == 2, "two of 8, which come four times as often"
    assert set(answers) == {None, "max_fps"}
    assert queue.drops("cam") == {"mailbox": {"newer_frame": answers.count(None) - 1}}


def test_files_and_ended_sources_are_always_asked_to_put():
    queue = make_queue(file=FILE, cam=LIVE)
    file, cam = queue.feed("file"), queue.feed("cam")
    queue.pause()
    assert file.unwanted() is None
    queue.remove_source("cam")
    assert cam.unwanted() is None, "`put` ends it"
    assert not cam.put(frame_at("cam", 0))
    queue.close()
    assert file.unwanted() is None
