"""The client side of RTSP sessions, without sockets."""

import pytest

from streamseg.capture.rtsp.authentication import Authenticator, Credentials
from streamseg.capture.rtsp.description import UnsupportedStreamError
from streamseg.capture.rtsp.session import Media, RedirectError, RefusedError, RtspSession, split_address
from streamseg.errors import SourceError

SDP = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
URL = "rtsp://camera/live"
TCP = {"Session": "12;timeout=20", "Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}


class Server:
    """Peer of a session: keeps the requests, and responds as scripted."""

    def __init__(self, *, transports=("tcp",), url=URL, public="OPTIONS, GET_PARAMETER"):
        self.num_ports_opened = 0
        self.public = public
        address = split_address(url)
        self.session = RtspSession(
            address,
            name="rtsp://***@camera",
            transports=transports,
            open_ports=self.open_ports,
            authenticator=Authenticator(address.credentials, new_nonce=lambda: "n"),
        )
        self.session.start(100.0)
        self.requests = []
        self.collect()

    def open_ports(self):
        self.num_ports_opened += 1
        return 5000, 5001

    def collect(self):
        for text in self.session.outgoing().decode().split("\r\n\r\n")[:-1]:
            first, *lines = text.split("\r\n")
            self.requests.append((first, dict(line.split(": ", 1) for line in lines)))

    @property
    def methods(self):
        return [first.split()[0] for first, _ in self.requests]

    def respond(self, status="200 OK", body="", cseq=None, **headers):
        cseq = self.requests[-1][1]["CSeq"] if cseq is None else cseq
        lines = [
            f"RTSP/1.0 {status}",
            f"CSeq: {cseq}",
            *(f"{key.replace('_', '-')}: {v}" for key, v in headers.items()),
        ]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        media = list(self.session.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode()))
        self.collect()
        return media

    def describe(self, body=SDP, **headers):
        self.respond(Public=self.public)
        self.respond(body=body, **headers)
        return self

    def play(self, **setup):
        self.describe()
        self.respond(**(setup or TCP))
        self.respond()
        return self


def test_course_of_a_session():
    server = Server().play()
    assert [first for first, _ in server.requests] == [
        "OPTIONS rtsp://camera/live RTSP/1.0",
        "DESCRIBE rtsp://camera/live RTSP/1.0",
        "SETUP rtsp://camera/live/track1 RTSP/1.0",
        "PLAY rtsp://camera/live RTSP/1.0",
    ]
    assert [headers["CSeq"] for _, headers in server.requests] == ["1", "2", "3", "4"]
    assert server.requests[2][1]["Transport"] == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert server.requests[3][1]["Session"] == "12"
    assert server.session.is_playing
    assert server.session.track.codec == "h264"
    assert not server.num_ports_opened


def test_content_base_is_respected():
    server = Server().describe(Content_Base="rtsp://10.0.0.1/other/")
    assert server.requests[-1][0] == "SETUP rtsp://10.0.0.1/other/track1 RTSP/1.0"


@pytest.mark.parametrize(
    ("transport", "channels"),
    [
        pytest.param("RTP/AVP/TCP;unicast;interleaved=0-1", (0, 1), id="as requested"),
        pytest.param("RTP/AVP/TCP;interleaved=4-5;ssrc=1", (4, 5), id="others"),
        pytest.param("RTP/AVP/TCP;interleaved=6", (6, 7), id="one number"),
        pytest.param("", (0, 1), id="not declared"),
    ],
)
def test_channels(transport, channels):
    server = Server().play(Session="1", Transport=transport)
    data = b"".join(bytes([ord("$"), channel, 0, 1, channel]) for channel in (*channels, 9))
    assert list(server.session.receive(data)) == [
        Media(False, bytes([channels[0]])),
        Media(True, bytes([channels[1]])),
    ]


def test_keep_alive():
    server = Server().play()
    assert server.session.keep_alive_seconds == 110.0
    server.session.keep_alive(110.0)
    server.collect()
    assert server.requests[-1][0] == "GET_PARAMETER rtsp://camera/live RTSP/1.0"
    assert server.session.keep_alive_seconds == 120.0
    server.respond("500 Whatever")
    assert server.session.is_playing, "of no consequence"


def test_keep_alive_without_get_parameter():
    server = Server(public="OPTIONS").play(Session="1")
    assert server.session.keep_alive_seconds == 130.0, "half a minute by default"
    server.session.keep_alive(130.0)
    server.collect()
    assert server.methods[-1] == "OPTIONS"


def test_end():
    server = Server()
    server.session.tear_down()
    assert server.session.outgoing() == b"", "nothing to end yet"
    server.play()
    server.session.tear_down()
    server.collect()
    assert server.methods[-1] == "TEARDOWN"


