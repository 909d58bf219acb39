"""The page in front of a whole run."""

import asyncio
import threading

from streamseg.config import load_config
from streamseg.runtime.session import Session, open_runtime
from streamseg.viewer import Run, Viewer
from tests.support.stages import small_scene, small_settings
from tests.support.viewers import Browser, browsing, small_viewer


def test_a_page_sees_and_steers_a_run():
    async def main(viewer: Viewer, session: Session) -> None:
        async with browsing(viewer) as browser, browsing(viewer) as other:
            frame = await browser.frame()
            assert frame.source_id == "scene"
            assert frame.jpeg is not None
            assert (await browser.call("prompts.set", {"prompts": [{"id": "cup", "points": [[20, 20]]}]}))["ok"]
            assert "cup" in {prompt.prompt_id for prompt in session.runtime.pipeline.prompts}
            while "cup" not in {prompt["id"] for prompt in (await other.text("prompts"))["prompts"]}:
                pass
            assert (await other.call("pause"))["result"] == {"paused": True}
            while not (status := await browser.text("status"))["is_paused"]:
                pass
            assert [source["source_id"] for source in status["sources"]] == ["scene"]
            outside = await browser.call("prompts.set", {"prompts": [{"id": "far", "points": [[9999, 1]]}]})
            assert not outside["ok"]
            assert "far" in outside["error"]
            assert (await browser.call("resume"))["result"] == {"paused": False}
            await shown_again(browser)

    config = load_config(sets=[f"sources=[{small_scene()}]", *small_settings(), "publish.endpoint=null"])
    with small_viewer("scene") as viewer, open_runtime(config, [viewer]) as session:
        viewer.attach(Run.of(session))
        running = threading.Thread(target=session.runtime.run)
        running.start()
        try:
            asyncio.run(main(viewer, session))
        finally:
            session.runtime.stop()
            running.join()


async def shown_again(browser: Browser) -> None:
    """Acknowledge until a frame comes that was taken after now."""
    newest = browser.frames[-1]
    for frame in browser.frames:
        await browser.acknowledge(frame)
    while (frame := await browser.frame()).frame_index <= newest.frame_index + 2:
        await browser.acknowledge(frame)


def test_operations_of_pages_and_the_control_channel_come_one_at_a_time():
    config = load_config(sets=[f"sources=[{small_scene()}]", *small_settings()])
    with open_runtime(config) as session:
        set_prompts = session.operations["prompts.set"]

        def add(first: int) -> None:
            for number in range(first, first + 20):
                set_prompts({"prompts": [{"id": f"p{number}", "points": [[1, 1]]}]})

        threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 100, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Each reads the prompts and sets them: at the same time, they would undo each other.
        assert {f"p{number}" for number in range(100)} <= {one.prompt_id for one in session.runtime.pipeline.prompts}
