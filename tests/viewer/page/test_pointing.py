"""Pointer and keyboard gestures make the right calls, in image coordinates."""

import pytest

from streamseg.structures.message import PromptStatus
from tests.support.viewer_page_browser import canvas_of, wait_for_seq, window_point
from tests.support.viewer_page_server import PageServer, Rejection, block, page_frame

pytestmark = pytest.mark.slow

SIZE = (240, 320)
WHOLE = block(40, 40, 200, 200, track_id=7)
PART = block(60, 60, 120, 120, track_id=8)


class PromptHandler:
    """Handles prompt operations like a run, and rejects texts."""

    def __init__(self) -> None:
        self.prompts: dict[str, dict] = {}
        self.names: dict[str, str] = {}

    def __call__(self, op, args):
        if op == "prompts.set":
            for prompt in args["prompts"]:
                if "text" in prompt:
                    raise Rejection("no text encoders installed; run: streamseg text export")
                self.prompts[prompt["id"]] = prompt
        elif op == "prompts.clear":
            for name in args["ids"]:
                self.prompts.pop(name, None)
        elif op == "prompts.rename":
            if args["name"] in self.names.values():
                raise Rejection(f"another prompt has the name {args['name']!r}")
            self.names[args["id"]] = args["name"]
            return {"names": dict(self.names)}
        return {"prompts": list(self.prompts.values())} if op.startswith("prompts.") else {}


@pytest.fixture
def server():
    server = PageServer(handle=PromptHandler())
    yield server
    server.close()


def open_page(server, open_tab, **options):
    """Open a page that displays frame 0, in which a part lies inside a whole."""
    page = open_tab(server.url, **options)
    server.wait_for(lambda message: message["type"] == "view" and message["sources"] == ["cam0"])
    server.send(page_frame(WHOLE, PART, size=SIZE))
    wait_for_seq(page, 0)
    return page


def click(page, x, y, **options):
    page.mouse.move(*window_point(page, x, y, SIZE))
    modifiers = options.pop("modifiers", ())
    for key in modifiers:
        page.keyboard.down(key)
    page.mouse.down()
    page.mouse.up()
    for key in modifiers:
        page.keyboard.up(key)


def drag(page, start, end):
    page.mouse.move(*window_point(page, *start, SIZE))
    page.mouse.down()
    page.mouse.move(*window_point(page, (start[0] + end[0]) / 2, end[1], SIZE))
    page.mouse.move(*window_point(page, *end, SIZE))
    page.mouse.up()


def wait_for_prompts(page, *ids):
    from playwright.sync_api import expect

    expect(page.locator(".prompt .prompt-name")).to_have_text(list(ids))


def selected(page):
    return page.locator('.prompt:has([aria-pressed="true"])').evaluate_all(
        "(items) => items.map((item) => item.dataset.id)"
    )


@pytest.mark.parametrize(
    ("options", "zoom"),
    [
        pytest.param({}, 1, id="plain"),
        pytest.param({"device_scale_factor": 2}, 1, id="high-resolution screen"),
        pytest.param({"device_scale_factor": 1.5, "viewport": {"width": 1100, "height": 700}}, 1, id="large"),
        pytest.param({}, 0.6, id="zoomed out"),
        pytest.param({"viewport": {"width": 390, "height": 700}}, 1.4, id="narrow and zoomed in"),
    ],
)
def test_click_is_a_point_prompt_in_image_coordinates(server, open_tab, options, zoom):
    page = open_page(server, open_tab, **options)
    page.evaluate("(zoom) => { document.body.style.zoom = zoom; scrollTo(0, 0); }", zoom)
    click(page, 150.5, 80.25)
    (args,) = server.calls("prompts.set")
    (prompt,) = args["prompts"]
    ((x, y),) = prompt.pop("points")
    box = canvas_of(page).bounding_box()
    assert (x, y) == pytest.approx((150.5, 80.25), abs=0.75 * SIZE[1] / box["width"] + 0.01)
    assert prompt == {"id": "p1", "source": "cam0", "index": 100, "labels": [1]}
    wait_for_prompts(page, "p1")
    assert selected(page) == ["p1"]


