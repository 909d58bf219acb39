"""RTSP sessions over sockets: authentication, redirects, losses, codecs, cancellation."""

import gc
import socket
import threading
import time
from contextlib import closing

import pytest
from av.video.codeccontext import VideoCodecContext

from streamseg.capture import open_source
from streamseg.capture.rtsp.connection import RtspConnection
from streamseg.capture.rtsp.video import RtspVideo
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from tests.support.camera_site import PASSWORD, Site, rtsp
from tests.support.frames import take
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_camera import RtspCamera, encoded_frames, play
from tests.support.videos import read_number
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


class LossyCamera(RtspCamera):
    """Camera some of whose packets do not arrive, by frame and place."""

    lost: frozenset = frozenset()

    def _packets(self, frame, sequence):
        packets = super()._packets(frame, sequence)
        # An empty text keeps the sequence number of the lost packet.
        return [b"" if (frame, place) in self.lost else packet for place, packet in enumerate(packets)]


@pytest.mark.parametrize(
    ("lost", "delivered", "drops"),
    [
        pytest.param({(4, 1)}, [*range(4), *range(10, 28)], {"packet_loss": 1, "before_keyframe": 5}, id="middle"),
        pytest.param({(4, 0)}, [*range(4), *range(10, 28)], {"packet_loss": 1, "before_keyframe": 5}, id="first"),
        pytest.param({(10, 2)}, [*range(10), *range(20, 28)], {"packet_loss": 1, "before_keyframe": 9}, id="keyframe"),
        pytest.param({(0, 3)}, [*range(10, 28)], {"packet_loss": 1, "before_keyframe": 9}, id="first keyframe"),
        pytest.param(
            {(4, 1), (6, 1)},
            [*range(4), *range(10, 28)],
            {"packet_loss": 2, "before_keyframe": 4},
            id="while waiting for a keyframe",
        ),
    ],
)
def test_nothing_is_decoded_from_a_loss_to_the_next_keyframe(encoded, finished, lost, delivered, drops):
    camera = LossyCamera([play(range(28))], encoded, finished.wait, threading.Event().wait, payload_bytes=200)
    camera.lost = frozenset(lost)
    with LoopbackServer(camera.serve) as server:
        site = Site(server)
        frames = take(site.source.frames(), len(delivered))
        finished.set()
    assert [read_number(frame.image) for frame in frames] == delivered
    assert site.source.drops.snapshot()["capture"] == drops
    assert [frame.index for frame in frames] == delivered, "every missing index is a counted drop"


def test_h265(finished):
    encoded = encoded_frames(28, codec="hevc")
    camera = LossyCamera(
        [play(range(28))], encoded, finished.wait, threading.Event().wait, codec="hevc", payload_bytes=200
    )
    camera.lost = frozenset({(14, 1)})
    with LoopbackServer(camera.serve) as server:
        frames = take(Site(server).source.frames(), 22)
        finished.set()
    assert [read_number(frame.image) for frame in frames] == [*range(14), *range(20, 28)]


@pytest.mark.slow
def test_other_codecs_are_left_to_ffmpeg(encoded, finished, caplog):
    """The camera of this test sends H.264 under a name that only FFmpeg would look at."""

    class OtherCamera(RtspCamera):
        def _description(self):
            return super()._description().replace("H264/90000", "MP4V-ES/90000")

    camera = OtherCamera([play(range(28))], encoded, lambda: None, threading.Event().wait)
    caplog.set_level("INFO")
    with LoopbackServer(camera.serve) as server:
        list(Site(server, reconnect=False).source.frames())
        assert server.num_connections == 2
    assert "camera: read by FFmpeg: video of type MP4V-ES is not H.264 or H.265" in caplog.text


class TestAuthentication:
    CHALLENGES = ('Basic realm="r"', 'Digest realm="r", nonce="1"')

    class Camera(RtspCamera):
        challenge = ""
        accepts = ""

        def _respond(self, connection, method, url, headers):
            if self.accepts in headers.get("authorization", "-"):
                super()._respond(connection, method, url, headers)
                return
            head = f"RTSP/1.0 401 Unauthorized\r\nCSeq: {headers['cseq']}\r\nWWW-Authenticate: {self.challenge}\r\n\r\n"
            connection.sendall(head.encode())

    def camera(self, encoded, finished, challenge, accepts):
        camera = self.Camera([play(range(28))], encoded, finished.wait, threading.Event().wait)
        camera.challenge, camera.accepts = challenge, accepts
        return camera

    @pytest.mark.parametrize(
        ("challenge", "accepts"),
        [
            pytest.param('Basic realm="r"', "Basic YWRtaW46b3Blbi1zZXNhbWU=", id="basic"),
            pytest.param('Digest realm="r", nonce="1"', 'username="admin", realm="r", nonce="1"', id="digest"),
        ],
    )
    def test_user_and_password(self, encoded, finished, challenge, accepts):
        with LoopbackServer(self.camera(encoded, finished, challenge, accepts).serve) as server:
            assert len(take(Site(server).source.frames(), 5)) == 5
            finished.set()

    @pytest.mark.parametrize("challenge", CHALLENGES)
    def test_wrong_password(self, encoded, finished, challenge):
        with LoopbackServer(self.camera(encoded, finished, challenge, "nothing").serve) as server:
            with pytest.raises(SourceError, match="replied 401 Unauthorized") as raised:
                next(Site(server).source.frames())
            finished.set()
        assert PASSWORD not in str(raised.value)


