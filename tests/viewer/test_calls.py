"""Calls over the WebSocket, and their replies."""

import asyncio
from typing import Any

import aiohttp
import pytest

from streamseg.config import ViewerConfig
from streamseg.errors import ConfigError, PublishError
from streamseg.viewer import Viewer
from tests.support.viewers import Browser, FakeRun, address, browsing, make_result, small_viewer, with_browser


def test_replies_are_in_the_order_of_the_calls():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        for number in range(20):
            await browser.send(type="call", id=number, op="set", args={"number": number})
        replies = [await browser.text("answer") for _ in range(20)]
        assert [(one["id"], one["ok"], one["result"]["set"]["number"]) for one in replies] == [
            (number, True, number) for number in range(20)
        ]

    with_browser(test)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param({"id": 1, "op": "refuse"}, "no such prompt", id="rejected"),
        pytest.param({"id": 1, "op": "shutdown"}, "unknown op 'shutdown'", id="unknown"),
        pytest.param({"id": 1}, "'op'", id="no-op"),
        pytest.param({"op": "set"}, "'id'", id="no-id"),
        pytest.param({"id": 1, "op": "set", "args": []}, "'args'", id="args-that-are-a-list"),
    ],
)
def test_failed_calls_report_a_reason(call: dict[str, Any], error: str):
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        await browser.send(type="call", **call)
        reply = await browser.text("answer")
        assert reply["id"] == call.get("id")
        assert not reply["ok"]
        assert error in reply["error"]
        assert "\n" not in reply["error"]
        assert (await browser.call("set"))["ok"]

    with_browser(test)


def test_no_operation_is_available_before_a_run_is_attached():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            assert "unknown op 'pause'" in (await browser.call("pause"))["error"]
            assert browser.texts[1] == {"type": "prompts", "prompts": [], "names": {}}

    with small_viewer() as viewer:
        asyncio.run(main(viewer))


def test_bug_in_an_operation_ends_the_viewer_and_is_raised():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            await browser.send(type="call", id=1, op="break")
            assert await browser.closed() == aiohttp.WSCloseCode.INTERNAL_ERROR

    viewer = small_viewer()
    viewer.attach(FakeRun().run)
    asyncio.run(main(viewer))
    with pytest.raises(PublishError, match="the viewer has failed: a bug") as caught:
        viewer.close()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(PublishError, match="has failed"):
        viewer.write(make_result())


def test_a_thousand_prompts_in_one_call():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        prompts = [{"id": f"p{number}", "points": [[number, 1]]} for number in range(1000)]
        assert len((await browser.call("set", {"prompts": prompts}))["result"]["set"]["prompts"]) == 1000

    with_browser(test)


READ_TOKEN = "for-watching-only-0"


@pytest.mark.parametrize(
    ("op", "is_refused"),
    [
        pytest.param("set", True, id="change"),
        pytest.param("prompts.rename", True, id="own-operation-of-the-page"),
        pytest.param("shutdown", True, id="unknown"),
        pytest.param("status.set", True, id="name-that-starts-like-an-allowed-one"),
        pytest.param("status", False, id="status"),
        pytest.param("sources.list", False, id="list"),
    ],
)
def test_role_read_may_only_watch(op: str, is_refused: bool):
    async def main(viewer: Viewer) -> None:
        token = viewer.read_url.partition("=")[2]
        url = address(viewer, "/ws", token=token)
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            browser = Browser(socket)
            assert (await browser.text("role"))["role"] == "read"
            assert (await browser.frame()).source_id == "cam0"
            reply = await browser.call(op)
            assert ("for watching only" in reply.get("error", "")) == is_refused

    run = FakeRun()
    with Viewer(("cam0",), ViewerConfig(port=0), read_token=READ_TOKEN) as viewer:
        viewer.attach(run.run)
        viewer.write(make_result(0))
        asyncio.run(main(viewer))
    assert run.prompts == FakeRun().prompts


def test_token_for_watching_must_not_be_that_of_the_page():
    with pytest.raises(ConfigError, match="must differ"):
        Viewer(("cam0",), ViewerConfig(port=0), token=READ_TOKEN, read_token=READ_TOKEN)
