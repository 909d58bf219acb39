"""The page in a real Chromium: fixtures, and what tests read off it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of one module: the driver's event loop must not outlive them."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no chromium")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        # Without a graphics card its emulation only costs time; containers have no sandbox.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def tabs(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each in a context of its own; fails where any of them had something to complain about."""
    contexts = []
    problems: list[str] = []

    def open_one(url: str, *, allowed: str | None = None, **options: Any) -> Page:
        """`allowed` is part of a complaint that is expected; the options are those of the context."""
        context = browser.new_context(**{"viewport": {"width": 800, "height": 500}, **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()

        def complain(words: str) -> None:
            if allowed is None or allowed not in words:
                problems.append(words)

        page.on("console", lambda message: message.type in ("error", "warning") and complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not problems, problems


@pytest.fixture
def open_tab(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages for one test."""
    with tabs(chromium) as open_one:
        yield open_one


def picture(page: Page, source: str = "cam0") -> Locator:
    """The canvas of a source."""
    return page.locator(f'.tile[data-source="{source}"] canvas')


def wait_for_seq(page: Page, seq: int, source: str = "cam0") -> None:
    """Wait until this frame is drawn."""
    from playwright.sync_api import expect

    expect(picture(page, source)).to_have_attribute("data-seq", str(seq))


def place_of(page: Page, x: float, y: float, size: tuple[int, int], source: str = "cam0") -> tuple[float, float]:
    """Where a point of the picture of `size` (H, W) is in the window."""
    box = picture(page, source).bounding_box()
    assert box is not None
    return box["x"] + x / size[1] * box["width"], box["y"] + y / size[0] * box["height"]
