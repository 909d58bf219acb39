"""The page as a whole: frames and acknowledgements, lost connections, several sources and tabs, themes and widths."""

import itertools
import json

import cv2
import numpy as np
import pytest

from streamseg.drawing import colour_of
from streamseg.runtime.stats import Ages, RunStats, SourceStats
from streamseg.structures.message import PromptStatus
from tests.support.viewer_page_browser import canvas_of, tabs, wait_for_seq, window_point
from tests.support.viewer_page_server import PageServer, block, page_frame

pytestmark = pytest.mark.slow

SIZE = (240, 320)


@pytest.fixture
def server(request):
    server = PageServer(sources=getattr(request, "param", ("cam0",)))
    yield server
    server.close()


def open_page(server, open_tab, **options):
    page = open_tab(server.url, **options)
    server.wait_for(lambda message: message["type"] == "view")
    return page


def status(**changes):
    source = SourceStats("cam0", "live", None, 10, 0.1, 29.5, Ages(8.0, 12.0, 20.0), "driver", 3, {})
    run = RunStats(1.0, 10, 29.5, 29.5, Ages(8.0, 12.0, 20.0), 3, {}, {}, False, (source,))
    return {"type": "status", **run.as_json(), **changes}


def wait_for_colour(page, x, y, colour, tolerance=4):
    """Wait until the page, on which a worker draws, displays a colour (RGB) at a point of the image."""
    left, top = window_point(page, x, y, SIZE)
    for _ in range(100):
        shot = page.screenshot(clip={"x": int(left), "y": int(top), "width": 1, "height": 1})
        seen = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)[0, 0, ::-1].tolist()
        if seen == pytest.approx(colour, abs=tolerance):
            return
    raise AssertionError(f"the image is {seen} at ({x}, {y}), not {colour}")


def mixed(track_id, share, ground=(90, 90, 90)):
    return [(1 - share) * below + share * above for below, above in zip(ground, colour_of(track_id), strict=True)]


def test_masks_are_drawn_in_the_colour_of_their_track_id(server, open_tab):
    page = open_page(server, open_tab, viewport={"width": 1280, "height": 720})
    server.send(page_frame(block(40, 40, 120, 200, track_id=3), block(180, 40, 280, 200, track_id=11), size=SIZE))
    wait_for_seq(page, 0)
    wait_for_colour(page, 80, 120, mixed(3, 0.26))
    wait_for_colour(page, 230, 120, mixed(11, 0.26))
    wait_for_colour(page, 150, 120, [90, 90, 90])
    server.send({"type": "prompts", "prompts": [{"id": "cup", "points": [[1, 1]]}]})
    prompted, other = block(40, 40, 120, 200, track_id=3, prompt_ids=("cup",)), block(180, 40, 280, 200, track_id=11)
    server.send(page_frame(prompted, other, seq=1, size=SIZE, prompts=(PromptStatus("cup", "bound", 1.0, 3),)))
    wait_for_seq(page, 1)
    wait_for_colour(page, 80, 120, mixed(3, 0.42))  # strongly
    wait_for_colour(page, 230, 120, mixed(11, 0.1))  # faintly
    page.locator("#everything").click()
    wait_for_colour(page, 230, 120, [90, 90, 90])
    wait_for_colour(page, 80, 120, mixed(3, 0.42))


def test_drawn_frames_are_acknowledged(server, open_tab):
    page = open_page(server, open_tab)
    for seq in range(5):
        server.send(page_frame(block(0, 0, 9, 9), seq=seq))
        wait_for_seq(page, seq)
    assert server.acks(5) == [0, 1, 2, 3, 4]


def test_frames_before_the_first_message_are_acknowledged(server, open_tab):
    """The server waits for these acknowledgements."""
    server.greeting = (page_frame(seq=5), page_frame(seq=6))
    page = open_page(server, open_tab)
    wait_for_seq(page, 6)
    server.wait_for_acks(6, browsers=[0])


def test_newest_waiting_frame_is_displayed(server, open_tab):
    """A page that receives more frames than it can draw acknowledges few, and ends with the last one."""
    page = open_page(server, open_tab)
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 8})
    frames = [page_frame(block(0, 0, 99, 99), seq=seq, size=(480, 640)) for seq in range(60)]
    for frame in frames:
        server.send(frame)
    wait_for_seq(page, 59)
    acks = server.wait_for(lambda message: message["type"] == "ack" and message["seq"] == 59) and server.acks()
    assert acks == sorted(set(acks))
    assert len(acks) < 60