def test_object_under_the_pointer_is_highlighted(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    for x, y, track_id in [(80, 80, "8"), (180, 180, "7"), (20, 20, ""), (60.5, 119.5, "8")]:
        page.mouse.move(*window_point(page, x, y, SIZE))
        expect(canvas_of(page)).to_have_attribute("data-hovered", track_id)
    # The masks of the next frame apply as soon as it is displayed, without a pointer move.
    server.send(page_frame(block(40, 40, 200, 200, track_id=9), seq=1, size=SIZE))
    expect(canvas_of(page)).to_have_attribute("data-hovered", "9")
    page.mouse.move(790, 490)
    expect(canvas_of(page)).to_have_attribute("data-hovered", "")
    assert len(server.acks()) == 2, "highlighting is not a new frame"


def test_points_are_added_to_the_selected_prompt(server, open_tab):
    page = open_page(server, open_tab)
    click(page, 80, 80)
    server.calls("prompts.set")
    wait_for_prompts(page, "p1")
    moved = block(100, 60, 160, 120, track_id=8, prompt_ids=("p1",))
    server.send(page_frame(moved, seq=1, size=SIZE, prompts=(PromptStatus("p1", "bound", 0.9, 8),)))
    wait_for_seq(page, 1)
    click(page, 130, 110, modifiers=["Shift"])
    first = server.calls("prompts.set", 2)[1]["prompts"][0]
    assert (first["id"], first["index"], first["labels"]) == ("p1", 101, [1, 0])
    assert first["points"][0] == pytest.approx([120, 80], abs=1), "it moved by 40 pixels"
    assert first["points"][1] == pytest.approx([130, 110], abs=1)
    click(page, 150, 70, modifiers=["Control"])
    second = server.calls("prompts.set", 3)[2]["prompts"][0]
    assert (second["id"], second["labels"]) == ("p1", [1, 0, 1])


def test_repeated_click_steps_from_part_to_whole(server, open_tab):
    page = open_page(server, open_tab)
    click(page, 80, 80)
    wait_for_prompts(page, "p1")
    click(page, 81, 80)
    click(page, 80, 81)
    assert server.calls("prompts.step", 2) == [{"id": "p1"}] * 2
    click(page, 180, 180)
    assert server.calls("prompts.set", 2)[1]["prompts"][0]["id"] == "p2", "another spot is another prompt"


def test_click_on_a_tracked_object_selects_its_prompt(server, open_tab):
    page = open_page(server, open_tab)
    click(page, 80, 80)
    wait_for_prompts(page, "p1")
    click(page, 180, 180)
    wait_for_prompts(page, "p1", "p2")
    part, whole = block(60, 60, 120, 120, prompt_ids=("p1",)), block(40, 40, 200, 200, prompt_ids=("p2",))
    server.send(page_frame(whole, part, seq=1, size=SIZE))
    wait_for_seq(page, 1)
    assert selected(page) == ["p2"]
    click(page, 100, 100)
    assert selected(page) == ["p1"]
    assert len(server.calls("prompts.set")) == 2


def test_drag_is_a_box_and_a_tiny_drag_is_a_click(server, open_tab):
    page = open_page(server, open_tab)
    drag(page, (200, 190), (50.5, 30.5))
    prompt = server.calls("prompts.set")[0]["prompts"][0]
    assert prompt.pop("box") == pytest.approx([50.5, 30.5, 200, 190], abs=1)
    assert prompt == {"id": "p1", "source": "cam0", "index": 100}
    drag(page, (250, 100), (400, 300))
    inside = server.calls("prompts.set", 2)[1]["prompts"][0]["box"]
    assert inside == pytest.approx([250, 100, 319.99, 239.99], abs=1), "a box is clipped to the image"
    drag(page, (80, 80), (81, 81))
    assert "points" in server.calls("prompts.set", 3)[2]["prompts"][0]


def test_escape_cancels_a_box(server, open_tab):
    page = open_page(server, open_tab)
    page.mouse.move(*window_point(page, 50, 50, SIZE))
    page.mouse.down()
    page.mouse.move(*window_point(page, 150, 150, SIZE))
    page.keyboard.press("Escape")
    page.mouse.up()
    click(page, 80, 80)
    assert "points" in server.calls("prompts.set")[0]["prompts"][0], "the first call is of the click"


def test_touch_gestures(server, open_tab):
    page = open_page(server, open_tab, has_touch=True, viewport={"width": 390, "height": 700})
    page.touchscreen.tap(*window_point(page, 80, 80, SIZE))
    assert server.calls("prompts.set")[0]["prompts"][0]["labels"] == [1]
    wait_for_prompts(page, "p1")
    x, y = window_point(page, 180, 180, SIZE)
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    pressed = server.calls("prompts.set", 2)[1]["prompts"][0]
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert (pressed["id"], pressed["labels"]) == ("p1", [1, 0])
    start, end = window_point(page, 50, 50, SIZE), window_point(page, 150, 150, SIZE)
    for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})
    assert "box" in server.calls("prompts.set", 3)[2]["prompts"][0]


