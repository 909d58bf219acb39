import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.weights.download import TransferError, checked_url, transfer
from tests.support.http_server import CONTENTS, HALF, FileServer, honest, status


@pytest.mark.parametrize(
    ("start", "to"),
    [
        pytest.param("https://a.example/f", "https://b.example/g", id="encrypted"),
        pytest.param("http://a.example/f", "http://b.example/g", id="plain"),
        pytest.param("http://a.example/f", "https://b.example/g", id="plain to encrypted"),
        pytest.param("", "http://b.example/g", id="first"),
    ],
)
def test_allowed_urls(start, to):
    assert checked_url(to, redirected_from=start) == to


@pytest.mark.parametrize(
    ("start", "to", "reason"),
    [
        pytest.param("https://a.example/f", "http://b.example/g", "which is not https", id="encrypted to plain"),
        pytest.param("https://a.example/f", "ftp://b.example/g", "not an http or https URL", id="ftp"),
        pytest.param("http://a.example/f", "file:///etc/passwd", "not an http or https URL", id="file"),
        pytest.param("", "data:,abc", "not an http or https URL", id="data"),
        pytest.param("", "http://", "not an http or https URL", id="no host"),
        pytest.param("", "", "not an http or https URL", id="empty"),
    ],
)
def test_rejected_urls(start, to, reason):
    with pytest.raises(ValueError, match=reason):
        checked_url(to, redirected_from=start)


@pytest.fixture(scope="module")
def server():
    with FileServer() as server:
        yield server


def test_part_is_completed(tmp_path):
    part = tmp_path / "part"
    part.write_bytes(CONTENTS[:HALF])
    with FileServer({"/file": honest()}) as server:
        transfer(server.url(), server.file("/file"), part)
    assert part.read_bytes() == CONTENTS


def test_rejected_request_keeps_the_part(tmp_path):
    part = tmp_path / "part"
    part.write_bytes(CONTENTS[:HALF])
    with FileServer({"/file": status(503)}) as server, pytest.raises(TransferError, match="503 Service Unavailable"):
        transfer(server.url(), server.file("/file"), part)
    assert part.read_bytes() == CONTENTS[:HALF]


def test_request_headers(tmp_path):
    received = []
    with FileServer() as server:
        server.responses["/file"] = lambda handler: (received.append(dict(handler.headers)), honest()(handler))[1]
        transfer(server.url(), server.file("/file"), tmp_path / "part")
    (headers,) = received
    assert headers["User-Agent"].startswith("streamseg/")
    assert headers["Accept-Encoding"] == "identity"


SMALL = b"0123456789" * 3

RESPONSES = st.tuples(
    st.sampled_from([200, 200, 206, 206, 204, 301, 302, 304, 404, 416, 500]),
    st.fixed_dictionaries(
        {},
        optional={
            "Content-Length": st.sampled_from(["0", "10", "20", "30", "31", "-1", "many"]),
            "Content-Range": st.sampled_from(["bytes 10-29/30", "bytes 20-29/*", "bytes 0-29/30", "bytes */30", "?"]),
            "Transfer-Encoding": st.just("chunked"),
            "Location": st.sampled_from(["/other", "file:///etc/passwd", "http://", ""]),
        },
    ),
    st.sampled_from(
        [b"", SMALL, SMALL[10:], SMALL[20:], SMALL[:10], SMALL + b"!", b"5\r\n01234\r\n0\r\n\r\n", b"x\r\n"]
    ),
)
"""Status, headers and body of a response, possibly inconsistent."""


@pytest.mark.slow
@settings(max_examples=150)
@given(
    responses=st.lists(RESPONSES, min_size=1, max_size=5),
    beginning=st.sampled_from([None, b"", SMALL[:10], b"?" * 20, SMALL]),
)
def test_any_responses_complete_the_part_or_raise_transfer_error(server, responses, beginning):
    def respond(handler):
        code, headers, body = responses[min(handler.number, len(responses) - 1)]
        handler.send_head(code, **headers)
        handler.wfile.write(body)

    server.requests.clear()
    server.responses = {"/file": respond, "/other": respond}
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        if beginning is not None:
            part.write_bytes(beginning)
        with contextlib.suppress(TransferError):
            transfer(server.url(), server.file("/file", contents=SMALL), part, timeout_seconds=5)
        if part.exists() and part.stat().st_size >= len(SMALL):
            assert part.read_bytes() == SMALL
    assert len(server.requests) <= 55  # 5 attempts with 10 redirects each
