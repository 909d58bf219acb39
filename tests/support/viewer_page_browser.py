"""The page in a real Chromium: fixtures, and what tests read off it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.page.browser import chromium, picture, place_of, why_no_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["PATIENCE_MS", "chromium_of_module", "open_tab", "picture", "place_of", "tabs", "wait_for_seq"]

PATIENCE_MS = 30_000


@pytest.fixture(scope="module", name="chromium")
def chromium_of_module() -> Iterator[Browser]:
    """A browser for the tests of one module: the driver's event loop must not outlive them."""
    if reason := why_no_browser():
        pytest.skip(reason)
    # Without a graphics card its emulation only costs time.
    with chromium(flags=["--disable-gpu"], patience_ms=PATIENCE_MS) as browser:
        yield browser


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


def wait_for_seq(page: Page, seq: int, source: str = "cam0") -> None:
    """Wait until this frame is drawn."""
    from playwright.sync_api import expect

    expect(picture(page, source)).to_have_attribute("data-seq", str(seq))
