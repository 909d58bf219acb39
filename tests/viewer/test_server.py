"""The HTTP routes: responses, access and rejections."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from streamseg.runtime.sinks import message_line
from streamseg.viewer import Viewer
from streamseg.viewer.server import HEADERS, PAGE_FOLDER
from tests.support.viewers import address, make_result, small_viewer, soon

WRONG = "wrong-token-000000"


def with_session(test: Callable[[Viewer, aiohttp.ClientSession], Awaitable[None]], *source_ids: str) -> None:
    """Run a test with a viewer that has one frame of each source."""

    async def main(viewer: Viewer) -> None:
        async with aiohttp.ClientSession() as session:
            await test(viewer, session)

    with small_viewer(*source_ids) as viewer:
        for source_id in source_ids or ("cam0",):
            viewer.write(make_result(3, source_id))
        asyncio.run(main(viewer))


async def fetch(
    session: aiohttp.ClientSession, url: str, **options: Any
) -> tuple[int, aiohttp.typedefs.LooseHeaders, bytes]:
    async with session.get(url, **options) as response:
        return response.status, response.headers, await soon(response.read())


@pytest.mark.parametrize(
    ("path", "options", "headers", "status", "words"),
    [
        pytest.param("/", {"token": None}, {}, 403, "no token", id="no-token"),
        pytest.param("/", {"token": WRONG}, {}, 403, "a wrong token", id="wrong-token"),
        pytest.param("/", {"token": "%00%C3%A9"}, {}, 403, "a wrong token", id="token-that-is-not-text"),
        pytest.param("/stream.mjpg", {"token": None}, {}, 403, "no token", id="stream-without-token"),
        pytest.param("/snapshot.png", {"token": None}, {}, 403, "no token", id="image-without-token"),
        pytest.param("/snapshot.json", {"token": WRONG}, {}, 403, "a wrong token", id="json-with-wrong-token"),
        pytest.param("/nowhere", {"token": None}, {}, 403, "no token", id="unknown-path-without-token"),
        pytest.param("/ws", {"token": None}, {}, 403, "no token", id="socket-without-token"),
        pytest.param("/", {}, {"Host": "evil.example"}, 403, "the host", id="rebound-host"),
        pytest.param("/static/wire.js", {}, {"Host": "evil.example"}, 403, "the host", id="rebound-host-static"),
        pytest.param("/ws", {}, {"Origin": "http://evil.example"}, 403, "the origin", id="foreign-origin"),
        pytest.param("/ws", {}, {}, 400, "WebSocket", id="no-socket"),
        pytest.param("/nowhere", {}, {}, 404, "Not Found", id="no-such-page"),
        pytest.param("/static/", {}, {}, 404, "Not Found", id="the-folder"),
        pytest.param("/static/nowhere.js", {}, {}, 404, "no file 'nowhere.js'", id="no-such-file"),
        pytest.param("/snapshot.png", {"source": "cam7"}, {}, 404, "unknown source 'cam7'; sources are", id="source"),
        pytest.param("/stream.mjpg", {"source": ""}, {}, 404, "unknown source ''", id="stream-of-no-source"),
        pytest.param("/snapshot.png", {"index": "4"}, {}, 404, "no such frame", id="future-frame"),
        pytest.param("/snapshot.json", {"index": "-1"}, {}, 400, "must be a frame index", id="negative-index"),
        pytest.param("/snapshot.json", {"index": "%D9%A3"}, {}, 400, "must be a frame index", id="arabic-index"),
        pytest.param("/snapshot.json", {"index": "9" * 999}, {}, 400, "must be a frame index", id="huge-index"),
    ],
)
def test_rejected_requests(path: str, options: dict[str, Any], headers: dict[str, str], status: int, words: str):
    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        from yarl import URL

        url = URL(address(viewer, path, **options), encoded=True)
        found, sent, body = await fetch(session, url, headers=headers)
        text = body.decode()
        assert found == status, text
        assert words in text
        assert len(text) < 300
        assert sent["Content-Type"].startswith("text/plain")
        assert {name: sent[name] for name in HEADERS} == HEADERS

    with_session(test)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/static/../viewer.py", id="dots"),
        pytest.param("/static/%2e%2e/viewer.py", id="escaped-dots"),
        pytest.param("/static/..%2fviewer.py", id="escaped-slash"),
        pytest.param("/static/..%5cviewer.py", id="backslash"),
        pytest.param("/static//etc/passwd", id="absolute"),
        pytest.param("/static/%2fetc%2fpasswd", id="escaped-absolute"),
        pytest.param("/static/index.html%00.js", id="zero-byte"),
        pytest.param("/static/%ff", id="no-utf-8"),
        pytest.param("/static/" + "a/" * 2000, id="deep"),
    ],
)
def test_no_name_leads_out_of_the_page_folder(path: str):
    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        # Written by hand, because every client normalises such a path.
        reader, writer = await asyncio.open_connection("127.0.0.1", viewer.port)
        token = viewer.url.partition("token=")[2]
        request = f"GET {path}?token={token} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        response = await soon(reader.read())
        writer.close()
        await writer.wait_closed()
        assert re.match(rb"HTTP/1\.1 40[04] ", response), response[:200]

    with_session(test)


def test_other_methods_are_rejected():
    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        async with session.post(address(viewer, "/"), data=b"x") as response:
            assert response.status == 405

    with_session(test)


@pytest.mark.parametrize(
    ("path", "token", "media_type"),
    [
        ("/", "", "text/html; charset=utf-8"),
        ("/static/index.html", None, "text/html; charset=utf-8"),
        ("/static/wire.js", None, "text/javascript; charset=utf-8"),
        ("/static/style.css", None, "text/css; charset=utf-8"),
    ],
)
def test_page_is_served_and_revalidated(path: str, token: str | None, media_type: str):
    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        url = address(viewer, path, token=token)
        status, headers, body = await fetch(session, url)
        assert (status, headers["Content-Type"]) == (200, media_type)
        assert body == (PAGE_FOLDER / (Path(path).name or "index.html")).read_bytes()
        assert {name: headers[name] for name in HEADERS} == HEADERS
        assert headers["Cache-Control"] == "no-cache"
        status, headers, body = await fetch(session, url, headers={"If-None-Match": headers["ETag"]})
        assert (status, body) == (304, b"")
        status, _, _ = await fetch(session, url, headers={"If-None-Match": '"another"'})
        assert status == 200

    with_session(test)


def test_policy_allows_only_own_scripts():
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    page = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:", page), "the policy would block these"


def test_missing_icon_is_not_an_error():
    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        assert (await fetch(session, address(viewer, "/favicon.ico", token=None)))[0] == 204

    with_session(test)


def test_snapshots_are_of_the_same_frame():
    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        status, headers, body = await fetch(session, address(viewer, "/snapshot.png", source="b"))
        assert (status, headers["Content-Type"], headers["X-Frame-Index"]) == (200, "image/png", "3")
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (48, 64, 3)
        later = make_result(9, "b")
        viewer.write(later)
        status, headers, body = await fetch(session, address(viewer, "/snapshot.json", source="b", index="3"))
        assert (status, headers["X-Frame-Index"]) == (200, "3")
        assert json.loads(body)["index"] == 3
        assert json.loads(body)["source"] == "b"
        status, _, body = await fetch(session, address(viewer, "/snapshot.json", source="b"))
        assert body.decode() == message_line(later.message)

    with_session(test, "a", "b")


def test_snapshot_before_the_first_frame():
    async def main(viewer: Viewer) -> None:
        async with aiohttp.ClientSession() as session:
            for path in ("/snapshot.png", "/snapshot.json"):
                assert (await fetch(session, address(viewer, path)))[0] == 404

    with small_viewer() as viewer:
        asyncio.run(main(viewer))


async def read_part(response: aiohttp.ClientResponse) -> np.ndarray:
    """Read the next image of a stream."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await soon(response.content.readline())
    assert b"--streamseg-frame\r\nContent-Type: image/jpeg\r\n" in head
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
    body = await soon(response.content.readexactly(length))
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.slow
def test_stream_starts_with_the_newest_frame_and_continues():
    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        async with session.get(address(viewer, "/stream.mjpg", source="b")) as response:
            assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=streamseg-frame"
            for value in (3, 60, 110):
                if value > 3:
                    viewer.write(make_result(value, "b"))
                image = await read_part(response)
                assert abs(int(image[2, 30].mean()) - value) < 10
                assert abs(image[12, 12].astype(int) - value).max() > 15, "with its objects"
                assert await response.content.readexactly(2) == b"\r\n"

    with_session(test, "a", "b")


def test_number_of_connections_is_limited(caplog: pytest.LogCaptureFixture):
    from streamseg.viewer.hub import MAX_CLIENTS

    async def test(viewer: Viewer, session: aiohttp.ClientSession) -> None:
        url = address(viewer, "/stream.mjpg")
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as many:
            responses = [await soon(many.get(url)) for _ in range(MAX_CLIENTS)]
            for path in ("/stream.mjpg", "/ws"):
                status, _, body = await fetch(session, address(viewer, path))
                assert status == 503
                assert b"open already" in body
            for response in responses:
                response.close()
            # Closed connections make room; the server notices them when it writes.
            while (await fetch(session, address(viewer, "/ws")))[0] == 503:
                viewer.write(make_result(4))

    with_session(test)
