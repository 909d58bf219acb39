import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.clock import (
    NS_PER_SECOND,
    ArrivalLag,
    Backlog,
    CameraClock,
    PtsPace,
    driver_stamp_ns,
    parse_prft,
    wall_ns_at,
)

NOW_NS = 1_700_000_000 * NS_PER_SECOND


def test_wall_clock_of_a_monotonic_moment():
    assert wall_ns_at(900, now_monotonic_ns=1000, now_wall_ns=NOW_NS) == NOW_NS - 100


@pytest.mark.parametrize(
    ("side_data", "expected_ns"),
    [
        pytest.param(b"", None, id="before the first sender report"),
        pytest.param(b"\x01\x02\x03", None, id="too short"),
        pytest.param(struct.pack("=q", 0), None, id="zero"),
        pytest.param(struct.pack("=q", -5), None, id="negative"),
        pytest.param(struct.pack("=q", 1_700_000_000_123_456), 1_700_000_000_123_456_000, id="time alone"),
        pytest.param(struct.pack("=qi4x", 1_700_000_000_123_456, 24), 1_700_000_000_123_456_000, id="time and flags"),
    ],
)
def test_parse_prft(side_data, expected_ns):
    assert parse_prft(side_data) == expected_ns


SECOND = NS_PER_SECOND


@pytest.mark.parametrize(
    ("camera_offset_ns", "captured_offset_ns", "clock"),
    [
        pytest.param(None, 0, "arrival", id="no camera time"),
        pytest.param(-30_000_000, -30_000_000, "camera", id="a frame old"),
        pytest.param(0, 0, "camera", id="now"),
        pytest.param(-10 * SECOND, -10 * SECOND, "camera", id="as old as may be"),
        pytest.param(-10 * SECOND - 1, 0, "arrival", id="too old"),
        pytest.param(SECOND // 10, 0, "camera", id="a little ahead: never in the future"),
        pytest.param(SECOND // 10 + 1, 0, "arrival", id="ahead"),
        pytest.param(-NOW_NS + 1, 0, "arrival", id="1970"),
        pytest.param(3600 * SECOND, 0, "arrival", id="daylight saving"),
    ],
)
def test_camera_clock(camera_offset_ns, captured_offset_ns, clock):
    camera_clock = CameraClock()
    camera_ns = None if camera_offset_ns is None else NOW_NS + camera_offset_ns
    assert camera_clock.stamp(camera_ns, NOW_NS) == (NOW_NS + captured_offset_ns, clock)
    rejected = clock == "arrival" and camera_offset_ns is not None
    assert camera_clock.num_rejected == int(rejected)
    assert camera_clock.rejected_offset_ns == (camera_offset_ns if rejected else None)


@pytest.mark.parametrize(
    ("position_ms", "expected_ns"),
    [
        pytest.param(50_000.0 - 33.0, 49_967_000_000, id="V4L2: a frame ago"),
        pytest.param(50_000.0, 50_000_000_000, id="now"),
        pytest.param(50_000.5, None, id="the future"),
        pytest.param(48_900.0, None, id="over a second ago"),
        pytest.param(0.0, None, id="no stamp"),
        pytest.param(-1.0, None, id="unknown property"),
        pytest.param(1_700_000_000_000.0, None, id="wall clock"),
    ],
)
def test_driver_stamp(position_ms, expected_ns):
    assert driver_stamp_ns(position_ms, 50 * SECOND) == expected_ns


class TestPtsPace:
    def test_even_time_line(self):
        pace = PtsPace()
        assert pace.due_seconds(0.0, 100.0) == 100.0
        assert pace.due_seconds(0.04, 100.01) == pytest.approx(100.04)
        assert pace.due_seconds(0.08, 100.2) == pytest.approx(100.08), "a little late: the time line stays"

    @pytest.mark.parametrize(
        ("pts_seconds", "now_seconds", "expected"),
        [
            pytest.param(None, 105.0, 105.0, id="no stamp: at once"),
            pytest.param(2.0, 101.0, 101.0, id="backwards: a new start"),
            pytest.param(15.1, 101.0, 101.0, id="a gap of more than 10 s: a new start"),
            pytest.param(15.0, 101.0, 110.0, id="a gap of 10 s: played out"),
            pytest.param(5.5, 101.6, 101.6, id="over a second behind: a new start"),
            pytest.param(5.0, 100.5, 100.0, id="the same stamp again: due already"),
        ],
    )
    def test_second_picture(self, pts_seconds, now_seconds, expected):
        pace = PtsPace()
        pace.due_seconds(5.0, 100.0)
        assert pace.due_seconds(pts_seconds, now_seconds) == pytest.approx(expected)

    def test_a_new_start_holds_for_what_follows(self):
        pace = PtsPace()
        pace.due_seconds(5.0, 100.0)
        pace.due_seconds(0.0, 110.0)
        assert pace.due_seconds(0.5, 110.1) == pytest.approx(110.5)

    def test_a_picture_without_a_stamp_changes_nothing(self):
        pace = PtsPace()
        pace.due_seconds(0.0, 100.0)
        pace.due_seconds(None, 100.5)
        assert pace.due_seconds(1.0, 100.6) == pytest.approx(101.0)


class TestArrivalLag:
    @staticmethod
    def play(lags, *, lag=None, first=0):
        """Lateness of pictures at 10 per second that arrive with these lags."""
        lag = lag or ArrivalLag()
        return [
            lag.lateness_seconds(index / 10, index / 10 + seconds) for index, seconds in enumerate(lags, start=first)
        ], lag

    def test_late_by_what_is_over_the_usual(self):
        lateness, _ = self.play([0.3] * 25 + [0.8, 0.3, 0.1])
        assert lateness == pytest.approx([0.0] * 25 + [0.5, 0.0, 0.0], abs=2e-3)

    def test_nothing_is_late_in_the_first_two_seconds(self):
        lateness, _ = self.play([0.0, 0.9, 0.3, 0.7, 0.5])
        assert lateness == [0.0] * 5

    def test_a_burst_at_the_beginning_is_not_the_usual(self):
        """A server that sends the first pictures half a second early."""
        lateness, _ = self.play([-0.5, -0.5, -0.4, -0.3] + [0.0] * 60)
        assert max(lateness) < 0.01

    def test_a_single_wrong_stamp_is_not_the_usual(self):
        lateness, _ = self.play([0.0] * 20 + [-5.0] + [0.0] * 60)
        assert max(lateness) < 0.01

    def test_a_longer_way_stays_late_until_it_counts_as_a_new_time_line(self):
        lateness, lag = self.play([0.0] * 25 + [1.0] * 30)
        assert min(lateness[25:]) > 0.9
        assert self.play([40.0] * 3, lag=lag, first=55)[0] == [0.0] * 3

    def test_no_stamp_is_in_time(self):
        _, lag = self.play([0.0] * 30)
        assert lag.lateness_seconds(None, 60.0) == 0.0

    def test_a_time_line_that_starts_again(self):
        lag = ArrivalLag()
        lag.lateness_seconds(1000.0, 50.0)
        assert [lag.lateness_seconds(index / 10, 50.1 + index / 10) for index in range(40)] == pytest.approx([0.0] * 40)

    def test_clocks_that_run_apart_do_not_add_up(self):
        """200 ppm over an hour are 0.72 s; lateness stays near 0."""
        lag = ArrivalLag()
        worst = max(lag.lateness_seconds(step / 2, 50.0 + step / 2 * 1.0002) for step in range(7200))
        assert worst < 2e-3

    @given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 0.2)), min_size=1, max_size=50))
    def test_never_negative(self, steps):
        lag, now = ArrivalLag(), 0.0
        for stamp, waited in steps:
            now += waited
            assert lag.lateness_seconds(stamp, now) >= 0.0


