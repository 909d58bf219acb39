"""Camera times from RTCP sender reports."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.clock import NS_PER_SECOND, CameraTime
from streamseg.capture.rtsp.sender_clock import SenderClock, SenderReport, StampUnwrapper, has_goodbye, parse_rtcp

SECOND = NS_PER_SECOND
NOW_NS = 1_700_000_000 * SECOND
NTP_NOW = 1_700_000_000 + 2_208_988_800
RATE = 90_000


def report(seconds=NTP_NOW, fraction=0, stamp=5, ssrc=7):
    return struct.pack(">BBHIIIIII", 0x80, 200, 6, ssrc, seconds, fraction, stamp, 1, 1)


DESCRIPTION = struct.pack(">BBHI", 0x81, 202, 1, 7)
GOODBYE = struct.pack(">BBHI", 0x81, 203, 1, 7)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(report(), [SenderReport(7, NOW_NS, 5)], id="report"),
        pytest.param(report(fraction=1 << 31), [SenderReport(7, NOW_NS + SECOND // 2, 5)], id="half a second"),
        pytest.param(report(0, 0), [SenderReport(7, 0, 5)], id="no wall clock"),
        pytest.param(report(NTP_NOW + 2**30 + 2**29 - 2**32),
                     [SenderReport(7, NOW_NS + (2**29 + 2**30) * SECOND, 5)], id="after 2036"),
        pytest.param(DESCRIPTION + report(), [SenderReport(7, NOW_NS, 5)], id="compound"),
        pytest.param(report() + DESCRIPTION[:5], [SenderReport(7, NOW_NS, 5)], id="truncated second packet"),
        pytest.param(report()[:27], [], id="truncated"),
        pytest.param(struct.pack(">BBHI", 0x80, 200, 1, 7), [], id="too short a body"),
        pytest.param(b"", [], id="empty"),
        pytest.param(b"\x00" * 28, [], id="version 0"),
    ],
)  # fmt: skip
def test_parse(data, expected):
    assert parse_rtcp(data) == expected


def test_goodbye():
    assert has_goodbye(report() + GOODBYE)
    assert not has_goodbye(report() + DESCRIPTION)
    assert not has_goodbye(b"\xcb")


@given(st.binary(max_size=80))
def test_any_bytes_are_parsed(data):
    parse_rtcp(data)
    has_goodbye(data)


class TestSenderClock:
    def clock(self, *reports):
        clock = SenderClock(RATE)
        for seconds, stamp, *ssrc in reports:
            clock.report(SenderReport(ssrc[0] if ssrc else 7, NOW_NS + round(seconds * SECOND), stamp % 2**32))
        return clock

    def test_no_time_before_the_first_report(self):
        assert SenderClock(RATE).at(5) is None

    @pytest.mark.parametrize(
        ("stamp", "expected_seconds"),
        [
            pytest.param(100, 0, id="of the report"),
            pytest.param(100 + RATE, 1, id="later"),
            pytest.param(100 - RATE, -1, id="earlier, wrapped"),
        ],
    )
    def test_time(self, stamp, expected_seconds):
        assert self.clock((0, 100)).at(stamp % 2**32) == CameraTime(NOW_NS + expected_seconds * SECOND)

    def test_drift_is_followed(self):
        clock = self.clock((0, 0), (10.01, 10 * RATE))
        assert clock.at(10 * RATE) == CameraTime(NOW_NS + round(10.01 * SECOND))

    @pytest.mark.parametrize("step", [3600, -3600, 1.0])
    def test_step_is_reported_once(self, step):
        clock = self.clock((0, 0), (1 + step, RATE), (2 + step, 2 * RATE))
        assert clock.at(3 * RATE) == CameraTime(NOW_NS + round((3 + step) * SECOND), round(step * SECOND))

    def test_steps_add_up(self):
        clock = self.clock((0, 0), (1 + 60, RATE), (2 + 20, 2 * RATE))
        assert clock.at(2 * RATE).stepped_ns == 20 * SECOND

    def test_another_stream_is_no_step(self):
        clock = self.clock((0, 0), (5, 77, 8))
        assert clock.at(77) == CameraTime(NOW_NS + 5 * SECOND)

    def test_report_without_a_wall_clock_is_ignored(self):
        clock = self.clock((0, 100))
        clock.report(SenderReport(7, 0, 900))
        assert clock.at(100) == CameraTime(NOW_NS)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=20))
def test_unwrapped_stamps_continue(first, steps):
    unwrapper, total = StampUnwrapper(), 0
    assert unwrapper.unwrap(first) == 0
    for step in steps:
        total += step
        assert unwrapper.unwrap((first + total) % 2**32) == total
