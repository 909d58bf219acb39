"""The WebSocket: what a page is sent, what it may say, and what happens to those who misbehave."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from viewers import Browser, address, browsing, make_result, small_viewer, soon

from streamseg.errors import DataError, PublishError
from streamseg.structures.message import Message
from streamseg.structures.prompt import EverythingPrompt, PointPrompt, Prompt
from streamseg.viewer import Run, Viewer
from streamseg.viewer.client import MESSAGES_AT_ONCE, MESSAGES_PER_SECOND

CUP = PointPrompt("cup", ((12.0, 12.0),), (1,))


class FakeRun:
    """Prompts that can be set, figures that count how often they were asked for."""

    def __init__(self) -> None:
        self.prompts: tuple[Prompt, ...] = (EverythingPrompt(),)
        self.num_asked = 0
        self.run = Run({"set": self._set, "refuse": self._refuse, "break": self._break}, self._status, self._prompts)

    def _prompts(self) -> tuple[Prompt, ...]:
        return self.prompts

    def _status(self) -> dict[str, Any]:
        self.num_asked += 1
        return {"num_asked": self.num_asked, "is_paused": False}

    def _set(self, args: dict[str, Any]) -> Any:
        self.prompts = (CUP,)
        return {"set": args}

    def _refuse(self, args: dict[str, Any]) -> Any:
        raise DataError("no such\nprompt")

    def _break(self, args: dict[str, Any]) -> Any:
        raise ZeroDivisionError("a mistake of ours")


def with_browser(test: Callable[[Viewer, Browser, FakeRun], Awaitable[None]], *source_ids: str) -> None:
    """Run a test with one page open."""

    async def main(viewer: Viewer, run: FakeRun) -> None:
        async with browsing(viewer) as browser:
            await test(viewer, browser, run)

    run = FakeRun()
    with small_viewer(*source_ids) as viewer:
        viewer.attach(run.run)
        asyncio.run(main(viewer, run))


# ---- what a page is told


def test_a_page_is_greeted_and_told_the_prompts_and_the_figures():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        hello, prompts, status = [await browser.read() for _ in range(3)]
        assert hello == {
            "type": "hello",
            "version": 1,
            "sources": [{"id": "a"}, {"id": "b"}],
            "epoch": hello["epoch"],  # type: ignore[index]
        }
        assert prompts == {"type": "prompts", "prompts": [{"id": "everything"}]}
        assert status == {"type": "status", "num_asked": 1, "is_paused": False}

    with_browser(test, "a", "b")


def test_figures_come_again_by_themselves():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        assert [(await browser.text("status"))["num_asked"] for _ in range(3)] == [1, 2, 3]

    with_browser(test)


def test_prompts_that_change_are_told_to_everybody_whoever_changed_them():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        async with browsing(viewer) as other:
            for page in (browser, other):
                await page.text("prompts")
            run.prompts = (CUP, EverythingPrompt())  # as by the control channel
            for page in (browser, other):
                told = await page.text("prompts")
                assert [prompt["id"] for prompt in told["prompts"]] == ["cup", "everything"]
            assert (await browser.call("set", {"x": 1}))["result"] == {"set": {"x": 1}}
            for page in (browser, other):
                assert [prompt["id"] for prompt in (await page.text("prompts"))["prompts"]] == ["cup"]

    with_browser(test)


def test_frames_carry_their_own_picture_every_instance_and_their_numbers():
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


def test_whoever_comes_late_is_shown_the_newest_frame():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            assert (await browser.frame()).frame_index == 7

    with small_viewer() as viewer:
        for index in (5, 6, 7):
            viewer.write(make_result(index))
        asyncio.run(main(viewer))


# ---- flow: newest only, by acknowledgement


async def barrier(browser: Browser) -> list[Message]:
    """Everything that was sent before now."""
    await browser.call("set")
    return browser.frames


def test_a_page_that_never_acknowledges_is_sent_two_frames_and_others_all():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        async with browsing(viewer) as good:
            for index in range(30):
                viewer.write(make_result(index))
                frame = await good.frame()
                assert frame.frame_index == index
                await good.acknowledge(frame)
            assert [frame.frame_index for frame in await barrier(browser)] == [0, 1]
            # It catches up with the newest frame at once, and with no other.
            await browser.acknowledge(browser.frames[1])
            assert (await browser.frame()).frame_index == 29

    with_browser(test)


def test_acknowledging_the_last_is_acknowledging_all():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        for index in (0, 1):
            viewer.write(make_result(index))
            await browser.frame()
        await browser.say(type="ack", source="cam0", seq=1)
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


def test_a_page_chooses_its_sources():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        await browser.say(type="view", sources=["b"])
        await barrier(browser)
        for index in range(3):
            viewer.write(make_result(index, "a"))
            viewer.write(make_result(index, "b"))
            frame = await browser.frame()
            assert frame.source_id == "b"
            await browser.acknowledge(frame)
        await browser.say(type="view", sources=[])
        await barrier(browser)
        num_frames = len(browser.frames)
        viewer.write(make_result(3, "b"))
        await browser.say(type="view", sources=["a", "a"])
        frame = await browser.frame()
        assert (frame.source_id, frame.frame_index) == ("a", 2), "the newest, at once"
        assert len(browser.frames) == num_frames + 1
        await browser.acknowledge(frame)
        await browser.say(type="ack", source="b", seq=1)  # shown before the view changed: no mistake
        assert (await browser.call("set"))["ok"]
        assert not [text for text in browser.texts if text["type"] == "error"]

    with_browser(test, "a", "b")


# ---- calls


def test_calls_are_answered_in_their_order():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        for number in range(20):
            await browser.say(type="call", id=number, op="set", args={"number": number})
        answers = [await browser.text("answer") for _ in range(20)]
        assert [(one["id"], one["ok"], one["result"]["set"]["number"]) for one in answers] == [
            (number, True, number) for number in range(20)
        ]

    with_browser(test)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param({"id": 1, "op": "refuse"}, "no such prompt", id="refused"),
        pytest.param({"id": 1, "op": "shutdown"}, "unknown op 'shutdown'", id="unknown"),
        pytest.param({"id": 1}, "'op'", id="no-op"),
        pytest.param({"op": "set"}, "'id'", id="no-id"),
        pytest.param({"id": 1, "op": "set", "args": []}, "'args'", id="args-that-are-a-list"),
    ],
)
def test_calls_that_cannot_be_answered_have_a_reason(call: dict[str, Any], error: str):
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        await browser.say(type="call", **call)
        answer = await browser.text("answer")
        assert answer["id"] == call.get("id")
        assert not answer["ok"]
        assert error in answer["error"]
        assert "\n" not in answer["error"]
        assert (await browser.call("set"))["ok"]

    with_browser(test)


def test_before_a_run_is_attached_there_is_nothing_to_call():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            assert "unknown op 'pause'" in (await browser.call("pause"))["error"]
            assert browser.texts[1] == {"type": "prompts", "prompts": []}

    with small_viewer() as viewer:
        asyncio.run(main(viewer))


def test_a_mistake_in_an_operation_ends_the_viewer_and_is_raised():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            await browser.say(type="call", id=1, op="break")
            assert await browser.closed() == aiohttp.WSCloseCode.INTERNAL_ERROR

    viewer = small_viewer()
    viewer.attach(FakeRun().run)
    asyncio.run(main(viewer))
    with pytest.raises(PublishError, match="the viewer has failed: a mistake of ours") as caught:
        viewer.close()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(PublishError, match="has failed"):
        viewer.write(make_result())


# ---- strangers


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("", "not JSON", id="nothing"),
        pytest.param("{", "not JSON", id="half-an-object"),
        pytest.param("[" * 100_000, "not JSON", id="nested-too-deep"),
        pytest.param('{"type": "ack", "seq": NaN}', "not JSON", id="not-a-number"),
        pytest.param("[]", "must be a JSON object", id="a-list"),
        pytest.param("{}", "'type' must be a string", id="no-type"),
        pytest.param('{"type": 7}', "'type' must be a string", id="type-that-is-a-number"),
        pytest.param('{"type": "hello"}', "unknown type 'hello'", id="unknown-type"),
        pytest.param('{"type": "\\ud800"}', "surrogate", id="half-a-pair"),
        pytest.param('{"type": "ack", "source": "cam0", "seq": 99}', "frame 99 of cam0 was never sent", id="ack-early"),
        pytest.param('{"type": "ack", "source": "cam0", "seq": -1}', "'seq' must be an integer", id="ack-negative"),
        pytest.param('{"type": "ack", "source": "cam0"}', "'seq' must be an integer", id="ack-of-nothing"),
        pytest.param('{"type": "ack", "source": "cam9", "seq": 0}', "there is no source 'cam9'", id="ack-elsewhere"),
        pytest.param('{"type": "view", "sources": ["cam9"]}', "there is no source 'cam9'", id="view-unknown"),
        pytest.param('{"type": "view", "sources": [["cam0"]]}', "there is no source", id="view-of-a-list"),
        pytest.param('{"type": "view", "sources": "cam0"}', "'sources' must be a list", id="view-of-a-text"),
        pytest.param('{"type": "view"}', "'sources' must be a list", id="view-of-nothing"),
        pytest.param('{"type": "view", "sources": ["cam0", "cam0"]}', "at most 1", id="view-too-long"),
        pytest.param(" " * (1 << 20) + "{}", "at most 1048576 are allowed", id="too-long"),
        pytest.param(b"\x00\x01", "got a binary one", id="binary"),
    ],
)
def test_what_is_no_message_is_answered_in_one_line_and_the_connection_stays(text: str | bytes, error: str):
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        if isinstance(text, bytes):
            await browser.socket.send_bytes(text)
        else:
            await browser.socket.send_str(text)
        refusal = await browser.text("error")
        assert error in refusal["error"]
        assert "\n" not in refusal["error"]
        assert len(refusal["error"]) < 300
        viewer.write(make_result(1))
        assert (await browser.frame()).frame_index == 1

    with_browser(test)


def test_a_message_that_is_far_too_long_ends_its_connection_and_no_other():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        async with browsing(viewer) as greedy:
            await greedy.socket.send_str("x" * (3 << 20))
            # Abnormal where the server's word was lost in what was still on its way.
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
def test_a_socket_without_the_right_to_it_is_refused_and_logged(
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
    assert "/ws was refused: " in record.getMessage()
    assert "wrong-token" not in record.getMessage()
    assert viewer.url.partition("token=")[2] not in record.getMessage()


def test_the_pages_own_origin_is_let_in():
    async def main(viewer: Viewer) -> None:
        origin = viewer.url.partition("/?")[0]
        async with browsing(viewer, origin=origin) as browser:
            await browser.text("hello")

    with small_viewer() as viewer:
        asyncio.run(main(viewer))


def test_a_flood_slows_down_whoever_makes_it_alone():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        impatient = aiohttp.ClientWSTimeout(ws_close=0.1)
        async with browsing(viewer, timeout=impatient) as flooding:
            started = time.monotonic()
            num_refused = 0

            async def flood() -> None:
                for _ in range(5000):
                    await flooding.socket.send_str('{"type": "nonsense"}')
                    await asyncio.sleep(0)

            async def listen() -> None:
                nonlocal num_refused
                while True:
                    await flooding.text("error")
                    num_refused += 1

            tasks = [asyncio.create_task(flood()), asyncio.create_task(listen())]
            for index in range(40):
                viewer.write(make_result(index))
                frame = await browser.frame()
                assert frame.frame_index == index
                await browser.acknowledge(frame)
            assert (await browser.call("set"))["ok"]
            allowed = MESSAGES_AT_ONCE + MESSAGES_PER_SECOND * (time.monotonic() - started)
            assert 0 < num_refused <= allowed + 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with_browser(test)


def test_a_thousand_prompts_in_one_call():
    async def test(viewer: Viewer, browser: Browser, run: FakeRun) -> None:
        prompts = [{"id": f"p{number}", "points": [[number, 1]]} for number in range(1000)]
        assert len((await browser.call("set", {"prompts": prompts}))["result"]["set"]["prompts"]) == 1000

    with_browser(test)


# ---- the end


def test_pages_are_told_that_the_server_ends():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser, browsing(viewer) as other:
            await browser.text("hello")
            closing = asyncio.to_thread(viewer.close)
            codes = await asyncio.gather(closing, browser.closed(), other.closed())
            assert codes == [None, 1001, 1001]

    asyncio.run(main(small_viewer()))


def test_a_page_that_vanishes_leaves_nothing_behind():
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
