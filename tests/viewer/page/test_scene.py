"""Clicks in a real browser on an object of the scene, in a whole run."""

import re

import pytest

from benchmarks.page.scene import inner_point, scene_run, truth_masks
from tests.support.viewer_page_browser import canvas_of, wait_for_seq, window_point

pytestmark = pytest.mark.slow

SIZE = (360, 640)
SEED, IDENTITY = 3, 63
"""An object that passes behind two others: not detected from frame 127 on, and visible again from frame 155 on, under
its former track id."""
CLICKED, LATER, HIDDEN, BACK = 22, 124, 149, 170
SEEN = re.compile("^(followed|found)")
"""Words of a prompt whose object is visible."""


@pytest.fixture
def run():
    with scene_run(seed=SEED) as run:
        yield run


def wait_for_index(page, index):
    from playwright.sync_api import expect

    expect(canvas_of(page, "scene")).to_have_attribute("data-index", str(index))


def test_prompt_stays_with_its_object_through_occlusion(run, open_tab):
    from playwright.sync_api import expect

    page = open_tab(run.url)
    run.show(CLICKED)
    wait_for_index(page, CLICKED)
    x, y = inner_point(truth_masks(run.renderer, CLICKED)[IDENTITY])
    page.mouse.click(*window_point(page, x, y, SIZE, "scene"))
    page.mouse.move(1, 1)
    state = page.locator(".prompt .prompt-words")
    expect(page.locator(".prompt .prompt-name")).to_have_text("p1")
    run.show(CLICKED + 1)
    expect(state).to_have_text(SEEN)
    assert run.identity_of("p1", CLICKED + 1) == IDENTITY

    run.show(LATER)
    wait_for_index(page, LATER)
    assert run.identity_of("p1", LATER) == IDENTITY
    track_id = page.locator(".prompt").get_attribute("data-track")
    # The page highlights the object to which it reports the prompt as bound.
    page.mouse.move(*window_point(page, *inner_point(truth_masks(run.renderer, LATER)[IDENTITY]), SIZE, "scene"))
    expect(canvas_of(page, "scene")).to_have_attribute("data-hovered", track_id)

    run.show(HIDDEN)
    wait_for_index(page, HIDDEN)
    expect(state).to_have_text("lost")
    assert run.identity_of("p1", HIDDEN) is None

    run.show(BACK)
    wait_for_index(page, BACK)
    assert run.identity_of("p1", BACK) == IDENTITY
    expect(state).to_have_text(SEEN)


def test_slow_page_does_not_delay_others(run, open_tab):
    """A slow page skips frames: it is sent no more than it acknowledges, so that all pages reach the newest."""
    pages = [open_tab(run.url) for _ in range(4)]
    slow = pages[-1]
    slow.context.new_cdp_session(slow).send("Emulation.setCPUThrottlingRate", {"rate": 6})
    run.show(40)
    for page in pages:
        wait_for_index(page, 40)
    wait_for_seq(slow, 40, "scene")


def test_prompts_appear_on_all_pages_and_errors_only_on_the_sender(run, open_tab):
    from playwright.sync_api import expect

    first, second = open_tab(run.url), open_tab(run.url)
    run.show(CLICKED)
    for page in (first, second):
        wait_for_index(page, CLICKED)
    first.mouse.click(*window_point(first, *inner_point(truth_masks(run.renderer, CLICKED)[IDENTITY]), SIZE, "scene"))
    expect(second.locator(".prompt .prompt-name")).to_have_text("p1")
    first.locator(".prompt-name").dblclick()
    first.keyboard.type("a ball")
    first.keyboard.press("Enter")
    expect(second.locator(".prompt .prompt-name")).to_have_text("a ball")
    second.reload()
    expect(second.locator(".prompt .prompt-name")).to_have_text("a ball")
    run.show(CLICKED + 1)
    expect(second.locator(".prompt .prompt-words")).to_have_text(SEEN)
    assert run.identity_of("p1", CLICKED + 1) == IDENTITY
    second.locator("#text").fill("x" * 10_000)
    second.keyboard.press("Enter")
    expect(second.locator("#notice")).to_contain_text("256")
    expect(first.locator("#notice")).to_be_hidden()
    second.locator(".prompt-remove").click()
    expect(first.locator(".prompt")).to_have_count(0)
    first.keyboard.press(" ")
    expect(second.locator("#pause")).to_have_attribute("aria-label", "Resume")
