import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.clock import (
    NS_PER_SECOND,
    ArrivalLag,
    CameraClock,
    CameraTime,
    driver_stamp_ns,
    parse_prft,
    wall_ns_at,
)

NOW_NS = 1_700_000_000 * NS_PER_SECOND


def test_wall_ns_at():
    assert wall_ns_at(900, now_monotonic_ns=1000, now_wall_ns=NOW_NS) == NOW_NS - 100


@pytest.mark.parametrize(
    ("side_data", "expected_ns"),
    [
        pytest.param(b"", None, id="before the first sender report"),
        pytest.param(b"\x01\x02\x03", None, id="too short"),
        pytest.param(struct.pack("=q", 0), None, id="zero"),
        pytest.param(struct.pack("=q", -5), None, id="negative"),
        pytest.param(struct.pack("=q", 1_700_000_000_123_456), 1_700_000_000_123_456_000, id="time only"),
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
        pytest.param(-30_000_000, -30_000_000, "camera", id="one frame old"),
        pytest.param(0, 0, "camera", id="now"),
        pytest.param(-10 * SECOND, -10 * SECOND, "camera", id="maximum age"),
        pytest.param(-10 * SECOND - 1, 0, "arrival", id="too old"),
        pytest.param(SECOND // 10, 0, "camera", id="slightly ahead: clamped to now"),
        pytest.param(SECOND // 10 + 1, 0, "arrival", id="ahead"),
        pytest.param(-NOW_NS + 1, 0, "arrival", id="1970"),
        pytest.param(3600 * SECOND, 0, "arrival", id="daylight saving"),
    ],
)
def test_camera_clock(camera_offset_ns, captured_offset_ns, clock):
    camera_clock = CameraClock()
    camera = None if camera_offset_ns is None else CameraTime(NOW_NS + camera_offset_ns)
    assert camera_clock.stamp(camera, NOW_NS, 5) == (-captured_offset_ns, clock)
    rejected = clock == "arrival" and camera_offset_ns is not None
    assert camera_clock.num_rejected == int(rejected)
    assert camera_clock.rejected_offset_ns == (camera_offset_ns if rejected else None)


class Clocks:
    """A camera whose frames arrive 30 ms old, and the wall clocks of both sides, which are wrong by given offsets."""

    LAG_NS = 30_000_000

    def __init__(self):
        self.camera_clock = CameraClock()
        self.camera_ns = self.host_ns = self.stepped_ns = 0

    def step_camera(self, seconds, *, reported=True):
        self.camera_ns += round(seconds * SECOND)
        self.stepped_ns += round(seconds * SECOND) if reported else 0

    def ages_ms(self, *arrivals_seconds):
        """Return the age of frames at their arrival, or None if the camera's clock is not trusted."""
        ages = []
        for seconds in arrivals_seconds:
            monotonic_ns = round(seconds * SECOND)
            camera = CameraTime(NOW_NS + monotonic_ns - self.LAG_NS + self.camera_ns, self.stepped_ns)
            lag_ns, clock = self.camera_clock.stamp(camera, NOW_NS + monotonic_ns + self.host_ns, monotonic_ns)
            ages.append(lag_ns / 1e6 if clock == "camera" else None)
        return ages


class TestSteps:
    """No step of a wall clock changes the age of frames."""

    @pytest.mark.parametrize("step_seconds", [3600, -3600, 5, -5, 0.2])
    def test_of_the_host(self, step_seconds):
        clocks = Clocks()
        assert clocks.ages_ms(1, 2) == [30, 30]
        clocks.host_ns = round(step_seconds * SECOND)
        assert clocks.ages_ms(3, 4) == [30, 30]

    @pytest.mark.parametrize("step_seconds", [3600, -3600, 5, -5, 0.3])
    def test_of_the_camera(self, step_seconds):
        clocks = Clocks()
        clocks.ages_ms(1, 2)
        clocks.step_camera(step_seconds)
        assert clocks.ages_ms(3, 4) == [30, 30]

    @pytest.mark.parametrize("step_seconds", [3600, -3600])
    def test_of_the_camera_that_nothing_reports(self, step_seconds):
        clocks = Clocks()
        clocks.ages_ms(1)
        clocks.step_camera(step_seconds, reported=False)
        assert clocks.ages_ms(2, 3) == [None, None]
        assert clocks.camera_clock.num_rejected == 2

    def test_camera_that_is_set_after_its_start(self):
        """From 1970 to the right time: from then on, it is trusted."""
        clocks = Clocks()
        clocks.camera_ns = -NOW_NS + SECOND
        assert clocks.ages_ms(1) == [None]
        clocks.step_camera((NOW_NS - SECOND) / SECOND)
        assert clocks.ages_ms(2, 3) == [30, 30]

    def test_host_that_is_set_after_its_start(self):
        clocks = Clocks()
        clocks.host_ns = -3600 * SECOND
        assert clocks.ages_ms(1) == [None]
        clocks.host_ns = 0
        assert clocks.ages_ms(2) == [30]

    def test_new_connection(self):
        """A host that was set by 5 s between two connections is right by then."""
        clocks = Clocks()
        clocks.host_ns = 5 * SECOND
        assert clocks.ages_ms(1) == [5030]
        clocks.host_ns = 0
        clocks.camera_clock.reconnected()
        assert clocks.ages_ms(2) == [30]


@given(
    steps=st.lists(st.tuples(st.sampled_from(["host", "camera"]), st.floats(-7200, 7200)), max_size=8),
)
def test_age_never_changes_by_steps(steps):
    clocks = Clocks()
    clocks.ages_ms(1)
    for number, (side, seconds) in enumerate(steps, start=2):
        if side == "host":
            clocks.host_ns += round(seconds * SECOND)
        else:
            clocks.step_camera(seconds)
        assert clocks.ages_ms(number) == [pytest.approx(30, abs=1e-3)]


@pytest.mark.parametrize(
    ("position_ms", "expected_ns"),
    [
        pytest.param(50_000.0 - 33.0, 49_967_000_000, id="V4L2: one frame ago"),
        pytest.param(50_000.0, 50_000_000_000, id="now"),
        pytest.param(50_000.5, None, id="in the future"),
        pytest.param(48_900.0, None, id="more than a second ago"),
        pytest.param(0.0, None, id="no stamp"),
        pytest.param(-1.0, None, id="unknown property"),
        pytest.param(1_700_000_000_000.0, None, id="wall clock"),
    ],
)
def test_driver_stamp(position_ms, expected_ns):
    assert driver_stamp_ns(position_ms, 50 * SECOND) == expected_ns


class TestArrivalLag:
    @staticmethod
    def play(lags, *, lag=None, first=0):
        """Return the lateness of frames at 10 per second that arrive with these lags."""
        lag = lag or ArrivalLag()
        return [
            lag.lateness_seconds(index / 10, index / 10 + seconds) for index, seconds in enumerate(lags, start=first)
        ], lag

    def test_lateness_is_measured_from_the_usual_lag(self):
        lateness, _ = self.play([0.3] * 25 + [0.8, 0.3, 0.1])
        assert lateness == pytest.approx([0.0] * 25 + [0.5, 0.0, 0.0], abs=2e-3)

    def test_no_frame_is_late_in_the_first_two_seconds(self):
        lateness, _ = self.play([0.0, 0.9, 0.3, 0.7, 0.5])
        assert lateness == [0.0] * 5

    def test_initial_burst_does_not_set_the_usual_lag(self):
        """A server may send the first frames half a second early."""
        lateness, _ = self.play([-0.5, -0.5, -0.4, -0.3] + [0.0] * 60)
        assert max(lateness) < 0.01

    def test_single_wrong_stamp_does_not_set_the_usual_lag(self):
        lateness, _ = self.play([0.0] * 20 + [-5.0] + [0.0] * 60)
        assert max(lateness) < 0.01

    def test_increased_latency_stays_late_until_it_counts_as_a_new_time_line(self):
        lateness, lag = self.play([0.0] * 25 + [1.0] * 30)
        assert min(lateness[25:]) > 0.9
        assert self.play([40.0] * 3, lag=lag, first=55)[0] == [0.0] * 3

    def test_frame_without_a_stamp_is_not_late(self):
        _, lag = self.play([0.0] * 30)
        assert lag.lateness_seconds(None, 60.0) == 0.0

    def test_restarted_time_line(self):
        lag = ArrivalLag()
        lag.lateness_seconds(1000.0, 50.0)
        assert [lag.lateness_seconds(index / 10, 50.1 + index / 10) for index in range(40)] == pytest.approx([0.0] * 40)

    def test_clock_drift_does_not_accumulate(self):
        """A drift of 200 ppm is 0.72 s per hour; the lateness stays near 0."""
        lag = ArrivalLag()
        worst = max(lag.lateness_seconds(step / 2, 50.0 + step / 2 * 1.0002) for step in range(7200))
        assert worst < 2e-3

    @pytest.mark.slow
    @given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 0.2)), min_size=1, max_size=50))
    def test_lateness_is_never_negative(self, steps):
        lag, now = ArrivalLag(), 0.0
        for stamp, waited in steps:
            now += waited
            assert lag.lateness_seconds(stamp, now) >= 0.0
