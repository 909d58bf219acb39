"""The lists of sources and outputs, and the form that adds a source."""

import pytest

from streamseg.config import source_fields
from streamseg.runtime.sink_health import SinkStats
from streamseg.runtime.stats import Ages, RunStats, SourceStats
from tests.support.viewer_page_server import PageServer, Rejection

pytestmark = pytest.mark.slow

ERROR = (
    "source: url: the password contains @, which must be %40; "
    "weight: Input should be greater than 0, got 0; timeout_seconds: Input should be a valid number, got 'x'"
)


def handle(op, args):
    if op == "sources.types":
        return {"types": source_fields()}
    if op == "sources.add" and args.get("weight") == 0:
        raise Rejection(ERROR)
    if op == "sources.add" and args.get("id") == "used":
        raise Rejection("there is a source 'used'; choose another id, or remove it first")
    return {"id": args.get("id", "stream0")}


@pytest.fixture
def server(request):
    server = PageServer(getattr(request, "param", ("door", "yard")), handle)
    yield server
    server.close()


def open_page(server, open_tab, **options):
    page = open_tab(server.url, viewport={"width": 1280, "height": 900}, **options)
    server.wait_for(lambda message: message["type"] == "view")
    return page


def send_status(server, sources=(), sinks=()):
    stats = RunStats(1.0, 10, 29.5, 29.5, Ages(), 3, {}, {}, False, tuple(sources), sinks=tuple(sinks))
    server.send({"type": "status", **stats.as_json()})


def source(source_id, state="live", error=None, seconds=12.0):
    return SourceStats(source_id, state, error, 10, 0.1, 29.5, Ages(), None, 3, {}, state_seconds=seconds)


def test_sources_have_their_states_in_words_and_changes_are_announced(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    send_status(server, [source("door"), source("yard", "waiting", "no route to rtsp://***@yard", 35)])
    rows = page.locator("#sources li")
    expect(rows.nth(0).locator(".row-words")).to_have_text("29.5 fps")
    expect(rows.nth(1).locator(".row-words")).to_have_text("Waiting for 35 s")
    expect(rows.nth(1).locator(".row-words")).to_have_attribute(
        "title", "Waiting for 35 s: no route to rtsp://***@yard (image of 0 s ago)"
    )
    expect(page.locator("#sources-live")).to_have_text("1 of 2 live")
    expect(page.locator("#announcer")).to_be_empty()
    send_status(server, [source("door", "stalled"), source("yard", "waiting", "no route", 36)])
    expect(page.locator("#announcer")).to_have_text("door: Stalled: no frame for 12 s")


def test_source_is_restarted_at_once_and_removed_by_a_second_press(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    page.get_by_role("button", name="Restart yard").press("Enter")
    assert server.calls("sources.restart") == [{"id": "yard"}]
    expect(page.locator("#notice")).to_contain_text("Restarted yard")
    page.get_by_role("button", name="Remove yard").click()
    page.get_by_role("button", name="Press again to remove yard").click()
    assert server.calls("sources.remove") == [{"id": "yard"}]
    expect(page.get_by_role("button", name="Remove yard")).to_be_visible()


def test_errors_of_the_server_are_beside_their_fields(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    page.keyboard.press("a")
    expect(page.locator("#source-url")).to_be_focused()
    page.locator("#source-url").fill("rtsp://admin:p@ss@camera/1")
    page.locator("summary").click()
    page.locator("#source-weight").fill("0")
    page.locator("#source-timeout_seconds").fill("x")
    page.locator("#source-frozen_seconds").fill("null")
    page.locator("#source-transport").select_option("udp")
    page.locator("#source-loop").check()
    page.keyboard.press("Enter")
    expect(page.locator("#source-url-error")).to_have_text("the password contains @, which must be %40")
    expect(page.locator("#source-weight-error")).to_have_text("Input should be greater than 0, got 0")
    expect(page.get_by_label("timeout_seconds", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#source-url")).to_be_focused()
    expect(page.locator("#source-mode-error")).to_be_hidden()
    expected = {"type": "stream", "url": "rtsp://admin:p@ss@camera/1", "weight": 0, "timeout_seconds": "x"}
    assert server.calls("sources.add") == [{**expected, "frozen_seconds": None, "transport": "udp", "loop": True}]
    page.locator("#source-weight").fill("")
    page.locator("#source-id").fill("used")
    page.locator("#source-dialog [type=submit]").click()
    expect(page.locator(".form-error")).to_contain_text("there is a source 'used'")
    expect(page.locator("#source-url-error")).to_be_hidden()


def test_added_source_leaves_nothing_of_its_address_on_the_page(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    page.get_by_role("button", name="Add a source").click()
    page.locator("#source-type").select_option("webcam")
    page.locator("#source-device").fill("1")
    page.locator("#source-type").select_option("stream")
    page.locator("#source-url").fill("rtsp://admin:open-sesame@camera/1")
    page.locator("#source-dialog [type=submit]").click()
    expect(page.locator("#source-dialog")).to_be_hidden()
    expect(page.locator("#notice")).to_contain_text("Added stream0")
    assert server.calls("sources.add") == [{"type": "stream", "url": "rtsp://admin:open-sesame@camera/1"}]
    assert page.evaluate("[...document.querySelectorAll('input')].every((one) => !one.value.includes('sesame'))")
    assert "sesame" not in page.content()


def test_role_read_has_no_controls(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    expect(page.locator("#add-source")).to_be_visible()
    server.send({"type": "role", "role": "read"})
    for name in ("Add a source", "Restart yard", "Remove yard", "Pause", "Clear"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()
    expect(page.get_by_role("button", name="Save a snapshot")).to_be_visible()


def sink(name, state="ok", error=None, drops=None, seconds=0.0):
    return SinkStats(name, state, error, 3.0, 10, drops or {}, trouble_seconds=seconds)


def test_outputs_are_in_words(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    send_status(server, sinks=[sink("page")])
    expect(page.locator("#outputs")).to_be_hidden()
    full = sink("recording door", "degraded", "cannot write x: No space left on device", {"door": {"full": 40}}, 60)
    hung = sink("messages", "failed", "a write has not ended for 40 s", seconds=40)
    send_status(server, sinks=[*(sink(f"recording cam{n}") for n in range(4)), full, sink("page"), hung])
    rows = page.locator("#outputs li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0).locator(".row-words")).to_contain_text("Stopped since ")
    expect(rows.nth(0).locator(".row-words")).to_contain_text(": disk full; 40 frames not written")
    expect(rows.nth(1).locator(".row-words")).to_contain_text(": a write has not ended for 40 s")
    expect(rows.nth(2)).to_contain_text("4 other outputs")


WALL = tuple(f"cam{number:02}" for number in range(16))


@pytest.mark.parametrize("server", [WALL], indirect=True)
def test_many_sources_are_a_wall_until_one_is_chosen(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    expect(page.locator("#stage")).to_have_class("stage grid")
    expect(page.locator("#tabs")).to_be_hidden()
    page.locator("#grid").click()
    page.locator("#sources li", has_text="cam07").locator(".row-choose").click()
    expect(page.locator(".tile:visible")).to_have_count(1)
    expect(page.locator(".tile:visible")).to_have_attribute("data-source", "cam07")
