"""Statistics, collected without a run."""

from __future__ import annotations

import math
from collections import Counter
from typing import ClassVar

import pytest

from streamseg.config import BatchingConfig
from streamseg.runtime.batching import Batcher
from streamseg.runtime.frame_queue import FrameQueue
from streamseg.runtime.sources import SourceGroup
from streamseg.runtime.stats import Ages
from streamseg.runtime.stats_collector import FrameAccumulator, Rate, StatsCollector
from streamseg.structures.message import Message
from streamseg.telemetry import Drops, StageTimer
from tests.support.frames import make_frame
from tests.support.stages import ListSink, ScriptedSource, fresh_frame
from tests.support.windows import bound, result

SECOND = 1_000_000_000


def message(age_ms: float = 10.0) -> Message:
    frame = make_frame()
    return Message(
        source_id=frame.source_id,
        frame_index=0,
        captured_ns=0,
        clock="camera",
        age_ms=age_ms,
        image_size=frame.size,
        mask_size=frame.size,
        mask_to_image=(1, 1, 0, 0),
        objects=(),
    )


@pytest.mark.parametrize(
    ("stamps", "now", "fps"),
    [
        pytest.param([], 5.0, 0.0, id="no-event"),
        pytest.param([1.0], 1.0, 0.0, id="one-event-has-no-rate"),
        pytest.param([0.0, 0.1, 0.2], 0.2, 10.0, id="n-events-are-n-minus-1-intervals"),
        pytest.param([0.0, 0.1, 0.2], 0.3, 10.0, id="next-event-not-due"),
        pytest.param([0.0, 0.1, 0.2], 1.3, 2 / 1.2, id="falls-without-events"),
        pytest.param([0.0, 0.1, 0.2], 10.0, 0.0, id="long-ago"),
        pytest.param([0.0, *(5 + n / 10 for n in range(11))], 6.0, 10.0, id="only-recent"),
        pytest.param([1.0, 1.0], 1.0, 1e9, id="simultaneous"),
    ],
)
def test_rate(stamps: list[float], now: float, fps: float):
    rate = Rate()
    for stamp in stamps:
        rate.add(round(stamp * SECOND))
    assert rate.at(round(now * SECOND)) == pytest.approx(fps)