class TestBacklog:
    @pytest.mark.parametrize(
        ("lateness_seconds", "waited_seconds", "elapsed_seconds", "left_out"),
        [
            pytest.param(0.0, 0.0, 0.03, False, id="in time"),
            pytest.param(0.25, 0.0, 0.03, False, id="at the bound"),
            pytest.param(0.3, 0.0, 0.03, True, id="late, and more are queued"),
            pytest.param(0.3, 0.03, 0.03, False, id="late, but it had to be waited for: the newest there is"),
            pytest.param(9.0, 0.0, 0.5, False, id="nothing was shown for half a second"),
        ],
    )
    def test_one_picture(self, lateness_seconds, waited_seconds, elapsed_seconds, left_out):
        backlog = Backlog()
        assert not backlog.leaves_out(lateness_seconds=0.0, waited_seconds=0.03, now_seconds=10.0)
        answer = backlog.leaves_out(
            lateness_seconds=lateness_seconds, waited_seconds=waited_seconds, now_seconds=10.0 + elapsed_seconds
        )
        assert answer is left_out

    def test_the_first_picture_is_always_shown(self):
        assert not Backlog().leaves_out(lateness_seconds=5.0, waited_seconds=0.0, now_seconds=1.0)

    def test_a_reader_that_is_always_too_slow_does_not_go_dark(self):
        backlog = Backlog()
        kept = [
            step
            for step in range(200)
            if not backlog.leaves_out(lateness_seconds=1.0 + step, waited_seconds=0.0, now_seconds=step * 0.05)
        ]
        assert max(b - a for a, b in pairwise(kept)) * 0.05 <= 0.55
