"""A real Chromium, and positions on the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["canvas_of", "chromium", "missing_browser", "window_point"]

NAMES = ("chromium", "chromium-browser", "google-chrome")


def _path() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def missing_browser() -> str | None:
    """Return the reason, in one line, why no browser is available; None if one is."""
    try:
        import playwright  # noqa: F401
    except ModuleNotFoundError:
        return "playwright is not installed; run: pip install 'streamseg[dev]'"
    return None if _path() else f"no Chromium found: none of {', '.join(NAMES)} is on the PATH"


@contextmanager
def chromium(*, flags: Sequence[str] = (), patience_ms: float) -> Iterator[Browser]:
    """Start a browser.

    Args:
        flags: command-line flags of the browser.
        patience_ms: timeout of expectations.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=patience_ms)
    with sync_playwright() as playwright:
        # The sandbox does not work in containers.
        browser = playwright.chromium.launch(executable_path=_path(), args=["--no-sandbox", *flags])
        yield browser
        browser.close()


def canvas_of(page: Page, source: str = "cam0") -> Locator:
    """Return the canvas of a source."""
    return page.locator(f'.tile[data-source="{source}"] canvas')


def window_point(page: Page, x: float, y: float, size: tuple[int, int], source: str = "cam0") -> tuple[float, float]:
    """Return the position in the window, in CSS pixels, of a point in an image of `size` (H, W)."""
    box = canvas_of(page, source).bounding_box()
    assert box is not None
    return box["x"] + x / size[1] * box["width"], box["y"] + y / size[0] * box["height"]
