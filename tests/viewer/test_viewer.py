"""Start, stop, listening addresses, and failures of the viewer."""

import asyncio
import subprocess
import sys
import threading
import time

import aiohttp
import pytest

from streamseg.cli.run import open_viewer
from streamseg.config import Config, ViewerConfig
from streamseg.errors import ConfigError, PublishError
from streamseg.publish.jpeg import SharedJpeg
from streamseg.runtime import Sink
from streamseg.viewer import TOKEN_VARIABLE, Viewer
from tests.support.viewers import address, browsing, make_result, small_viewer, soon
from tests.support.waiting import WAIT_SECONDS

TOKEN = "0123456789abcdef"


def test_viewer_is_a_sink():
    with small_viewer() as viewer:
        sink: Sink = viewer
        sink.write(make_result())


@pytest.mark.parametrize("num_starts", [3])
def test_no_thread_remains_after_close(num_starts: int):
    before = set(threading.enumerate())
    for _ in range(num_starts):
        viewer = small_viewer()
        viewer.close()
        viewer.close()
    assert set(threading.enumerate()) <= before


def test_close_is_fast_with_open_pages():
    async def main(viewer: Viewer) -> float:
        async with browsing(viewer) as browser, browsing(viewer):
            viewer.write(make_result())
            await browser.frame()
            started = time.monotonic()
            await asyncio.to_thread(viewer.close)
            return time.monotonic() - started

    assert asyncio.run(main(small_viewer())) < WAIT_SECONDS


def test_port_in_use_is_a_one_line_error():
    with small_viewer() as viewer:
        with pytest.raises(PublishError, match=f"127.0.0.1 port {viewer.port}: it is in use; choose another") as caught:
            Viewer(["cam0"], ViewerConfig(port=viewer.port))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param("0.0.0.0", "can be reached from other machines", id="all-interfaces"),
        pytest.param("::", "can be reached from other machines", id="all-interfaces-ipv6"),
        pytest.param("192.0.2.1", "can be reached from other machines", id="another-address"),
        pytest.param("example.com", "can be reached from other machines", id="a-name"),
    ],
)
def test_public_hosts_require_allow_public(host: str, reason: str):
    with pytest.raises(PublishError, match=reason):
        Viewer(["cam0"], ViewerConfig(host=host, port=0))


def test_foreign_address_is_a_one_line_error():
    with pytest.raises(PublishError, match=r"cannot serve the page at 192\.0\.2\.1 port 0: "):
        Viewer(["cam0"], ViewerConfig(host="192.0.2.1", port=0, allow_public=True))


def test_allow_public_listens_on_all_interfaces():
    with Viewer(["cam0"], ViewerConfig(host="0.0.0.0", port=0, allow_public=True)) as viewer:
        assert "0.0.0.0" not in viewer.url


def test_tokens_are_random_unless_given(monkeypatch: pytest.MonkeyPatch):
    config = ViewerConfig(port=0)
    with small_viewer() as one, Viewer.from_config(config, ["cam0"]) as other:
        assert one.url.partition("token=")[2] != other.url.partition("token=")[2]
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with Viewer.from_config(config, ["cam0"]) as viewer:
        assert viewer.url == f"http://127.0.0.1:{viewer.port}/?token={TOKEN}"
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(ConfigError, match="16 to 128"):
        Viewer.from_config(config, ["cam0"])


def test_write_after_close_is_an_error():
    viewer = small_viewer()
    viewer.close()
    with pytest.raises(PublishError, match="is closed"):
        viewer.write(make_result())


def test_frame_of_a_source_that_is_not_displayed_is_ignored():
    """The last frame of a removed source may arrive after its removal."""
    with small_viewer("a", "b") as viewer:
        viewer.write(make_result())
        viewer.check()


# ---- sources that come and go