def test_pointing_by_keyboard(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    canvas_of(page).focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    expect(canvas_of(page)).to_have_attribute("data-hovered", "7")
    page.keyboard.press("Enter")
    prompt = server.calls("prompts.set")[0]["prompts"][0]
    step = 12 * SIZE[1] / canvas_of(page).bounding_box()["width"]
    assert prompt["points"][0] == pytest.approx([160 - step - step / 12, 120 - 2 * step], abs=0.1)


def test_keyboard_shortcuts(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    for x, y, ids in [(80, 80, ["p1"]), (180, 180, ["p1", "p2"]), (20, 20, ["p1", "p2", "p3"])]:
        click(page, x, y)
        wait_for_prompts(page, *ids)
    for key, expected in [("1", ["p1"]), ("ArrowDown", ["p2"]), ("ArrowUp", ["p1"]), ("ArrowUp", ["p3"])]:
        page.keyboard.press(key)
        assert selected(page) == expected, key
    page.keyboard.press("2")
    page.keyboard.press("Delete")
    assert server.calls("prompts.clear") == [{"ids": ["p2"]}]
    wait_for_prompts(page, "p1", "p3")
    assert selected(page) == []
    click(page, 250, 20)
    wait_for_prompts(page, "p1", "p3", "p2")
    page.keyboard.press("Escape")
    assert selected(page) == []
    page.keyboard.press(" ")
    server.calls("pause")
    expect(page.locator("#pause")).to_have_attribute("aria-label", "Resume")
    page.keyboard.press(".")
    server.calls("step")
    page.keyboard.press(" ")
    server.calls("resume")
    page.keyboard.press("e")
    expect(page.locator("#everything")).to_have_attribute("aria-checked", "false")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).not_to_be_visible()
    assert selected(page) == [], "shortcuts are disabled behind the dialog"
    page.keyboard.press("/")
    page.keyboard.type("a cup 1 s ?")
    expect(page.locator("#text")).to_have_value("a cup 1 s ?")


def test_error_is_one_line_that_can_be_dismissed(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    page.locator("#text").fill("a red cup")
    page.keyboard.press("Enter")
    assert server.calls("prompts.set")[0]["prompts"] == [{"id": "p1", "source": "cam0", "text": "a red cup"}]
    expect(page.locator("#notice")).to_contain_text("streamseg text export")
    expect(page.locator("#text")).to_have_value("a red cup")
    wait_for_prompts(page)
    page.get_by_label("Dismiss").click()
    expect(page.locator("#notice")).to_be_hidden()
    click(page, 80, 80, modifiers=["Shift"])
    expect(page.locator("#notice")).to_contain_text("Select a prompt first")


def test_list_displays_prompt_states(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    states = {"p1": "bound", "p2": "lost", "p3": "reacquired", "p4": "none"}
    prompts = [{"id": name, "source": "cam0", "points": [[1, 1]], "labels": [1]} for name in states]
    server.send({"type": "prompts", "prompts": [{"id": "everything"}, *prompts]})
    wait_for_prompts(page, *states)
    expect(page.locator(".prompt .prompt-words")).to_have_text(["pending"] * 4)
    statuses = (
        PromptStatus("p1", "bound", 0.93, 0, 0.84),
        PromptStatus("p2", "lost", 0.0, 1),
        PromptStatus("p3", "reacquired", 0.5, 2),
        PromptStatus("p4", "none"),
    )
    server.send(page_frame(WHOLE, seq=1, size=SIZE, prompts=statuses))
    expect(page.locator(".prompt .prompt-words")).to_have_text(["followed", "lost", "found again", "nothing found"])
    expect(page.locator(".prompt .prompt-percent")).to_have_text(["93 % · mask 84 %", "", "50 %", ""])
    icons = page.locator(".prompt-state use").evaluate_all("(icons) => icons.map((icon) => icon.getAttribute('href'))")
    assert len(set(icons)) == 4, "states differ in more than colour"
    uncertain = (PromptStatus("p1", "bound", 0.6, 0, 0.3), PromptStatus("p3", "reacquired", 0.1, 2, 0.3))
    server.send(page_frame(WHOLE, seq=2, size=SIZE, prompts=uncertain))
    expect(page.locator(".prompt .prompt-words")).to_have_text(
        ["followed, mask uncertain", "pending", "possibly lost", "pending"]
    )


def test_prompt_is_renamed_in_the_list(server, open_tab):
    from playwright.sync_api import expect

    page = open_page(server, open_tab)
    for x, y, ids in [(80, 80, ["p1"]), (20, 20, ["p1", "p2"])]:
        click(page, x, y)
        wait_for_prompts(page, *ids)
    field = page.get_by_role("textbox", name="Name of the prompt")
    page.keyboard.press("F2")
    expect(field).to_have_value("p2")
    page.keyboard.type("something else")
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    page.locator(".prompt-name").first.dblclick()
    expect(field).to_have_value("p1")
    page.keyboard.type("a red cup")
    page.keyboard.press("Enter")
    assert server.calls("prompts.rename") == [{"id": "p1", "name": "a red cup"}]
    wait_for_prompts(page, "a red cup", "p2")
    assert page.locator(".prompt").first.get_attribute("data-id") == "p1", "its id is unchanged"
    expect(page.locator(".prompt-choose").first).to_be_focused()
    page.locator(".prompt-choose").last.press("F2")
    page.keyboard.type("a red cup")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("another prompt has the name")
    assert len(server.calls("prompts.rename", 2)) == 2
    wait_for_prompts(page, "a red cup", "p2")
    prompts = [{"id": name, "source": "cam0", "points": [[1, 1]], "labels": [1]} for name in ("p1", "p2")]
    server.send({"type": "prompts", "prompts": prompts, "names": {"p2": "a jar"}})
    wait_for_prompts(page, "p1", "a jar")
