"""Names of prompts, and a page in front of a whole run."""

import asyncio
import threading

import pytest

from streamseg.config import load_config
from streamseg.errors import DataError
from streamseg.pipeline.mode import StreamsegMode
from streamseg.runtime.session import Session, open_runtime
from streamseg.viewer import Run, Viewer
from streamseg.viewer.hub import MAX_NAME_CHARACTERS, PromptNames
from tests.support.stages import small_scene, small_settings
from tests.support.viewers import Browser, browsing, small_viewer

IDS = ("p1", "p2", "p3")


@pytest.fixture
def names():
    names = PromptNames()
    names.rename({"id": "p1", "name": "cup"}, IDS)
    return names


def test_name_is_kept_while_its_prompt_is_in_force(names):
    names.rename({"id": "p2", "name": "  jar "}, IDS)
    assert names.as_json == {"p1": "cup", "p2": "jar"}
    names.keep({"p2", "p3"})
    assert names.as_json == {"p2": "jar"}, "a later prompt with that id is another prompt"


def test_id_as_name_removes_the_name(names):
    names.rename({"id": "p1", "name": "p1"}, IDS)
    assert names.as_json == {}


def test_name_can_be_set_again_and_reused(names):
    names.rename({"id": "p1", "name": "cup"}, IDS)
    names.rename({"id": "p1", "name": "mug"}, IDS)
    names.rename({"id": "p2", "name": "cup"}, IDS)
    assert names.as_json == {"p1": "mug", "p2": "cup"}


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        pytest.param({"id": "p2", "name": "cup"}, "unique", id="name of another"),
        pytest.param({"id": "p2", "name": "p3"}, "unique", id="id of another"),
        pytest.param({"id": "p2", "name": "p1"}, "unique", id="id of another that has a name"),
        pytest.param({"id": "p9", "name": "x"}, "no prompt 'p9'", id="unknown prompt"),
        pytest.param({"id": 7, "name": "x"}, "no prompt '7'", id="id is a number"),
        pytest.param({"name": "x"}, "no prompt", id="without id"),
        pytest.param({"id": "p2"}, "1 to 64", id="without name"),
        pytest.param({"id": "p2", "name": " "}, "1 to 64", id="blank"),
        pytest.param({"id": "p2", "name": "a\nb"}, "1 to 64", id="two lines"),
        pytest.param({"id": "p2", "name": ["x"]}, "1 to 64", id="a list"),
        pytest.param({"id": "p2", "name": "x" * (MAX_NAME_CHARACTERS + 1)}, "1 to 64", id="too long"),
        pytest.param({"id": "p2", "name": "x", "to": 1}, "unknown argument", id="unknown argument"),
    ],
)
def test_invalid_names_are_rejected_without_effect(names, args, reason):
    with pytest.raises(DataError, match=reason):
        names.rename(args, IDS)
    assert names.as_json == {"p1": "cup"}


# ---- a whole run


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