def test_unreadable_frame_is_reported_and_skipped(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    server.send(page_frame(seq=0, jpeg=b"\xff\xd8 no image"))
    expect(page.locator("#notice")).to_contain_text("cam0: a frame could not be read")
    assert server.acks() == [0]
    server.send(page_frame(seq=1))
    wait_for_seq(page, 1)


def test_end_of_the_run_is_not_a_lost_connection(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab, allowed="WebSocket")
    server.send(page_frame(seq=0))
    wait_for_seq(page, 0)
    ended = status()
    ended["sources"][0]["state"] = "ended"
    server.accepts_connections = False
    server.send(ended)
    expect(page.locator(".tile-note")).to_have_text("The source has ended.")
    server.hang_up()
    expect(page.locator("#connection-text")).to_have_text("The run has ended; waiting for the next one")
    expect(page.locator("#connection")).to_have_attribute("data-state", "ended")
    expect(page.locator(".tile-note")).to_have_text("The source has ended; this is its last image.")
    expect(page.locator(".tile")).to_have_class("tile")
    server.accepts_connections = True
    page.evaluate("() => document.getElementById('retry').click()")
    expect(page.locator("#connection-text")).to_have_text("Connected")


def test_lost_connection_is_reported_and_restored(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab, allowed="WebSocket")
    server.send(page_frame(seq=0))
    wait_for_seq(page, 0)
    server.accepts_connections = False
    server.hang_up()
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    expect(page.locator("#connection-text")).to_contain_text("Connection lost")
    expect(page.locator(".tile")).to_have_class("tile stale")
    expect(page.locator(".tile-note")).to_contain_text("outdated")
    page.mouse.click(*window_point(page, 50, 50, SIZE))
    expect(page.locator("#notice")).to_contain_text("not connected")
    server.accepts_connections = True
    page.evaluate("() => document.getElementById('retry').click()")  # unless it has reconnected by itself already
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator(".tile")).to_have_class("tile")
    server.send(page_frame(seq=7))
    wait_for_seq(page, 7)
    assert server.num_connections == 2


def test_wrong_token_is_reported(server, open_tab):
    from playwright.sync_api import expect

    server.accepts_connections = False
    page = open_tab(server.url, allowed="WebSocket")
    expect(page.locator("#connection-text")).to_contain_text("wrong token")


