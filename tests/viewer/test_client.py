"""The WebSocket: notifications and frames for a page, and the end of the connection."""

import asyncio

import aiohttp
import pytest

from streamseg.structures.message import Message
from streamseg.structures.prompt import EverythingPrompt
from streamseg.viewer import Run, Viewer
from tests.support.viewers import (
    CUP,
    Browser,
    FakeRun,
    address,
    browsing,
    make_result,
    small_viewer,
    soon,
    with_browser,
)

# ---- notifications


def test_page_receives_hello_prompts_and_status():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        hello, prompts, status = [await browser.read() for _ in range(3)]
        assert hello == {
            "type": "hello",
            "version": 1,
            "sources": [{"id": "a"}, {"id": "b"}],
            "epoch": hello["epoch"],  # type: ignore[index]
        }
        assert prompts == {"type": "prompts", "prompts": [{"id": "everything"}], "names": {}}
        assert status == {"type": "status", "num_requests": 1, "is_paused": False}

    with_browser(test, "a", "b")


@pytest.mark.slow
def test_status_is_sent_repeatedly():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        assert [(await browser.text("status"))["num_requests"] for _ in range(3)] == [1, 2, 3]

    with_browser(test)


def test_changed_prompts_are_sent_to_all_pages():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        async with browsing(viewer) as other:
            for page in (browser, other):
                await page.text("prompts")
            run.prompts = (CUP, EverythingPrompt())  # as the control channel does
            for page in (browser, other):
                text = await page.text("prompts")
                assert [prompt["id"] for prompt in text["prompts"]] == ["cup", "everything"]
            assert (await browser.call("set", {"x": 1}))["result"] == {"set": {"x": 1}}
            for page in (browser, other):
                assert [prompt["id"] for prompt in (await page.text("prompts"))["prompts"]] == ["cup"]

    with_browser(test)


def test_frames_include_image_instances_and_numbers():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        epoch = (await browser.text("hello"))["epoch"]
        for seq, index in enumerate((5, 8, 9)):
            viewer.write(make_result(index, prompts=[CUP]))
            frame = await browser.frame()
            assert (frame.seq, frame.frame_index, frame.epoch, frame.source_id) == (seq, index, epoch, "cam0")
            assert [one.prompt_ids for one in frame.objects] == [("cup",), ()]
            assert frame.jpeg is not None
            await browser.acknowledge(frame)

    with_browser(test)


def test_late_page_receives_the_newest_frame():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            assert (await browser.frame()).frame_index == 7

    with small_viewer() as viewer:
        for index in (5, 6, 7):
            viewer.write(make_result(index))
        asyncio.run(main(viewer))


# ---- flow control: newest frames only, by acknowledgement


async def frames_so_far(browser: Browser) -> list[Message]:
    """Return all frames sent before this call."""
    await browser.call("set")
    return browser.frames


def test_page_that_does_not_acknowledge_receives_two_frames():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        async with browsing(viewer) as good:
            for index in range(30):
                viewer.write(make_result(index))
                frame = await good.frame()
                assert frame.frame_index == index
                await good.acknowledge(frame)
            assert [frame.frame_index for frame in await frames_so_far(browser)] == [0, 1]
            # It receives the newest frame at once, and no other.
            await browser.acknowledge(browser.frames[1])
            assert (await browser.frame()).frame_index == 29

    with_browser(test)


def test_acknowledgement_includes_earlier_frames():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        for index in (0, 1):
            viewer.write(make_result(index))
            await browser.frame()
        await browser.send(type="ack", source="cam0", seq=1)
        for index in (2, 3):
            viewer.write(make_result(index))
            assert (await browser.frame()).frame_index == index

    with_browser(test)


def test_sources_do_not_wait_for_each_other():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        for index in range(2):
            viewer.write(make_result(index, "a"))
            await browser.frame()
        viewer.write(make_result(2, "a"))
        for index in range(5):
            viewer.write(make_result(index, "b"))
            frame = await browser.frame()
            assert (frame.source_id, frame.frame_index) == ("b", index)
            await browser.acknowledge(frame)

    with_browser(test, "a", "b")


def test_page_selects_its_sources():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        await browser.send(type="view", sources=["b"])
        await frames_so_far(browser)
        for index in range(3):
            viewer.write(make_result(index, "a"))
            viewer.write(make_result(index, "b"))
            frame = await browser.frame()
            assert frame.source_id == "b"
            await browser.acknowledge(frame)
        await browser.send(type="view", sources=[])
        await frames_so_far(browser)
        num_frames = len(browser.frames)
        viewer.write(make_result(3, "b"))
        await browser.send(type="view", sources=["a", "a"])
        frame = await browser.frame()
        assert (frame.source_id, frame.frame_index) == ("a", 2), "the newest frame, at once"
        assert len(browser.frames) == num_frames + 1
        await browser.acknowledge(frame)
        await browser.send(type="ack", source="b", seq=1)  # displayed before the view changed: not an error
        assert (await browser.call("set"))["ok"]
        assert not [text for text in browser.texts if text["type"] == "error"]

    with_browser(test, "a", "b")


# ---- the end


def test_pages_are_notified_that_the_server_stops():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser, browsing(viewer) as other:
            await browser.text("hello")
            closing = asyncio.to_thread(viewer.close)
            codes = await asyncio.gather(closing, browser.closed(), other.closed())
            assert codes == [None, 1001, 1001]

    asyncio.run(main(small_viewer()))


def test_last_message_is_the_status_at_the_end():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            await browser.text("status")
            viewer.attach(Run(status=lambda: {"sources": [{"source_id": "a", "state": "ended"}]}))
            closing = asyncio.create_task(asyncio.to_thread(viewer.close))
            last = await browser.text("status")
            assert last == {"type": "status", "sources": [{"source_id": "a", "state": "ended"}]}
            assert await browser.closed() == 1001
            await closing

    asyncio.run(main(small_viewer()))


def test_broken_connection_is_removed():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        await browser.text("hello")
        before = viewer.num_clients
        for _ in range(5):
            async with aiohttp.ClientSession() as session:
                socket = await session.ws_connect(address(viewer, "/ws"))
                await soon(socket.receive())
                connection = socket._response.connection  # type: ignore[union-attr]
                assert connection is not None
                assert connection.transport is not None
                connection.transport.abort()
        while viewer.num_clients > before:
            viewer.write(make_result(1))
            await browser.call("set")

    with_browser(test)