def test_added_source_is_announced_and_displayed():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            assert [one["id"] for one in (await browser.text("hello"))["sources"]] == ["cam0"]
            await asyncio.to_thread(viewer.add_source, "cam1", is_live=True)
            await asyncio.to_thread(viewer.add_source, "cam1", is_live=True)
            assert [one["id"] for one in (await browser.text("hello"))["sources"]] == ["cam0", "cam1"]
            await browser.send(type="view", sources=["cam1"])
            viewer.write(make_result(5, "cam1"))
            assert (await browser.frame()).source_id == "cam1"

    with small_viewer() as viewer:
        asyncio.run(main(viewer))


def test_removed_source_disappears_and_may_return():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            await browser.text("hello")
            viewer.write(make_result(5, "cam1"))
            frame = await browser.frame()
            await asyncio.to_thread(viewer.remove_source, "cam1")
            assert [one["id"] for one in (await browser.text("hello"))["sources"]] == ["cam0"]
            await browser.acknowledge(frame)  # it was on its way
            await browser.send(type="view", sources=["cam0", "cam1"])
            viewer.write(make_result(6, "cam1"))
            viewer.write(make_result(7, "cam0"))
            assert (await browser.frame()).source_id == "cam0", "no error, and nothing of cam1"
            await asyncio.to_thread(viewer.add_source, "cam1", is_live=True)
            await browser.text("hello")
            await browser.send(type="view", sources=["cam1"])
            viewer.write(make_result(8, "cam1"))
            assert (await browser.frame()).frame_index == 8
        assert all(text["type"] != "error" for text in browser.texts)

    with small_viewer("cam0", "cam1") as viewer:
        asyncio.run(main(viewer))


def test_stream_of_a_removed_source_ends():
    async def main(viewer: Viewer) -> None:
        url = address(viewer, "/stream.mjpg", source="cam1")
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            viewer.write(make_result(5, "cam1"))
            await soon(response.content.readuntil(b"image/jpeg"))
            await asyncio.to_thread(viewer.remove_source, "cam1")
            await soon(response.read())

    with small_viewer("cam0", "cam1") as viewer:
        asyncio.run(main(viewer))


def test_sources_may_change_before_a_page_is_open_and_after_the_end():
    viewer = small_viewer("cam0")
    viewer.add_source("cam1", is_live=True)
    viewer.remove_source("cam0")
    viewer.remove_source("cam0")
    viewer.write(make_result(1, "cam1"))
    viewer.close()
    viewer.add_source("cam2", is_live=True)


def test_frame_that_cannot_be_encoded_is_a_failure():
    async def main(viewer: Viewer) -> None:
        async with browsing(viewer) as browser:
            await browser.text("hello")
            viewer.write(make_result(source_id="not a topic"))
            await browser.closed()

    viewer = small_viewer("not a topic")
    asyncio.run(main(viewer))
    with pytest.raises(PublishError, match=r"the viewer has failed: .*source id 'not a topic'"):
        viewer.close()


@pytest.mark.slow
def test_missing_aiohttp_is_a_one_line_error():
    program = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from streamseg.errors import ConfigError\n"
        "from streamseg.viewer import Viewer\n"
        "try:\n    Viewer(['cam0'])\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == "the page needs aiohttp, which is not installed; run: pip install 'streamseg[viewer]'\n"


@pytest.mark.parametrize(
    ("jpeg_quality", "shares"), [pytest.param(80, True, id="same quality"), pytest.param(60, False, id="another one")]
)
def test_run_encodes_images_once_for_the_page_and_other_outputs(jpeg_quality: int, shares: bool):
    shared, result = SharedJpeg(80), make_result(source_id="scene0")  # of the default source
    config = Config(viewer=ViewerConfig(enabled=True, port=0, jpeg_quality=jpeg_quality))

    async def main(viewer: Viewer) -> bytes | None:
        async with browsing(viewer) as browser:
            viewer.write(result)
            return (await browser.frame()).jpeg

    with open_viewer(config, shared) as viewer:
        assert viewer is not None
        received = asyncio.run(main(viewer))
    assert (received == shared(result.frame.image)) == shares
    assert config.publish.jpeg_quality == 80
