import threading
import time

import numpy as np
import pytest

from streamseg.capture import open_source
from streamseg.capture.scene import RenderedScene, newest_due
from streamseg.config import SceneSource
from tests.support.frames import take
from tests.support.waiting import WAIT_SECONDS


@pytest.mark.parametrize(
    ("next_index", "elapsed_seconds", "expected"),
    [
        pytest.param(0, 0.0, 0, id="the first is due at once"),
        pytest.param(5, 0.40, 5, id="on time: wait for the next"),
        pytest.param(5, 0.55, 5, id="due and newest"),
        pytest.param(5, 0.95, 9, id="late: the newest that is due"),
    ],
)
def test_newest_due(next_index, elapsed_seconds, expected):
    assert newest_due(next_index, elapsed_seconds, fps=10.0) == expected


def scene_source(**values):
    return open_source(SceneSource(id="scene0", width=96, height=64, num_objects=2, **values))


def test_every_frame_mode_delivers_all_without_pacing():
    source = scene_source(mode="every_frame", num_frames=50, fps=1.0)
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.pts_seconds for frame in frames] == list(range(50))
    assert {frame.clock for frame in frames} == {"arrival"}
    assert source.drops.snapshot() == {}
    assert not source.is_live


@pytest.mark.slow
def test_live_scene_is_paced_and_reports_when_each_frame_was_due():
    source = scene_source(num_frames=12, fps=60.0)
    frames = list(source.frames())
    assert source.is_live
    assert isinstance(source, RenderedScene)
    assert {frame.clock for frame in frames} == {"driver"}
    for frame in frames:
        np.testing.assert_array_equal(frame.image, source.renderer.render(frame.index))
    start_ns = frames[0].captured_ns
    for frame in frames:
        # Wall and monotonic clocks are read one after the other, about a millisecond apart.
        assert frame.captured_ns - start_ns == pytest.approx((frame.index - frames[0].index) / 60 * 1e9, abs=20e6)
        assert frame.received_ns > 0
    assert frames[-1].received_ns - frames[0].received_ns > 0.5 * (frames[-1].index - frames[0].index) / 60 * 1e9


@pytest.mark.slow
def test_slow_reader_of_a_live_scene_gets_the_newest_frame_and_counted_drops():
    source = scene_source(num_frames=400, fps=1000.0)
    frames = source.frames()
    first = next(frames)
    threading.Event().wait(0.06)
    second = next(frames)
    assert second.index - first.index >= 50
    rest = list(frames)
    late = source.drops.snapshot()["capture"]["late"]
    assert late == 400 - (2 + len(rest)), "every missing index is a counted drop"


@pytest.mark.slow
def test_live_scene_renders_only_wanted_frames():
    source = scene_source(num_frames=30, fps=200.0)
    reasons = iter(([None] + ["busy"] * 4) * 6)
    source.unwanted = lambda: next(reasons)
    frames = list(source.frames())
    drops = source.drops.snapshot()["capture"]
    assert 1 <= len(frames) <= 6
    assert drops["busy"] >= 4
    assert len(frames) + sum(drops.values()) == 30
    for frame in frames:
        np.testing.assert_array_equal(frame.image, source.renderer.render(frame.index))


def test_stop_from_another_thread_ends_a_wait():
    source = scene_source(fps=0.01)
    frames = source.frames()
    take(frames, 1)
    timer = threading.Timer(0.05, source.stop)
    timer.start()
    started = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - started < WAIT_SECONDS, "the next frame is due after 100 s"
    timer.join()
    source.stop()
    assert list(source.frames()) == [], "once stopped, the source stays stopped"
