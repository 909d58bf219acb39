"""Misbehaving WebSocket clients: invalid and oversized messages, floods, and pages without access."""

import asyncio
import time

import aiohttp
import pytest

from streamseg.viewer import Viewer
from streamseg.viewer.client import MESSAGES_AT_ONCE, MESSAGES_PER_SECOND
from tests.support.viewers import Browser, FakeRun, address, browsing, make_result, small_viewer, with_browser


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("{", "not JSON", id="open-object"),
        pytest.param("[" * 100_000, "not JSON", id="nested-too-deep"),
        pytest.param('{"type": "ack", "seq": NaN}', "not JSON", id="not-a-number"),
        pytest.param("[]", "must be a JSON object", id="a-list"),
        pytest.param("{}", "'type' must be a string", id="no-type"),
        pytest.param('{"type": 7}', "'type' must be a string", id="type-that-is-a-number"),
        pytest.param('{"type": "hello"}', "unknown type 'hello'", id="unknown-type"),
        pytest.param('{"type": "\\ud800"}', "surrogate", id="lone-surrogate"),
        pytest.param('{"type": "ack", "source": "cam0", "seq": 99}', "frame 99 of cam0 was never sent", id="ack-early"),
        pytest.param('{"type": "ack", "source": "cam0", "seq": -1}', "'seq' must be an integer", id="ack-negative"),
        pytest.param('{"type": "ack", "source": "cam0"}', "'seq' must be an integer", id="ack-without-seq"),
        pytest.param('{"type": "ack", "source": "cam9", "seq": 0}', "unknown source 'cam9'", id="ack-unknown-source"),
        pytest.param('{"type": "view", "sources": ["cam9"]}', "unknown source 'cam9'", id="view-unknown"),
        pytest.param('{"type": "view", "sources": [["cam0"]]}', "unknown source", id="view-of-a-list"),
        pytest.param('{"type": "view", "sources": "cam0"}', "'sources' must be a list", id="view-of-a-string"),
        pytest.param('{"type": "view"}', "'sources' must be a list", id="view-without-sources"),
        pytest.param('{"type": "view", "sources": ["cam0", "cam0"]}', "at most 1", id="view-too-long"),
        pytest.param(" " * (1 << 20) + "{}", "at most 1048576 are allowed", id="too-long"),
        pytest.param(b"\x00\x01", "got a binary one", id="binary"),
    ],
)
def test_invalid_message_is_a_one_line_error_and_the_connection_stays_open(text: str | bytes, error: str):
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        if isinstance(text, bytes):
            await browser.socket.send_bytes(text)
        else:
            await browser.socket.send_str(text)
        reply = await browser.text("error")
        assert error in reply["error"]
        assert "\n" not in reply["error"]
        assert len(reply["error"]) < 300
        viewer.write(make_result(1))
        assert (await browser.frame()).frame_index == 1

    with_browser(test)


def test_oversized_message_ends_only_its_connection():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        async with browsing(viewer) as greedy:
            try:
                await greedy.socket.send_str("x" * (3 << 20))
            except ConnectionError:
                pass  # closed before all of it was sent
            else:
                # Abnormal if the server's close frame was lost behind data still in flight.
                assert await greedy.closed() in (
                    aiohttp.WSCloseCode.MESSAGE_TOO_BIG,
                    aiohttp.WSCloseCode.ABNORMAL_CLOSURE,
                )
        assert (await browser.call("set"))["ok"]

    with_browser(test)


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        pytest.param(None, {}, id="no-token"),
        pytest.param("wrong-token-000000", {}, id="wrong-token"),
        pytest.param("", {"Origin": "http://evil.example"}, id="foreign-origin"),
        pytest.param("", {"Origin": "null"}, id="sandboxed-origin"),
        pytest.param("", {"Host": "evil.example", "Origin": "http://evil.example"}, id="rebound-name"),
    ],
)
def test_socket_without_access_is_rejected_and_logged(
    token: str | None, headers: dict[str, str], caplog: pytest.LogCaptureFixture
):
    async def main(viewer: Viewer) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(address(viewer, "/ws", token=token), headers=headers)
            assert caught.value.status == 403

    with small_viewer() as viewer:
        asyncio.run(main(viewer))
    (record,) = [record for record in caplog.records if record.name == "streamseg.viewer.server"]
    assert "/ws was rejected: " in record.getMessage()
    assert "wrong-token" not in record.getMessage()
    assert viewer.url.partition("token=")[2] not in record.getMessage()


def test_own_origin_is_accepted():
    async def main(viewer: Viewer) -> None:
        origin = viewer.url.partition("/?")[0]
        async with browsing(viewer, origin=origin) as browser:
            await browser.text("hello")

    with small_viewer() as viewer:
        asyncio.run(main(viewer))


@pytest.mark.slow
def test_flood_slows_down_only_its_sender():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        impatient = aiohttp.ClientWSTimeout(ws_close=0.1)
        async with browsing(viewer, timeout=impatient) as flooding:
            started = time.monotonic()
            num_errors = 0

            async def flood() -> None:
                for _ in range(5000):
                    await flooding.socket.send_str('{"type": "nonsense"}')
                    await asyncio.sleep(0)

            async def listen() -> None:
                nonlocal num_errors
                while True:
                    await flooding.text("error")
                    num_errors += 1

            tasks = [asyncio.create_task(flood()), asyncio.create_task(listen())]
            for index in range(40):
                viewer.write(make_result(index))
                frame = await browser.frame()
                assert frame.frame_index == index
                await browser.acknowledge(frame)
            assert (await browser.call("set"))["ok"]
            allowed = MESSAGES_AT_ONCE + MESSAGES_PER_SECOND * (time.monotonic() - started)
            assert 0 < num_errors <= allowed + 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with_browser(test)