@pytest.mark.parametrize("status", ["404 Not Found", "501 Not Implemented", "454 Session Not Found"])
def test_options_are_optional(status):
    server = Server()
    server.respond(status)
    assert server.methods == ["OPTIONS", "DESCRIBE"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param("401 Unauthorized", "the camera replied 401 Unauthorized to DESCRIBE", id="401"),
        pytest.param("404 Not Found", "the camera replied 404 Not Found to DESCRIBE", id="404"),
        pytest.param("503 Service Unavailable", "the camera replied 503 Service Unavailable to DESCRIBE", id="503"),
        pytest.param("400", "the camera replied 400 to DESCRIBE", id="no reason"),
        pytest.param("302 Moved", "the camera replied 302 Moved to DESCRIBE", id="redirect to nowhere"),
    ],
)
def test_refused(status, message):
    server = Server()
    server.respond()
    with pytest.raises(RefusedError) as raised:
        server.respond(status)
    assert str(raised.value) == message
    assert raised.value.status == int(status[:3])


def test_redirect():
    server = Server()
    server.respond()
    with pytest.raises(RedirectError) as raised:
        server.respond("302 Moved", Location="rtsp://other/live")
    assert raised.value.url == "rtsp://other/live"


class TestAuthentication:
    URL = "rtsp://admin:a%40b@camera/live"

    def test_challenge_is_answered(self):
        server = Server(url=self.URL)
        server.respond("401 Unauthorized", WWW_Authenticate='Digest realm="r", nonce="1"')
        assert server.methods == ["OPTIONS", "OPTIONS"]
        assert (
            'username="admin", realm="r", nonce="1", uri="rtsp://camera/live"'
            in server.requests[-1][1]["Authorization"]
        )
        server.play()
        assert all("Authorization" in headers for _, headers in server.requests[1:])
        assert "a@b" not in str(server.requests)

    def test_wrong_password(self):
        server = Server(url=self.URL)
        server.respond("401 Unauthorized", WWW_Authenticate='Basic realm="r"')
        with pytest.raises(RefusedError, match="401"):
            server.respond("401 Unauthorized", WWW_Authenticate='Basic realm="r"')

    def test_nonce_expires_while_playing(self):
        server = Server(url=self.URL)
        server.respond("401 Unauthorized", WWW_Authenticate='Digest realm="r", nonce="1"')
        server.play()
        server.session.keep_alive(200.0)
        server.collect()
        server.respond("401 Unauthorized", WWW_Authenticate='Digest realm="r", nonce="2", stale=true')
        assert 'nonce="2"' in server.requests[-1][1]["Authorization"]


UDP = {"Session": "1", "Transport": "RTP/AVP;unicast;client_port=5000-5001;server_port=6970-6971"}


class TestTransport:
    def test_udp(self):
        server = Server(transports=("udp",)).play(**UDP)
        assert server.requests[2][1]["Transport"] == "RTP/AVP;unicast;client_port=5000-5001"
        assert server.session.server_ports == (6970, 6971)

    def test_udp_if_tcp_is_not_supported(self):
        server = Server(transports=("tcp", "udp")).describe()
        server.respond("461 Unsupported Transport")
        server.respond(**UDP)
        server.respond()
        assert server.methods[2:] == ["SETUP", "SETUP", "PLAY"]
        assert server.session.is_playing
        assert server.session.transport == "udp"

    def test_no_other_transport(self):
        server = Server(transports=("tcp",)).describe()
        with pytest.raises(RefusedError, match="461"):
            server.respond("461 Unsupported Transport")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param("m=audio 0 RTP/AVP 8\r\n", SourceError, id="no video"),
        pytest.param("m=video 0 RTP/AVP 26\r\n", UnsupportedStreamError, id="other codec"),
    ],
)
def test_unusable_description(body, error):
    with pytest.raises(error):
        Server().describe(body)


def test_response_to_an_earlier_request_is_ignored():
    server = Server()
    server.respond(cseq=77)
    assert server.methods == ["OPTIONS"]


def test_preliminary_response():
    server = Server()
    server.respond("100 Continue")
    server.respond()
    assert server.methods == ["OPTIONS", "DESCRIBE"]


def test_request_of_the_server_receives_a_response():
    server = Server().play()
    list(server.session.receive(b"OPTIONS rtsp://x RTSP/1.0\r\nCSeq: 5\r\n\r\n"))
    assert server.session.outgoing() == b"RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("rtsp://a/b?c=1", ("rtsp://a/b?c=1", "a", 554, None), id="plain"),
        pytest.param("rtsp://u:p@a:8554/b", ("rtsp://a:8554/b", "a", 8554, Credentials("u", "p")), id="everything"),
        pytest.param("rtsp://u@a/b", ("rtsp://a/b", "a", 554, Credentials("u", "")), id="no password"),
        pytest.param("rtsp://u:p%2F%40@[::1]:1/b", ("rtsp://[::1]:1/b", "::1", 1, Credentials("u", "p/@")), id="IPv6"),
    ],
)
def test_split_address(url, expected):
    assert split_address(url) == expected
