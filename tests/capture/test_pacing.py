import threading
import time
from itertools import pairwise

import pytest

from streamseg.capture.pacing import Backlog, Playback, PtsPace


class TestPtsPace:
    def test_regular_time_line(self):
        pace = PtsPace()
        assert pace.due_seconds(0.0, 100.0) == 100.0
        assert pace.due_seconds(0.04, 100.01) == pytest.approx(100.04)
        assert pace.due_seconds(0.08, 100.2) == pytest.approx(100.08), "slightly late: the time line stays"

    @pytest.mark.parametrize(
        ("pts_seconds", "now_seconds", "expected"),
        [
            pytest.param(None, 105.0, 105.0, id="no stamp: at once"),
            pytest.param(2.0, 101.0, 101.0, id="backwards: restart"),
            pytest.param(15.1, 101.0, 101.0, id="gap of more than 10 s: restart"),
            pytest.param(15.0, 101.0, 110.0, id="gap of 10 s: kept"),
            pytest.param(5.5, 101.6, 101.6, id="more than a second behind: restart"),
            pytest.param(5.0, 100.5, 100.0, id="repeated stamp: already due"),
        ],
    )
    def test_second_frame(self, pts_seconds, now_seconds, expected):
        pace = PtsPace()
        pace.due_seconds(5.0, 100.0)
        assert pace.due_seconds(pts_seconds, now_seconds) == pytest.approx(expected)

    def test_restart_applies_to_the_following_frames(self):
        pace = PtsPace()
        pace.due_seconds(5.0, 100.0)
        pace.due_seconds(0.0, 110.0)
        assert pace.due_seconds(0.5, 110.1) == pytest.approx(110.5)

    def test_frame_without_a_stamp_changes_nothing(self):
        pace = PtsPace()
        pace.due_seconds(0.0, 100.0)
        pace.due_seconds(None, 100.5)
        assert pace.due_seconds(1.0, 100.6) == pytest.approx(101.0)


class TestBacklog:
    @pytest.mark.parametrize(
        ("lateness_seconds", "has_newer", "elapsed_seconds", "is_dropped"),
        [
            pytest.param(0.0, True, 0.03, False, id="on time"),
            pytest.param(0.25, True, 0.03, False, id="at the bound"),
            pytest.param(0.3, True, 0.03, True, id="late, and newer frames are queued"),
            pytest.param(0.3, False, 0.03, False, id="late, but it is the newest"),
            pytest.param(9.0, True, 0.5, False, id="no frame kept for half a second"),
        ],
    )
    def test_one_frame(self, lateness_seconds, has_newer, elapsed_seconds, is_dropped):
        backlog = Backlog()
        assert not backlog.should_drop(lateness_seconds=0.0, has_newer=False, now_seconds=10.0)
        should_drop = backlog.should_drop(
            lateness_seconds=lateness_seconds, has_newer=has_newer, now_seconds=10.0 + elapsed_seconds
        )
        assert should_drop is is_dropped

    @pytest.mark.parametrize(
        ("waited_seconds", "has_newer"), [(0.0, True), (0.004, True), (0.005, False), (1.0, False)]
    )
    def test_reader_that_did_not_wait_has_newer_frames(self, waited_seconds, has_newer):
        assert Backlog.has_newer(waited_seconds) is has_newer

    def test_first_frame_is_always_kept(self):
        assert not Backlog().should_drop(lateness_seconds=5.0, has_newer=True, now_seconds=1.0)

    def test_reader_that_is_always_too_slow_still_keeps_frames(self):
        backlog = Backlog()
        kept = [
            step
            for step in range(200)
            if not backlog.should_drop(lateness_seconds=1.0 + step, has_newer=True, now_seconds=step * 0.05)
        ]
        assert max(b - a for a, b in pairwise(kept)) * 0.05 <= 0.55


class SimulatedEvent(threading.Event):
    """An event that is never set, and whose waits take simulated time."""

    def __init__(self):
        super().__init__()
        self.now_seconds = 100.0

    def now_ns(self):
        return round(self.now_seconds * 1e9)

    def wait(self, timeout=None):
        self.now_seconds += timeout
        return False


class TestPlayback:
    def test_each_frame_waits_until_it_is_due(self):
        stopped = SimulatedEvent()
        playback = Playback(stopped, now_ns=stopped.now_ns)
        for index in range(4):
            assert playback.wait_until_due(index / 50)
            assert stopped.now_seconds == pytest.approx(100 + index / 50)

    def test_frame_without_a_time_is_due_at_once(self):
        stopped = SimulatedEvent()
        playback = Playback(stopped, now_ns=stopped.now_ns)
        playback.wait_until_due(0.0)
        assert playback.wait_until_due(None)
        assert stopped.now_seconds == 100

    def test_overdue_frame_is_dropped(self):
        stopped = SimulatedEvent()
        playback = Playback(stopped, now_ns=stopped.now_ns)
        playback.wait_until_due(0.0)
        stopped.now_seconds += 0.4
        assert playback.wait_until_due(0.04) is False
        assert playback.wait_until_due(10.0 / 25 + 0.04), "the next frame that is not overdue"

    def test_stop_ends_a_wait(self):
        stopped = threading.Event()
        playback = Playback(stopped)
        playback.wait_until_due(0.0)
        timer = threading.Timer(0.05, stopped.set)
        timer.start()
        started = time.monotonic()
        playback.wait_until_due(9.9)
        assert time.monotonic() - started < 8
        timer.join()
