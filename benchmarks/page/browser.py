"""A real Chromium, and where things are on the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["chromium", "picture", "place_of", "why_no_browser"]

NAMES = ("chromium", "chromium-browser", "google-chrome")


def _path() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def why_no_browser() -> str | None:
    """Why there is none, in one line; None where there is one."""
    try:
        import playwright  # noqa: F401
    except ModuleNotFoundError:
        return "playwright is not installed; run: pip install 'streamseg[dev]'"
    return None if _path() else f"there is no Chromium: none of {', '.join(NAMES)} is on the path"


@contextmanager
def chromium(*, flags: Sequence[str] = (), patience_ms: float) -> Iterator[Browser]:
    """A browser of its own.

    Args:
        flags: for its command line.
        patience_ms: how long expectations wait.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=patience_ms)
    with sync_playwright() as playwright:
        # Containers have no sandbox.
        browser = playwright.chromium.launch(executable_path=_path(), args=["--no-sandbox", *flags])
        yield browser
        browser.close()


def picture(page: Page, source: str = "cam0") -> Locator:
    """The canvas of a source."""
    return page.locator(f'.tile[data-source="{source}"] canvas')


def place_of(page: Page, x: float, y: float, size: tuple[int, int], source: str = "cam0") -> tuple[float, float]:
    """Where a point of the picture of `size` (H, W) is in the window."""
    box = picture(page, source).bounding_box()
    assert box is not None
    return box["x"] + x / size[1] * box["width"], box["y"] + y / size[0] * box["height"]
