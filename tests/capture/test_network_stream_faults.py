"""Cameras that disconnect, return, stay silent or do not exist."""

import threading
import time
import traceback

import pytest

from streamseg.capture import open_source
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from tests.support.camera_site import PASSWORD, Site, rtsp
from tests.support.frames import take
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_camera import RtspCamera, encoded_frames, play
from tests.support.videos import write_video
from tests.support.waiting import WAIT_SECONDS


@pytest.fixture(scope="module")
def encoded():
    """28 encoded frames, a keyframe every 10."""
    return encoded_frames(28)


@pytest.fixture
def finished():
    """Event that ends all waits of the server at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.slow
def test_reconnect(encoded, caplog):
    """The camera restarts: each connection ends after ten frames; the source reconnects and continues the index."""
    camera = RtspCamera([play(range(10))], encoded, lambda: None, threading.Event().wait)
    with LoopbackServer(camera.serve) as server:
        site = Site(server)
        frames = site.source.frames()
        started = time.monotonic()
        taken = take(frames, 15)
        elapsed_seconds = time.monotonic() - started
        site.source.stop()
        frames.close()
    assert [frame.index for frame in taken] == list(range(15))
    assert camera.num_played == 2
    assert elapsed_seconds >= 0.4, "half a second of delay"
    assert "camera: connection lost to rtsp://***@127.0.0.1" in caplog.text
    assert "next try in 0." in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.slow
def test_size_may_change_after_reconnecting(encoded):
    small, large = encoded, encoded_frames(10, size=(192, 256))
    cameras = [RtspCamera([play(range(10))], which, lambda: None, threading.Event().wait) for which in (small, large)]
    with LoopbackServer(lambda connection: cameras[min(server.num_connections, 2) - 1].serve(connection)) as server:
        frames = Site(server).source.frames()
        sizes = [frame.size for frame in take(frames, 14)]
        frames.close()
    assert sizes[:9] == [(96, 128)] * 9
    assert sizes[-4:] == [(192, 256)] * 4


@pytest.mark.slow
def test_silent_connection_is_closed_and_reopened(encoded, finished):
    """No data arrives and no error is reported: the time-out detects it."""
    camera = rtsp(encoded, finished, play(range(10)))
    with LoopbackServer(camera.serve) as server:
        site = Site(server, timeout_seconds=1.0)
        frames = site.source.frames()
        taken = take(frames, 15)
        assert len(taken) == 15
        assert camera.num_played == 2
        site.source.stop()
        finished.set()
        assert list(frames) == []


@pytest.mark.slow
def test_slow_reader_is_not_taken_for_a_silent_camera(encoded, finished):
    """Bug: the silence began when a packet arrived, not when it had been processed."""
    camera = rtsp(encoded, finished, play(range(4)))
    with LoopbackServer(camera.serve) as server:
        site = Site(server, timeout_seconds=2.0)
        frames = site.source.frames()
        take(frames, 2)
        threading.Event().wait(2.1)
        timer = threading.Timer(1.0, site.source.stop)
        timer.start()
        list(frames)
        timer.join()
        finished.set()
    assert camera.num_played == 1


@pytest.mark.slow
def test_missing_camera_is_retried_every_half_second(encoded, caplog):
    camera = RtspCamera([play(range(10))], encoded, lambda: None, threading.Event().wait)
    with LoopbackServer(camera.serve) as server:
        site = Site(server)
        frames = site.source.frames()
        take(frames, 9)
    timer = threading.Timer(1.6, site.source.stop)
    timer.start()
    rest = list(frames)
    assert len(rest) <= 1
    timer.join()
    assert [record.message.split(" (")[1].split(")")[0] for record in caplog.records] == [
        "the stream ended",
        "Connection refused",
    ], "the same reason is logged once a minute"


@pytest.mark.slow
def test_camera_that_is_absent_at_start_is_awaited(encoded):
    with LoopbackServer(lambda connection: None) as server:
        pass
    source = open_source(
        StreamSource(id="camera", url=f"rtsp://127.0.0.1:{server.port}/live", open_timeout_seconds=0.1), gives_up=False
    )
    delivered = threading.Event()

    def read():
        for _ in source.frames():
            delivered.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert not delivered.wait(0.8), "longer than open_timeout_seconds"
    assert source.health.status(time.monotonic_ns()).state in ("waiting", "connecting")
    camera = RtspCamera([play(range(10))], encoded, lambda: None, threading.Event().wait)
    with LoopbackServer(camera.serve, port=server.port):
        assert delivered.wait(WAIT_SECONDS)
        source.stop()
        reader.join()


@pytest.mark.slow
@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found"])
def test_denied_is_a_state_of_a_source_that_does_not_give_up(status, encoded, finished):
    camera = rtsp(encoded, finished, [], status=status)
    with LoopbackServer(camera.serve) as server:
        source = open_source(
            StreamSource(id="camera", url=f"rtsp://admin:{PASSWORD}@127.0.0.1:{server.port}/live"), gives_up=False
        )
        reader = threading.Thread(target=lambda: list(source.frames()))
        reader.start()
        while (health := source.health.status(time.monotonic_ns())).state != "denied":
            threading.Event().wait(0.01)
        threading.Event().wait(1.0)
        assert server.num_connections == 1, "retried slowly"
        source.stop()
        reader.join(WAIT_SECONDS)
        assert not reader.is_alive()
    assert status[:3] in health.error
    assert PASSWORD not in health.error


class TestNoResponse:
    def error_of(self, server, **values):
        site = Site(server, **values)
        started = time.monotonic()
        with pytest.raises(SourceError) as raised:
            next(site.source.frames())
        text = "".join(traceback.format_exception(raised.value))
        assert PASSWORD not in text
        assert raised.value.__context__ is None, "the cause contains the password"
        assert "\n" not in str(raised.value)
        return str(raised.value), time.monotonic() - started

    @pytest.mark.slow
    @pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
    def test_silence(self, scheme, finished):
        with LoopbackServer(lambda connection: finished.wait()) as server:
            message, seconds = self.error_of(server, scheme=scheme, open_timeout_seconds=0.5)
            finished.set()
        assert f"{scheme}://***@127.0.0.1:{server.port}/live did not respond within 0.5 s" in message
        assert 0.4 < seconds < WAIT_SECONDS

    @pytest.mark.slow
    def test_protocol_without_a_time_out_of_its_own(self, finished):
        with LoopbackServer(lambda connection: finished.wait()) as server:
            message, seconds = self.error_of(server, scheme="ftp", open_timeout_seconds=0.5)
            finished.set()
        assert "ftp://***@" in message
        assert seconds < WAIT_SECONDS

    @pytest.mark.slow
    def test_refused(self):
        with LoopbackServer(lambda connection: None) as server:
            pass
        message, seconds = self.error_of(server, open_timeout_seconds=0.7)
        assert "last error: Connection refused" in message
        assert 0.6 < seconds < WAIT_SECONDS, "retried until then"

    def test_refused_without_reconnect(self):
        with LoopbackServer(lambda connection: None) as server:
            pass
        message, seconds = self.error_of(server, reconnect=False, open_timeout_seconds=60.0)
        assert "Connection refused" in message
        assert seconds < WAIT_SECONDS

    @pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found"])
    def test_permanent_error(self, status, encoded, finished):
        camera = rtsp(encoded, finished, [], status=status)
        with LoopbackServer(camera.serve) as server:
            message, seconds = self.error_of(server, open_timeout_seconds=60.0)
        assert "cannot be opened" in message
        assert status[:3] in message
        assert seconds < WAIT_SECONDS, "immediately, not after open_timeout_seconds"

    def test_unknown_protocol(self):
        source = open_source(StreamSource(id="camera", url="nonsense://camera/live"))
        with pytest.raises(SourceError, match="nonsense://camera/live cannot be opened: Protocol not found"):
            next(source.frames())

    def test_stop_while_disconnected(self):
        with LoopbackServer(lambda connection: None) as server:
            pass
        site = Site(server, open_timeout_seconds=60.0)
        timer = threading.Timer(0.1, site.source.stop)
        timer.start()
        started = time.monotonic()
        assert list(site.source.frames()) == []
        assert time.monotonic() - started < WAIT_SECONDS
        timer.join()


def test_stream_that_ends_without_reconnect(encoded):
    camera = RtspCamera([play(range(10))], encoded, lambda: None, threading.Event().wait)
    with LoopbackServer(camera.serve) as server:
        frames = list(Site(server, reconnect=False).source.frames())
    assert 9 <= len(frames) <= 10


@pytest.mark.slow
def test_stream_that_is_lost_without_reconnect_is_an_error(finished, tmp_path):
    content = write_video(tmp_path / "video.ts", 28).read_bytes()

    def serve(connection):
        connection.sendall(content)
        finished.wait()

    with LoopbackServer(serve) as server:
        site = Site(server, scheme="tcp", reconnect=False, timeout_seconds=0.4)
        with pytest.raises(SourceError, match=r"connection lost to tcp://\*\*\*@127\.0\.0\.1:\d+/live: ") as raised:
            list(site.source.frames())
        finished.set()
    assert raised.value.__context__ is None