def test_accumulated_fps_spans_first_to_last_frame():
    frames = FrameAccumulator()
    assert (frames.fps, frames.num_frames, frames.clock, frames.silent_seconds(SECOND)) == (0.0, 0, None, None)
    assert math.isnan(frames.ages.p50_ms)
    for nth in range(101):
        frames.add(message(age_ms=nth), 7 * SECOND + nth * SECOND // 25)
    assert frames.fps == pytest.approx(25)
    assert frames.ages == Ages(50, 95, 99)
    assert frames.clock == "camera"
    assert frames.silent_seconds(13 * SECOND) == pytest.approx(2)


class DroppingSink(ListSink):
    """A sink that drops frames itself."""

    def drops(self, source_id: str) -> Drops:
        return {"publish": {"slow": 2 if source_id == "cam" else 0}}


class Collected:
    """A collector and the parts that it reads."""

    def __init__(self, *sources: ScriptedSource) -> None:
        live = {source.source_id: source.is_live for source in sources}
        self.timer = StageTimer()
        self.queue = FrameQueue(live, Batcher(BatchingConfig()))
        self.sources = SourceGroup(sources, self.queue)
        self.collector = StatsCollector(self.sources, self.queue, [ListSink(), DroppingSink()], self.timer)


def test_stats_before_the_first_frame():
    stats = Collected(ScriptedSource("cam", is_live=True)).collector.snapshot(5 * SECOND, seconds=1.5)
    assert (stats.seconds, stats.num_frames, stats.fps, stats.is_paused) == (1.5, 0, 0.0, False)
    (source,) = stats.sources
    assert (source.state, source.error, source.silent_seconds) == ("connecting", None, None)


def test_source_stats_are_those_of_its_health():
    parts = Collected(ScriptedSource("cam", is_live=True), ScriptedSource("b"))
    health = parts.sources.runs[0].health
    health.connecting(SECOND)
    health.received(fresh_frame("cam").image, 2 * SECOND)
    health.disconnected("no packet", 5 * SECOND)
    cam, other = parts.collector.snapshot(7 * SECOND, seconds=1.0).sources
    assert (cam.state, cam.state_seconds, cam.error, cam.num_connections) == ("waiting", 2.0, "no packet", 1)
    assert (other.state, other.error, other.num_connections) == ("connecting", None, 0)


class MendingSource(ScriptedSource):
    """A source that mends its time stamps."""

    mended: ClassVar = Counter({"backwards": 2})


def test_discontinuities_of_the_time_line_are_counted():
    cam, other = Collected(MendingSource("cam"), ScriptedSource("b")).collector.snapshot(0, seconds=0.0).sources
    assert cam.discontinuities == {"backwards": 2}
    assert other.discontinuities == {}


def test_removed_source_remains_in_the_totals():
    """Its last frames may still be finished after its removal."""
    parts = Collected(ScriptedSource("cam"), ScriptedSource("b"))
    parts.collector.record_frame(result(0), SECOND)
    parts.sources.remove("cam")
    parts.collector.record_frame(result(1), 2 * SECOND)
    stats = parts.collector.snapshot(3 * SECOND, seconds=1.0)
    assert [source.source_id for source in stats.sources] == ["b"]
    assert stats.num_frames == 2
    parts.collector.forget("cam")
    assert "cam" not in parts.collector.prompt_statuses


def test_objects_of_a_source_that_is_away_are_not_in_the_total():
    parts = Collected(ScriptedSource("cam"), ScriptedSource("b"))
    for source_id in ("cam", "b"):
        parts.collector.record_frame(result(0, source_id=source_id), SECOND)
    cam, _ = parts.sources.runs
    cam.health.received(result(0).frame.image, SECOND)
    stats = parts.collector.snapshot(2 * SECOND, seconds=1.0)
    assert [(source.state, source.num_objects) for source in stats.sources] == [("live", 1), ("connecting", 1)]
    assert stats.num_objects == 1


def test_run_stats_add_up_all_sources():
    parts = Collected(ScriptedSource("cam"), ScriptedSource("b"))
    collector = parts.collector
    for index in range(3):
        collector.record_frame(result(index), index * SECOND // 10)
    collector.record_frame(result(0, source_id="b"), 3 * SECOND // 10)
    for run in parts.sources.runs:
        run.health.received(result(0).frame.image, 3 * SECOND // 10)
    stats = collector.snapshot(SECOND // 2, seconds=1.0)
    assert (stats.num_frames, stats.num_objects) == (4, 2)
    assert stats.fps == pytest.approx(10)
    assert [(source.num_frames, source.silent_seconds) for source in stats.sources] == [
        (3, pytest.approx(0.3)),
        (1, pytest.approx(0.2)),
    ]


def test_drops_include_source_mailbox_and_sinks():
    source = ScriptedSource("cam", is_live=True)
    collected = Collected(source)
    source.drops.count("capture", "corrupt", 7)
    for index in range(3):
        collected.queue.put(make_frame(index, source_id="cam"))
    before_sinks = {"capture": {"corrupt": 7}, "mailbox": {"newer_frame": 2}}
    assert collected.collector.drops_before_sinks("cam") == before_sinks
    stats = collected.collector.snapshot(SECOND, seconds=1.0)
    assert stats.drops == stats.sources[0].drops == {**before_sinks, "publish": {"slow": 2}}


def test_prompt_statuses_of_the_latest_frame():
    collector = Collected(ScriptedSource("cam"), ScriptedSource("b")).collector
    assert collector.prompt_statuses == {}
    collector.record_frame(result(0), SECOND)
    collector.record_frame(result(1, prompts=[bound()]), 2 * SECOND)
    assert collector.prompt_statuses == {"cam": (bound(),)}


def test_stats_include_stages_and_pause():
    collected = Collected(ScriptedSource("cam"))
    collected.timer.add("segment", 12.0)
    collected.queue.pause()
    stats = collected.collector.snapshot(SECOND, seconds=1.0)
    assert stats.stages_ms == {"segment": (12.0, 12.0)}
    assert stats.is_paused
