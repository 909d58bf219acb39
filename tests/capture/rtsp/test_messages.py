"""RTSP messages and interleaved packets on a byte stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.rtsp.messages import Interleaved, MessageReader, ServerRequest, ServerResponse, format_message
from streamseg.errors import SourceError

OK = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 3\r\n\r\nabc"
PACKET = b"$\x01\x00\x04wxyz"
PING = b"OPTIONS rtsp://a RTSP/1.0\r\nCSeq: 9\r\n\r\n"


def read(*chunks):
    reader = MessageReader(name="camera")
    return [found for chunk in chunks for found in reader.feed(chunk)]


def short(found):
    if isinstance(found, Interleaved):
        return found.channel, found.data
    return (found.status, found.body) if isinstance(found, ServerResponse) else found.method


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(OK, [(200, b"abc")], id="response"),
        pytest.param(OK.replace(b"\r\n", b"\n"), [(200, b"abc")], id="bare line feeds"),
        pytest.param(PACKET, [(1, b"wxyz")], id="packet"),
        pytest.param(b"$\x00\x00\x00", [(0, b"")], id="empty packet"),
        pytest.param(PACKET + OK + PACKET, [(1, b"wxyz"), (200, b"abc"), (1, b"wxyz")], id="in turns"),
        pytest.param(PING, ["OPTIONS"], id="request of the server"),
        pytest.param(b"\r\n\r\n" + OK, [(200, b"abc")], id="extra line breaks"),
        pytest.param(b"\x00\x01garbage" + PACKET, [(1, b"wxyz")], id="garbage before a packet"),
        pytest.param(b"garbage\r\nmore" + OK, [(200, b"abc")], id="garbage before a response"),
        pytest.param(OK[:-1], [], id="incomplete body"),
        pytest.param(PACKET[:-1], [], id="incomplete packet"),
        pytest.param(b"RTSP/1.0 401\r\n\r\n", [(401, b"")], id="no reason"),
    ],
)
def test_messages(data, expected):
    assert [short(found) for found in read(data)] == expected
    assert [short(found) for found in read(*[data[at : at + 1] for at in range(len(data))])] == expected, "byte by byte"


def test_headers():
    (response,) = read(b"RTSP/1.0 401 No\r\nWWW-Authenticate: Basic x\r\nwww-authenticate: Digest y\r\nA:b:c\r\n\r\n")
    assert response.headers["www-authenticate"] == ("Basic x", "Digest y")
    assert response.header("a") == "b:c"
    assert response.header("absent") == ""
    assert response.reason == "No"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00" * (2**20 + 1), id="zeros"),
        pytest.param(b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 20_000, id="endless headers"),
        pytest.param(OK.replace(b"3", b"99999999999"), id="huge body"),
        pytest.param(OK.replace(b"3", b"-1"), id="negative length"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n" * 60_000, id="web server"),
    ],
)
def test_other_protocols_are_an_error(data):
    with pytest.raises(SourceError, match=r"^camera sends no RTSP, but .*; check the address and port$"):
        read(data)


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_bytes_are_read(chunks):
    read(*chunks)


@given(st.lists(st.sampled_from([OK, PACKET, PING]), max_size=6), st.data())
def test_division_into_chunks_is_irrelevant(messages, data):
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert len(read(*chunks)) == len(messages)


def test_request_of_the_server():
    assert read(PING) == [ServerRequest({"cseq": ("9",)}, b"", "OPTIONS")]


def test_format():
    assert format_message("PLAY rtsp://a RTSP/1.0", {"CSeq": 3, "Session": "x"}) == (
        b"PLAY rtsp://a RTSP/1.0\r\nCSeq: 3\r\nSession: x\r\n\r\n"
    )