def test_redirect(encoded, finished):
    camera = rtsp(encoded, finished, play(range(28)))

    def redirect(connection):
        reader = connection.makefile("rb")
        while head := reader.readline().decode():
            headers = {}
            while line := reader.readline().decode().strip():
                key, _, value = line.partition(": ")
                headers[key] = value
            status = "200 OK" if head.startswith("OPTIONS") else "302 Moved"
            lines = [f"RTSP/1.0 {status}", f"CSeq: {headers['CSeq']}", f"Location: rtsp://127.0.0.1:{server.port}/live"]
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    with LoopbackServer(camera.serve) as server, LoopbackServer(redirect) as first:
        assert len(take(Site(first).source.frames(), 5)) == 5
        assert first.num_connections == 1
        finished.set()


def test_redirect_in_a_circle_ends(finished):
    def redirect(connection):
        while head := connection.recv(4096).decode():
            cseq = head.partition("CSeq: ")[2].partition("\r")[0]
            location = f"rtsp://127.0.0.1:{server.port}/live"
            connection.sendall(f"RTSP/1.0 302 Moved\r\nCSeq: {cseq}\r\nLocation: {location}\r\n\r\n".encode())

    with LoopbackServer(redirect) as server:
        with pytest.raises(SourceError, match="the camera redirects to another address"):
            next(Site(server).source.frames())
        assert server.num_connections == 4


class TestStop:
    """`stop` ends every wait within 0.2 s, long before its time-out; the margin is for a busy machine."""

    def stopped(self, url, seconds=0.3):
        source = open_source(StreamSource(id="camera", url=url, timeout_seconds=60.0, open_timeout_seconds=60.0))
        timer = threading.Timer(seconds, source.stop)
        timer.start()
        assert len(list(source.frames())) <= 28
        timer.join()
        return time.monotonic()

    @pytest.mark.slow
    def test_while_the_server_says_nothing(self, finished):
        with LoopbackServer(lambda connection: finished.wait()) as server:
            started = time.monotonic()
            assert self.stopped(f"rtsp://127.0.0.1:{server.port}/live") - started < WAIT_SECONDS
            finished.set()

    @pytest.mark.slow
    def test_while_connecting(self):
        """The queue of a listener that accepts nothing is full."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            address = listener.getsockname()
            with socket.create_connection(address), socket.socket() as second:
                second.setblocking(False)
                second.connect_ex(address)
                started = time.monotonic()
                assert self.stopped(f"rtsp://127.0.0.1:{address[1]}/live") - started < WAIT_SECONDS

    @pytest.mark.slow
    def test_during_a_stall(self, encoded, finished):
        camera = rtsp(encoded, finished, play(range(28)))
        with LoopbackServer(camera.serve) as server:
            started = time.monotonic()
            assert self.stopped(f"rtsp://127.0.0.1:{server.port}/live", 1.0) - started < WAIT_SECONDS
            finished.set()


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 40_000, id="web server"),
        pytest.param(b"\x00" * 2_000_000, id="zeros"),
    ],
)
def test_server_of_another_protocol(response, finished):
    def serve(connection):
        connection.sendall(response)
        finished.wait()

    with LoopbackServer(serve) as server:
        with pytest.raises(SourceError, match="sends no RTSP") as raised:
            next(Site(server).source.frames())
        finished.set()
    assert PASSWORD not in str(raised.value)


def test_connections_leave_no_socket_and_no_decoder(encoded):
    camera = RtspCamera([play(range(3))], encoded, lambda: None, threading.Event().wait)
    with LoopbackServer(camera.serve) as server:
        before = held()
        for _ in range(20):
            with closing(
                RtspVideo(
                    f"rtsp://127.0.0.1:{server.port}/live",
                    name="camera",
                    transports=("tcp",),
                    timeout_seconds=10.0,
                    response_seconds=10.0,
                    stopped=threading.Event(),
                )
            ) as video:
                context = video.open()
                assert context.name == "h264"
                next(iter(video.packets()))
        del video, context
        assert held() == before
        clients = [one for one in gc.get_objects() if type(one) is socket.socket and is_client(one, server.port)]
        assert clients == []


def held():
    """Return the numbers of connections and decoders in memory."""
    gc.collect()
    kinds = [type(one) for one in gc.get_objects()]
    return kinds.count(RtspConnection), kinds.count(VideoCodecContext)


def is_client(one, port):
    """Return whether a socket is open and connected to a port."""
    try:
        return one.fileno() >= 0 and one.getpeername()[1] == port
    except OSError:
        return False
