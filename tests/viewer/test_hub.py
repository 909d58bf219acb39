"""A page in front of a whole run."""

import asyncio
import threading

import pytest

from streamseg.config import load_config
from streamseg.pipeline.mode import StreamsegMode
from streamseg.runtime.session import Session, open_runtime
from streamseg.viewer import Run, Viewer
from tests.support.stages import small_scene, small_settings
from tests.support.viewers import Browser, browsing, small_viewer


@pytest.mark.slow
def test_page_displays_and_controls_a_run():
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
            await wait_for_new_frame(browser)

    config = load_config(sets=[f"sources=[{small_scene()}]", *small_settings(), "publish.endpoint=null"])
    with small_viewer("scene") as viewer, open_runtime(config, StreamsegMode(), [viewer]) as session:
        viewer.attach(Run.from_session(session))
        running = threading.Thread(target=session.runtime.run)
        running.start()
        try:
            asyncio.run(main(viewer, session))
        finally:
            session.runtime.stop()
            running.join()


async def wait_for_new_frame(browser: Browser) -> None:
    """Acknowledge until a frame arrives that was captured after this call."""
    newest = browser.frames[-1]
    for frame in browser.frames:
        await browser.acknowledge(frame)
    while (frame := await browser.frame()).frame_index <= newest.frame_index + 2:
        await browser.acknowledge(frame)


@pytest.mark.slow
def test_operations_run_one_at_a_time():
    config = load_config(sets=[f"sources=[{small_scene()}]", *small_settings()])
    with open_runtime(config, StreamsegMode()) as session:
        set_prompts = session.operations["prompts.set"]

        def add(first: int) -> None:
            for number in range(first, first + 20):
                set_prompts({"prompts": [{"id": f"p{number}", "points": [[1, 1]]}]})

        threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 100, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Each call reads the prompts and sets them: concurrent calls would undo each other.
        assert {f"p{number}" for number in range(100)} <= {one.prompt_id for one in session.runtime.pipeline.prompts}
