"""The page in a real Chromium: fixtures and queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.page.browser import canvas_of, chromium, missing_browser, window_point

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["PATIENCE_MS", "canvas_of", "chromium_of_module", "open_tab", "tabs", "wait_for_seq", "window_point"]

PATIENCE_MS = 30_000
"""Timeout of expectations and actions."""


@pytest.fixture(scope="module", name="chromium")
def chromium_of_module() -> Iterator[Browser]:
    """Start a browser for the tests of one module: the driver's event loop must not outlive them."""
    if reason := missing_browser():
        pytest.skip(reason)
    # Without a GPU, its emulation only costs time.
    with chromium(flags=["--disable-gpu"], patience_ms=PATIENCE_MS) as browser:
        yield browser


@contextmanager
def tabs(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Yield a function that opens pages, each in its own context; fails if any of them logs an error or a warning."""
    contexts = []
    problems: list[str] = []

    def open_one(url: str, *, allowed: str | None = None, **options: Any) -> Page:
        """Open a page; `allowed` is a part of an expected error, `options` are those of the context."""
        context = browser.new_context(**{"viewport": {"width": 800, "height": 500}, **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()

        def record(text: str) -> None:
            if allowed is None or allowed not in text:
                problems.append(text)

        page.on("console", lambda message: message.type in ("error", "warning") and record(message.text))
        page.on("pageerror", lambda error: record(str(error)))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not problems, problems


@pytest.fixture
def open_tab(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Yield a function that opens pages for one test."""
    with tabs(chromium) as open_one:
        yield open_one


def wait_for_seq(page: Page, seq: int, source: str = "cam0") -> None:
    """Wait until this frame is displayed."""
    from playwright.sync_api import expect

    expect(canvas_of(page, source)).to_have_attribute("data-seq", str(seq))