@pytest.mark.parametrize("server", [("north", "south", "yard")], indirect=True)
def test_sources_are_tabs_or_a_grid(server, open_tab):
    from playwright.sync_api import expect

    page = open_tab(server.url)
    views = server.wait_for(lambda message: message["type"] == "view" and message["sources"])
    assert views[0]["sources"] == ["north"]
    page.locator("#tabs").get_by_role("button", name="south").click()
    server.wait_for(lambda message: message.get("sources") == ["south"])
    expect(canvas_of(page, "south")).to_be_visible()
    expect(canvas_of(page, "north")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    server.wait_for(lambda message: message.get("sources") == ["yard"])
    page.keyboard.press("g")
    server.wait_for(lambda message: message.get("sources") == ["north", "south", "yard"])
    for source in ("north", "south", "yard"):
        server.send(page_frame(block(40, 40, 200, 200), source_id=source, size=SIZE))
        wait_for_seq(page, 0, source)
    page.mouse.click(*window_point(page, 100, 100, SIZE, "south"))
    assert server.calls("prompts.set")[0]["prompts"][0]["source"] == "south"
    page.locator("#text").fill("cup")
    page.keyboard.press("Enter")
    assert "source" not in server.calls("prompts.set", 2)[1]["prompts"][0], "the prompt applies to every source"


STATES = [
    ("connecting", 3.2, None, "Connecting for 3 s", True),
    ("stalled", 12.4, None, "Stalled: no frame for 12 s", True),
    ("frozen", 600, None, "Frozen: the same image for 10 min", True),
    ("waiting", 9000, "no connection", "Waiting for 3 h: no connection", True),
    ("denied", 60, "401 Unauthorized", "Denied for 60 s: 401 Unauthorized", True),
    ("failed", 1, "cam0: no such file", "Failed: cam0: no such file", True),
    ("ended", 1, None, "The source has ended.", False),
]


def test_states_of_a_source_are_displayed_in_words(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    for state, seconds, error, text, is_stale in STATES:
        source = SourceStats("cam0", state, error, 0, None, 0.0, Ages(), None, 0, {}, state_seconds=seconds)
        server.send(status(sources=RunStats(1, 0, 0, 0, Ages(), 0, {}, {}, False, (source,)).as_json()["sources"]))
        expect(page.locator(".tile-note")).to_have_text(text)
        expect(page.locator(".tile")).to_have_class("tile stale" if is_stale else "tile")
    server.send(status())
    expect(page.locator(".tile-note")).to_be_hidden()
    expect(page.locator('[data-stat="server"]')).to_have_text("29.5 fps, 8 ms")


WALL = tuple(f"cam{number:02}" for number in range(16))


@pytest.mark.parametrize("server", [WALL], indirect=True)
@pytest.mark.parametrize(("width", "columns"), [(1600, 4), (1000, 4), (800, 2)])
def test_wall_of_cameras(server, open_tab, width, columns):
    """Sixteen sources are four columns of four; one that is away keeps its last image, with its age."""
    from playwright.sync_api import expect

    page = open_page(server, open_tab, viewport={"width": width, "height": 900})
    server.wait_for(lambda message: message.get("sources") == list(WALL))
    for source in WALL:
        server.send(page_frame(block(40, 40, 200, 200), source_id=source, size=SIZE))
        wait_for_seq(page, 0, source)
    away = [
        SourceStats(source, "waiting", "no route to host", 9, 40.0, 0.0, Ages(), None, 0, {}, state_seconds=35.0)
        for source in WALL[5:6]
    ]
    server.send(status(sources=RunStats(1, 0, 0, 0, Ages(), 0, {}, {}, False, tuple(away)).as_json()["sources"]))
    tile = page.locator(f'.tile[data-source="{WALL[5]}"]')
    expect(tile.locator(".tile-note")).to_have_text("Waiting for 35 s: no route to host (image of 40 s ago)")
    expect(tile).to_have_class("tile stale")
    boxes = [page.locator(f'.tile[data-source="{source}"]').bounding_box() for source in WALL]
    assert len({round(box["x"]) for box in boxes}) == columns
    assert len({round(box["y"]) for box in boxes}) == len(WALL) // columns
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inner = tile.locator(".tile-note").bounding_box()
    outer = tile.bounding_box()
    assert outer["x"] <= inner["x"]
    assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]


@pytest.fixture(scope="module")
def watched(chromium):
    """A server and four pages, opened in the order in which the server counts them."""
    server = PageServer()
    with tabs(chromium) as open_tab:
        pages = []
        while len(pages) < 4:
            pages.append(open_tab(server.url))
            server.wait_for(lambda message: message["type"] == "view" and message["sources"], len(pages))
        yield server, pages
    server.close()


def test_hanging_page_displays_the_newest_frame(watched):
    """It delays no other page either: a worker draws and acknowledges while the page's thread is busy."""
    server, (*pages, hung) = watched
    server.clear_acks()
    session = hung.context.new_cdp_session(hung)
    session.send("Debugger.enable")
    session.send("Debugger.pause")
    # The pause takes effect with the next script that runs there.
    for seq in range(4):
        server.send(page_frame(block(0, 0, 50, 50), seq=seq))
        for page in pages:
            wait_for_seq(page, seq)
    acks = server.acks(16)
    assert {seq: acks.count(seq) for seq in range(4)} == dict.fromkeys(range(4), 4)
    session.send("Debugger.disable")
    wait_for_seq(hung, 3)


def test_slow_page_is_at_most_a_few_frames_behind(watched):
    """Counted in frames, for a busy machine: the next one is sent when the other three pages have drawn it."""
    server, pages = watched
    server.clear_acks()
    session = pages[-1].context.new_cdp_session(pages[-1])
    session.send("Emulation.setCPUThrottlingRate", {"rate": 12})
    behind = []
    for seq in range(100, 140):
        server.send(page_frame(block(0, 0, 200, 200), block(100, 100, 300, 220, track_id=2), seq=seq, size=SIZE))
        server.wait_for_acks(seq, [0, 1, 2])
        behind.append(seq - max(server.acked[3], default=99))
    assert np.median(behind) <= 2
    assert np.mean(behind) <= 3
    server.wait_for_acks(139, [3])
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})


