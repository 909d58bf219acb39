"""What follows a failed connection."""

import errno

import av.error
import pytest

from streamseg.capture.health import SourceHealth
from streamseg.capture.reconnection import Failure, Reconnection, failure_of
from streamseg.config import StreamSource
from streamseg.errors import SourceError


def ffmpeg(kind, number):
    return kind(number, "reason", "rtsp://admin:secret@host/live")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        pytest.param(None, "lost", "the stream ended", id="end"),
        pytest.param(ffmpeg(av.error.ConnectionRefusedError, errno.ECONNREFUSED), "unreachable", "reason", id="off"),
        pytest.param(ffmpeg(av.error.OSError, errno.EHOSTUNREACH), "unreachable", "reason", id="no-route"),
        pytest.param(ffmpeg(av.error.OSError, errno.EIO), "unreachable", "reason", id="no-such-host"),
        pytest.param(ffmpeg(av.error.TimeoutError, errno.ETIMEDOUT), "silent", "reason", id="silent"),
        pytest.param(TimeoutError(errno.ETIMEDOUT, "no response"), "silent", "no response", id="silent-rtsp"),
        pytest.param(ffmpeg(av.error.ConnectionResetError, errno.ECONNRESET), "lost", "reason", id="reset"),
        pytest.param(ffmpeg(av.error.InvalidDataError, 1094995529), "lost", "reason", id="garbage"),
        pytest.param(ffmpeg(av.error.HTTPUnauthorizedError, 401), "denied", "reason", id="password"),
        pytest.param(ffmpeg(av.error.HTTPNotFoundError, 404), "denied", "reason", id="path"),
        pytest.param(ffmpeg(av.error.HTTPServerError, 503), "lost", "reason", id="server-error"),
        pytest.param(ffmpeg(av.error.ProtocolNotFoundError, 1330794744), "impossible", "reason", id="protocol"),
        pytest.param(SourceError("x contains no video"), "denied", "x contains no video", id="no-video"),
    ],
)
def test_kind_and_reason(error, kind, reason):
    assert failure_of(error) == Failure(kind, reason)


class Delays:
    """Records the delays instead of waiting; in place of the event that ends them, and of the clock."""

    def __init__(self):
        self.seconds = []
        self.now = 1000.0

    def wait(self, seconds):
        self.seconds.append(round(seconds, 6))
        return False

    def clock(self):
        return self.now


def reconnection(*, gives_up=False, **values):
    section = StreamSource(id="cam", url="rtsp://admin:secret@host/live", **values)
    health, delays = SourceHealth(), Delays()
    made = Reconnection(section, health, delays, gives_up=gives_up, random=lambda: 0.5, clock=delays.clock)
    return made, health, delays


@pytest.mark.parametrize(
    ("kind", "delays", "state"),
    [
        pytest.param("unreachable", [0.25] * 6, "waiting", id="unreachable"),
        pytest.param("silent", [0.25] * 6, "waiting", id="silent"),
        pytest.param("lost", [0.5, 1, 2, 4, 8, 10], "waiting", id="lost"),
        pytest.param("denied", [10, 20, 40, 60, 60, 60], "denied", id="denied"),
    ],
)
def test_delays_and_state(kind, delays, state, caplog):
    one, health, waited = reconnection()
    for _ in delays:
        one.connecting()
        one.wait(Failure(kind, "the reason"))
    assert waited.seconds == delays
    status = health.status(2**62)
    assert (status.state, status.error) == (state, "no connection to rtsp://***@host/live (the reason)")
    assert len(caplog.records) == 1, "the same reason is logged once a minute"
    assert "secret" not in caplog.text


def test_a_camera_that_restarts_is_found_within_a_second():
    """Refused attempts in between do not lengthen the delay after the next loss."""
    one, _, waited = reconnection()
    for start in range(0, 400, 20):
        one.received(float(start))
        one.wait(Failure("lost", "the stream ended"))
        for _ in range(3):
            one.wait(Failure("unreachable", "Connection refused"))
    assert set(waited.seconds) == {0.5, 0.25}


def test_attempt_in_a_half_open_network_ends_soon():
    """Bug: it waited for `timeout_seconds`, and then for seconds of delay, while the camera was back already."""
    one, _, delays = reconnection(timeout_seconds=5.0)
    assert one.response_seconds == 5.0, "a camera that has never delivered may need long"
    one.connecting()
    one.received(delays.now)
    one.wait(Failure("silent", "no data for 5 s"))
    limits = []
    for _ in range(5):
        one.connecting()
        limits.append(one.response_seconds)
        delays.now += limits[-1]
        one.wait(Failure("silent", "no response"))
    assert limits == [0.75, 1.5, 3.0, 5.0, 5.0]
    assert delays.seconds == [0.25] * 6
    one.connecting()
    one.received(delays.now)
    assert one.response_seconds == 0.75


def test_each_new_reason_is_logged(caplog):
    one, _, _ = reconnection()
    for reason in ("a", "a", "b", "a"):
        one.wait(Failure("unreachable", reason))
    assert [record.message.split("(")[1][0] for record in caplog.records] == ["a", "b", "a"]
    assert {record.source for record in caplog.records} == {"cam"}


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        pytest.param({"gives_up": True}, "denied", "cannot be opened: why; check the address", id="denied"),
        pytest.param(
            {"gives_up": True, "open_timeout_seconds": 1e-6}, "lost", "did not respond within 1e-06 s", id="late"
        ),
        pytest.param({"reconnect": False}, "unreachable", "did not respond within 10 s", id="without-reconnection"),
        pytest.param({}, "impossible", "cannot be opened: why", id="impossible-even-if-it-never-gives-up"),
    ],
)
def test_giving_up(settings, kind, message):
    one, _, waited = reconnection(**settings)
    waited.now += 0.001
    with pytest.raises(SourceError, match=message) as raised:
        one.wait(Failure(kind, "why"))
    assert waited.seconds == []
    assert "secret" not in str(raised.value)


def test_a_stream_that_was_received_is_never_given_up():
    one, health, waited = reconnection(gives_up=True, open_timeout_seconds=1e-6)
    one.received(0.0)
    for kind in ("lost", "denied", "unreachable"):
        one.wait(Failure(kind, "why"))
    assert waited.seconds == [0.5, 10.0, 0.25]
    assert health.status(2**62).error == "connection lost to rtsp://***@host/live (why)"


@pytest.mark.parametrize(
    ("gives_up", "received", "seconds"),
    [
        pytest.param(False, False, 5.0, id="waits"),
        pytest.param(True, False, 2.0, id="limited-by-the-opening"),
        pytest.param(True, True, 5.0, id="received"),
    ],
)
def test_time_out_of_an_attempt(gives_up, received, seconds):
    one, _, _ = reconnection(gives_up=gives_up, open_timeout_seconds=2.0)
    if received:
        one.received(0.0)
    assert one.connecting() == pytest.approx(seconds, abs=0.5)