def test_snapshot_is_an_image_of_the_source_size_and_its_header(server, open_tab, tmp_path):
    page = open_page(server, open_tab)
    server.send(page_frame(block(40, 40, 120, 200, track_id=3), size=SIZE))
    wait_for_seq(page, 0)
    with (
        page.expect_download(lambda download: download.suggested_filename == "cam0-000100.png") as png_download,
        page.expect_download(lambda download: download.suggested_filename == "cam0-000100.json") as json_download,
    ):
        page.keyboard.press("s")
    png_download.value.save_as(tmp_path / "image.png")
    json_download.value.save_as(tmp_path / "header.json")
    png = cv2.imread(str(tmp_path / "image.png"))
    assert png.shape[:2] == SIZE
    assert png[120, 80][::-1] == pytest.approx(mixed(3, 0.26), abs=4)
    header = json.loads((tmp_path / "header.json").read_text())
    assert (header["index"], header["objects"][0]["track_id"]) == (100, 3)


@pytest.mark.parametrize("server", [("a-camera-with-a-long-name", "another-camera", "third")], indirect=True)
def test_phone_layout_has_one_column(server, open_tab):
    page = open_tab(server.url, viewport={"width": 360, "height": 740}, has_touch=True, device_scale_factor=3)
    server.wait_for(lambda message: message["type"] == "view" and message["sources"])
    server.send({"type": "prompts", "prompts": [{"id": "a" * 64, "source": "third", "text": "word " * 40}]})
    server.send({"type": "error", "error": "x" * 300})
    server.send(page_frame(source_id="a-camera-with-a-long-name", size=SIZE))
    wait_for_seq(page, 0, "a-camera-with-a-long-name")
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    boxes = [page.locator(name).bounding_box() for name in ("#stage", "aside section >> nth=0", "#health")]
    assert all(upper["y"] + upper["height"] <= lower["y"] for upper, lower in itertools.pairwise(boxes))
    small = page.locator("button:visible").evaluate_all(
        "(all) => all.filter((one) => one.getBoundingClientRect().height < 24).map((one) => one.textContent)"
    )
    assert small == [], "large enough for a finger (WCAG 2.5.8)"


CONTRAST = """(pairs) => {
    const probe = document.createElement("p");
    document.body.append(probe);
    const luminance = (name) => {
        probe.style.color = `var(--${name})`;
        const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map((v) => v / 255)
            .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return pairs.map(([ink, ground]) => {
        const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    });
}"""
PAIRS = [
    *((ink, ground) for ink in ("ink", "muted") for ground in ("ground", "panel", "raised")),
    *((ink, "raised") for ink in ("good", "warn")),
    *((ink, "panel") for ink in ("bad", "accent", "warn")),
    ("on-accent", "accent"),
]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_is_readable_in_both_themes(server, open_tab, scheme):
    page = open_page(server, open_tab, color_scheme=scheme)
    ratios = dict(zip(PAIRS, page.evaluate(CONTRAST, PAIRS), strict=True))
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}, "WCAG AA"


def test_theme_follows_the_system_until_one_is_chosen(server, open_tab):
    page = open_page(server, open_tab, color_scheme="dark")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert np.mean(np.fromstring(light[4:-1], sep=",")) > 200 > 40 > np.mean(np.fromstring(dark[4:-1], sep=","))
    page.get_by_label("Switch to the dark theme").click()
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark, "the choice is stored"


def test_every_control_is_reachable_and_named(server, open_tab):
    page = open_page(server, open_tab)
    server.send({"type": "prompts", "prompts": [{"id": "cup", "points": [[1, 1]]}]})
    server.send(page_frame(seq=0))
    wait_for_seq(page, 0)
    nameless = page.locator("button, canvas, input").evaluate_all(
        """(all) => all.filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length
            || one.closest("[hidden]"))).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "() => [document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    assert ["CANVAS", "solid"] in seen
    assert ["INPUT", "solid"] in seen
    assert all(outline == "solid" for tag, outline in seen if tag != "BODY"), "the focus is visible"
